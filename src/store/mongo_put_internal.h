/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_PUT_INTERNAL_H
#define STORE_MONGO_PUT_INTERNAL_H

/* Writes BSON, in the few types that are kept: 64-bit integers, booleans, binary, text, dates,
 * documents and arrays of them. What is put is bounded, so nothing fails. Thread: any. */

#include "base/str.h"

#include <bson/bson.h>

void mongo_put_int(bson_t *b, const char *key, int64_t value);
void mongo_put_bool(bson_t *b, const char *key, bool value);
void mongo_put_bytes(bson_t *b, const char *key, const void *bytes, size_t n);
void mongo_put_str(bson_t *b, const char *key, struct str value);
void mongo_put_text(bson_t *b, const char *key, const char *value);
void mongo_put_date(bson_t *b, const char *key, int64_t ms); /* since 1970 */
void mongo_put_doc(bson_t *b, const char *key, const bson_t *value);
/* Appends a document, or an array, to be filled in: end it before the next put into b. */
void mongo_put_begin(bson_t *b, const char *key, bson_t *child);
void mongo_put_end(bson_t *b, bson_t *child);
void mongo_put_begin_array(bson_t *b, const char *key, bson_t *child);
void mongo_put_end_array(bson_t *b, bson_t *child);
/* As mongo_put_begin and mongo_put_doc, in an array: the element with this index. */
void mongo_put_begin_element(bson_t *array, uint32_t index, bson_t *child);
void mongo_put_element(bson_t *array, uint32_t index, const bson_t *value);

/* { key: { op: value } } */
void mongo_put_op_int(bson_t *b, const char *key, const char *op, int64_t value);
void mongo_put_exists(bson_t *b, const char *key, bool exists);

#endif
