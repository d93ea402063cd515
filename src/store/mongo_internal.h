/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_INTERNAL_H
#define STORE_MONGO_INTERNAL_H

/* The store on MongoDB, as its files share it. Thread: worker, unless said otherwise. */

#include "mongo_db_internal.h"
#include "mongo_user_internal.h"
#include "store/store.h"
#include "store/store_mongo.h"

#include <pthread.h>

struct mongo_audit;

/* Shared by the stores of one process. Thread: any. */
struct mongo {
    mongoc_client_pool_t *pool;
    mongoc_write_concern_t *durable;
    char name[64]; /* of the database: servers take no longer one */
    bool development;
    struct mongo_audit *audit;
    pthread_mutex_t lock;
    bool ready;        /* guarded by lock: schema and indexes are there */
    char turn[ID_MAX]; /* guarded by lock: the tenant whose mail was leased last */
    size_t turn_len;   /* guarded by lock */
};

struct mongo_store {
    struct store base;
    struct mongo *shared;
    struct mongo_db db;

    /* Of the present job. */
    struct mongo_user *user;     /* as of the last operation; NULL: none was read */
    struct request_mark attempt; /* of the last charge, if that had no request: random */
    bool has_attempt;
};

static inline struct mongo_store *mongo_store_of(struct store *base)
{
    return (struct mongo_store *)base;
}

/* store_mongo.c */
/* With a client of the pool, to be pushed back. */
struct mongo_db store_mongo_pop(struct mongo *m);

/* mongo_users.c: documents of users, read and changed */
/* Reads the user into s->user: at least these parts (enum mongo_part), as they are now. */
MUST_CHECK enum err mongo_users_read(struct mongo_store *s, struct tenant_id t, struct user_id u,
                                     unsigned parts, struct err_text *why);
/* The same, unless the job has them already. */
MUST_CHECK enum err mongo_users_know(struct mongo_store *s, struct tenant_id t, struct user_id u,
                                     unsigned parts, struct err_text *why);
/* Reads the first user that is found into s->user; NULL: there is none. */
MUST_CHECK enum err mongo_users_find(struct mongo_store *s, const struct mongo_find *f,
                                     struct err_text *why);
/* The same for whoever waits by `field`: damaged documents lose it and are passed over. */
MUST_CHECK enum err mongo_users_find_due(struct mongo_store *s, const struct mongo_find *f,
                                         const char *field, struct err_text *why);
/* Changes the user by compare-and-set: `change` sets user->changed, if anything; it is called
 * again when somebody else was quicker, so what it answers is right when this returns ERR_OK. What
 * it fails with is returned. */
typedef enum err mongo_user_change(struct mongo_user *user, void *args, struct err_text *why);
MUST_CHECK enum err mongo_users_change(struct mongo_store *s, struct tenant_id t, struct user_id u,
                                       unsigned parts, mongo_user_change *change, void *args,
                                       struct err_text *why);
void mongo_users_forget(struct mongo_store *s);
MUST_CHECK enum err mongo_users_get(struct store *base, struct tenant_id t, struct user_id u,
                                    int64_t now_ms, const struct lockout_rule *lockout,
                                    struct user_state *out, struct err_text *why);
enum err mongo_users_pending_put(struct store *base, struct tenant_id t, struct user_id u,
                                 const struct factor *f, struct err_text *why);
enum err mongo_users_other_get(struct store *base, struct tenant_id t, struct user_id u,
                               const struct factor *right, struct factor *out,
                               struct err_text *why);
/* Makes f the pending secret; ERR_CONFLICT. */
MUST_CHECK enum err mongo_users_put_next(struct mongo_user *user, const struct factor *f,
                                         struct err_text *why);

/* mongo_charge.c, mongo_accept.c, mongo_append.c: the steps of a verification */
enum err mongo_charge(struct store *base, struct tenant_id t, struct user_id u,
                      const struct charge *c, struct charged *out, struct err_text *why);
enum err mongo_accept(struct store *base, struct tenant_id t, struct user_id u,
                      const struct acceptance *a, bool *won, struct err_text *why);
enum err mongo_append_remember(struct store *base, struct tenant_id t, struct user_id u,
                               const struct request_mark *r, const struct answer *a,
                               const struct lockout_rule *lockout, struct charged *out,
                               struct err_text *why);

/* mongo_tenant.c: policies, data keys */
enum err mongo_tenant_policy_get(struct store *base, struct tenant_id t, struct policy *out,
                                 struct err_text *why);
enum err mongo_tenant_policy_put(struct store *base, struct tenant_id t, const struct policy *p,
                                 struct err_text *why);
enum err mongo_tenant_data_key_get(struct store *base, struct tenant_id t, uint32_t id,
                                   struct data_key *out, struct err_text *why);
enum err mongo_tenant_data_key_add(struct store *base, struct tenant_id t,
                                   const struct data_key *key, struct err_text *why);

/* mongo_outbox.c */
int64_t mongo_outbox_new_id(void);
extern const struct outbox_ops mongo_outbox_ops;

/* mongo_audit.c: this process's own chain */
MUST_CHECK enum err mongo_audit_start(struct mongo_audit **out, struct mongo *m,
                                      struct err_text *why);
/* Writes what waits, ends the chain, frees. */
void mongo_audit_stop(struct mongo_audit *a);
enum err mongo_audit_head(struct store *base, int64_t *seq, uint8_t hash[AUDIT_HASH_LEN],
                          struct err_text *why);
enum err mongo_audit_append(struct store *base, const struct audit_record *r, struct err_text *why);

/* mongo_sweep.c */
enum err mongo_sweep(struct store *base, int64_t now_ms, uint32_t limit, uint32_t *n_out,
                     struct err_text *why);

#endif
