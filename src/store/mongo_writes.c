/* SPDX-License-Identifier: ISC */
#include "mongo_writes_internal.h"

#include "mongo_db_internal.h"
#include "mongo_put_internal.h"

#define F_WRITES "writes"

struct mongo_write_id mongo_writes_new_id(void)
{
    struct mongo_write_id id;
    mongo_db_random(&id, sizeof id);
    return id;
}

void mongo_writes_note(struct mongo_writes *w, const struct mongo_write_id *id)
{
    if (w->n == MONGO_WRITES_KEPT) {
        w->n--;
        for (size_t i = 0; i < w->n; i++)
            w->ids[i] = w->ids[i + 1];
    }
    w->ids[w->n++] = *id;
}

bool mongo_writes_has(const struct mongo_writes *w, const struct mongo_write_id *id)
{
    for (size_t i = 0; i < w->n; i++)
        if (str_equal_bytes(w->ids[i].bytes, id->bytes, MONGO_WRITE_ID_LEN))
            return true;
    return false;
}

void mongo_writes_read(const struct mongo_in *in, struct mongo_writes *w)
{
    size_t n = mongo_in_bytes(in, F_WRITES, w->ids, sizeof w->ids);
    if (n % MONGO_WRITE_ID_LEN != 0)
        *in->bad = true;
    w->n = n / MONGO_WRITE_ID_LEN;
}

void mongo_writes_write(bson_t *b, const struct mongo_writes *w)
{
    mongo_put_bytes(b, F_WRITES, w->ids, w->n * MONGO_WRITE_ID_LEN);
}
