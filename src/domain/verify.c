/* SPDX-License-Identifier: ISC */
#include "domain/verify.h"

#include "audit_internal.h"
#include "base/clock.h"
#include "domain/policy.h"
#include "domain_internal.h"
#include "factor_internal.h"
#include "outbox_internal.h"
#include "request_internal.h"
#include "store/store.h"

/* One call of verify_code, while it lasts. */
struct attempt {
    struct domain *d;
    const struct verify_request *req;
    int64_t now; /* as of when it is decided */
    uint32_t window;
    struct request_mark mark;
    const struct request_mark *request; /* &mark, or NULL without a request id */
    struct err_text *why;
    const char *remark; /* for the audit log; NULL: none */
};

/* For the audit log. */
static const char *outcome_name(enum verify_outcome o)
{
    switch (o) {
    case VERIFY_REFUSED:
        return "refused";
    case VERIFY_ACCEPTED:
        return "accepted";
    case VERIFY_WRONG_CODE:
        return "wrong_code";
    case VERIFY_REPLAYED_CODE:
        return "replayed_code";
    case VERIFY_LOCKED:
        return "locked";
    case VERIFY_NOT_ENROLLED:
        return "not_enrolled";
    case VERIFY_NOT_REQUIRED:
        return "not_required";
    case VERIFY_SUPERSEDED_SECRET:
        return "superseded_secret";
    case VERIFY_ENROLLMENT_EXPIRED:
        return "enrollment_expired";
    }
    return "unknown";
}

static enum err mark_request(struct attempt *a)
{
    const struct verify_request *req = a->req;
    if (req->request_id == NULL)
        return ERR_OK;
    struct str parts[] = {
        STR("verify"),
        request_channel(req->channel),
        req->code,
        req->recovery_code,
        {req->enrollment != NULL ? (const char *)req->enrollment->bytes : "",
         req->enrollment != NULL ? ENROLLMENT_ID_LEN : 0},
        req->actor.client_address,
    };
    a->request = &a->mark;
    return request_mark_make(a->d, req->request_id, parts, sizeof parts / sizeof parts[0], &a->mark,
                             a->why);
}

static struct answer answer_of(const struct attempt *a, enum verify_outcome outcome)
{
    return (struct answer){.outcome = (uint8_t)outcome, .time_ms = a->now};
}

/* Counts the attempt before anything is known of the code. */
static enum err charge(const struct attempt *a, struct charged *out)
{
    const struct verify_request *req = a->req;
    struct charge c = {
        .now_ms = a->now,
        .lockout = &a->d->opt.rules.lockout,
        .enrollment = req->enrollment,
        .code_digits = (uint32_t)req->code.len,
        .request = a->request,
        .if_locked = answer_of(a, VERIFY_LOCKED),
        .if_not_enrolled = answer_of(a, VERIFY_NOT_ENROLLED),
        .if_no_enrollment = answer_of(a, VERIFY_ENROLLMENT_EXPIRED),
    };
    return a->d->opt.store->ops->charge(a->d->opt.store, req->tenant, req->user, &c, out, a->why);
}

/* A wrong code, unless it fits the secret beside: the old entry in the user's app. Only wrong
 * codes come here, so nothing here may undo the job: guesses would be neither counted nor
 * recorded, and a failure would tell that they are wrong. */
static enum err look_beside(struct attempt *a, const struct charged *charged, struct answer *out)
{
    const struct verify_request *req = a->req;
    struct store *store = a->d->opt.store;
    struct factor other;
    int64_t step = -1;
    *out = answer_of(a, VERIFY_WRONG_CODE);
    enum err e =
        store->ops->other_get(store, req->tenant, req->user, &charged->factor, &other, a->why);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e == ERR_OK && other.digits == req->code.len)
        e = factor_match(a->d, req->tenant, req->user, &other, req->code.p, a->window, a->now,
                         &step, a->why);
    if (e == ERR_UNAVAILABLE) /* the batch is lost anyway */
        return e;
    if (e != ERR_OK)
        a->remark = "another secret of the user is damaged";
    if (e != ERR_OK || step < 0)
        return ERR_OK;
    *out = answer_of(a, VERIFY_SUPERSEDED_SECRET);
    out->enrollment = charged->factor.enrollment;
    return ERR_OK;
}

/* A code that fits is accepted if its step is newer than the last one. */
static enum err accept(const struct attempt *a, const struct charged *charged, int64_t step,
                       struct answer *out)
{
    const struct verify_request *req = a->req;
    struct store *store = a->d->opt.store;
    struct mail notice;
    bool has_notice =
        charged->factor.confirm_ms == 0 && outbox_notice(a->d, &charged->factor, a->now, &notice);
    struct acceptance acceptance = {.enrollment = charged->factor.enrollment,
                                    .step = step,
                                    .now_ms = a->now,
                                    .lockout = &a->d->opt.rules.lockout,
                                    .request = a->request,
                                    .answer = answer_of(a, VERIFY_ACCEPTED),
                                    .notice = has_notice ? &notice : NULL};
    bool won = false;
    *out = answer_of(a, VERIFY_REPLAYED_CODE);
    if (step <= charged->last_step)
        return ERR_OK;
    TRY(store->ops->accept(store, req->tenant, req->user, &acceptance, &won, a->why));
    if (won)
        *out = answer_of(a, VERIFY_ACCEPTED);
    if (won && has_notice)
        outbox_count(a->d, OUTBOX_EVENT_QUEUED);
    return ERR_OK;
}

/* The code against the secret; the attempt is counted already. Only an acceptance is recorded:
 * every other answer follows again from the code, the time and the last step. */
static enum err compare(struct attempt *a, const struct charged *charged, struct answer *out)
{
    const struct verify_request *req = a->req;
    int64_t step;
    *out = answer_of(a, VERIFY_WRONG_CODE);
    if (req->code.len == 0) /* a recovery code, and the user has none */
        return ERR_OK;
    TRY(factor_match(a->d, req->tenant, req->user, &charged->factor, req->code.p, a->window, a->now,
                     &step, a->why));
    return step < 0 ? look_beside(a, charged, out) : accept(a, charged, step, out);
}

/* The same request again. If its answer is open, it was counted, and either it was not accepted
 * or nobody was told: it is decided as it would have been then. */
static enum err repeat(struct attempt *a, const struct charged *charged, struct answer *out)
{
    *out = charged->first;
    if (charged->first.outcome != ANSWER_OPEN)
        return ERR_OK;
    a->now = charged->first.time_ms;
    if (charged->factor.sealed_len > 0)
        return compare(a, charged, out);
    *out = answer_of(a, VERIFY_WRONG_CODE);
    return ERR_OK;
}

/* No code is asked: says so, to a repeated request what it was told before. */
static enum err not_required(const struct attempt *a, enum login_reason reason, struct charged *out)
{
    *out = (struct charged){.result = CHARGE_READY, .first = answer_of(a, VERIFY_NOT_REQUIRED)};
    out->first.reason = (uint8_t)reason;
    if (a->request == NULL)
        return ERR_OK;
    struct charged remembered;
    struct store *store = a->d->opt.store;
    TRY(store->ops->remember(store, a->req->tenant, a->req->user, a->request, &out->first,
                             &a->d->opt.rules.lockout, &remembered, a->why));
    /* Where nothing is counted, a full memory is no reason to keep a user out. */
    if (remembered.result != CHARGE_READY && remembered.result != CHARGE_TOO_MANY)
        *out = remembered;
    return ERR_OK;
}

/* What the end of a charge means, as an answer or as an error. */
static enum err conclude(struct attempt *a, const struct charged *c, struct answer *out)
{
    switch (c->result) {
    case CHARGE_READY:
        return compare(a, c, out);
    case CHARGE_REPEATED:
        return repeat(a, c, out);
    case CHARGE_LOCKED:
        *out = answer_of(a, VERIFY_LOCKED);
        out->retry_after_ms = c->retry_after_ms;
        return ERR_OK;
    case CHARGE_NOT_ENROLLED:
        *out = answer_of(a, VERIFY_NOT_ENROLLED);
        return ERR_OK;
    case CHARGE_NO_ENROLLMENT:
        *out = answer_of(a, VERIFY_ENROLLMENT_EXPIRED);
        return ERR_OK;
    case CHARGE_WRONG_LENGTH:
        return err_invalid(a->why, "FIELD_INVALID", "code",
                           "code: not as many digits as the codes of the user's secret");
    case CHARGE_REUSED:
        return err_invalid(a->why, "REQUEST_ID_REUSED", "request_id",
                           "request_id: came before with other fields");
    case CHARGE_TOO_MANY:
        return err_limit(a->why, "TOO_MANY_REQUESTS", REQUEST_MEMORY_MS,
                         "too many requests for this user in the last minutes");
    }
    return ERR_INTERNAL;
}

static void record(const struct attempt *a, const struct answer *answer, bool repeated)
{
    struct audit_event event = {
        .action = a->req->enrollment != NULL ? "confirm" : "verify",
        .tenant = a->req->tenant,
        .user = a->req->user,
        .actor = &a->req->actor,
        .outcome = outcome_name((enum verify_outcome)answer->outcome),
        .reason = str_from(a->remark != NULL ? a->remark : ""),
        .request_id = a->req->request_id,
        .repeated = repeated,
    };
    audit_note(a->d, &event, clock_wall_ms(a->d->opt.clock));
}

enum err verify_code(struct domain *d, const struct verify_request *req, struct verify_answer *out,
                     struct err_text *why)
{
    *out = (struct verify_answer){.outcome = VERIFY_REFUSED};
    if (!req->password_verified)
        return err_set(why, ERR_PRECONDITION, "PASSWORD_NOT_VERIFIED",
                       "the caller has not verified the user's password");
    struct attempt a = {.d = d, .req = req, .now = clock_wall_ms(d->opt.clock), .why = why};
    TRY(mark_request(&a));

    struct policy policy;
    enum login_reason reason;
    TRY(policy_load(d, req->tenant, &policy, why));
    a.window = policy.window_steps;

    struct charged charged;
    struct answer answer;
    bool asked = policy_asks(&policy, req->channel, a.now, &reason);
    TRY(asked ? charge(&a, &charged) : not_required(&a, reason, &charged));
    if (asked || charged.result != CHARGE_READY)
        TRY(conclude(&a, &charged, &answer));
    else
        answer = charged.first;

    record(&a, &answer, charged.result == CHARGE_REPEATED);
    *out = (struct verify_answer){.outcome = (enum verify_outcome)answer.outcome,
                                  .reason = (enum login_reason)answer.reason,
                                  .retry_after_ms = answer.retry_after_ms,
                                  .time_ms = answer.time_ms,
                                  .enrollment = answer.enrollment};
    return ERR_OK;
}
