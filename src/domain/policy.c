/* SPDX-License-Identifier: ISC */
#include "domain/policy.h"

#include "audit_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "crypto/totp.h"
#include "domain_internal.h"
#include "policy_cache_internal.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_DIGITS              6
#define DEFAULT_PERIOD              30
#define DEFAULT_WINDOW              1
#define DEFAULT_ENROLLMENT_LIFETIME (10 * 60)
#define DEFAULT_RESET_LIFETIME      (60 * 60)
#define DEFAULT_LOCALE              "en"
#define DEFAULT_ISSUER              "twostep"

/* Each time somebody else was quicker: so many changes of one tenant at once all come through. */
#define CHANGE_TRIES 64

/* A tenant's id names the tenant in an app, as long as it may stand in a key URI. */
static void default_issuer(char out[POLICY_NAME_MAX + 1], struct tenant_id t)
{
    struct str issuer = t.s;
    if (issuer.len == 0 || issuer.len > POLICY_NAME_MAX || !str_is_plain(issuer) ||
        memchr(issuer.p, ':', issuer.len) != NULL)
        issuer = STR(DEFAULT_ISSUER);
    memcpy(out, issuer.p, issuer.len);
    out[issuer.len] = '\0';
}

void policy_defaults(struct policy *out, struct tenant_id tenant)
{
    *out = (struct policy){
        .algorithm = TOTP_SHA1,
        .digits = DEFAULT_DIGITS,
        .period = DEFAULT_PERIOD,
        .window_steps = DEFAULT_WINDOW,
        .enrollment_lifetime = DEFAULT_ENROLLMENT_LIFETIME,
        .reset_lifetime = DEFAULT_RESET_LIFETIME,
        .locale = DEFAULT_LOCALE,
    };
    default_issuer(out->issuer, tenant);
}

static enum err read_fresh(struct domain *d, struct tenant_id tenant, struct policy *out,
                           struct err_text *why)
{
    enum err e = d->opt.store->ops->policy_get(d->opt.store, tenant, out, why);
    if (e == ERR_NOT_FOUND) {
        policy_defaults(out, tenant);
        return ERR_OK;
    }
    return e;
}

enum err policy_load(struct domain *d, struct tenant_id tenant, struct policy *out,
                     struct err_text *why)
{
    int64_t mono_ms = clock_mono_ms(d->opt.clock);
    struct policy_read read;
    if (policy_cache_get(d->shared->policies, tenant, mono_ms, out, &read))
        return ERR_OK;
    TRY(read_fresh(d, tenant, out, why));
    policy_cache_put(d->shared->policies, tenant, out, &read);
    return ERR_OK;
}

enum field_kind { FIELD_FLAG, FIELD_BYTE, FIELD_SHORT, FIELD_WORD, FIELD_TIME, FIELD_TEXT };

/* One row a field: where it is, so that taking over a field is copying its bytes, and what
 * it is, so that the audit log can show it. */
static const struct field {
    enum policy_field bit;
    const char *name;
    enum field_kind kind;
    size_t offset, size;
} fields[] = {
#define FIELD(bit, name, kind, member)                                                             \
    {                                                                                              \
        bit, name, kind, offsetof(struct policy, member), sizeof(((struct policy *)0)->member)     \
    }
    FIELD(POLICY_ENABLED, "enabled", FIELD_FLAG, enabled),
    FIELD(POLICY_MOBILE, "mobile", FIELD_FLAG, mobile),
    FIELD(POLICY_SUSPENDED_UNTIL, "suspended_until", FIELD_TIME, suspended_until_ms),
    FIELD(POLICY_SUSPENDED_REASON, "suspended_reason", FIELD_TEXT, suspended_reason),
    FIELD(POLICY_ISSUER, "issuer", FIELD_TEXT, issuer),
    FIELD(POLICY_ALGORITHM, "algorithm", FIELD_BYTE, algorithm),
    FIELD(POLICY_DIGITS, "digits", FIELD_BYTE, digits),
    FIELD(POLICY_PERIOD, "period", FIELD_SHORT, period),
    FIELD(POLICY_WINDOW_STEPS, "window_steps", FIELD_BYTE, window_steps),
    FIELD(POLICY_ENROLLMENT_LIFETIME, "enrollment_lifetime", FIELD_WORD, enrollment_lifetime),
    FIELD(POLICY_RESET_LIFETIME, "reset_lifetime", FIELD_WORD, reset_lifetime),
    FIELD(POLICY_RESET_LINK, "reset_link", FIELD_TEXT, reset_link),
    FIELD(POLICY_MAIL_FROM, "mail_from", FIELD_TEXT, mail_from),
    FIELD(POLICY_MAIL_FROM_NAME, "mail_from_name", FIELD_TEXT, mail_from_name),
    FIELD(POLICY_LOCALE, "locale", FIELD_TEXT, locale),
#undef FIELD
};
#define N_FIELDS (sizeof fields / sizeof fields[0])

static void show_field(struct buf *out, const struct field *f, const struct policy *p)
{
    const char *at = (const char *)p + f->offset;
    switch (f->kind) {
    case FIELD_FLAG:
        json_bool(out, f->name, *(const bool *)at);
        break;
    case FIELD_BYTE:
        json_int(out, f->name, *(const uint8_t *)at);
        break;
    case FIELD_SHORT:
        json_int(out, f->name, *(const uint16_t *)(const void *)at);
        break;
    case FIELD_WORD:
        json_int(out, f->name, *(const uint32_t *)(const void *)at);
        break;
    case FIELD_TIME:
        json_time(out, f->name, *(const int64_t *)(const void *)at);
        break;
    case FIELD_TEXT:
        json_str(out, f->name, str_from(at));
        break;
    }
}

/* What was changed to what, for the audit log. */
static void show_change(struct buf *out, const struct policy *p, uint32_t which)
{
    json_begin(out);
    for (size_t i = 0; i < N_FIELDS; i++)
        if (which & fields[i].bit)
            show_field(out, &fields[i], p);
    json_end(out);
}

static void take_over(struct policy *to, const struct policy *from, uint32_t which)
{
    for (size_t i = 0; i < N_FIELDS; i++)
        if (which & fields[i].bit)
            memcpy((char *)to + fields[i].offset, (const char *)from + fields[i].offset,
                   fields[i].size);
}

static void sign(struct policy *p, const struct actor *who, int64_t now)
{
    p->revision++;
    p->update_time_ms = now;
    bool behalf = who->on_behalf_of.len > 0;
    snprintf(p->updated_by, sizeof p->updated_by, "%.*s%s%.*s", (int)who->caller.len, who->caller.p,
             behalf ? "/" : "", (int)who->on_behalf_of.len, behalf ? who->on_behalf_of.p : "");
}

/* One try. *overtaken: somebody else changed the policy after it was read. */
static enum err change_once(struct domain *d, const struct policy_change *change, int64_t now,
                            struct policy *p, bool *overtaken, struct err_text *why)
{
    *overtaken = false;
    TRY(read_fresh(d, change->tenant, p, why));
    if (change->expected_revision != 0 && change->expected_revision != p->revision)
        return err_set(why, ERR_CONFLICT, "REVISION_CHANGED",
                       "the policy has revision %lld, not %lld", (long long)p->revision,
                       (long long)change->expected_revision);
    take_over(p, &change->values, change->fields);
    sign(p, &change->actor, now);
    enum err e = d->opt.store->ops->policy_put(d->opt.store, change->tenant, p, why);
    *overtaken = e == ERR_CONFLICT;
    return e;
}

enum err policy_set(struct domain *d, const struct policy_change *change, struct policy *out,
                    struct err_text *why)
{
    struct policy p;
    int64_t now = clock_wall_ms(d->opt.clock);
    bool overtaken = true;
    enum err e = ERR_OK;
    for (unsigned tries = 0; overtaken && tries < CHANGE_TRIES; tries++)
        e = change_once(d, change, now, &p, &overtaken, why);
    if (overtaken)
        err_set(why, e, "REVISION_CHANGED", "the policy is changed all the time");
    /* Also after a failure that does not tell whether it happened. */
    policy_cache_changed(d->shared->policies, change->tenant);
    d->caches_touched = true;
    TRY(e);
    struct buf detail = BUF_INIT;
    show_change(&detail, &p, change->fields);
    struct audit_event event = {
        .action = "policy_set",
        .tenant = change->tenant,
        .actor = &change->actor,
        .outcome = !p.enabled                   ? "off"
                   : p.suspended_until_ms > now ? "suspended"
                                                : "on",
        .reason = change->reason,
        .number = p.revision,
        .change = buf_str(&detail),
    };
    audit_note(d, &event, now);
    buf_release(&detail);
    *out = p;
    return ERR_OK;
}

bool policy_asks(const struct policy *p, enum channel channel, int64_t now_ms,
                 enum login_reason *reason_out)
{
    if (!p->enabled)
        *reason_out = LOGIN_REASON_POLICY_OFF;
    else if (channel == CHANNEL_MOBILE && !p->mobile)
        *reason_out = LOGIN_REASON_CHANNEL_OFF;
    else if (p->suspended_until_ms != 0 && p->suspended_until_ms > now_ms)
        *reason_out = LOGIN_REASON_SUSPENDED;
    else
        *reason_out = LOGIN_REASON_NONE;
    return *reason_out == LOGIN_REASON_NONE;
}
