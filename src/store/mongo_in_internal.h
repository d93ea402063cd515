/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_IN_INTERNAL_H
#define STORE_MONGO_IN_INTERNAL_H

/* Reads BSON and trusts nothing: what is not there, has another type or does not fit makes the
 * whole reading bad, and reads as zero. Thread: any. */

#include "base/err.h"

#include <bson/bson.h>

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
/* Milliseconds, so few that they can be counted with. */
int64_t mongo_in_time(const struct mongo_in *in, const char *key);
/* From 1, and can be counted up: a change of a document where it cannot is refused for ever. */
int64_t mongo_in_version(const struct mongo_in *in, const char *key);
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
void mongo_in_each_init(struct mongo_each *e, const struct mongo_in *in, const char *key);
bool mongo_in_each_next(struct mongo_each *e, struct mongo_in *out);

#endif
