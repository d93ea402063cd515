/* SPDX-License-Identifier: ISC */
#include "support/store_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const kit_mode_names[KIT_MODES] = {
    [KIT_PLAIN] = "plain",
    [KIT_RESTART] = "restarted",
    [KIT_DROP] = "dropped",
    [KIT_ABANDON] = "abandoned",
};

static void must(struct kit *k, enum err e, const char *what)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, err_name(e), k->why.text);
    abort();
}

static struct lockout_rule lockout(void)
{
    struct lockout_rule rule = {.limit = 100};
    int64_t wait = 30000;
    for (rule.n_waits = 5; wait < 3600000; wait *= 2)
        rule.wait_ms[rule.n_waits++] = wait;
    rule.wait_ms[rule.n_waits++] = 3600000;
    return rule;
}

void kit_init(struct kit *k, const struct store_kind *kind, enum kit_mode mode)
{
    *k = (struct kit){.kind = kind, .mode = mode, .now_ms = KIT_START_MS, .lockout = lockout()};
    k->store = kind->make(&k->place);
}

void kit_release(struct kit *k)
{
    k->kind->destroy(k->place, k->store);
}

void kit_reopen(struct kit *k)
{
    k->store = k->kind->reopen(k->place, k->store);
}

static void begin(struct kit *k)
{
    must(k, k->store->ops->batch_begin(k->store, &k->why), "batch_begin");
}

static void commit(struct kit *k)
{
    must(k, k->store->ops->batch_commit(k->store, &k->why), "batch_commit");
    if (k->mode == KIT_RESTART)
        kit_reopen(k);
}

static void end(struct kit *k, bool keep)
{
    must(k, k->store->ops->job_end(k->store, keep, &k->why), "job_end");
}

enum err kit_job(struct kit *k, enum err (*act)(struct kit *k, void *args), void *args)
{
    begin(k);
    if (k->mode == KIT_DROP || k->mode == KIT_ABANDON) {
        k->store->ops->job_begin(k->store, KIT_BUDGET_MS);
        enum err e = act(k, args);
        end(k, k->mode == KIT_ABANDON && e == ERR_OK);
    }
    if (k->mode == KIT_ABANDON) {
        k->store->ops->batch_abandon(k->store);
        begin(k);
    }
    k->store->ops->job_begin(k->store, KIT_BUDGET_MS);
    enum err e = act(k, args);
    end(k, e == ERR_OK);
    commit(k);
    return e;
}

struct tenant_id kit_tenant(const char *id)
{
    return (struct tenant_id){str_from(id)};
}

struct user_id kit_user(const char *id)
{
    return (struct user_id){str_from(id)};
}

struct enrollment_id kit_enrollment(uint32_t n)
{
    struct enrollment_id id = {.bytes = {'e'}};
    memcpy(id.bytes + sizeof id.bytes - sizeof n, &n, sizeof n);
    return id;
}

struct request_mark kit_request(uint32_t id, uint32_t fingerprint)
{
    struct request_mark r = {.id = {'r'}, .fingerprint = {'f'}};
    memcpy(r.id + sizeof r.id - sizeof id, &id, sizeof id);
    memcpy(r.fingerprint + 4, &fingerprint, sizeof fingerprint);
    return r;
}

struct answer kit_answer(const struct kit *k, uint8_t outcome)
{
    return (struct answer){.outcome = outcome, .time_ms = k->now_ms};
}

struct factor kit_factor(const struct kit *k, uint32_t generation, uint32_t enrollment)
{
    struct factor f = {.enrollment = kit_enrollment(enrollment),
                       .generation = generation,
                       .key_id = 7,
                       .algorithm = 1,
                       .digits = KIT_DIGITS,
                       .period = 30,
                       .create_ms = k->now_ms,
                       .expire_ms = k->now_ms + 600000,
                       .sealed_len = FACTOR_SEALED_MAX};
    for (size_t i = 0; i < FACTOR_SEALED_MAX; i++)
        f.sealed[i] = (uint8_t)(i + enrollment);
    return f;
}

struct charge kit_login(const struct kit *k)
{
    return (struct charge){.now_ms = k->now_ms,
                           .lockout = &k->lockout,
                           .code_digits = KIT_DIGITS,
                           .if_locked = kit_answer(k, KIT_LOCKED),
                           .if_not_enrolled = kit_answer(k, KIT_NOT_ENROLLED),
                           .if_no_enrollment = kit_answer(k, KIT_NO_ENROLLMENT)};
}

/* ---- the operations as jobs -------------------------------------------------------------- */

struct args {
    const char *t, *u;
    const void *in, *in2;
    void *out;
    uint32_t n;
};

#define STORE k->store->ops

static enum err act_charge(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->charge(k->store, kit_tenant(a->t), kit_user(a->u), a->in, a->out, &k->why);
}

enum err kit_charge(struct kit *k, const char *t, const char *u, const struct charge *c,
                    struct charged *out)
{
    return kit_job(k, act_charge, &(struct args){.t = t, .u = u, .in = c, .out = out});
}

static enum err act_accept(struct kit *k, void *args)
{
    struct args *a = args;
    struct acceptance accepted = *(const struct acceptance *)a->in;
    if (accepted.lockout == NULL)
        accepted.lockout = &k->lockout;
    return STORE->accept(k->store, kit_tenant(a->t), kit_user(a->u), &accepted, a->out, &k->why);
}

enum err kit_accept(struct kit *k, const char *t, const char *u, const struct acceptance *a,
                    bool *won)
{
    return kit_job(k, act_accept, &(struct args){.t = t, .u = u, .in = a, .out = won});
}

static enum err act_remember(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->remember(k->store, kit_tenant(a->t), kit_user(a->u), a->in, a->in2, &k->lockout,
                           a->out, &k->why);
}

enum err kit_remember(struct kit *k, const char *t, const char *u, const struct request_mark *r,
                      const struct answer *a, struct charged *out)
{
    return kit_job(k, act_remember, &(struct args){.t = t, .u = u, .in = r, .in2 = a, .out = out});
}

static enum err act_user_get(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->user_get(k->store, kit_tenant(a->t), kit_user(a->u), k->now_ms, &k->lockout,
                           a->out, &k->why);
}

enum err kit_user_get(struct kit *k, const char *t, const char *u, struct user_state *out)
{
    return kit_job(k, act_user_get, &(struct args){.t = t, .u = u, .out = out});
}

static enum err act_pending_put(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->pending_put(k->store, kit_tenant(a->t), kit_user(a->u), a->in, &k->why);
}

enum err kit_pending_put(struct kit *k, const char *t, const char *u, const struct factor *f)
{
    return kit_job(k, act_pending_put, &(struct args){.t = t, .u = u, .in = f});
}

static enum err act_policy_get(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->policy_get(k->store, kit_tenant(a->t), a->out, &k->why);
}

enum err kit_policy_get(struct kit *k, const char *t, struct policy *out)
{
    return kit_job(k, act_policy_get, &(struct args){.t = t, .out = out});
}

static enum err act_policy_put(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->policy_put(k->store, kit_tenant(a->t), a->in, &k->why);
}

enum err kit_policy_put(struct kit *k, const char *t, const struct policy *p)
{
    return kit_job(k, act_policy_put, &(struct args){.t = t, .in = p});
}

static enum err act_data_key_get(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->data_key_get(k->store, kit_tenant(a->t), a->n, a->out, &k->why);
}

enum err kit_data_key_get(struct kit *k, const char *t, uint32_t id, struct data_key *out)
{
    return kit_job(k, act_data_key_get, &(struct args){.t = t, .n = id, .out = out});
}

static enum err act_data_key_add(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->data_key_add(k->store, kit_tenant(a->t), a->in, &k->why);
}

enum err kit_data_key_add(struct kit *k, const char *t, const struct data_key *key)
{
    return kit_job(k, act_data_key_add, &(struct args){.t = t, .in = key});
}

static enum err act_sweep(struct kit *k, void *args)
{
    struct args *a = args;
    return STORE->sweep(k->store, k->now_ms, a->n, a->out, &k->why);
}

enum err kit_sweep(struct kit *k, uint32_t limit, uint32_t *n_out)
{
    return kit_job(k, act_sweep, &(struct args){.n = limit, .out = n_out});
}

enum err kit_audit_append(struct kit *k, const struct audit_record *r)
{
    if (k->mode == KIT_ABANDON) {
        begin(k);
        (void)!STORE->audit_append(k->store, r, &k->why);
        STORE->batch_abandon(k->store);
    }
    begin(k);
    enum err e = STORE->audit_append(k->store, r, &k->why);
    if (e == ERR_OK)
        commit(k);
    else
        STORE->batch_abandon(k->store);
    return e;
}

enum err kit_audit_head(struct kit *k, int64_t *seq, uint8_t hash[AUDIT_HASH_LEN])
{
    begin(k);
    enum err e = STORE->audit_head(k->store, seq, hash, &k->why);
    commit(k);
    return e;
}

/* ---- shorter ----------------------------------------------------------------------------- */

enum charge_result kit_try(struct kit *k, const char *t, const char *u)
{
    struct charge c = kit_login(k);
    struct charged out;
    must(k, kit_charge(k, t, u, &c, &out), "charge");
    return out.result;
}

bool kit_accept_step(struct kit *k, const char *t, const char *u, uint32_t enrollment, int64_t step)
{
    struct acceptance a = {.enrollment = kit_enrollment(enrollment),
                           .step = step,
                           .now_ms = k->now_ms,
                           .answer = kit_answer(k, KIT_ACCEPTED)};
    bool won = false;
    must(k, kit_accept(k, t, u, &a, &won), "accept");
    return won;
}

uint32_t kit_failures(struct kit *k, const char *t, const char *u)
{
    struct user_state state;
    must(k, kit_user_get(k, t, u, &state), "user_get");
    return state.failures;
}

void kit_enroll(struct kit *k, const char *t, const char *u, uint32_t enrollment, int64_t step)
{
    struct user_state state;
    must(k, kit_user_get(k, t, u, &state), "user_get");
    struct factor f = kit_factor(k, state.next_generation, enrollment);
    must(k, kit_pending_put(k, t, u, &f), "pending_put");
    if (kit_accept_step(k, t, u, enrollment, step))
        return;
    fprintf(stderr, "the pending secret was not confirmed\n");
    abort();
}
