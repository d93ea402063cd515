/* SPDX-License-Identifier: ISC */
#include "audit_internal.h"

#include "base/json.h"
#include "crypto/digest.h"
#include "domain_internal.h"
#include "store/store.h"

#include <string.h>
#include <time.h>

/* Records that could not be written are owed up to this size. */
#define AUDIT_OWED_MAX (256 * 1024)

/* A record in audit.pending: this, then the tenant, then the body. */
struct frame {
    int64_t time_ms;
    size_t tenant_len;
    size_t body_len;
};

static enum err read_head(struct domain *d, struct err_text *why)
{
    struct audit_head *head = &d->shared->chain.head;
    head->known = false;
    TRY(d->opt.store->ops->audit_head(d->opt.store, &head->seq, head->hash, why));
    head->known = true;
    return ERR_OK;
}

enum err audit_open(struct domain *d, struct err_text *why)
{
    pthread_mutex_lock(&d->shared->chain.lock);
    enum err e = read_head(d, why);
    pthread_mutex_unlock(&d->shared->chain.lock);
    return e;
}

void audit_release(struct domain *d)
{
    buf_release(&d->audit.pending);
}

static void append_optional(struct buf *out, const char *key, struct str value)
{
    if (value.len > 0)
        json_str(out, key, value);
}

static void append_body(struct buf *out, const struct audit_event *e, int64_t now_ms)
{
    json_begin(out);
    json_time(out, "time", now_ms);
    json_str(out, "action", str_from(e->action));
    json_str(out, "tenant", e->tenant.s);
    append_optional(out, "user", e->user.s);
    json_str(out, "caller", e->actor->caller);
    append_optional(out, "on_behalf_of", e->actor->on_behalf_of);
    append_optional(out, "client_address", e->actor->client_address);
    if (e->outcome != NULL)
        json_str(out, "outcome", str_from(e->outcome));
    append_optional(out, "reason", e->reason);
    if (e->number != 0)
        json_int(out, "number", e->number);
    append_optional(out, "change", e->change);
    if (e->request_id != NULL) {
        char hex[2 * REQUEST_ID_LEN + 1];
        str_hex_encode(hex, e->request_id, REQUEST_ID_LEN);
        json_str(out, "request_id", str_from(hex));
    }
    if (e->repeated)
        json_bool(out, "repeated", true);
    json_end(out);
}

void audit_note(struct domain *d, const struct audit_event *e, int64_t now_ms)
{
    struct buf *pending = &d->audit.pending;
    size_t at = pending->len;
    struct frame frame = {.time_ms = now_ms, .tenant_len = e->tenant.s.len};
    buf_append(pending, &frame, sizeof frame);
    buf_append_str(pending, e->tenant.s);
    size_t body_at = pending->len;
    append_body(pending, e, now_ms);
    frame.body_len = pending->len - body_at;
    memcpy(pending->data + at, &frame, sizeof frame);
}

void audit_job_end(struct domain *d, bool keep)
{
    if (!keep)
        d->audit.pending.len = d->audit.job_start;
    d->audit.job_start = d->audit.pending.len;
}

static void chain(uint8_t out[AUDIT_HASH_LEN], const struct audit_head *before, int64_t seq,
                  struct str body)
{
    uint8_t seq_bytes[8];
    for (int i = 0; i < 8; i++)
        seq_bytes[i] = (uint8_t)((uint64_t)seq >> (56 - 8 * i));
    struct str parts[] = {{(const char *)before->hash, AUDIT_HASH_LEN},
                          {(const char *)seq_bytes, sizeof seq_bytes},
                          body};
    digest_parts(out, parts, 3);
}

/* r has everything but its place in the chain. After a failure it is not known whether the record
 * is there. */
static enum err append_next(struct domain *d, struct audit_record *r, struct err_text *why)
{
    struct audit_head *head = &d->shared->chain.head;
    if (!head->known)
        TRY(read_head(d, why));
    r->seq = head->seq + 1;
    chain(r->hash, head, r->seq, r->body);
    head->known = false;
    TRY(d->opt.store->ops->audit_append(d->opt.store, r, why));
    *head = (struct audit_head){.known = true, .seq = r->seq};
    memcpy(head->hash, r->hash, AUDIT_HASH_LEN);
    return ERR_OK;
}

/* *done: how many bytes of pending are in the chain now. */
static enum err append_pending(struct domain *d, size_t *done, struct err_text *why)
{
    const char *p = (const char *)d->audit.pending.data;
    *done = 0;
    for (size_t at = 0; at < d->audit.pending.len; *done = at) {
        struct frame frame;
        memcpy(&frame, p + at, sizeof frame);
        at += sizeof frame;
        struct audit_record r = {.time_ms = frame.time_ms,
                                 .tenant = {{p + at, frame.tenant_len}},
                                 .body = {p + at + frame.tenant_len, frame.body_len}};
        at += frame.tenant_len + frame.body_len;
        enum err e = append_next(d, &r, why);
        /* A record of which nothing was known came to be in the store after all. */
        if (e == ERR_CONFLICT && !d->opt.store->ops->transactional)
            e = append_next(d, &r, why);
        if (e == ERR_CONFLICT)
            return err_set(why, ERR_UNAVAILABLE, NULL, "somebody else writes this audit chain");
        TRY(e);
    }
    return ERR_OK;
}

/* The first bytes of pending. */
static void forget_pending(struct domain *d, size_t n)
{
    struct buf *pending = &d->audit.pending;
    if (n < pending->len)
        memmove(pending->data, pending->data + n, pending->len - n);
    pending->len -= n;
    d->audit.job_start = pending->len;
}

enum err audit_append_batch(struct domain *d, struct err_text *why)
{
    struct audit_chain *c = &d->shared->chain;
    pthread_mutex_lock(&c->lock);
    d->audit.before = c->head;
    size_t done;
    return append_pending(d, &done, why);
}

void audit_batch_end(struct domain *d, bool committed)
{
    struct audit_chain *c = &d->shared->chain;
    if (!committed)
        c->head = d->audit.before;
    pthread_mutex_unlock(&c->lock);
    forget_pending(d, d->audit.pending.len);
}

/* Not longer than the job may wait: whoever has the chain may be waiting for the store. A clock
 * that is set back makes it longer, but not for ever: they give up, too. */
static enum err take_chain(struct domain *d, struct err_text *why)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += d->budget_ms / 1000 + 1;
    if (pthread_mutex_timedlock(&d->shared->chain.lock, &until) != 0)
        return err_set(why, ERR_UNAVAILABLE, NULL, "the audit log takes too long");
    return ERR_OK;
}

enum err audit_append_job(struct domain *d, struct err_text *why)
{
    if (d->audit.pending.len == 0)
        return ERR_OK;
    size_t done = 0;
    enum err e = take_chain(d, why);
    if (e == ERR_OK) {
        e = append_pending(d, &done, why);
        pthread_mutex_unlock(&d->shared->chain.lock);
    }
    bool too_much = e != ERR_OK && d->audit.pending.len - done > AUDIT_OWED_MAX;
    forget_pending(d, too_much ? d->audit.pending.len : done);
    return e;
}
