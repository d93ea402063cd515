/* SPDX-License-Identifier: ISC */
#include "support/remote.h"

#include <stdlib.h>

struct remote_store {
    struct store base; /* first */
    struct remote *remote;
    int64_t budget_ms; /* of the present job */
};

static struct remote_store *remote_store_of(struct store *s)
{
    return (struct remote_store *)s;
}

static enum err pass(struct remote_store *s, const char *op, bool after, struct err_text *why)
{
    const struct remote *r = s->remote;
    enum err e = r->gate != NULL ? r->gate(r->ctx, op, after, s->budget_ms) : ERR_OK;
    return e == ERR_OK ? e : err_set(why, e, NULL, "%s: the gate is shut", op);
}

/* An operation is a batch of one job. */
static enum err enter(struct remote_store *s, const char *op, struct err_text *why)
{
    struct store *under = s->remote->under;
    TRY(pass(s, op, false, why));
    pthread_mutex_lock(&s->remote->lock);
    enum err e = under->ops->batch_begin(under, why);
    if (e != ERR_OK)
        pthread_mutex_unlock(&s->remote->lock);
    else
        under->ops->job_begin(under, INT64_MAX);
    return e;
}

static enum err leave(struct remote_store *s, const char *op, enum err e, struct err_text *why)
{
    struct store *under = s->remote->under;
    enum err ended = under->ops->job_end(under, e == ERR_OK, e == ERR_OK ? why : NULL);
    if (e == ERR_OK)
        e = ended;
    enum err committed = under->ops->batch_commit(under, e == ERR_OK ? why : NULL);
    pthread_mutex_unlock(&s->remote->lock);
    if (e == ERR_OK)
        e = committed;
    return e != ERR_OK ? e : pass(s, op, true, why);
}

/* ---- the operations: the same for all but audit_append, which is outside of jobs ------------- */

static enum err policy_get(struct store *base, struct tenant_id t, struct policy *out,
                           struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "policy_get", why));
    return leave(s, "policy_get", s->remote->under->ops->policy_get(s->remote->under, t, out, why),
                 why);
}

static enum err policy_put(struct store *base, struct tenant_id t, const struct policy *p,
                           struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "policy_put", why));
    return leave(s, "policy_put", s->remote->under->ops->policy_put(s->remote->under, t, p, why),
                 why);
}

static enum err data_key_get(struct store *base, struct tenant_id t, uint32_t id,
                             struct data_key *out, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "data_key_get", why));
    return leave(s, "data_key_get",
                 s->remote->under->ops->data_key_get(s->remote->under, t, id, out, why), why);
}

static enum err data_key_add(struct store *base, struct tenant_id t, const struct data_key *key,
                             struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "data_key_add", why));
    return leave(s, "data_key_add",
                 s->remote->under->ops->data_key_add(s->remote->under, t, key, why), why);
}

static enum err user_get(struct store *base, struct tenant_id t, struct user_id u, int64_t now_ms,
                         const struct lockout_rule *lockout, struct user_state *out,
                         struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "user_get", why));
    return leave(s, "user_get",
                 s->remote->under->ops->user_get(s->remote->under, t, u, now_ms, lockout, out, why),
                 why);
}

static enum err pending_put(struct store *base, struct tenant_id t, struct user_id u,
                            const struct factor *f, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "pending_put", why));
    return leave(s, "pending_put",
                 s->remote->under->ops->pending_put(s->remote->under, t, u, f, why), why);
}

static enum err charge(struct store *base, struct tenant_id t, struct user_id u,
                       const struct charge *c, struct charged *out, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "charge", why));
    return leave(s, "charge", s->remote->under->ops->charge(s->remote->under, t, u, c, out, why),
                 why);
}

static enum err accept(struct store *base, struct tenant_id t, struct user_id u,
                       const struct acceptance *a, bool *won, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "accept", why));
    return leave(s, "accept", s->remote->under->ops->accept(s->remote->under, t, u, a, won, why),
                 why);
}

static enum err remember(struct store *base, struct tenant_id t, struct user_id u,
                         const struct request_mark *r, const struct answer *a,
                         const struct lockout_rule *lockout, struct charged *out,
                         struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "remember", why));
    return leave(s, "remember",
                 s->remote->under->ops->remember(s->remote->under, t, u, r, a, lockout, out, why),
                 why);
}

static enum err other_get(struct store *base, struct tenant_id t, struct user_id u,
                          const struct factor *right, struct factor *out, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "other_get", why));
    return leave(s, "other_get",
                 s->remote->under->ops->other_get(s->remote->under, t, u, right, out, why), why);
}

static enum err audit_head(struct store *base, int64_t *seq, uint8_t *hash, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "audit_head", why));
    return leave(s, "audit_head",
                 s->remote->under->ops->audit_head(s->remote->under, seq, hash, why), why);
}

static enum err probe(struct store *base, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "probe", why));
    return leave(s, "probe", s->remote->under->ops->probe(s->remote->under, why), why);
}

static enum err sweep(struct store *base, int64_t now_ms, uint32_t limit, uint32_t *n_out,
                      struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "sweep", why));
    return leave(s, "sweep",
                 s->remote->under->ops->sweep(s->remote->under, now_ms, limit, n_out, why), why);
}

static enum err reset_put(struct store *base, struct tenant_id t, struct user_id u,
                          const struct reset_request *r, struct reset_put *out,
                          struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "reset_put", why));
    return leave(s, "reset_put",
                 s->remote->under->outbox->reset_put(s->remote->under, t, u, r, out, why), why);
}

static enum err reset_get(struct store *base, struct tenant_id t, const struct reset_id *id,
                          int64_t now_ms, struct reset_status *out, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "reset_get", why));
    return leave(s, "reset_get",
                 s->remote->under->outbox->reset_get(s->remote->under, t, id, now_ms, out, why),
                 why);
}

static enum err reset_confirm(struct store *base, struct tenant_id t, struct user_id u,
                              const uint8_t *hash, const struct factor *f, int64_t now_ms,
                              bool *won, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "reset_confirm", why));
    return leave(
        s, "reset_confirm",
        s->remote->under->outbox->reset_confirm(s->remote->under, t, u, hash, f, now_ms, won, why),
        why);
}

static enum err mail_lease(struct store *base, int64_t now_ms, int64_t until_ms,
                           struct leased_mail *out, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "mail_lease", why));
    return leave(s, "mail_lease",
                 s->remote->under->outbox->mail_lease(s->remote->under, now_ms, until_ms, out, why),
                 why);
}

static enum err mail_sent(struct store *base, struct tenant_id t, struct user_id u, int64_t id,
                          struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "mail_sent", why));
    return leave(s, "mail_sent",
                 s->remote->under->outbox->mail_sent(s->remote->under, t, u, id, why), why);
}

static enum err mail_failed(struct store *base, struct tenant_id t, struct user_id u, int64_t id,
                            const char *error, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "mail_failed", why));
    return leave(s, "mail_failed",
                 s->remote->under->outbox->mail_failed(s->remote->under, t, u, id, error, why),
                 why);
}

static enum err mail_deferred(struct store *base, struct tenant_id t, struct user_id u, int64_t id,
                              int64_t due_ms, const char *error, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    TRY(enter(s, "mail_deferred", why));
    return leave(
        s, "mail_deferred",
        s->remote->under->outbox->mail_deferred(s->remote->under, t, u, id, due_ms, error, why),
        why);
}

static enum err audit_append(struct store *base, const struct audit_record *r, struct err_text *why)
{
    struct remote_store *s = remote_store_of(base);
    struct store *under = s->remote->under;
    TRY(pass(s, "audit_append", false, why));
    pthread_mutex_lock(&s->remote->lock);
    enum err e = under->ops->batch_begin(under, why);
    if (e == ERR_OK) {
        e = under->ops->audit_append(under, r, why);
        enum err committed = under->ops->batch_commit(under, e == ERR_OK ? why : NULL);
        if (e == ERR_OK)
            e = committed;
    }
    pthread_mutex_unlock(&s->remote->lock);
    return e != ERR_OK ? e : pass(s, "audit_append", true, why);
}

static enum err batch_nothing(struct store *base, struct err_text *why)
{
    (void)base;
    (void)why;
    return ERR_OK;
}

static void job_begin(struct store *base, int64_t budget_ms)
{
    remote_store_of(base)->budget_ms = budget_ms;
}

static enum err job_end(struct store *base, bool keep, struct err_text *why)
{
    (void)keep; /* what was done stays */
    return batch_nothing(base, why);
}

static void batch_abandon(struct store *base)
{
    (void)base;
}

static void close_store(struct store *base)
{
    free(remote_store_of(base));
}

static const struct store_ops ops = {
    .name = "remote",
    .close = close_store,
    .batch_begin = batch_nothing,
    .job_begin = job_begin,
    .job_end = job_end,
    .batch_abandon = batch_abandon,
    .batch_commit = batch_nothing,
    .audit_append = audit_append,
    .policy_get = policy_get,
    .policy_put = policy_put,
    .data_key_get = data_key_get,
    .data_key_add = data_key_add,
    .user_get = user_get,
    .pending_put = pending_put,
    .charge = charge,
    .accept = accept,
    .remember = remember,
    .other_get = other_get,
    .audit_head = audit_head,
    .probe = probe,
    .sweep = sweep,
};

static const struct outbox_ops outbox = {
    .reset_put = reset_put,
    .reset_get = reset_get,
    .reset_confirm = reset_confirm,
    .mail_lease = mail_lease,
    .mail_sent = mail_sent,
    .mail_failed = mail_failed,
    .mail_deferred = mail_deferred,
};

void remote_init(struct remote *r, struct store *under)
{
    *r = (struct remote){.under = under};
    pthread_mutex_init(&r->lock, NULL);
}

void remote_release(struct remote *r)
{
    pthread_mutex_destroy(&r->lock);
}

struct store *remote_store(struct remote *r)
{
    struct remote_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    s->base = (struct store){.ops = &ops, .outbox = &outbox};
    s->remote = r;
    return &s->base;
}
