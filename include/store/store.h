/* SPDX-License-Identifier: ISC */
#ifndef STORE_STORE_H
#define STORE_STORE_H

/* What every store can do: the atoms of the domain's decisions, not rows. Each
 * operation takes the tenant first, and each that decides does it in one atomic step.
 * A store sees sealed bytes only, never a key.
 *
 * Work is done in batches of jobs. On a store that is transactional, what a job did counts when
 * job_end was told to keep it and batch_commit returned ERR_OK: then it is durable. On any other,
 * each operation that returned ERR_OK is durable at once and nothing is undone: so a decision
 * must be right whichever of its operations is the last one that happens.
 *
 * Failures are ERR_UNAVAILABLE (down, disk full: on a transactional store nothing of the batch
 * counts; on another the operation may have happened, and asking again with the same request
 * tells), ERR_CORRUPT (stored data makes no sense) and what an operation names. After these two
 * the job must end with keep = false; what an operation names itself has changed nothing.
 *
 * Thread: the worker that uses it; a store belongs to one worker. */

#include "base/err.h"
#include "store/attempt.h"

struct outbox_ops;
struct store;
struct store_ops {
    const char *name;
    bool transactional; /* jobs and batches can be undone */

    /* Frees; what was not committed is gone. */
    void (*close)(struct store *s);

    MUST_CHECK enum err (*batch_begin)(struct store *s, struct err_text *why);
    /* No operation of the job waits much longer than budget_ms from now for another machine. */
    void (*job_begin)(struct store *s, int64_t budget_ms);
    /* With keep = false everything since job_begin is undone, if the store is transactional. */
    MUST_CHECK enum err (*job_end)(struct store *s, bool keep, struct err_text *why);
    /* Instead of batch_commit: everything since batch_begin is undone. */
    void (*batch_abandon)(struct store *s);
    /* On failure everything since batch_begin is undone. */
    MUST_CHECK enum err (*batch_commit)(struct store *s, struct err_text *why);

    /* ERR_NOT_FOUND: the tenant has none. */
    MUST_CHECK enum err (*policy_get)(struct store *s, struct tenant_id t, struct policy *out,
                                      struct err_text *why);
    /* Replaces the policy of revision p->revision - 1 (0: there must be none);
     * ERR_CONFLICT when it has another. */
    MUST_CHECK enum err (*policy_put)(struct store *s, struct tenant_id t, const struct policy *p,
                                      struct err_text *why);

    /* The tenant's data key with this id; id 0: the newest. ERR_NOT_FOUND. */
    MUST_CHECK enum err (*data_key_get)(struct store *s, struct tenant_id t, uint32_t id,
                                        struct data_key *out, struct err_text *why);
    /* ERR_EXISTS when there is one with this id. */
    MUST_CHECK enum err (*data_key_add)(struct store *s, struct tenant_id t,
                                        const struct data_key *key, struct err_text *why);

    /* Fills *out for an unknown user, too: not enrolled, next_generation 1. */
    MUST_CHECK enum err (*user_get)(struct store *s, struct tenant_id t, struct user_id u,
                                    int64_t now_ms, const struct lockout_rule *lockout,
                                    struct user_state *out, struct err_text *why);

    /* Makes f the user's pending secret in place of an earlier pending one. ERR_EXISTS
     * when the user is enrolled, ERR_CONFLICT when f->generation is not the next. */
    MUST_CHECK enum err (*pending_put)(struct store *s, struct tenant_id t, struct user_id u,
                                       const struct factor *f, struct err_text *why);

    /* Checks in this order: the request id, the lock, that the secret is there and has
     * not expired, the code's length; then counts the attempt and reads the factor, in
     * one atomic step. Any end but CHARGE_WRONG_LENGTH, CHARGE_REUSED and CHARGE_TOO_MANY
     * is remembered for c->request. */
    MUST_CHECK enum err (*charge)(struct store *s, struct tenant_id t, struct user_id u,
                                  const struct charge *c, struct charged *out,
                                  struct err_text *why);

    /* If a->step is newer than the secret's last one: it becomes the last, failures become 0, a
     * pending secret becomes the user's own (in place of an older one), the request's answer
     * becomes a->answer, the notice goes into the outbox, and *won is true. Else nothing
     * changes, and *won is whether this request has won already: its answer is remembered with
     * the outcome of a->answer. One atomic step. */
    MUST_CHECK enum err (*accept)(struct store *s, struct tenant_id t, struct user_id u,
                                  const struct acceptance *a, bool *won, struct err_text *why);

    /* For an answer that needs no charge: remembers it unless the request was answered
     * before, and then out->result is CHARGE_REPEATED, CHARGE_REUSED or CHARGE_TOO_MANY,
     * with out->first; else CHARGE_READY. */
    MUST_CHECK enum err (*remember)(struct store *s, struct tenant_id t, struct user_id u,
                                    const struct request_mark *r, const struct answer *a,
                                    const struct lockout_rule *lockout, struct charged *out,
                                    struct err_text *why);

    /* The secret whose code the user may be typing by mistake, when the right one is `right`: for
     * a pending one the user's own, for the user's own the one that it replaced.
     * ERR_NOT_FOUND: there is none. The job may be kept after any failure but ERR_UNAVAILABLE. */
    MUST_CHECK enum err (*other_get)(struct store *s, struct tenant_id t, struct user_id u,
                                     const struct factor *right, struct factor *out,
                                     struct err_text *why);

    /* The newest record's seq and hash; seq 0 and a zero hash when there is none. */
    MUST_CHECK enum err (*audit_head)(struct store *s, int64_t *seq, uint8_t hash[AUDIT_HASH_LEN],
                                      struct err_text *why);
    /* The record after the head (else ERR_CONFLICT). Between batch_begin and batch_commit,
     * outside of jobs. */
    MUST_CHECK enum err (*audit_append)(struct store *s, const struct audit_record *r,
                                        struct err_text *why);

    /* Writes what changes nothing: does the store take writes? */
    MUST_CHECK enum err (*probe)(struct store *s, struct err_text *why);

    /* Deletes up to `limit` things that have expired and are not used anyway; *n_out: how many. */
    MUST_CHECK enum err (*sweep)(struct store *s, int64_t now_ms, uint32_t limit, uint32_t *n_out,
                                 struct err_text *why);
};
/* A back end's struct begins with this. Call as s->ops->charge(s, …). */
struct store {
    const struct store_ops *ops;
    const struct outbox_ops *outbox; /* store/outbox.h */
};

#endif
