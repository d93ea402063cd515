/* SPDX-License-Identifier: ISC */
#ifndef STORE_SQLITE_INTERNAL_H
#define STORE_SQLITE_INTERNAL_H

/* The embedded store, as its files share it. Thread: worker. */

#include "sqlite_db_internal.h"
#include "sqlite_log_internal.h"
#include "store/store.h"

/* A user as a job sees it: found once, for charge and accept. */
struct sqlite_user {
    bool found; /* the rest is of this tenant and user */
    uint8_t tenant_len;
    uint8_t user_len;
    char tenant[ID_MAX];
    char user[ID_MAX];
    uint32_t id;   /* 0: nothing is kept of the user */
    bool enrolled; /* then factor is the confirmed secret */
    struct factor factor;
};

struct sqlite_store {
    struct store base;
    struct sqlite_db db;
    struct sqlite_log log;
    bool stale; /* memory and disk may differ: load before the next batch */

    /* Of the present job. What the log cannot hold back is written at once, after a
     * savepoint. */
    struct sqlite_user user;
    bool savepoint;
    int64_t first_seq; /* the log's, when the job began */

    int64_t audit_seq; /* of the newest record, with this batch's */
};

static inline struct sqlite_store *sqlite_store_of(struct store *base)
{
    return (struct sqlite_store *)base;
}

/* Before the job writes to any table but through the log. */
MUST_CHECK enum err store_sqlite_writes(struct sqlite_store *s, struct err_text *why);

/* sqlite_tenant.c: tenants, policies, data keys */
/* The tenant's number; 0: none. make: gives it one. */
MUST_CHECK enum err sqlite_tenant_id(struct sqlite_store *s, struct tenant_id t, bool make,
                                     int64_t *out, struct err_text *why);
enum err sqlite_tenant_policy_get(struct store *base, struct tenant_id t, struct policy *out,
                                  struct err_text *why);
enum err sqlite_tenant_policy_put(struct store *base, struct tenant_id t, const struct policy *p,
                                  struct err_text *why);
enum err sqlite_tenant_data_key_get(struct store *base, struct tenant_id t, uint32_t id,
                                    struct data_key *out, struct err_text *why);
enum err sqlite_tenant_data_key_add(struct store *base, struct tenant_id t,
                                    const struct data_key *key, struct err_text *why);

/* sqlite_user.c: users and their secrets */
/* Finds the user; *out is the store's, until the job ends. */
MUST_CHECK enum err sqlite_user_find(struct sqlite_store *s, struct tenant_id t, struct user_id u,
                                     struct sqlite_user **out, struct err_text *why);
/* Gives a user that was found, but not there, a number. */
MUST_CHECK enum err sqlite_user_make(struct sqlite_store *s, struct sqlite_user *user,
                                     struct err_text *why);
/* The user's pending secret, *found when there is one that has not expired. */
MUST_CHECK enum err sqlite_user_pending(struct sqlite_store *s, uint32_t user, int64_t now_ms,
                                        struct factor *out, bool *found, struct err_text *why);
/* The secret that the user's own took the place of. */
MUST_CHECK enum err sqlite_user_superseded(struct sqlite_store *s, uint32_t user,
                                           struct factor *out, bool *found, struct err_text *why);
/* Makes the pending secret f the user's own. */
MUST_CHECK enum err sqlite_user_confirm(struct sqlite_store *s, struct sqlite_user *user,
                                        const struct factor *f, int64_t now_ms,
                                        struct err_text *why);
enum err sqlite_user_get(struct store *base, struct tenant_id t, struct user_id u, int64_t now_ms,
                         const struct lockout_rule *lockout, struct user_state *out,
                         struct err_text *why);
enum err sqlite_user_pending_put(struct store *base, struct tenant_id t, struct user_id u,
                                 const struct factor *f, struct err_text *why);
/* Makes f the pending secret of a user who was found, enrolled or not. */
MUST_CHECK enum err sqlite_user_put_pending(struct sqlite_store *s, struct sqlite_user *user,
                                            const struct factor *f, struct err_text *why);
enum err sqlite_user_other_get(struct store *base, struct tenant_id t, struct user_id u,
                               const struct factor *right, struct factor *out,
                               struct err_text *why);
/* Deletes expired pending secrets. */
MUST_CHECK enum err sqlite_user_sweep(struct sqlite_store *s, int64_t now_ms, uint32_t limit,
                                      uint32_t *n_out, struct err_text *why);

/* sqlite_verify.c: the steps of a verification */
enum err sqlite_verify_charge(struct store *base, struct tenant_id t, struct user_id u,
                              const struct charge *c, struct charged *out, struct err_text *why);
enum err sqlite_verify_accept(struct store *base, struct tenant_id t, struct user_id u,
                              const struct acceptance *a, bool *won, struct err_text *why);
enum err sqlite_verify_remember(struct store *base, struct tenant_id t, struct user_id u,
                                const struct request_mark *r, const struct answer *a,
                                const struct lockout_rule *lockout, struct charged *out,
                                struct err_text *why);

/* sqlite_outbox.c: resets and mails */
extern const struct outbox_ops sqlite_outbox_ops;
/* Adds a notice for a user who has a number. */
MUST_CHECK enum err sqlite_outbox_put(struct sqlite_store *s, const struct sqlite_user *user,
                                      const struct mail *m, struct err_text *why);
/* Deletes resets that expired long ago. */
MUST_CHECK enum err sqlite_outbox_sweep(struct sqlite_store *s, int64_t now_ms, uint32_t limit,
                                        uint32_t *n_out, struct err_text *why);

/* sqlite_audit.c */
MUST_CHECK enum err sqlite_audit_load(struct sqlite_store *s, struct err_text *why);
enum err sqlite_audit_head(struct store *base, int64_t *seq, uint8_t hash[AUDIT_HASH_LEN],
                           struct err_text *why);
enum err sqlite_audit_append(struct store *base, const struct audit_record *r,
                             struct err_text *why);

#endif
