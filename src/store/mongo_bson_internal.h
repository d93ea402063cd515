/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_BSON_INTERNAL_H
#define STORE_MONGO_BSON_INTERNAL_H

/* BSON in and out, in the few types that are kept: 64-bit integers, booleans, binary, text,
 * documents and arrays of them. What is read is trusted nowhere: anything that is not there, has
 * another type or does not fit makes the whole reading bad, and reads as zero. Thread: any. */

#include "base/err.h"
#include "base/str.h"

#include <bson/bson.h>

void mongo_put_int(bson_t *b, const char *key, int64_t value);
void mongo_put_bool(bson_t *b, const char *key, bool value);
void mongo_put_bytes(bson_t *b, const char *key, const void *bytes, size_t n);
void mongo_put_str(bson_t *b, const char *key, struct str value);
void mongo_put_text(bson_t *b, const char *key, const char *value);
void mongo_put_doc(bson_t *b, const char *key, const bson_t *value);
/* Appends a document, or an array, to be filled in: end it before the next put into b. */
void mongo_begin(bson_t *b, const char *key, bson_t *child);
void mongo_end(bson_t *b, bson_t *child);
void mongo_begin_array(bson_t *b, const char *key, bson_t *child);
void mongo_end_array(bson_t *b, bson_t *child);
/* As mongo_begin, in an array: the element with this index. */
void mongo_begin_element(bson_t *array, uint32_t index, bson_t *child);

/* { key: value } in one. */
void mongo_put_op_int(bson_t *b, const char *key, const char *op, int64_t value);

/* A document that is read; the outermost one owns `bad`. */
struct mongo_in {
    bson_t doc;
    bool *bad;
};

void mongo_in_init(struct mongo_in *in, const bson_t *doc, bool *bad);
/* ERR_CORRUPT when anything was bad; what is a constant. */
MUST_CHECK enum err mongo_in_check(const struct mongo_in *in, const char *what,
                                   struct err_text *why);

bool mongo_in_has(const struct mongo_in *in, const char *key);
int64_t mongo_in_int(const struct mongo_in *in, const char *key, int64_t least, int64_t most);
bool mongo_in_bool(const struct mongo_in *in, const char *key);
size_t mongo_in_bytes(const struct mongo_in *in, const char *key, void *out, size_t cap);
void mongo_in_fixed(const struct mongo_in *in, const char *key, void *out, size_t n);
/* Terminated; NUL is not text. */
void mongo_in_text(const struct mongo_in *in, const char *key, char *out, size_t cap);
/* False, and not bad, when there is none. */
bool mongo_in_doc(const struct mongo_in *in, const char *key, struct mongo_in *out);

/* The documents of an array, one after the other. */
struct mongo_each {
    bson_iter_t at;
    bool *bad;
    bool any;
};
void mongo_each_init(struct mongo_each *e, const struct mongo_in *in, const char *key);
bool mongo_each_next(struct mongo_each *e, struct mongo_in *out);

#endif
