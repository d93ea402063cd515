/* SPDX-License-Identifier: ISC */
#include "mongo_in_internal.h"

#include <string.h>

/* Far from where a sum would overflow. */
#define TIME_FAR    (INT64_C(1) << 60)
#define VERSION_MAX (INT64_C(1) << 60)

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

int64_t mongo_in_time(const struct mongo_in *in, const char *key)
{
    return mongo_in_int(in, key, -TIME_FAR, TIME_FAR);
}

int64_t mongo_in_version(const struct mongo_in *in, const char *key)
{
    return mongo_in_int(in, key, 1, VERSION_MAX);
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

void mongo_in_each_init(struct mongo_each *e, const struct mongo_in *in, const char *key)
{
    bson_iter_t it;
    *e = (struct mongo_each){.bad = in->bad};
    if (!find(in, key, &it))
        return;
    e->any = BSON_ITER_HOLDS_ARRAY(&it) && bson_iter_recurse(&it, &e->at);
    if (!e->any)
        *e->bad = true;
}

bool mongo_in_each_next(struct mongo_each *e, struct mongo_in *out)
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
