/* SPDX-License-Identifier: ISC */
#include "lock_internal.h"
#include "sqlite_internal.h"

/* The secret with this id: the user's own, or the pending one. */
static enum err pick(struct sqlite_store *s, const struct sqlite_user *user,
                     const struct enrollment_id *id, int64_t now_ms, struct factor *out,
                     bool *found, struct err_text *why)
{
    if (user->enrolled &&
        str_equal_bytes(id->bytes, user->factor.enrollment.bytes, ENROLLMENT_ID_LEN)) {
        *out = user->factor;
        *found = true;
        return ERR_OK;
    }
    TRY(sqlite_user_pending(s, user->id, now_ms, out, found, why));
    *found = *found && str_equal_bytes(id->bytes, out->enrollment.bytes, ENROLLMENT_ID_LEN);
    out->replaces = user->enrolled;
    return ERR_OK;
}

/* What an open request was charged with; out->factor stays empty when that secret is gone. */
static enum err reopen(struct sqlite_store *s, const struct sqlite_user *user, int64_t now_ms,
                       struct charged *out, struct err_text *why)
{
    const struct enrollment_id *id = &out->first.enrollment;
    struct factor f;
    bool found;
    TRY(pick(s, user, id, now_ms, &f, &found, why));
    if (!found) {
        TRY(sqlite_user_superseded(s, user->id, &f, &found, why));
        found = found && str_equal_bytes(id->bytes, f.enrollment.bytes, ENROLLMENT_ID_LEN);
    }
    if (found)
        out->factor = f;
    return ERR_OK;
}

/* Was the request answered before, or may it not be answered? */
static enum err recall(struct sqlite_store *s, const struct sqlite_user *user,
                       const struct hot *hot, const struct request_mark *r, int64_t now_ms,
                       struct charged *out, struct err_text *why)
{
    enum log_found found = LOG_NEW;
    if (r != NULL)
        TRY(sqlite_log_find(s, hot, r, now_ms, &found, &out->first, why));
    switch (found) {
    case LOG_NEW:
        out->result = CHARGE_READY;
        return ERR_OK;
    case LOG_OTHER:
        out->result = CHARGE_REUSED;
        return ERR_OK;
    case LOG_FULL:
        out->result = CHARGE_TOO_MANY;
        return ERR_OK;
    case LOG_SAME:
        out->result = CHARGE_REPEATED;
        break;
    }
    return out->first.outcome == ANSWER_OPEN ? reopen(s, user, now_ms, out, why) : ERR_OK;
}

/* Whether an attempt may be made, and with which secret. */
static enum err decide(struct sqlite_store *s, const struct sqlite_user *user,
                       const struct hot *hot, const struct charge *c, struct charged *out,
                       struct err_text *why)
{
    struct lock_state lock = lock_look(c->lockout, hot->failures, hot->last_attempt_ms, c->now_ms);
    if (lock.locked) {
        out->result = CHARGE_LOCKED;
        out->retry_after_ms = lock.retry_after_ms;
        out->for_good = lock.for_good;
        return ERR_OK;
    }
    bool found = user->enrolled;
    if (c->enrollment != NULL)
        TRY(pick(s, user, c->enrollment, c->now_ms, &out->factor, &found, why));
    else if (found)
        out->factor = user->factor;
    if (!found)
        out->result = c->enrollment != NULL ? CHARGE_NO_ENROLLMENT : CHARGE_NOT_ENROLLED;
    else if (c->code_digits != 0 && c->code_digits != out->factor.digits)
        out->result = CHARGE_WRONG_LENGTH;
    else
        out->last_step = out->factor.confirm_ms != 0 ? hot->last_step : -1;
    return ERR_OK;
}

/* Counts the attempt, and remembers how it would end. */
static enum err record(struct sqlite_store *s, struct sqlite_user *user, struct hot *hot,
                       const struct charge *c, const struct charged *out, struct err_text *why)
{
    struct answer answer = {
        .outcome = ANSWER_OPEN, .time_ms = c->now_ms, .enrollment = out->factor.enrollment};
    switch (out->result) {
    case CHARGE_READY:
        hot->failures += hot->failures < UINT32_MAX;
        hot->last_attempt_ms = c->now_ms;
        break;
    case CHARGE_LOCKED:
        answer = c->if_locked;
        answer.retry_after_ms = out->retry_after_ms;
        break;
    case CHARGE_NOT_ENROLLED:
        answer = c->if_not_enrolled;
        break;
    case CHARGE_NO_ENROLLMENT:
        answer = c->if_no_enrollment;
        break;
    case CHARGE_REPEATED:
    case CHARGE_REUSED:
    case CHARGE_WRONG_LENGTH:
    case CHARGE_TOO_MANY:
        return ERR_OK;
    }
    if (out->result != CHARGE_READY && c->request == NULL)
        return ERR_OK;
    TRY(sqlite_user_make(s, user, why));
    hot->user = user->id;
    sqlite_log_append(&s->log, hot, c->now_ms, c->request, &answer);
    return ERR_OK;
}

enum err sqlite_verify_charge(struct store *base, struct tenant_id t, struct user_id u,
                              const struct charge *c, struct charged *out, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    struct hot hot;
    struct charged got = {.result = CHARGE_LOCKED, .last_step = -1};
    TRY(sqlite_user_find(s, t, u, &user, why));
    TRY(sqlite_log_state(s, user->id, &hot, why));
    TRY(recall(s, user, &hot, c->request, c->now_ms, &got, why));
    if (got.result == CHARGE_READY)
        TRY(decide(s, user, &hot, c, &got, why));
    TRY(record(s, user, &hot, c, &got, why));
    *out = got;
    return ERR_OK;
}

/* Has the request won already? */
static enum err has_won(struct sqlite_store *s, const struct hot *hot, const struct acceptance *a,
                        bool *won, struct err_text *why)
{
    enum log_found found = LOG_NEW;
    struct answer first;
    if (a->request != NULL)
        TRY(sqlite_log_find(s, hot, a->request, a->now_ms, &found, &first, why));
    *won = found == LOG_SAME && first.outcome == a->answer.outcome;
    return ERR_OK;
}

enum err sqlite_verify_accept(struct store *base, struct tenant_id t, struct user_id u,
                              const struct acceptance *a, bool *won, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    struct hot hot;
    struct factor factor;
    bool found;
    TRY(sqlite_user_find(s, t, u, &user, why));
    TRY(sqlite_log_state(s, user->id, &hot, why));
    TRY(pick(s, user, &a->enrollment, a->now_ms, &factor, &found, why));
    bool pending = found && factor.confirm_ms == 0;
    *won = found && a->step > (pending ? -1 : hot.last_step);
    if (!*won)
        return has_won(s, &hot, a, won, why);
    if (pending)
        TRY(sqlite_user_confirm(s, user, &factor, a->now_ms, why));
    if (a->notice != NULL)
        TRY(sqlite_outbox_put(s, user, a->notice, why));
    hot.last_step = a->step;
    hot.failures = 0;
    sqlite_log_update(&s->log, &hot, a->now_ms);
    if (a->request == NULL)
        return ERR_OK;
    return sqlite_log_settle(s, &hot, a->request, &a->answer, why);
}

enum err sqlite_verify_remember(struct store *base, struct tenant_id t, struct user_id u,
                                const struct request_mark *r, const struct answer *a,
                                const struct lockout_rule *lockout, struct charged *out,
                                struct err_text *why)
{
    (void)lockout; /* what was locked out is recorded as that */
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    struct hot hot;
    struct charged got = {.result = CHARGE_LOCKED, .last_step = -1};
    TRY(sqlite_user_find(s, t, u, &user, why));
    TRY(sqlite_log_state(s, user->id, &hot, why));
    TRY(recall(s, user, &hot, r, a->time_ms, &got, why));
    if (got.result == CHARGE_READY) {
        TRY(sqlite_user_make(s, user, why));
        hot.user = user->id;
        sqlite_log_append(&s->log, &hot, a->time_ms, r, a);
    }
    *out = got;
    return ERR_OK;
}
