/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/store_contract.h"
#include "support/store_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS 20000
#define SEED       UINT64_C(20250615)

/* How far the clock may step back behind the latest time there was. */
#define CLOCK_SLACK_MS (60 * 1000)

static const struct {
    const char *tenant, *user;
} who[MODEL_USERS] = {
    {"a", "u"},     {"a", "b|u"},    {"a", "\xff"}, {"a", "U"},    {"ab", "u"},   {"ab", "|u"},
    {"ab", "\x01"}, {"ab", "u\x01"}, {"a|b", "u"},  {"a|b", "uu"}, {"a|b", "u "}, {"a|b", "b|u"},
};

struct walk {
    struct kit kit;
    struct model model, job_start, batch_start;
    uint64_t seed, random;
    unsigned n_operations;
    int64_t latest_ms;
    uint32_t next_enrollment;
    bool failed;                        /* an operation of this job */
    unsigned seen[CHARGE_TOO_MANY + 1]; /* how often a charge ended so */
};

/* splitmix64 */
static uint64_t next(struct walk *w)
{
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t below(struct walk *w, uint32_t n)
{
    return (uint32_t)(next(w) % n);
}

static bool chance(struct walk *w, uint32_t percent)
{
    return below(w, 100) < percent;
}

#define AGREE(w, ok)                                                                               \
    do {                                                                                           \
        if (!(ok))                                                                                 \
            fail_msg("seed %llu, operation %u: %s", (unsigned long long)(w)->seed,                 \
                     (w)->n_operations, #ok);                                                      \
    } while (0)

/* Now and then many requests come in a short time, most of them from one user. */
static bool in_a_rush(const struct walk *w)
{
    return w->n_operations % 4000 >= 3000;
}

static void move_clock(struct walk *w)
{
    int64_t *now = &w->kit.now_ms;
    uint32_t dice = below(w, 1000);
    if (in_a_rush(w))
        *now += below(w, 100);
    else if (dice < 20)
        *now += below(w, 12 * 60 * 1000);
    else if (dice < 60)
        *now += below(w, 40 * 1000);
    else if (dice < 90)
        *now = w->latest_ms - below(w, CLOCK_SLACK_MS);
    else
        *now += below(w, 300);
    if (*now > w->latest_ms)
        w->latest_ms = *now;
}

/* Some seconds after few failures; sometimes a rule that ends soon. */
static const struct lockout_rule *some_rule(struct walk *w)
{
    static const struct lockout_rule usual = {
        .n_waits = 5, .wait_ms = {0, 0, 0, 500, 4000}, .limit = 1000};
    static const struct lockout_rule strict = {.n_waits = 2, .wait_ms = {0, 60000}, .limit = 4};
    return !w->kit.kind->shared && chance(w, 4) ? &strict : &usual;
}

static struct request_mark some_request(struct walk *w)
{
    uint32_t id = below(w, chance(w, 50) ? 20 : 100000);
    return kit_request(id, chance(w, 90) ? id : id + 1);
}

static struct answer some_answer(struct walk *w)
{
    return (struct answer){.outcome = (uint8_t)(1 + below(w, 255)),
                           .reason = (uint8_t)below(w, 256),
                           .retry_after_ms = below(w, 100000),
                           .time_ms = w->kit.now_ms,
                           .enrollment = kit_enrollment(below(w, 100))};
}

static struct enrollment_id some_enrollment(struct walk *w, const struct model_user *u)
{
    uint32_t dice = below(w, 100);
    if (dice < 45 && u->has_next)
        return u->next.enrollment;
    if (dice < 85 && u->has_own)
        return u->own.enrollment;
    return kit_enrollment(below(w, w->next_enrollment + 2));
}

static int64_t some_step(struct walk *w, const struct model_user *u)
{
    int64_t step = u->last_step + below(w, 5) - 2;
    return step < 0 ? 0 : step;
}

static bool same_factor(const struct factor *a, const struct factor *b)
{
    return memcmp(&a->enrollment, &b->enrollment, sizeof a->enrollment) == 0 &&
           a->generation == b->generation && a->key_id == b->key_id &&
           a->algorithm == b->algorithm && a->digits == b->digits && a->period == b->period &&
           a->create_ms == b->create_ms && a->confirm_ms == b->confirm_ms &&
           a->expire_ms == b->expire_ms && a->replaces == b->replaces &&
           strcmp(a->notify_address, b->notify_address) == 0 &&
           strcmp(a->notify_locale, b->notify_locale) == 0 && a->sealed_len == b->sealed_len &&
           memcmp(a->sealed, b->sealed, a->sealed_len) == 0;
}

static bool same_answer(const struct answer *a, const struct answer *b)
{
    return a->outcome == b->outcome && a->reason == b->reason &&
           a->retry_after_ms == b->retry_after_ms && a->time_ms == b->time_ms &&
           memcmp(&a->enrollment, &b->enrollment, sizeof a->enrollment) == 0;
}

static void compare(struct walk *w, const struct charged *got, const struct charged *want)
{
    AGREE(w, got->result == want->result);
    if (want->result == CHARGE_READY) {
        AGREE(w, same_factor(&got->factor, &want->factor));
        AGREE(w, got->last_step == want->last_step);
    }
    if (want->result == CHARGE_LOCKED) {
        AGREE(w, got->retry_after_ms == want->retry_after_ms);
        AGREE(w, got->for_good == want->for_good);
    }
    if (want->result != CHARGE_REPEATED)
        return;
    AGREE(w, same_answer(&got->first, &want->first));
    if (want->first.outcome == ANSWER_OPEN) {
        AGREE(w, same_factor(&got->factor, &want->factor));
        AGREE(w, got->last_step == want->last_step);
    }
}

/* ---- one operation on both ------------------------------------------------------------------ */

struct here {
    struct tenant_id t;
    struct user_id u;
    struct model_user *model;
    struct store *store;
    struct err_text *why;
};

static struct here someone(struct walk *w)
{
    uint32_t i = in_a_rush(w) && chance(w, 60) ? 0 : below(w, MODEL_USERS);
    return (struct here){.t = kit_tenant(who[i].tenant),
                         .u = kit_user(who[i].user),
                         .model = &w->model.users[i],
                         .store = w->kit.store,
                         .why = &w->kit.why};
}

static void accept_step(struct walk *w, struct here *h, const struct enrollment_id *id,
                        const struct request_mark *r)
{
    struct acceptance a = {.enrollment = *id,
                           .step = some_step(w, h->model),
                           .now_ms = w->kit.now_ms,
                           .lockout = some_rule(w),
                           .request = r,
                           .answer = some_answer(w)};
    bool won = false;
    AGREE(w, h->store->ops->accept(h->store, h->t, h->u, &a, &won, h->why) == ERR_OK);
    AGREE(w, won == model_accept(h->model, &a));
}

static void do_charge(struct walk *w)
{
    struct here h = someone(w);
    struct request_mark r = some_request(w);
    struct enrollment_id id = some_enrollment(w, h.model);
    struct charge c = {.now_ms = w->kit.now_ms,
                       .lockout = some_rule(w),
                       .enrollment = chance(w, 40) ? &id : NULL,
                       .code_digits = chance(w, 90)   ? KIT_DIGITS
                                      : chance(w, 50) ? 0
                                                      : 8,
                       .request = chance(w, 70) ? &r : NULL,
                       .if_locked = some_answer(w),
                       .if_not_enrolled = some_answer(w),
                       .if_no_enrollment = some_answer(w)};
    struct charged got, want;
    AGREE(w, h.store->ops->charge(h.store, h.t, h.u, &c, &got, h.why) == ERR_OK);
    model_charge(h.model, &c, &want);
    compare(w, &got, &want);
    w->seen[want.result]++;
    if (want.result == CHARGE_READY && chance(w, 70))
        accept_step(w, &h, &want.factor.enrollment, c.request);
}

static void do_accept(struct walk *w)
{
    struct here h = someone(w);
    struct enrollment_id id = some_enrollment(w, h.model);
    struct request_mark r = some_request(w);
    accept_step(w, &h, &id, chance(w, 70) ? &r : NULL);
}

static void do_remember(struct walk *w)
{
    struct here h = someone(w);
    struct request_mark r = some_request(w);
    struct answer a = some_answer(w);
    struct charged got, want;
    AGREE(w,
          h.store->ops->remember(h.store, h.t, h.u, &r, &a, some_rule(w), &got, h.why) == ERR_OK);
    model_remember(h.model, &r, &a, &want);
    AGREE(w, got.result == want.result);
    if (want.result == CHARGE_REPEATED)
        AGREE(w, same_answer(&got.first, &want.first));
}

static void do_user_get(struct walk *w)
{
    struct here h = someone(w);
    const struct lockout_rule *rule = some_rule(w);
    struct user_state got, want;
    AGREE(w, h.store->ops->user_get(h.store, h.t, h.u, w->kit.now_ms, rule, &got, h.why) == ERR_OK);
    model_user_get(h.model, w->kit.now_ms, rule, &want);
    AGREE(w, got.enrolled == want.enrolled);
    AGREE(w, got.pending == want.pending);
    AGREE(w, got.next_generation == want.next_generation);
    AGREE(w, got.failures == want.failures);
    AGREE(w, got.retry_after_ms == want.retry_after_ms);
    AGREE(w, got.locked_for_good == want.locked_for_good);
}

static void do_pending_put(struct walk *w)
{
    struct here h = someone(w);
    uint32_t generation = h.model->generation + (chance(w, 85) ? 1 : below(w, 3));
    struct factor f = kit_factor(&w->kit, generation, w->next_enrollment++);
    f.expire_ms = w->kit.now_ms + below(w, 10 * 60 * 1000);
    f.sealed_len = (uint16_t)below(w, FACTOR_SEALED_MAX + 1);
    snprintf(f.notify_address, sizeof f.notify_address, "%u@example.com", generation);
    snprintf(f.notify_locale, sizeof f.notify_locale, "nl");
    enum err e = h.store->ops->pending_put(h.store, h.t, h.u, &f, h.why);
    AGREE(w, e == model_pending_put(h.model, &f));
    w->failed |= e != ERR_OK;
}

static void do_policy(struct walk *w)
{
    uint32_t i = below(w, MODEL_TENANTS);
    struct here h = {.t = kit_tenant(who[i * 4].tenant), .store = w->kit.store, .why = &w->kit.why};
    int64_t *revision = &w->model.revisions[i];
    struct policy p;
    enum err e = h.store->ops->policy_get(h.store, h.t, &p, h.why);
    AGREE(w, e == (*revision > 0 ? ERR_OK : ERR_NOT_FOUND));
    AGREE(w, e != ERR_OK || p.revision == *revision);
    p = (struct policy){.revision = *revision + (chance(w, 80) ? 1 : (int64_t)below(w, 3) - 1)};
    e = h.store->ops->policy_put(h.store, h.t, &p, h.why);
    AGREE(w, e == (p.revision == *revision + 1 ? ERR_OK : ERR_CONFLICT));
    w->failed |= e != ERR_OK;
    if (e == ERR_OK)
        ++*revision;
}

static void do_data_key(struct walk *w)
{
    uint32_t i = below(w, MODEL_TENANTS), id = 1 + below(w, MODEL_KEYS - 1), newest = 0;
    struct here h = {.t = kit_tenant(who[i * 4].tenant), .store = w->kit.store, .why = &w->kit.why};
    struct data_key key = {.id = id, .kek_id = 1, .sealed_len = 72}, got;
    enum err e = h.store->ops->data_key_add(h.store, h.t, &key, h.why);
    AGREE(w, e == (w->model.keys[i][id] ? ERR_EXISTS : ERR_OK));
    w->failed |= e != ERR_OK;
    w->model.keys[i][id] = true;
    for (uint32_t k = 1; k < MODEL_KEYS; k++)
        if (w->model.keys[i][k])
            newest = k;
    AGREE(w, h.store->ops->data_key_get(h.store, h.t, 0, &got, h.why) == ERR_OK);
    AGREE(w, got.id == newest);
}

/* As of a time that the clock does not step back behind: what is swept is swept. */
static void do_sweep(struct walk *w)
{
    struct store *store = w->kit.store;
    uint32_t n = 0, limit = below(w, 20);
    int64_t then = w->latest_ms - CLOCK_SLACK_MS;
    AGREE(w, store->ops->sweep(store, then, limit, &n, &w->kit.why) == ERR_OK);
    AGREE(w, n <= limit);
}

static const struct {
    uint32_t weight;
    void (*run)(struct walk *w);
} operations[] = {
    {50, do_charge},      {11, do_accept}, {6, do_remember}, {14, do_user_get},
    {12, do_pending_put}, {2, do_policy},  {2, do_data_key}, {3, do_sweep},
};

static void do_something(struct walk *w)
{
    uint32_t dice = below(w, 100);
    size_t i = 0;
    while (dice >= operations[i].weight)
        dice -= operations[i++].weight;
    move_clock(w);
    operations[i].run(w);
    w->n_operations++;
}

/* ---- jobs and batches --------------------------------------------------------------------------
 */

static void do_job(struct walk *w)
{
    w->job_start = w->model;
    w->failed = false;
    w->kit.store->ops->job_begin(w->kit.store, KIT_BUDGET_MS);
    for (uint32_t n = 1 + below(w, 3); n > 0 && !w->failed; n--)
        do_something(w);
    bool keep = w->kit.kind->shared || (!w->failed && chance(w, 85));
    AGREE(w, w->kit.store->ops->job_end(w->kit.store, keep, &w->kit.why) == ERR_OK);
    if (!keep)
        w->model = w->job_start;
}

static void do_records(struct walk *w)
{
    struct audit_record r = {
        .time_ms = w->kit.now_ms, .tenant = kit_tenant("a"), .body = STR("{}")};
    for (uint32_t n = below(w, 4); n > 0; n--) {
        r.seq = w->model.audit_seq + 1;
        AGREE(w, w->kit.store->ops->audit_append(w->kit.store, &r, &w->kit.why) == ERR_OK);
        w->model.audit_seq++;
    }
}

static void do_batch(struct walk *w)
{
    w->batch_start = w->model;
    AGREE(w, w->kit.store->ops->batch_begin(w->kit.store, &w->kit.why) == ERR_OK);
    for (uint32_t n = 1 + below(w, 6); n > 0; n--)
        do_job(w);
    do_records(w);
    if (w->kit.kind->shared || chance(w, 93)) {
        AGREE(w, w->kit.store->ops->batch_commit(w->kit.store, &w->kit.why) == ERR_OK);
    } else {
        w->kit.store->ops->batch_abandon(w->kit.store);
        w->model = w->batch_start;
    }
    if (!chance(w, 4))
        return;
    kit_reopen(&w->kit);
    if (w->kit.kind->shared) /* a chain of its own */
        w->model.audit_seq = 0;
}

static uint64_t number(const char *name, uint64_t preset)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : preset;
}

void store_model_run(const struct store_kind *kind)
{
    struct walk *w = calloc(1, sizeof *w);
    unsigned n = (unsigned)number("TWOSTEP_TEST_OPERATIONS", OPERATIONS);
    w->seed = w->random = number("TWOSTEP_TEST_SEED", SEED);
    print_message("%s: %u operations from seed %llu\n", kind->name, n, (unsigned long long)w->seed);
    kit_init(&w->kit, kind, KIT_PLAIN);
    model_init(&w->model);
    w->latest_ms = w->kit.now_ms;
    while (w->n_operations < n)
        do_batch(w);
    /* A walk that misses an end shows nothing of it. */
    for (size_t i = 0; n >= OPERATIONS && i <= CHARGE_TOO_MANY; i++)
        AGREE(w, w->seen[i] > 0);
    kit_release(&w->kit);
    free(w);
}
