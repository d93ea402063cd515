/* SPDX-License-Identifier: ISC */
#include "support/store_load.h"

#include "support/store_kit.h"

#include <stdio.h>
#include <string.h>

#define USERS    16
#define SIGN_INS 8
#define TENANT   "acme"
#define BATCH_MS (20 * 1000)

static const struct lockout_rule never = {.limit = UINT32_MAX};

struct expected {
    bool enrolled;
    int64_t last_step;
    uint32_t failures;
};

static int64_t time_of(unsigned n)
{
    return KIT_START_MS + (int64_t)n * BATCH_MS;
}

static unsigned user_of(unsigned n, unsigned k)
{
    return (n * 5 + k * 3) % USERS;
}

static bool is_wrong(unsigned n, unsigned k)
{
    return (n + k) % 4 == 0;
}

static uint32_t request_of(unsigned n, unsigned k)
{
    return n * SIGN_INS + k;
}

/* What n batches make of the users. */
static void expect(unsigned n, struct expected *users)
{
    memset(users, 0, USERS * sizeof *users);
    for (unsigned b = 1; b <= n; b++)
        for (unsigned k = 0; k < SIGN_INS; k++) {
            struct expected *u = &users[user_of(b, k)];
            bool wrong = u->enrolled && is_wrong(b, k);
            u->failures = wrong ? u->failures + 1 : 0;
            if (!wrong)
                u->last_step = b;
            u->enrolled = true;
        }
}

static struct user_id id_of(char name[static 16], unsigned user)
{
    snprintf(name, 16, "user%u", user);
    return kit_user(name);
}

static enum err enroll(struct store *s, unsigned n, unsigned user, struct err_text *why)
{
    char name[16];
    struct kit now = {.now_ms = time_of(n)};
    struct factor f = kit_factor(&now, 1, user);
    struct acceptance a = {.enrollment = f.enrollment, .step = n, .now_ms = now.now_ms};
    bool won = false;
    TRY(s->ops->pending_put(s, kit_tenant(TENANT), id_of(name, user), &f, why));
    TRY(s->ops->accept(s, kit_tenant(TENANT), id_of(name, user), &a, &won, why));
    return won ? ERR_OK : err_set(why, ERR_INTERNAL, NULL, "the first code did not win");
}

static enum err charge(struct store *s, unsigned n, unsigned user, const struct request_mark *r,
                       struct charged *out, struct err_text *why)
{
    char name[16];
    struct kit now = {.now_ms = time_of(n)};
    struct charge c = kit_login(&now);
    c.lockout = &never;
    c.request = r;
    return s->ops->charge(s, kit_tenant(TENANT), id_of(name, user), &c, out, why);
}

static enum err sign_in(struct store *s, unsigned n, unsigned k, struct err_text *why)
{
    char name[16];
    struct charged charged;
    struct request_mark r = kit_request(request_of(n, k), n);
    TRY(charge(s, n, user_of(n, k), &r, &charged, why));
    if (charged.result == CHARGE_NOT_ENROLLED)
        return enroll(s, n, user_of(n, k), why);
    if (charged.result != CHARGE_READY)
        return err_set(why, ERR_INTERNAL, NULL, "batch %u: charge ended with %d", n,
                       (int)charged.result);
    if (is_wrong(n, k))
        return ERR_OK;
    struct acceptance a = {.enrollment = charged.factor.enrollment,
                           .step = n,
                           .now_ms = time_of(n),
                           .request = &r,
                           .answer = {.outcome = KIT_ACCEPTED, .time_ms = time_of(n)}};
    bool won = false;
    TRY(s->ops->accept(s, kit_tenant(TENANT), id_of(name, user_of(n, k)), &a, &won, why));
    return won ? ERR_OK : err_set(why, ERR_INTERNAL, NULL, "batch %u: the step did not win", n);
}

static enum err change_policy(struct store *s, unsigned n, struct err_text *why)
{
    struct policy p = {.revision = n, .digits = 6};
    snprintf(p.issuer, sizeof p.issuer, "issuer %u", n);
    return s->ops->policy_put(s, kit_tenant(TENANT), &p, why);
}

static enum err run_job(struct store *s, unsigned n, unsigned k, struct err_text *why)
{
    uint32_t swept;
    struct charged charged;
    if (k < SIGN_INS)
        return sign_in(s, n, k, why);
    if (k == SIGN_INS)
        return change_policy(s, n, why);
    if (k == SIGN_INS + 1)
        return s->ops->sweep(s, time_of(n), 10, &swept, why);
    /* The last job is one that is not kept. */
    TRY(charge(s, n, user_of(n, 0), NULL, &charged, why));
    return enroll(s, n, USERS + n, why);
}

static enum err run_jobs(struct store *s, unsigned n, struct err_text *why)
{
    for (unsigned k = 0; k < SIGN_INS + 3; k++) {
        s->ops->job_begin(s, INT64_MAX);
        enum err e = run_job(s, n, k, why);
        bool keep = e == ERR_OK && k < SIGN_INS + 2;
        enum err ended = s->ops->job_end(s, keep, e == ERR_OK ? why : NULL);
        if (e != ERR_OK || ended != ERR_OK)
            return e != ERR_OK ? e : ended;
    }
    for (unsigned i = 1; i <= 2; i++) {
        struct audit_record r = {.seq = 2 * ((int64_t)n - 1) + i,
                                 .time_ms = time_of(n),
                                 .tenant = kit_tenant(TENANT),
                                 .body = STR("{\"action\":\"verify\",\"outcome\":\"accepted\"}")};
        memset(r.hash, (int)n, sizeof r.hash);
        TRY(s->ops->audit_append(s, &r, why));
    }
    return ERR_OK;
}

enum err store_load_batch(struct store *s, unsigned n, struct err_text *why)
{
    TRY(s->ops->batch_begin(s, why));
    enum err e = run_jobs(s, n, why);
    if (e == ERR_OK)
        return s->ops->batch_commit(s, why);
    s->ops->batch_abandon(s);
    return e;
}

/* ---- what is there ----------------------------------------------------------------------- */

static enum err check_user(struct store *s, unsigned n, unsigned user, const struct expected *want,
                           struct err_text *why)
{
    struct charged got;
    struct user_state state;
    char name[16];
    TRY(s->ops->user_get(s, kit_tenant(TENANT), id_of(name, user), time_of(n), &never, &state,
                         why));
    TRY(charge(s, n, user, NULL, &got, why));
    if (state.enrolled != want->enrolled || state.failures != want->failures)
        return err_set(why, ERR_CORRUPT, NULL, "after %u batches user %u has %u failures, not %u",
                       n, user, state.failures, want->failures);
    if (want->enrolled && got.last_step != want->last_step)
        return err_set(why, ERR_CORRUPT, NULL, "after %u batches user %u is at step %lld, not %lld",
                       n, user, (long long)got.last_step, (long long)want->last_step);
    return ERR_OK;
}

/* Requests of the last batches are remembered, those of the next are not. */
static enum err check_requests(struct store *s, unsigned n, struct err_text *why)
{
    for (unsigned b = n > 10 ? n - 10 : 1; b <= n + 1; b++)
        for (unsigned k = 0; k < SIGN_INS; k++) {
            struct charged got;
            struct request_mark r = kit_request(request_of(b, k), b);
            TRY(charge(s, n, user_of(b, k), &r, &got, why));
            bool repeated = got.result == CHARGE_REPEATED;
            uint8_t outcome = is_wrong(b, k) ? ANSWER_OPEN : KIT_ACCEPTED;
            if (repeated != (b <= n) ||
                (repeated && got.first.outcome != outcome && got.first.outcome != KIT_NOT_ENROLLED))
                return err_set(why, ERR_CORRUPT, NULL,
                               "after %u batches request %u of batch %u ended with %d", n, k, b,
                               (int)got.result);
        }
    return ERR_OK;
}

static enum err check(struct store *s, unsigned n, struct err_text *why)
{
    struct expected users[USERS];
    struct policy p = {0};
    expect(n, users);
    for (unsigned i = 0; i < USERS; i++)
        TRY(check_user(s, n, i, &users[i], why));
    TRY(check_requests(s, n, why));
    enum err e = s->ops->policy_get(s, kit_tenant(TENANT), &p, why);
    if (p.revision != n)
        return err_set(why, e != ERR_OK ? e : ERR_CORRUPT, NULL,
                       "after %u batches the policy has revision %lld", n, (long long)p.revision);
    return ERR_OK;
}

int store_load_count(struct store *s, struct err_text *why)
{
    uint8_t hash[AUDIT_HASH_LEN];
    int64_t seq = 0;
    enum err e = s->ops->batch_begin(s, why);
    if (e != ERR_OK)
        return -1;
    e = s->ops->audit_head(s, &seq, hash, why);
    s->ops->job_begin(s, INT64_MAX);
    if (e == ERR_OK)
        e = check(s, (unsigned)(seq / 2), why);
    if (e == ERR_OK && seq % 2 != 0)
        e = err_set(why, ERR_CORRUPT, NULL, "half of a batch is in the audit chain");
    s->ops->batch_abandon(s);
    return e == ERR_OK ? (int)(seq / 2) : -1;
}
