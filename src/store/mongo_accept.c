/* SPDX-License-Identifier: ISC */
#include "mongo_append_internal.h"
#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"

/* One acceptance, on its way. */
struct acceptor {
    struct mongo_store *s;
    struct tenant_id t;
    struct user_id u;
    const struct acceptance *a;
    struct attempt_entry entry; /* that tells of it */
    bool won;
    struct err_text *why;
};

static bool is_newer(const struct mongo_user *user, const struct acceptance *a,
                     const struct factor **f)
{
    *f = mongo_user_factor(user, &a->enrollment, a->now_ms);
    return *f != NULL && a->step > (*f == &user->own ? user->last_step : -1);
}

/* Is it this acceptance that happened, or an earlier one of the same request? */
static bool has_won(const struct acceptor *x)
{
    const struct attempt_log *log = &x->s->user->attempts;
    const struct acceptance *a = x->a;
    struct attempt_play play;
    struct charged first = {0};
    const int64_t *when = a->request != NULL ? &a->now_ms : NULL;
    attempt_log_play(log, a->lockout, mongo_user_own_id(x->s->user), &play);
    size_t at = attempt_log_find(log, &play, &x->entry.mark, when);
    bool won = at < log->n &&
               mongo_append_recall(x->s->user, &play, at, &x->entry.mark, a->now_ms, &first) ==
                   CHARGE_REPEATED &&
               first.first.outcome == a->answer.outcome;
    attempt_log_play_release(&play);
    return won;
}

/* ---- with all that it takes: the first code of a secret, and a log that is long ------------- */

static void confirm(struct mongo_user *user, const struct factor *f, int64_t now_ms)
{
    struct factor confirmed = *f;
    confirmed.confirm_ms = now_ms != 0 ? now_ms : 1; /* 0 is pending */
    confirmed.expire_ms = 0;
    confirmed.replaces = false;
    confirmed.notify_address[0] = '\0';
    confirmed.notify_locale[0] = '\0';
    user->old = user->own;
    user->has_old = user->has_own;
    user->own = confirmed;
    user->has_own = true;
    user->has_next = false;
}

static void add_notice(struct mongo_user *user, struct mail *notice)
{
    if (user->loaded & MONGO_RESETS) {
        *mongo_user_add_mail(user) = *notice;
        user->changed |= MONGO_RESETS;
    } else {
        user->added = notice;
    }
}

struct change {
    struct acceptor *x;
    struct mail notice;
};

static enum err change(struct mongo_user *user, void *args, struct err_text *why)
{
    struct change *c = args;
    struct acceptor *x = c->x;
    const struct factor *f;
    (void)why;
    x->won = is_newer(user, x->a, &f);
    if (!x->won) {
        x->won = has_won(x);
        return ERR_OK;
    }
    /* What came before is about the secret of before. */
    attempt_log_append(&user->attempts, &x->entry);
    attempt_log_fold(&user->attempts, x->a->lockout, mongo_user_own_id(user), x->a->now_ms);
    if (f == &user->next)
        confirm(user, f, x->a->now_ms);
    user->last_step = x->a->step;
    if (x->a->notice != NULL)
        add_notice(user, &c->notice);
    user->changed |= MONGO_ATTEMPTS | MONGO_SECRETS;
    return ERR_OK;
}

static enum err accept_whole(struct acceptor *x)
{
    struct change c = {.x = x};
    if (x->a->notice != NULL) {
        c.notice = *x->a->notice;
        c.notice.id = mongo_outbox_new_id();
    }
    return mongo_users_change(x->s, x->t, x->u, MONGO_HOT, change, &c, x->why);
}

/* ---- a later code: the step moves forward ---------------------------------------------------- */

static enum mongo_end move_step(struct acceptor *x, bool *moved)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    struct mongo_key key = mongo_user_key(x->t, x->u);
    mongo_put_bytes(&filter, "_id", key.bytes, key.len);
    mongo_put_bytes(&filter, F_OWN ".id", x->a->enrollment.bytes, ENROLLMENT_ID_LEN);
    mongo_put_op_int(&filter, F_STEP, "$lt", x->a->step);
    mongo_put_begin(&update, "$set", &child);
    mongo_put_int(&child, F_STEP, x->a->step);
    mongo_put_end(&update, &child);
    mongo_append_put_push(&update, &x->entry);
    struct mongo_change c = {.in = MONGO_USERS, .filter = &filter, .update = &update};
    enum mongo_end end = mongo_db_update(&x->s->db, &c, moved, x->why);
    bson_destroy(&filter);
    bson_destroy(&update);
    return end;
}

static enum err accept_step(struct acceptor *x)
{
    struct mongo_store *s = x->s;
    for (;;) {
        bool moved;
        const struct factor *f;
        enum mongo_end end = move_step(x, &moved);
        x->won = end == MONGO_DONE && moved;
        mongo_users_forget(s); /* is older than what is there now */
        if (x->won)
            return ERR_OK;
        TRY(mongo_db_try_again(&s->db, end, x->why));
        TRY(mongo_users_read(s, x->t, x->u, MONGO_HOT, x->why));
        x->won = has_won(x);
        /* What is not known to have happened may happen yet, and then this one wins or that. */
        if (x->won || !is_newer(s->user, x->a, &f) || f != &s->user->own)
            return ERR_OK;
        TRY(mongo_db_check_time(&s->db, "user", x->why));
    }
}

/* ---------------------------------------------------------------------------------------------- */

enum err mongo_accept(struct store *base, struct tenant_id t, struct user_id u,
                      const struct acceptance *a, bool *won, struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    struct acceptor x = {.s = s, .t = t, .u = u, .a = a, .why = why};
    const struct factor *f;
    x.entry =
        (struct attempt_entry){.kind = ATTEMPT_WON, .time_ms = a->now_ms, .answer = a->answer};
    if (a->request != NULL)
        x.entry.mark = *a->request;
    else if (s->has_attempt)
        x.entry.mark = s->attempt;
    else
        mongo_db_random(x.entry.mark.id, REQUEST_ID_LEN);
    TRY(mongo_users_know(s, t, u, MONGO_HOT, why));
    bool whole = !is_newer(s->user, a, &f) || f != &s->user->own || a->notice != NULL ||
                 s->user->attempts.n > ATTEMPT_LOG_FOLD_SOON;
    TRY(whole ? accept_whole(&x) : accept_step(&x));
    *won = x.won;
    return ERR_OK;
}
