/* SPDX-License-Identifier: ISC */
#include "mongo_limits_internal.h"
#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"
#include "store/outbox.h"

#include <stdio.h>
#include <string.h>

int64_t mongo_outbox_new_id(void)
{
    uint64_t id;
    mongo_db_random(&id, sizeof id);
    return (int64_t)(id >> 1) | 1;
}

static bool is_open(enum reset_state state)
{
    return state == RESET_QUEUED || state == RESET_SENT || state == RESET_DEFERRED;
}

static struct reset_status status_of(const struct mongo_reset *r, int64_t now_ms)
{
    struct reset_status status = r->status;
    if (is_open(status.state) && status.expire_ms <= now_ms)
        status.state = RESET_EXPIRED;
    return status;
}

static void drop_mails_of(struct mongo_user *user, const struct reset_id *reset)
{
    for (size_t i = user->n_mails; i-- > 0;)
        if (user->mails[i].kind == MAIL_RESET &&
            str_equal_bytes(user->mails[i].reset.bytes, reset->bytes, RESET_ID_LEN))
            mongo_user_drop_mail(user, i);
}

static void drop_reset(struct mongo_user *user, size_t i)
{
    drop_mails_of(user, &user->resets[i].status.id);
    for (user->n_resets--; i < user->n_resets; i++)
        user->resets[i] = user->resets[i + 1];
}

/* ---- a reset and its mail ------------------------------------------------------------------ */

struct putting {
    const struct reset_request *r;
    struct reset_put got;
};

static void recall(const struct mongo_user *user, const struct reset_request *r,
                   struct reset_put *out)
{
    for (size_t i = user->n_resets; r->request != NULL && i-- > 0;) {
        const struct mongo_reset *old = &user->resets[i];
        if (!old->has_request || old->create_ms <= r->create_ms - REQUEST_MEMORY_MS ||
            !str_equal_bytes(old->request.id, r->request->id, REQUEST_ID_LEN))
            continue;
        bool equal = str_equal_bytes(old->request.fingerprint, r->request->fingerprint,
                                     REQUEST_FINGERPRINT_LEN);
        out->result = equal ? RESET_REPEATED : RESET_REUSED;
        out->first = status_of(old, r->create_ms);
        return;
    }
}

/* Ended ones make room for new ones, the oldest first. */
static bool has_room(struct mongo_user *user, int64_t now_ms)
{
    for (size_t i = 0; user->n_resets >= MONGO_RESETS_MAX && i < user->n_resets;)
        if (!is_open(status_of(&user->resets[i], now_ms).state))
            drop_reset(user, i);
        else
            i++;
    return user->n_resets < MONGO_RESETS_MAX;
}

static void check_user_limit(const struct mongo_user *user, const struct reset_request *r,
                             struct reset_put *out)
{
    uint32_t n = 0;
    int64_t oldest = r->create_ms;
    for (size_t i = 0; i < user->n_resets; i++) {
        int64_t made = user->resets[i].create_ms;
        if (made <= r->create_ms - r->limits.window_ms)
            continue;
        n++;
        oldest = made < oldest ? made : oldest;
    }
    if (n < r->limits.per_user && n < MONGO_RESETS_MAX)
        return;
    out->result = RESET_USER_LIMIT;
    out->retry_after_ms = oldest + r->limits.window_ms - r->create_ms;
}

/* What the user's own document says. */
static void judge(const struct mongo_user *user, const struct reset_request *r,
                  struct reset_put *out)
{
    *out = (struct reset_put){.result = RESET_PUT};
    recall(user, r, out);
    if (out->result == RESET_PUT)
        check_user_limit(user, r, out);
}

static enum err put(struct mongo_user *user, void *args, struct err_text *why)
{
    struct putting *p = args;
    const struct reset_request *r = p->r;
    judge(user, r, &p->got);
    if (p->got.result != RESET_PUT)
        return ERR_OK;
    if (!has_room(user, r->create_ms))
        return err_set(why, ERR_LIMIT, NULL, "the user has too many open resets");
    struct mongo_reset *reset = mongo_user_add_reset(user);
    *reset = (struct mongo_reset){
        .status = {.id = r->id, .state = RESET_QUEUED, .expire_ms = r->expire_ms},
        .create_ms = r->create_ms,
        .has_request = r->request != NULL};
    memcpy(reset->token_hash, r->token_hash, TOKEN_HASH_LEN);
    if (r->request != NULL)
        reset->request = *r->request;
    struct mail *mail = mongo_user_add_mail(user);
    *mail = r->mail;
    mail->id = mongo_outbox_new_id();
    user->changed |= MONGO_RESETS;
    return ERR_OK;
}

static struct mongo_limit limit_of(char kind, const void *id, size_t n, uint32_t limit,
                                   int64_t window_ms)
{
    struct mongo_limit l = {
        .id = {(uint8_t)kind}, .id_len = 1 + n, .limit = limit, .window_ms = window_ms};
    memcpy(l.id + 1, id, n);
    return l;
}

/* Room is taken for one more to this address and of this tenant, or *out says why there is none.
 * Taken first and given back: a failure in between counts one too many, never one too few. */
static enum err take_room(struct mongo_store *s, const struct reset_request *r,
                          const struct mongo_limit *address, const struct mongo_limit *tenant,
                          struct reset_put *out, struct err_text *why)
{
    TRY(mongo_limits_look(s, address, r->create_ms, &out->retry_after_ms, why));
    if (out->retry_after_ms == 0)
        TRY(mongo_limits_take(s, address, &r->id, r->create_ms, &out->retry_after_ms, why));
    if (out->retry_after_ms != 0) {
        out->result = RESET_ADDRESS_LIMIT;
        return ERR_OK;
    }
    TRY(mongo_limits_take(s, tenant, &r->id, r->create_ms, &out->retry_after_ms, why));
    if (out->retry_after_ms == 0)
        return ERR_OK;
    out->result = RESET_TENANT_LIMIT;
    return mongo_limits_give(s, address, &r->id, r->create_ms, why);
}

static enum err reset_put(struct store *base, struct tenant_id t, struct user_id u,
                          const struct reset_request *r, struct reset_put *out,
                          struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    struct putting p = {.r = r};
    const struct reset_limits *l = &r->limits;
    struct mongo_limit address =
        limit_of('a', r->address_hash, TOKEN_HASH_LEN, l->per_address, l->window_ms);
    struct mongo_limit tenant = limit_of('t', t.s.p, t.s.len, l->per_tenant, l->window_ms);
    TRY(mongo_users_read(s, t, u, MONGO_ALL, why));
    judge(s->user, r, &p.got);
    if (p.got.result == RESET_PUT)
        TRY(take_room(s, r, &address, &tenant, &p.got, why));
    if (p.got.result == RESET_PUT) {
        TRY(mongo_users_change(s, t, u, MONGO_ALL, put, &p, why));
        if (p.got.result != RESET_PUT) { /* the same request was quicker elsewhere */
            TRY(mongo_limits_give(s, &address, &r->id, r->create_ms, why));
            TRY(mongo_limits_give(s, &tenant, &r->id, r->create_ms, why));
        }
    }
    *out = p.got;
    return ERR_OK;
}

static enum err reset_get(struct store *base, struct tenant_id t, const struct reset_id *id,
                          int64_t now_ms, struct reset_status *out, struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    bson_t filter = BSON_INITIALIZER;
    mongo_put_bytes(&filter, F_TENANT, t.s.p, t.s.len);
    mongo_put_bytes(&filter, F_RESETS ".id", id->bytes, RESET_ID_LEN);
    struct mongo_find f = {.from = MONGO_USERS, .filter = &filter};
    enum err e = mongo_users_find(s, &f, why);
    bson_destroy(&filter);
    TRY(e);
    for (size_t i = 0; s->user != NULL && i < s->user->n_resets; i++)
        if (str_equal_bytes(s->user->resets[i].status.id.bytes, id->bytes, RESET_ID_LEN)) {
            *out = status_of(&s->user->resets[i], now_ms);
            return ERR_OK;
        }
    return err_set(why, ERR_NOT_FOUND, NULL, "the tenant has no such reset");
}

struct confirming {
    const uint8_t *token_hash;
    const struct factor *f;
    int64_t now_ms;
    bool won;
};

static enum err confirm(struct mongo_user *user, void *args, struct err_text *why)
{
    struct confirming *c = args;
    c->won = false;
    for (size_t i = 0; i < user->n_resets; i++) {
        struct mongo_reset *r = &user->resets[i];
        if (!str_equal_bytes(r->token_hash, c->token_hash, TOKEN_HASH_LEN) ||
            !is_open(status_of(r, c->now_ms).state))
            continue;
        TRY(mongo_users_put_next(user, c->f, why));
        r->status.state = RESET_CONFIRMED;
        drop_mails_of(user, &r->status.id);
        user->changed |= MONGO_RESETS;
        c->won = true;
        return ERR_OK;
    }
    return ERR_OK;
}

static enum err reset_confirm(struct store *base, struct tenant_id t, struct user_id u,
                              const uint8_t token_hash[TOKEN_HASH_LEN], const struct factor *f,
                              int64_t now_ms, bool *won, struct err_text *why)
{
    struct confirming c = {.token_hash = token_hash, .f = f, .now_ms = now_ms};
    TRY(mongo_users_change(mongo_store_of(base), t, u, MONGO_ALL, confirm, &c, why));
    *won = c.won;
    return ERR_OK;
}

/* ---- mails that wait ----------------------------------------------------------------------- */

struct leasing {
    int64_t now_ms, until_ms;
    struct mail mail;
    bool as_found; /* the user is looked at as he was found to have a mail that is due */
    bool won;
};

static enum err take_lease(struct mongo_user *user, void *args, struct err_text *why)
{
    struct leasing *l = args;
    struct mail *next = NULL;
    (void)why;
    for (size_t i = 0; i < user->n_mails; i++)
        if (user->mails[i].due_ms <= l->now_ms &&
            (next == NULL || user->mails[i].due_ms < next->due_ms))
            next = &user->mails[i];
    l->won = next != NULL;
    /* Found by a field that is wrong: written again, or he would be found for ever. */
    if (next == NULL && l->as_found)
        user->changed |= MONGO_RESETS;
    l->as_found = false;
    if (next == NULL)
        return ERR_OK;
    l->mail = *next;
    next->due_ms = l->until_ms;
    user->changed |= MONGO_RESETS;
    return ERR_OK;
}

/* Somebody with a mail that is due: of a tenant behind `after`, unless that is NULL. */
static enum err find_due(struct mongo_store *s, int64_t now_ms, const struct str *after,
                         struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER, child;
    mongo_put_op_int(&filter, F_DUE, "$lte", now_ms);
    if (after != NULL) {
        mongo_put_begin(&filter, F_TENANT, &child);
        mongo_put_bytes(&child, "$gt", after->p, after->len);
        mongo_put_end(&filter, &child);
    }
    mongo_put_int(&sort, F_TENANT, 1);
    mongo_put_int(&sort, F_DUE, 1);
    struct mongo_find f = {.from = MONGO_USERS, .filter = &filter, .sort = &sort};
    enum err e = mongo_users_find_due(s, &f, F_DUE, why);
    bson_destroy(&filter);
    bson_destroy(&sort);
    return e;
}

/* The tenants come in turn, as far as this process sees it. */
static enum err find_next(struct mongo_store *s, int64_t now_ms, struct err_text *why)
{
    struct mongo *m = s->shared;
    char room[ID_MAX];
    struct str last = {.p = room};
    pthread_mutex_lock(&m->lock);
    last.len = m->turn_len;
    memcpy(room, m->turn, m->turn_len);
    pthread_mutex_unlock(&m->lock);
    TRY(find_due(s, now_ms, &last, why));
    return s->user != NULL ? ERR_OK : find_due(s, now_ms, NULL, why);
}

static void note_turn(struct mongo *m, struct tenant_id t)
{
    pthread_mutex_lock(&m->lock);
    memcpy(m->turn, t.s.p, t.s.len);
    m->turn_len = t.s.len;
    pthread_mutex_unlock(&m->lock);
}

static enum err mail_lease(struct store *base, int64_t now_ms, int64_t until_ms,
                           struct leased_mail *out, struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    struct leasing l = {.now_ms = now_ms, .until_ms = until_ms};
    while (!l.won) {
        TRY(find_next(s, now_ms, why));
        if (s->user == NULL || mongo_db_now_ms() >= s->db.deadline_ms)
            return err_set(why, ERR_NOT_FOUND, NULL, "no mail is due");
        struct tenant_id t = mongo_user_tenant(&s->user->key);
        struct user_id u = mongo_user_id(&s->user->key);
        *out = (struct leased_mail){.tenant_len = t.s.len, .user_len = u.s.len};
        memcpy(out->tenant, t.s.p, t.s.len);
        memcpy(out->user, u.s.p, u.s.len);
        t.s.p = out->tenant;
        u.s.p = out->user;
        l.as_found = true;
        TRY(mongo_users_change(s, t, u, MONGO_ALL, take_lease, &l, why));
        if (l.won)
            note_turn(s->shared, t);
    }
    out->mail = l.mail;
    return ERR_OK;
}

/* ---- the end of a lease -------------------------------------------------------------------- */

struct ending {
    int64_t mail;
    enum reset_state state; /* of the mail's reset then */
    const char *error;
    int64_t due_ms; /* RESET_DEFERRED */
};

/* Older ones that were open are replaced by the one at `than`. */
static void replace_older(struct mongo_user *user, size_t than)
{
    for (size_t i = 0; i < than; i++)
        if (is_open(user->resets[i].status.state)) {
            user->resets[i].status.state = RESET_REPLACED;
            drop_mails_of(user, &user->resets[i].status.id);
        }
}

static void end_reset(struct mongo_user *user, const struct mail *mail, const struct ending *e)
{
    for (size_t i = 0; i < user->n_resets; i++) {
        struct reset_status *status = &user->resets[i].status;
        if (!str_equal_bytes(status->id.bytes, mail->reset.bytes, RESET_ID_LEN))
            continue;
        if (status->state == RESET_QUEUED || status->state == RESET_DEFERRED) {
            status->state = e->state;
            status->attempts = mail->attempts + 1;
            snprintf(status->last_error, sizeof status->last_error, "%s", e->error);
        }
        if (e->state == RESET_SENT)
            replace_older(user, i);
        return;
    }
}

static enum err end_lease(struct mongo_user *user, void *args, struct err_text *why)
{
    const struct ending *e = args;
    size_t i = 0;
    (void)why;
    while (i < user->n_mails && user->mails[i].id != e->mail)
        i++;
    if (i == user->n_mails)
        return ERR_OK;
    struct mail mail = user->mails[i];
    user->changed |= MONGO_RESETS;
    if (e->state == RESET_DEFERRED) {
        user->mails[i].due_ms = e->due_ms;
        user->mails[i].attempts++;
    } else {
        mongo_user_drop_mail(user, i);
    }
    if (mail.kind == MAIL_RESET)
        end_reset(user, &mail, e);
    return ERR_OK;
}

static enum err end(struct store *base, struct tenant_id t, struct user_id u, struct ending e,
                    struct err_text *why)
{
    return mongo_users_change(mongo_store_of(base), t, u, MONGO_ALL, end_lease, &e, why);
}

static enum err mail_sent(struct store *base, struct tenant_id t, struct user_id u, int64_t mail_id,
                          struct err_text *why)
{
    return end(base, t, u, (struct ending){.mail = mail_id, .state = RESET_SENT, .error = ""}, why);
}

static enum err mail_failed(struct store *base, struct tenant_id t, struct user_id u,
                            int64_t mail_id, const char *error, struct err_text *why)
{
    return end(base, t, u, (struct ending){.mail = mail_id, .state = RESET_FAILED, .error = error},
               why);
}

static enum err mail_deferred(struct store *base, struct tenant_id t, struct user_id u,
                              int64_t mail_id, int64_t due_ms, const char *error,
                              struct err_text *why)
{
    struct ending e = {.mail = mail_id, .state = RESET_DEFERRED, .error = error, .due_ms = due_ms};
    return end(base, t, u, e, why);
}

const struct outbox_ops mongo_outbox_ops = {
    .reset_put = reset_put,
    .reset_get = reset_get,
    .reset_confirm = reset_confirm,
    .mail_lease = mail_lease,
    .mail_sent = mail_sent,
    .mail_failed = mail_failed,
    .mail_deferred = mail_deferred,
};
