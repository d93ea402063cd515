/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_WRITES_INTERNAL_H
#define STORE_MONGO_WRITES_INTERNAL_H

/* The last changes by compare-and-set of a document, kept in it: whoever does not know whether his
 * own happened finds it there. Thread: any. */

#include "mongo_in_internal.h"

#define MONGO_WRITE_ID_LEN 16
#define MONGO_WRITES_KEPT  16
struct mongo_write_id {
    uint8_t bytes[MONGO_WRITE_ID_LEN];
};

struct mongo_writes {
    struct mongo_write_id ids[MONGO_WRITES_KEPT]; /* oldest first */
    size_t n;
};

struct mongo_write_id mongo_writes_new_id(void);
void mongo_writes_note(struct mongo_writes *w, const struct mongo_write_id *id);
bool mongo_writes_has(const struct mongo_writes *w, const struct mongo_write_id *id);
void mongo_writes_read(const struct mongo_in *in, struct mongo_writes *w);
void mongo_writes_write(bson_t *b, const struct mongo_writes *w);

#endif
