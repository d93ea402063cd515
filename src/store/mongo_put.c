/* SPDX-License-Identifier: ISC */
#include "mongo_put_internal.h"

#include <stdlib.h>

#define INDEX_MAX 16 /* of the digits of an array's index */

/* A document that grows past what BSON can hold: all that is put is bounded, so this is a bug. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

void mongo_put_int(bson_t *b, const char *key, int64_t value)
{
    must(bson_append_int64(b, key, -1, value));
}

void mongo_put_bool(bson_t *b, const char *key, bool value)
{
    must(bson_append_bool(b, key, -1, value));
}

void mongo_put_bytes(bson_t *b, const char *key, const void *bytes, size_t n)
{
    static const uint8_t none;
    must(bson_append_binary(b, key, -1, BSON_SUBTYPE_BINARY, n > 0 ? bytes : &none, (uint32_t)n));
}

void mongo_put_str(bson_t *b, const char *key, struct str value)
{
    must(bson_append_utf8(b, key, -1, value.len > 0 ? value.p : "", (int)value.len));
}

void mongo_put_text(bson_t *b, const char *key, const char *value)
{
    must(bson_append_utf8(b, key, -1, value, -1));
}

void mongo_put_date(bson_t *b, const char *key, int64_t ms)
{
    must(bson_append_date_time(b, key, -1, ms));
}

void mongo_put_doc(bson_t *b, const char *key, const bson_t *value)
{
    must(bson_append_document(b, key, -1, value));
}

void mongo_put_begin(bson_t *b, const char *key, bson_t *child)
{
    must(bson_append_document_begin(b, key, -1, child));
}

void mongo_put_end(bson_t *b, bson_t *child)
{
    must(bson_append_document_end(b, child));
}

void mongo_put_begin_array(bson_t *b, const char *key, bson_t *child)
{
    must(bson_append_array_begin(b, key, -1, child));
}

void mongo_put_end_array(bson_t *b, bson_t *child)
{
    must(bson_append_array_end(b, child));
}

void mongo_put_begin_element(bson_t *array, uint32_t index, bson_t *child)
{
    char room[INDEX_MAX];
    const char *key;
    bson_uint32_to_string(index, &key, room, sizeof room);
    mongo_put_begin(array, key, child);
}

void mongo_put_element(bson_t *array, uint32_t index, const bson_t *value)
{
    char room[INDEX_MAX];
    const char *key;
    bson_uint32_to_string(index, &key, room, sizeof room);
    mongo_put_doc(array, key, value);
}

void mongo_put_exists(bson_t *b, const char *key, bool exists)
{
    bson_t child;
    mongo_put_begin(b, key, &child);
    mongo_put_bool(&child, "$exists", exists);
    mongo_put_end(b, &child);
}

void mongo_put_op_int(bson_t *b, const char *key, const char *op, int64_t value)
{
    bson_t child;
    mongo_put_begin(b, key, &child);
    mongo_put_int(&child, op, value);
    mongo_put_end(b, &child);
}
