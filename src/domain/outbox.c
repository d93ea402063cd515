/* SPDX-License-Identifier: ISC */
#include "domain/outbox.h"

#include "audit_internal.h"
#include "base/clock.h"
#include "base/metric.h"
#include "crypto/random.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "crypto/token.h"
#include "domain/policy.h"
#include "domain/reset.h"
#include "domain_internal.h"
#include "keys_internal.h"
#include "outbox_internal.h"
#include "store/outbox.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* A notice is news for a day. */
#define NOTICE_LIFETIME_MS (24 * 60 * 60 * 1000LL)

/* Waits between tries: up to 5 s after the first, doubling up to 15 min, each drawn anew
 * between nothing and that (full jitter), so that mails that failed together do not come
 * back together. */
#define RETRY_FIRST_MS   5000LL
#define RETRY_LONGEST_MS (15 * 60 * 1000LL)

/* A job that finds many mails hopeless leaves the rest to the next: others wait meanwhile. */
#define FAILED_PER_JOB 32

static const struct actor outbox_actor = {.caller = {"outbox", 6}};

/* ---- into the outbox
 * ------------------------------------------------------------------------------ */

void outbox_address(struct mail *m, struct str address, struct str locale)
{
    memcpy(m->address, address.p, address.len);
    m->address[address.len] = '\0';
    memcpy(m->locale, locale.p, locale.len);
    m->locale[locale.len] = '\0';
}

/* The reset's id is random and never comes twice, so it takes part as the user's suffix. */
static struct seal_binding binding_of(struct tenant_id t, struct user_id u, const struct mail *m,
                                      char room[static ID_MAX + RESET_ID_LEN])
{
    memcpy(room, u.s.p, u.s.len);
    memcpy(room + u.s.len, m->reset.bytes, RESET_ID_LEN);
    return (struct seal_binding){.purpose = "reset-token",
                                 .tenant = t.s,
                                 .user = {room, u.s.len + RESET_ID_LEN},
                                 .key_id = m->key_id};
}

enum err outbox_seal_token(struct domain *d, struct tenant_id t, struct user_id u, struct mail *m,
                           const struct secret *token, struct err_text *why)
{
    const struct secret *key;
    char room[ID_MAX + RESET_ID_LEN];
    TRY(keys_get_or_make(d, t, &m->key_id, &key, why));
    struct seal_binding binding = binding_of(t, u, m, room);
    seal_close(m->token, key, &binding, token);
    m->token_len = (uint16_t)(token->len + SEAL_OVERHEAD);
    return ERR_OK;
}

void outbox_count_into(struct domain *d, struct metrics *metrics)
{
    static const char *const events[OUTBOX_EVENTS] = {
        [OUTBOX_EVENT_QUEUED] = "queued",
        [OUTBOX_EVENT_SENT] = "sent",
        [OUTBOX_EVENT_DEFERRED] = "deferred",
        [OUTBOX_EVENT_FAILED] = "failed",
    };
    d->mails = metric_new(
        metrics,
        &(struct metric_options){
            .name = "twostep_mails_total",
            .help = "What became of mails: put into the outbox, taken by the mail server, to be "
                    "tried again, given up.",
            .rows = {.n_names = 1, .names = {"event"}, .n = OUTBOX_EVENTS, .values = events}});
}

void outbox_count(struct domain *d, enum outbox_event event)
{
    metric_add(d->mails, event, 1);
}

bool outbox_notice(const struct domain *d, const struct factor *f, int64_t now_ms, struct mail *out)
{
    if (f->notify_address[0] == '\0' || !d->opt.mail_is_configured)
        return false;
    *out = (struct mail){.kind = f->replaces ? MAIL_REPLACED : MAIL_ENROLLED,
                         .create_ms = now_ms,
                         .due_ms = now_ms,
                         .expire_ms = now_ms + NOTICE_LIFETIME_MS};
    outbox_address(out, str_from(f->notify_address), str_from(f->notify_locale));
    return true;
}

/* ---- out of it
 * ------------------------------------------------------------------------------------ */

static struct tenant_id tenant_of(const struct leased_mail *l)
{
    return (struct tenant_id){{l->tenant, l->tenant_len}};
}

static struct user_id user_of(const struct leased_mail *l)
{
    return (struct user_id){{l->user, l->user_len}};
}

void outbox_parcel_wipe(struct outbox_parcel *p)
{
    secret_wipe(p, sizeof *p);
}

/* The policy's link with the token where {token} is. */
static void write_link(char out[static OUTBOX_LINK_MAX + 1], const char *link,
                       const struct secret *token)
{
    static const char mark[] = "{token}";
    const char *at = strstr(link, mark);
    if (at == NULL) /* the policy changed, and has no link now */
        at = link + strlen(link);
    snprintf(out, OUTBOX_LINK_MAX + 1, "%.*s%.*s%s", (int)(at - link), link, (int)token->len,
             (const char *)token->bytes, at[0] != '\0' ? at + strlen(mark) : "");
}

static enum err open_link(struct domain *d, const struct policy *policy, struct outbox_parcel *out,
                          struct err_text *why)
{
    const struct mail *m = &out->leased.mail;
    const struct secret *key;
    uint32_t key_id;
    char room[ID_MAX + RESET_ID_LEN];
    TRY(keys_get(d, tenant_of(&out->leased), m->key_id, &key_id, &key, why));
    struct seal_binding binding =
        binding_of(tenant_of(&out->leased), user_of(&out->leased), m, room);
    if (seal_open(d->scratch, key, &binding, m->token, m->token_len) != ERR_OK)
        return err_set(why, ERR_CORRUPT, "SECRET_DOES_NOT_OPEN",
                       "a sealed token does not open: it was changed or moved");
    write_link(out->link, policy->reset_link, d->scratch);
    secret_set(d->scratch, NULL, 0);
    return ERR_OK;
}

/* Everything that the text needs, from the policy as it is now. */
static enum err fill(struct domain *d, const struct policy *policy, struct outbox_parcel *out,
                     struct err_text *why)
{
    memcpy(out->from, policy->mail_from, sizeof out->from);
    memcpy(out->from_name, policy->mail_from_name, sizeof out->from_name);
    memcpy(out->issuer, policy->issuer, sizeof out->issuer);
    snprintf(out->message_id, sizeof out->message_id, "%lld.%lld",
             (long long)out->leased.mail.create_ms, (long long)out->leased.mail.id);
    if (out->leased.mail.kind != MAIL_RESET)
        return ERR_OK;
    return open_link(d, policy, out, why);
}

static void note_end(struct domain *d, const struct outbox_parcel *p, const char *outcome,
                     const char *error)
{
    struct audit_event event = {.action = "mail",
                                .tenant = tenant_of(&p->leased),
                                .user = user_of(&p->leased),
                                .actor = &outbox_actor,
                                .outcome = outcome,
                                .reason = str_from(error),
                                .number = p->leased.mail.id};
    audit_note(d, &event, clock_wall_ms(d->opt.clock));
}

static enum err fail(struct domain *d, const struct outbox_parcel *p, const char *error,
                     struct err_text *why)
{
    struct store *store = d->opt.store;
    TRY(store->outbox->mail_failed(store, tenant_of(&p->leased), user_of(&p->leased),
                                   p->leased.mail.id, error, why));
    note_end(d, p, "failed", error);
    outbox_count(d, OUTBOX_EVENT_FAILED);
    return ERR_OK;
}

/* Why the mail is not worth a try any more; NULL: it is. */
static const char *hopeless(const struct domain *d, const struct policy *policy,
                            const struct outbox_parcel *p, int64_t now)
{
    if (p->leased.mail.expire_ms <= now)
        return "expired before it could be sent";
    if (policy->mail_from[0] == '\0')
        return "the policy has no mail_from";
    if (p->leased.mail.kind == MAIL_RESET && !reset_is_available(d, policy))
        return "the policy has no reset_link";
    return NULL;
}

/* Fills in what its text needs, or fails the mail: one that cannot be opened, or is not worth a
 * try, must not stand in the way of the others. */
static enum err fill_or_fail(struct domain *d, struct outbox_parcel *out, int64_t now, bool *filled,
                             struct err_text *why)
{
    struct policy policy;
    TRY(policy_load(d, tenant_of(&out->leased), &policy, why));
    const char *reason = hopeless(d, &policy, out, now);
    enum err e = reason == NULL ? fill(d, &policy, out, why) : ERR_OK;
    if (e == ERR_CORRUPT || e == ERR_NOT_FOUND || e == ERR_DENIED)
        reason = "its token does not open";
    else if (e != ERR_OK)
        return e;
    *filled = reason == NULL;
    return reason == NULL ? ERR_OK : fail(d, out, reason, why);
}

enum err outbox_lease(struct domain *d, struct outbox_parcel *out, struct err_text *why)
{
    struct store *store = d->opt.store;
    int64_t now = clock_wall_ms(d->opt.clock);
    bool filled = false;
    for (int i = 0; i < FAILED_PER_JOB && !filled; i++) {
        *out = (struct outbox_parcel){0};
        enum err e =
            store->outbox->mail_lease(store, now, now + OUTBOX_LEASE_MS, &out->leased, why);
        if (e == ERR_NOT_FOUND)
            return ERR_OK;
        TRY(e);
        TRY(fill_or_fail(d, out, now, &filled, why));
    }
    if (!filled)
        *out = (struct outbox_parcel){0};
    return ERR_OK;
}

/* How long to wait after this many attempts. */
static int64_t backoff(uint32_t attempts)
{
    int64_t longest = RETRY_FIRST_MS;
    for (uint32_t i = 1; i < attempts && longest < RETRY_LONGEST_MS; i++)
        longest *= 2;
    if (longest > RETRY_LONGEST_MS)
        longest = RETRY_LONGEST_MS;
    uint32_t draw;
    random_bytes(&draw, sizeof draw);
    return 1 + (int64_t)((uint64_t)longest * draw >> 32);
}

static enum err defer(struct domain *d, const struct outbox_report *r, struct err_text *why)
{
    const struct leased_mail *l = &r->parcel->leased;
    struct store *store = d->opt.store;
    int64_t due = clock_wall_ms(d->opt.clock) + backoff(l->mail.attempts + 1);
    if (due >= l->mail.expire_ms)
        return fail(d, r->parcel, r->error, why);
    TRY(store->outbox->mail_deferred(store, tenant_of(l), user_of(l), l->mail.id, due, r->error,
                                     why));
    note_end(d, r->parcel, "deferred", r->error);
    outbox_count(d, OUTBOX_EVENT_DEFERRED);
    return ERR_OK;
}

enum err outbox_report(struct domain *d, const struct outbox_report *report, struct err_text *why)
{
    const struct leased_mail *l = &report->parcel->leased;
    struct store *store = d->opt.store;
    switch (report->end) {
    case OUTBOX_SENT:
        TRY(store->outbox->mail_sent(store, tenant_of(l), user_of(l), l->mail.id, why));
        note_end(d, report->parcel, "sent", "");
        outbox_count(d, OUTBOX_EVENT_SENT);
        return ERR_OK;
    case OUTBOX_DEFERRED:
        return defer(d, report, why);
    case OUTBOX_FAILED:
        return fail(d, report->parcel, report->error, why);
    }
    return ERR_INTERNAL;
}
