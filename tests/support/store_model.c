/* SPDX-License-Identifier: ISC */
#include "support/store_model.h"

#include <string.h>

void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    for (int i = 0; i < MODEL_USERS; i++)
        m->users[i].last_step = -1;
}

static bool same_id(const struct enrollment_id *a, const struct enrollment_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static int64_t wait_of(const struct model_user *u, const struct lockout_rule *rule)
{
    if (u->failures == 0)
        return 0;
    return u->failures < rule->n_waits ? rule->wait_ms[u->failures]
                                       : rule->wait_ms[rule->n_waits - 1];
}

/* How long until the next attempt: 0 now, -1 never. */
static int64_t locked_for(const struct model_user *u, const struct lockout_rule *rule,
                          int64_t now_ms)
{
    if (u->failures >= rule->limit)
        return -1;
    int64_t wait = wait_of(u, rule);
    if (wait == 0 || now_ms >= u->last_attempt_ms + wait)
        return 0;
    return now_ms < u->last_attempt_ms ? wait : u->last_attempt_ms + wait - now_ms;
}

void model_user_get(const struct model_user *u, int64_t now_ms, const struct lockout_rule *rule,
                    struct user_state *out)
{
    int64_t rest = locked_for(u, rule, now_ms);
    memset(out, 0, sizeof *out);
    out->enrolled = u->has_own;
    out->pending = u->has_next && now_ms < u->next.expire_ms;
    out->next_generation = u->generation + 1;
    out->failures = u->failures;
    out->retry_after_ms = rest < 0 ? 0 : rest;
    out->locked_for_good = rest < 0;
}

enum err model_pending_put(struct model_user *u, const struct factor *f)
{
    if (u->has_own)
        return ERR_EXISTS;
    if (f->generation != u->generation + 1)
        return ERR_CONFLICT;
    u->has_next = true;
    u->next = *f;
    u->generation++;
    return ERR_OK;
}

static bool is_remembered(const struct model_request *r, int64_t now_ms)
{
    int64_t age = now_ms - r->time_ms;
    return age < REQUEST_MEMORY_MS && age >= -REQUEST_MEMORY_MS;
}

static struct model_request *newest(struct model_user *u, const struct request_mark *mark,
                                    const int64_t *now_ms)
{
    for (unsigned i = u->n_requests; i-- > 0;) {
        struct model_request *r = &u->requests[i];
        bool counts = now_ms == NULL || is_remembered(r, *now_ms);
        if (counts && memcmp(r->mark.id, mark->id, REQUEST_ID_LEN) == 0)
            return r;
    }
    return NULL;
}

/* The secret that an attempt is for; NULL: there is none. */
static const struct factor *secret_of(const struct model_user *u, const struct enrollment_id *id,
                                      int64_t now_ms)
{
    if (u->has_own && (id == NULL || same_id(id, &u->own.enrollment)))
        return &u->own;
    if (id != NULL && u->has_next && same_id(id, &u->next.enrollment) && now_ms < u->next.expire_ms)
        return &u->next;
    return NULL;
}

/* What an open request was charged with. */
static void reopen(const struct model_user *u, const struct model_request *r, int64_t now_ms,
                   struct charged *out)
{
    const struct enrollment_id *id = &r->answer.enrollment;
    const struct factor *f = secret_of(u, id, now_ms);
    if (f == NULL && u->has_old && same_id(id, &u->old.enrollment))
        f = &u->old;
    out->last_step = -1;
    if (f == NULL)
        return;
    out->factor = *f;
    out->factor.replaces = f == &u->next && u->has_own;
}

/* True: the request decides, out is filled in. */
static bool recall(struct model_user *u, const struct request_mark *mark, int64_t now_ms,
                   struct charged *out)
{
    if (mark == NULL)
        return false;
    const struct model_request *r = newest(u, mark, &now_ms);
    if (r != NULL) {
        bool equal = memcmp(&r->mark, mark, sizeof *mark) == 0;
        out->result = equal ? CHARGE_REPEATED : CHARGE_REUSED;
        out->first = r->answer;
        if (equal && r->answer.outcome == ANSWER_OPEN)
            reopen(u, r, now_ms, out);
        return true;
    }
    unsigned n = 0;
    for (unsigned i = 0; i < u->n_requests; i++)
        n += is_remembered(&u->requests[i], now_ms);
    out->result = CHARGE_TOO_MANY;
    return n >= REQUEST_MEMORY_MAX;
}

static void note(struct model_user *u, const struct request_mark *mark, const struct answer *a,
                 int64_t now_ms)
{
    if (mark == NULL)
        return;
    if (u->n_requests == MODEL_REQUESTS)
        memmove(u->requests, u->requests + 1, --u->n_requests * sizeof u->requests[0]);
    u->requests[u->n_requests++] =
        (struct model_request){.mark = *mark, .answer = *a, .time_ms = now_ms};
}

void model_charge(struct model_user *u, const struct charge *c, struct charged *out)
{
    memset(out, 0, sizeof *out);
    if (recall(u, c->request, c->now_ms, out))
        return;
    int64_t rest = locked_for(u, c->lockout, c->now_ms);
    if (rest != 0) {
        struct answer a = c->if_locked;
        a.retry_after_ms = rest < 0 ? 0 : rest;
        out->result = CHARGE_LOCKED;
        out->for_good = rest < 0;
        out->retry_after_ms = a.retry_after_ms;
        note(u, c->request, &a, c->now_ms);
        return;
    }
    const struct factor *f = secret_of(u, c->enrollment, c->now_ms);
    if (f == NULL) {
        bool named = c->enrollment != NULL;
        out->result = named ? CHARGE_NO_ENROLLMENT : CHARGE_NOT_ENROLLED;
        note(u, c->request, named ? &c->if_no_enrollment : &c->if_not_enrolled, c->now_ms);
        return;
    }
    if (c->code_digits != 0 && c->code_digits != f->digits) {
        out->result = CHARGE_WRONG_LENGTH;
        return;
    }
    u->failures++;
    u->last_attempt_ms = c->now_ms;
    struct answer open = {
        .outcome = ANSWER_OPEN, .time_ms = c->now_ms, .enrollment = f->enrollment};
    note(u, c->request, &open, c->now_ms);
    out->result = CHARGE_READY;
    out->factor = *f;
    out->factor.replaces = f == &u->next && u->has_own;
    out->last_step = f == &u->own ? u->last_step : -1;
}

static bool has_won(struct model_user *u, const struct acceptance *a)
{
    const struct model_request *r = a->request != NULL ? newest(u, a->request, &a->now_ms) : NULL;
    return r != NULL && memcmp(&r->mark, a->request, sizeof r->mark) == 0 &&
           r->answer.outcome == a->answer.outcome;
}

bool model_accept(struct model_user *u, const struct acceptance *a)
{
    const struct factor *f = secret_of(u, &a->enrollment, a->now_ms);
    if (f == NULL || a->step <= (f == &u->own ? u->last_step : -1))
        return has_won(u, a);
    struct model_request *r = a->request != NULL ? newest(u, a->request, NULL) : NULL;
    if (r != NULL)
        r->answer = a->answer;
    if (f == &u->next) {
        u->old = u->own;
        u->has_old = u->has_own;
        u->own = u->next;
        u->own.confirm_ms = a->now_ms;
        u->own.expire_ms = 0;
        u->own.notify_address[0] = '\0';
        u->own.notify_locale[0] = '\0';
        u->has_own = true;
        u->has_next = false;
    }
    u->last_step = a->step;
    u->failures = 0;
    return true;
}

void model_remember(struct model_user *u, const struct request_mark *r, const struct answer *a,
                    struct charged *out)
{
    memset(out, 0, sizeof *out);
    if (recall(u, r, a->time_ms, out))
        return;
    out->result = CHARGE_READY;
    note(u, r, a, a->time_ms);
}
