/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_STORE_MODEL_H
#define SUPPORT_STORE_MODEL_H

/* What a store does, in the plainest words: every user's state in one struct, nothing kept
 * apart, nothing durable. A copy of a struct model is a savepoint. Thread: any. */

#include "store/store.h"

#define MODEL_USERS    12
#define MODEL_TENANTS  3
#define MODEL_REQUESTS 256 /* newest of a user: more than can be remembered at once */
#define MODEL_KEYS     64

struct model_user {
    bool has_own, has_next, has_old; /* a confirmed secret, a pending one, a superseded one */
    struct factor own, next, old;
    uint32_t generation;
    int64_t last_step;
    uint32_t failures;
    int64_t last_attempt_ms;
    struct model_request {
        struct request_mark mark;
        struct answer answer;
        int64_t time_ms;
    } requests[MODEL_REQUESTS]; /* oldest first */
    unsigned n_requests;
};

struct model {
    struct model_user users[MODEL_USERS];
    int64_t revisions[MODEL_TENANTS];
    bool keys[MODEL_TENANTS][MODEL_KEYS];
    int64_t audit_seq;
};

void model_init(struct model *m);

void model_user_get(const struct model_user *u, int64_t now_ms, const struct lockout_rule *rule,
                    struct user_state *out);
enum err model_pending_put(struct model_user *u, const struct factor *f);
void model_charge(struct model_user *u, const struct charge *c, struct charged *out);
bool model_accept(struct model_user *u, const struct acceptance *a);
void model_remember(struct model_user *u, const struct request_mark *r, const struct answer *a,
                    struct charged *out);

#endif
