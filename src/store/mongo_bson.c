/* SPDX-License-Identifier: ISC */
#include "mongo_bson_internal.h"

#include <stdlib.h>
#include <string.h>

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

void mongo_put_doc(bson_t *b, const char *key, const bson_t *value)
{
    must(bson_append_document(b, key, -1, value));
}

void mongo_begin(bson_t *b, const char *key, bson_t *child)
{
    must(bson_append_document_begin(b, key, -1, child));
}

void mongo_end(bson_t *b, bson_t *child)
{
    must(bson_append_document_end(b, child));
}

void mongo_begin_array(bson_t *b, const char *key, bson_t *child)
{
    must(bson_append_array_begin(b, key, -1, child));
}

void mongo_end_array(bson_t *b, bson_t *child)
{
    must(bson_append_array_end(b, child));
}

void mongo_begin_element(bson_t *array, uint32_t index, bson_t *child)
{
    char room[16];
    const char *key;
    bson_uint32_to_string(index, &key, room, sizeof room);
    mongo_begin(array, key, child);
}

void mongo_put_op_int(bson_t *b, const char *key, const char *op, int64_t value)
{
    bson_t child;
    mongo_begin(b, key, &child);
    mongo_put_int(&child, op, value);
    mongo_end(b, &child);
}

/* ---- reading ------------------------------------------------------------------------------- */

void mongo_in_init(struct mongo_in *in, const bson_t *doc, bool *bad)
{
    in->bad = bad;
    if (!bson_init_static(&in->doc, bson_get_data(doc), doc->len))
        *bad = true;
}

enum err mongo_in_check(const struct mongo_in *in, const char *what, struct err_text *why)
{
    return *in->bad ? err_set(why, ERR_CORRUPT, NULL, "%s in the store makes no sense", what)
                    : ERR_OK;
}

/* False, and not bad, when there is none. */
static bool look_for(const struct mongo_in *in, const char *key, bson_iter_t *it)
{
    if (*in->bad)
        return false;
    if (!bson_iter_init(it, &in->doc)) {
        *in->bad = true;
        return false;
    }
    if (bson_iter_find(it, key))
        return true;
    if (it->err_off != 0) /* who knows what would have come */
        *in->bad = true;
    return false;
}

bool mongo_in_has(const struct mongo_in *in, const char *key)
{
    bson_iter_t it;
    return look_for(in, key, &it);
}

static bool find(const struct mongo_in *in, const char *key, bson_iter_t *it)
{
    if (look_for(in, key, it))
        return true;
    *in->bad = true;
    return false;
}

int64_t mongo_in_int(const struct mongo_in *in, const char *key, int64_t least, int64_t most)
{
    bson_iter_t it;
    if (!find(in, key, &it))
        return 0;
    bool whole = BSON_ITER_HOLDS_INT64(&it) || BSON_ITER_HOLDS_INT32(&it);
    int64_t value = whole ? bson_iter_as_int64(&it) : 0;
    if (whole && value >= least && value <= most)
        return value;
    *in->bad = true;
    return 0;
}

bool mongo_in_bool(const struct mongo_in *in, const char *key)
{
    bson_iter_t it;
    if (!find(in, key, &it))
        return false;
    if (BSON_ITER_HOLDS_BOOL(&it))
        return bson_iter_bool(&it);
    *in->bad = true;
    return false;
}

size_t mongo_in_bytes(const struct mongo_in *in, const char *key, void *out, size_t cap)
{
    bson_iter_t it;
    const uint8_t *bytes;
    uint32_t n = 0;
    if (!find(in, key, &it))
        return 0;
    if (!BSON_ITER_HOLDS_BINARY(&it)) {
        *in->bad = true;
        return 0;
    }
    bson_iter_binary(&it, NULL, &n, &bytes);
    if (n > cap) {
        *in->bad = true;
        return 0;
    }
    if (n > 0)
        memcpy(out, bytes, n);
    return n;
}

void mongo_in_fixed(const struct mongo_in *in, const char *key, void *out, size_t n)
{
    memset(out, 0, n);
    if (mongo_in_bytes(in, key, out, n) != n)
        *in->bad = true;
}

void mongo_in_text(const struct mongo_in *in, const char *key, char *out, size_t cap)
{
    bson_iter_t it;
    uint32_t n = 0;
    out[0] = '\0';
    if (!find(in, key, &it))
        return;
    const char *text = BSON_ITER_HOLDS_UTF8(&it) ? bson_iter_utf8(&it, &n) : NULL;
    if (text == NULL || n >= cap || memchr(text, '\0', n) != NULL) {
        *in->bad = true;
        return;
    }
    memcpy(out, text, n);
    out[n] = '\0';
}

static bool view(const bson_iter_t *it, bool *bad, struct mongo_in *out)
{
    const uint8_t *data;
    uint32_t n;
    bson_iter_document(it, &n, &data);
    out->bad = bad;
    if (data != NULL && bson_init_static(&out->doc, data, n))
        return true;
    *bad = true;
    return false;
}

bool mongo_in_doc(const struct mongo_in *in, const char *key, struct mongo_in *out)
{
    bson_iter_t it;
    if (!look_for(in, key, &it))
        return false;
    if (BSON_ITER_HOLDS_DOCUMENT(&it))
        return view(&it, in->bad, out);
    *in->bad = true;
    return false;
}

void mongo_each_init(struct mongo_each *e, const struct mongo_in *in, const char *key)
{
    bson_iter_t it;
    *e = (struct mongo_each){.bad = in->bad};
    if (!find(in, key, &it))
        return;
    e->any = BSON_ITER_HOLDS_ARRAY(&it) && bson_iter_recurse(&it, &e->at);
    if (!e->any)
        *e->bad = true;
}

bool mongo_each_next(struct mongo_each *e, struct mongo_in *out)
{
    if (!e->any || *e->bad)
        return false;
    if (!bson_iter_next(&e->at)) {
        if (e->at.err_off != 0)
            *e->bad = true;
        return false;
    }
    if (BSON_ITER_HOLDS_DOCUMENT(&e->at))
        return view(&e->at, e->bad, out);
    *e->bad = true;
    return false;
}
