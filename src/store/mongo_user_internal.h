/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_USER_INTERNAL_H
#define STORE_MONGO_USER_INTERNAL_H

/* A user's document, as a struct: everything that is kept of one user of one tenant, so that each
 * decision is one atomic change of one document. Two ways to change it: an append to the log of
 * attempts, which needs to know nothing, and a compare-and-set of whole fields against the
 * version, which every change counts up. Owned by the job that loaded it. Thread: worker. */

#include "attempt_log_internal.h"
#include "mongo_writes_internal.h"
#include "store/reset.h"

#define MONGO_KEY_MAX (1 + 2 * ID_MAX)
/* What a document is found by: the length of the tenant's id, that id, the user's. */
struct mongo_key {
    uint8_t bytes[MONGO_KEY_MAX];
    size_t len;
};
struct mongo_key mongo_user_key(struct tenant_id t, struct user_id u);
/* Borrowed from the key. */
struct tenant_id mongo_user_tenant(const struct mongo_key *key);
struct user_id mongo_user_id(const struct mongo_key *key);

/* So many resets of a user are kept at the most; the oldest that have ended go first. */
#define MONGO_RESETS_MAX 256

struct mongo_reset {
    struct reset_status status; /* the state as it was written */
    uint8_t token_hash[TOKEN_HASH_LEN];
    int64_t create_ms;
    bool has_request;
    struct request_mark request;
};

/* Parts that are loaded and written as one. */
enum mongo_part {
    MONGO_ATTEMPTS = 1 << 0,                    /* attempts */
    MONGO_SECRETS = 1 << 1,                     /* own, next, old, generation, last_step */
    MONGO_RESETS = 1 << 2,                      /* resets, mails */
    MONGO_HOT = MONGO_ATTEMPTS | MONGO_SECRETS, /* what a verification needs */
    MONGO_ALL = MONGO_HOT | MONGO_RESETS,
};

struct mongo_user {
    struct mongo_key key;
    int64_t version;  /* 0: there is no document */
    unsigned loaded;  /* enum mongo_part */
    unsigned changed; /* enum mongo_part: to be written */

    uint32_t generation; /* of the newest secret */
    bool has_own, has_next, has_old;
    struct factor own, next, old;
    int64_t last_step; /* of own; -1: none */

    struct attempt_log attempts;

    struct mongo_reset *resets; /* oldest first */
    size_t n_resets, cap_resets;
    struct mail *mails; /* due_ms: not before; a lease moves it */
    size_t n_mails, cap_mails;
    const struct mail *added; /* a notice to be written although MONGO_RESETS is not loaded */

    struct mongo_writes writes;
};

struct mongo_user *mongo_user_new(struct tenant_id t, struct user_id u);
void mongo_user_free(struct mongo_user *user);
/* Frees what it holds. */
void mongo_user_release(struct mongo_user *user);

struct mongo_reset *mongo_user_add_reset(struct mongo_user *user);
struct mail *mongo_user_add_mail(struct mongo_user *user);
void mongo_user_drop_mail(struct mongo_user *user, size_t i);

/* Nothing that lasts is kept of this user. */
bool mongo_user_is_empty(const struct mongo_user *user);
/* The document of a user of whom nothing but answers is kept goes after this. */
#define MONGO_STRANGER_KEEP_MS (REQUEST_MEMORY_MS + 60 * 1000)

/* When the sweeper has something to do here; 0: never. Needs MONGO_ALL. */
int64_t mongo_user_sweep_ms(const struct mongo_user *user);

/* A reset can be looked at for so long after its link has expired. */
#define RESET_KEEP_MS (7 * 24 * 60 * 60 * 1000LL)

/* The secret with this id: own, next if it has not expired, NULL. */
const struct factor *mongo_user_factor(const struct mongo_user *user,
                                       const struct enrollment_id *id, int64_t now_ms);
static inline const struct enrollment_id *mongo_user_own_id(const struct mongo_user *user)
{
    return user->has_own ? &user->own.enrollment : NULL;
}

#endif
