/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_DB_INTERNAL_H
#define STORE_MONGO_DB_INTERNAL_H

/* One client of the pool, and the few commands that this store speaks. Each write is on one
 * document, waits until a majority has it in its journal, and says whether it happened, did not,
 * or may have. Reads are what a majority has. Nothing waits past the deadline of the job.
 * Thread: worker. */

#include "base/err.h"

#include <mongoc/mongoc.h>

enum mongo_collection {
    MONGO_USERS = 0,
    MONGO_TENANTS,
    MONGO_LIMITS,
    MONGO_AUDIT,
    MONGO_CHAINS,
    MONGO_META,
    MONGO_N_COLLECTIONS,
};
extern const char *const mongo_db_collections[MONGO_N_COLLECTIONS];

struct mongo_db {
    mongoc_client_t *client;
    const char *name;                      /* of the database */
    const mongoc_write_concern_t *durable; /* of every write */
    int64_t deadline_ms;                   /* by mongo_db_now_ms */
};

/* How long one wait for the network may be. */
#define MONGO_SELECT_MS   1000
#define MONGO_CONNECT_MS  1000
#define MONGO_SOCKET_MS   2000
#define MONGO_MAJORITY_MS 1500

/* CLOCK_MONOTONIC: what waits for the network waits in real time. */
int64_t mongo_db_now_ms(void);
void mongo_db_set_budget(struct mongo_db *db, int64_t budget_ms);

enum mongo_end {
    MONGO_DONE = 0,  /* happened, and is durable */
    MONGO_DUPLICATE, /* did not: there is a document with this key */
    MONGO_UNKNOWN,   /* may have happened, or may yet: *why says why */
    MONGO_REFUSED,   /* did not, and would not another time: *why says why */
};

/* A moment between two tries. */
void mongo_db_pause(void);
/* After MONGO_UNKNOWN: waits a moment; false when there is no time left. */
bool mongo_db_may_retry(struct mongo_db *db);

struct mongo_find {
    enum mongo_collection from;
    const bson_t *filter;
    const bson_t *sort;   /* NULL: any */
    const bson_t *fields; /* NULL: all */
};
/* The first document that is found: *found says whether, and then *out is to be destroyed. */
MUST_CHECK enum err mongo_db_find(struct mongo_db *db, const struct mongo_find *f, bson_t *out,
                                  bool *found, struct err_text *why);

struct mongo_change {
    enum mongo_collection in;
    const bson_t *filter;
    const bson_t *update;
    const bson_t *fields; /* mongo_db_modify: NULL: all */
    bool upsert;
};
/* findAndModify, the document as it is then. */
MUST_CHECK enum mongo_end mongo_db_modify(struct mongo_db *db, const struct mongo_change *c,
                                          bson_t *out, bool *found, struct err_text *why);
/* *matched: one document or none. */
MUST_CHECK enum mongo_end mongo_db_update(struct mongo_db *db, const struct mongo_change *c,
                                          bool *matched, struct err_text *why);
MUST_CHECK enum mongo_end mongo_db_insert(struct mongo_db *db, enum mongo_collection in,
                                          const bson_t *doc, struct err_text *why);
/* One after the other, up to the first that is not taken. */
MUST_CHECK enum mongo_end mongo_db_insert_many(struct mongo_db *db, enum mongo_collection in,
                                               const bson_t *const *docs, size_t n,
                                               struct err_text *why);
MUST_CHECK enum mongo_end mongo_db_delete(struct mongo_db *db, enum mongo_collection in,
                                          const bson_t *filter, bool many, int64_t *n_out,
                                          struct err_text *why);
/* Any other command that writes. *code: the server's, 0 when it said none. */
MUST_CHECK enum mongo_end mongo_db_command(struct mongo_db *db, const bson_t *command, int *code,
                                           struct err_text *why);

/* What MONGO_UNKNOWN without time left and MONGO_REFUSED mean to the caller of the store. */
enum err mongo_db_failed(struct err_text *why);

/* Random bytes for ids that only have to be different. */
void mongo_db_random(void *out, size_t n);

#endif
