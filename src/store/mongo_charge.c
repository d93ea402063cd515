/* SPDX-License-Identifier: ISC */
#include "mongo_append_internal.h"
#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"

struct attempt {
    struct mongo_store *s;
    struct tenant_id t;
    struct user_id u;
    const struct charge *c;
    struct attempt_entry entry;
    struct err_text *why;
};

/* ---- what an entry means ------------------------------------------------------------------- */

static enum err counted(const struct mongo_user *user, const struct answer *open, int64_t now_ms,
                        struct charged *out, struct err_text *why)
{
    const struct factor *f = mongo_user_factor(user, &open->enrollment, now_ms);
    if (f == NULL)
        return err_set(why, ERR_CORRUPT, NULL, "an attempt at a secret that is not there");
    out->result = CHARGE_READY;
    out->factor = *f;
    out->last_step = f == &user->own ? user->last_step : -1;
    return ERR_OK;
}

static void locked(const struct attempt_view *v, struct charged *out)
{
    out->result = CHARGE_LOCKED;
    out->retry_after_ms = v->lock.retry_after_ms;
    out->for_good = v->lock.for_good;
}

/* What became of the i-th entry, which this charge has appended. */
static enum err conclude(const struct attempt *a, const struct attempt_play *play, size_t i,
                         struct charged *out)
{
    const struct mongo_user *user = a->s->user;
    const struct attempt_view *v = &play->views[i];
    switch (v->end) {
    case ATTEMPT_COUNTED:
        return counted(user, &v->answer, a->c->now_ms, out, a->why);
    case ATTEMPT_LOCKED:
        locked(v, out);
        return ERR_OK;
    case ATTEMPT_REMEMBERED:
        return err_set(a->why, ERR_CORRUPT, NULL, "an attempt that was recorded as an answer");
    case ATTEMPT_REPEATED:
    case ATTEMPT_REUSED:
        out->result = mongo_append_recall(user, play, v->first, &a->entry.mark, a->c->now_ms, out);
        return ERR_OK;
    case ATTEMPT_TOO_MANY:
        out->result = CHARGE_TOO_MANY;
        return ERR_OK;
    }
    return ERR_INTERNAL;
}

/* The secret with this id is there, has not expired, and has codes of this length. */
static void put_named_secret(bson_t *filter, const struct charge *c)
{
    bson_t any, own, next;
    mongo_put_begin_array(filter, "$or", &any);
    mongo_put_begin_element(&any, 0, &own);
    mongo_put_bytes(&own, F_OWN ".id", c->enrollment->bytes, ENROLLMENT_ID_LEN);
    if (c->code_digits != 0)
        mongo_put_int(&own, F_OWN ".digits", c->code_digits);
    mongo_put_end(&any, &own);
    mongo_put_begin_element(&any, 1, &next);
    mongo_put_bytes(&next, F_NEXT ".id", c->enrollment->bytes, ENROLLMENT_ID_LEN);
    mongo_put_op_int(&next, F_NEXT ".expires", "$gt", c->now_ms);
    if (c->code_digits != 0)
        mongo_put_int(&next, F_NEXT ".digits", c->code_digits);
    mongo_put_end(&any, &next);
    mongo_put_end_array(filter, &any);
}

static void put_own_secret(bson_t *filter, const struct charge *c)
{
    if (c->code_digits != 0)
        mongo_put_int(filter, F_OWN ".digits", c->code_digits);
    else
        mongo_put_exists(filter, F_OWN, true);
}

static enum mongo_end try_charge(struct attempt *a, enum err *read)
{
    bson_t filter = BSON_INITIALIZER;
    struct mongo_key key = mongo_user_key(a->t, a->u);
    mongo_put_bytes(&filter, "_id", key.bytes, key.len);
    mongo_append_put_room(&filter);
    if (a->c->enrollment != NULL)
        put_named_secret(&filter, a->c);
    else
        put_own_secret(&filter, a->c);
    enum mongo_end end = mongo_append(a->s, a->t, a->u, &a->entry, &filter, NULL, read, a->why);
    bson_destroy(&filter);
    return end;
}

/* The entry is the newest one. */
static enum err conclude_newest(struct attempt *a, struct charged *out)
{
    struct attempt_play play;
    const struct mongo_user *user = a->s->user;
    if (user->attempts.n == 0)
        return err_set(a->why, ERR_CORRUPT, NULL, "an attempt that was not recorded");
    attempt_log_play(&user->attempts, a->c->lockout, mongo_user_own_id(user), &play);
    enum err e = conclude(a, &play, user->attempts.n - 1, out);
    attempt_log_play_release(&play);
    return e;
}

/* Looks whether the entry, of which nobody knows whether it was appended, is there. */
static enum err look_back(struct attempt *a, bool *found, struct charged *out)
{
    struct attempt_play play;
    TRY(mongo_users_read(a->s, a->t, a->u, MONGO_HOT, a->why));
    const struct mongo_user *user = a->s->user;
    attempt_log_play(&user->attempts, a->c->lockout, mongo_user_own_id(user), &play);
    size_t i = attempt_log_find(&user->attempts, &play, &a->entry.mark, &a->c->now_ms);
    enum err e = ERR_OK;
    *found = i < user->attempts.n;
    /* Whose request it is does not show; as the answer to either it is the same. */
    if (*found && (a->entry.is_request || play.views[i].end == ATTEMPT_REMEMBERED))
        out->result = mongo_append_recall(user, &play, i, &a->entry.mark, a->c->now_ms, out);
    else if (*found)
        e = conclude(a, &play, i, out);
    attempt_log_play_release(&play);
    return e;
}

/* Why nobody was found by the filter of a charge; CHARGE_READY: there is no reason any more. */
static enum charge_result judge(const struct mongo_user *user, const struct attempt_play *play,
                                const struct charge *c, struct charged *out)
{
    size_t at = c->request != NULL ? attempt_log_find(&user->attempts, play, c->request, &c->now_ms)
                                   : user->attempts.n;
    if (at < user->attempts.n)
        return mongo_append_recall(user, play, at, c->request, c->now_ms, out);
    if (c->request != NULL && attempt_log_is_full(&user->attempts, play, c->now_ms))
        return CHARGE_TOO_MANY;
    struct attempt_view v = {
        .lock = lock_look(c->lockout, play->failures, play->last_attempt_ms, c->now_ms)};
    if (v.lock.locked) {
        locked(&v, out);
        return CHARGE_LOCKED;
    }
    const struct factor *f = c->enrollment == NULL
                                 ? (user->has_own ? &user->own : NULL)
                                 : mongo_user_factor(user, c->enrollment, c->now_ms);
    if (f == NULL)
        return c->enrollment != NULL ? CHARGE_NO_ENROLLMENT : CHARGE_NOT_ENROLLED;
    if (c->code_digits != 0 && c->code_digits != f->digits)
        return CHARGE_WRONG_LENGTH;
    return CHARGE_READY;
}

/* An end that counts nothing, but is an answer to the request. */
static const struct answer *answer_of(const struct charge *c, enum charge_result result)
{
    switch (result) {
    case CHARGE_LOCKED:
        return &c->if_locked;
    case CHARGE_NOT_ENROLLED:
        return &c->if_not_enrolled;
    case CHARGE_NO_ENROLLMENT:
        return &c->if_no_enrollment;
    case CHARGE_READY:
    case CHARGE_REPEATED:
    case CHARGE_REUSED:
    case CHARGE_WRONG_LENGTH:
    case CHARGE_TOO_MANY:
        return NULL;
    }
    return NULL;
}

/* The filter found nobody. *again: it may now. */
static enum err without_charge(struct attempt *a, struct charged *out, bool *again)
{
    const struct charge *c = a->c;
    struct attempt_play play;
    struct charged remembered;
    TRY(mongo_users_read(a->s, a->t, a->u, MONGO_HOT, a->why));
    const struct mongo_user *user = a->s->user;
    *again = user->attempts.n >= ATTEMPT_LOG_FOLD;
    if (*again)
        return mongo_append_make_room(a->s, a->t, a->u, c->lockout, c->now_ms, a->why);
    attempt_log_play(&user->attempts, c->lockout, mongo_user_own_id(user), &play);
    out->result = judge(user, &play, c, out);
    attempt_log_play_release(&play);
    *again = out->result == CHARGE_READY;
    if (*again)
        return mongo_db_check_time(&a->s->db, "user", a->why);
    const struct answer *answer = answer_of(c, out->result);
    if (answer == NULL || c->request == NULL)
        return ERR_OK;
    struct answer told = *answer;
    if (out->result == CHARGE_LOCKED)
        told.retry_after_ms = out->retry_after_ms;
    TRY(mongo_append_remember(&a->s->base, a->t, a->u, c->request, &told, c->lockout, &remembered,
                              a->why));
    if (remembered.result != CHARGE_READY)
        *out = remembered;
    return ERR_OK;
}

static void begin(struct attempt *a)
{
    const struct charge *c = a->c;
    struct mongo_store *s = a->s;
    a->entry = (struct attempt_entry){.kind = ATTEMPT_TRIED,
                                      .is_request = c->request != NULL,
                                      .is_named = c->enrollment != NULL,
                                      .time_ms = c->now_ms,
                                      .answer = c->if_locked};
    if (c->request != NULL)
        a->entry.mark = *c->request;
    else
        mongo_db_random(a->entry.mark.id, REQUEST_ID_LEN);
    if (c->enrollment != NULL)
        a->entry.enrollment = *c->enrollment;
    s->attempt = a->entry.mark;
    s->has_attempt = c->request == NULL;
}

/* One append, and what came of it. *again: nothing did. */
static enum err charge_once(struct attempt *a, struct charged *out, bool *again)
{
    struct mongo_store *s = a->s;
    enum err e;
    bool found;
    *out = (struct charged){.result = CHARGE_LOCKED, .last_step = -1};
    *again = false;
    enum mongo_end end = try_charge(a, &e);
    if (end == MONGO_REFUSED)
        return mongo_append_refused(s, a->t, a->u, a->why);
    TRY(mongo_db_try_again(&s->db, end, a->why));
    if (end == MONGO_UNKNOWN) {
        TRY(look_back(a, &found, out));
        *again = !found;
        return ERR_OK;
    }
    TRY(e);
    return s->user != NULL ? conclude_newest(a, out) : without_charge(a, out, again);
}

enum err mongo_charge(struct store *base, struct tenant_id t, struct user_id u,
                      const struct charge *c, struct charged *out, struct err_text *why)
{
    struct attempt a = {.s = mongo_store_of(base), .t = t, .u = u, .c = c, .why = why};
    struct charged got;
    bool again = true;
    begin(&a);
    while (again)
        TRY(charge_once(&a, &got, &again));
    *out = got;
    return ERR_OK;
}
