/* SPDX-License-Identifier: ISC */
#include "base/buf.h"
#include "check_internal.h"
#include "crypto/totp.h"
#include "domain/policy.h"
#include "reply_internal.h"
#include "rpc_internal.h"
#include "twostep/v1/twostep.pb-c.h"

#include <string.h>

#define PERIOD_MIN              15
#define PERIOD_MAX              120
#define ENROLLMENT_LIFETIME_MIN 60
#define RESET_LIFETIME_MIN      (5 * 60)
#define LIFETIME_MAX            (24 * 60 * 60)
#define WINDOW_MAX              2
/* 9999-12-31T23:59:59Z, the last second of a Timestamp. */
#define TIMESTAMP_MAX 253402300799

/* ---- one function a field: is it set, and its value into the policy ---- */

struct reading {
    const Twostep__V1__Policy *from;
    struct policy *to; /* holds the defaults */
    struct violations *v;
};

static bool take_text(struct str checked, char *to)
{
    memcpy(to, checked.p, checked.len);
    to[checked.len] = '\0';
    return checked.len > 0;
}

/* A duration in whole seconds from min to max; false when it is not set or wrong. */
static bool take_seconds(const struct reading *r, const char *field,
                         const Google__Protobuf__Duration *d, int64_t min, int64_t max,
                         int64_t *out)
{
    if (d == NULL)
        return false;
    if (d->nanos == 0 && d->seconds >= min && d->seconds <= max) {
        *out = d->seconds;
        return true;
    }
    check_note(r->v, field, "out of range, or not whole seconds");
    return false;
}

static bool read_enabled(const struct reading *r)
{
    r->to->enabled = r->from->enabled;
    return r->from->enabled_presence_case != TWOSTEP__V1__POLICY__ENABLED_PRESENCE__NOT_SET;
}

static bool read_mobile(const struct reading *r)
{
    r->to->mobile = r->from->mobile;
    return r->from->mobile_presence_case != TWOSTEP__V1__POLICY__MOBILE_PRESENCE__NOT_SET;
}

static bool read_suspended_until(const struct reading *r)
{
    const Google__Protobuf__Timestamp *t = r->from->suspended_until;
    if (t == NULL)
        return false;
    if (t->seconds < 0 || t->seconds > TIMESTAMP_MAX || t->nanos < 0 || t->nanos > 999999999)
        check_note(r->v, "policy.suspended_until", "not a time from 1970 to 9999");
    else
        r->to->suspended_until_ms = t->seconds * 1000 + t->nanos / 1000000;
    return true;
}

static bool read_suspended_reason(const struct reading *r)
{
    return take_text(
        check_text(r->v, "policy.suspended_reason", r->from->suspended_reason, POLICY_TEXT_MAX),
        r->to->suspended_reason);
}

static bool read_issuer(const struct reading *r)
{
    struct str issuer = check_label(r->v, "policy.issuer", r->from->issuer, POLICY_NAME_MAX);
    return issuer.len > 0 && take_text(issuer, r->to->issuer);
}

static bool read_algorithm(const struct reading *r)
{
    switch ((int)r->from->algorithm) {
    case TWOSTEP__V1__ALGORITHM__ALGORITHM_UNSPECIFIED:
        return false;
    case TWOSTEP__V1__ALGORITHM__ALGORITHM_SHA1:
    case TWOSTEP__V1__ALGORITHM__ALGORITHM_SHA256:
    case TWOSTEP__V1__ALGORITHM__ALGORITHM_SHA512:
        r->to->algorithm = (uint8_t)r->from->algorithm; /* the numbers of enum totp_hash */
        return true;
    }
    check_note(r->v, "policy.algorithm", "unknown");
    return true;
}

static bool read_digits(const struct reading *r)
{
    if (r->from->digits == 0)
        return false;
    if (r->from->digits != 6 && r->from->digits != 8)
        check_note(r->v, "policy.digits", "neither 6 nor 8");
    else
        r->to->digits = (uint8_t)r->from->digits;
    return true;
}

static bool read_period(const struct reading *r)
{
    int64_t s;
    if (take_seconds(r, "policy.period", r->from->period, PERIOD_MIN, PERIOD_MAX, &s))
        r->to->period = (uint16_t)s;
    return r->from->period != NULL;
}

static bool read_window_steps(const struct reading *r)
{
    if (r->from->window_steps_presence_case == TWOSTEP__V1__POLICY__WINDOW_STEPS_PRESENCE__NOT_SET)
        return false;
    if (r->from->window_steps > WINDOW_MAX)
        check_note(r->v, "policy.window_steps", "more than 2");
    else
        r->to->window_steps = (uint8_t)r->from->window_steps;
    return true;
}

static bool read_enrollment_lifetime(const struct reading *r)
{
    int64_t s;
    if (take_seconds(r, "policy.enrollment_lifetime", r->from->enrollment_lifetime,
                     ENROLLMENT_LIFETIME_MIN, LIFETIME_MAX, &s))
        r->to->enrollment_lifetime = (uint32_t)s;
    return r->from->enrollment_lifetime != NULL;
}

static bool read_reset_lifetime(const struct reading *r)
{
    int64_t s;
    if (take_seconds(r, "policy.reset_lifetime", r->from->reset_lifetime, RESET_LIFETIME_MIN,
                     LIFETIME_MAX, &s))
        r->to->reset_lifetime = (uint32_t)s;
    return r->from->reset_lifetime != NULL;
}

static bool read_reset_link(const struct reading *r)
{
    return take_text(check_link(r->v, "policy.reset_link", r->from->reset_link), r->to->reset_link);
}

static bool read_mail_from(const struct reading *r)
{
    return take_text(check_mail(r->v, "policy.mail_from", r->from->mail_from), r->to->mail_from);
}

static bool read_mail_from_name(const struct reading *r)
{
    return take_text(
        check_text(r->v, "policy.mail_from_name", r->from->mail_from_name, POLICY_NAME_MAX),
        r->to->mail_from_name);
}

static bool read_locale(const struct reading *r)
{
    struct str locale = check_locale(r->v, "policy.locale", r->from->locale);
    return locale.len > 0 && take_text(locale, r->to->locale);
}

static const struct {
    const char *name; /* in an update_mask */
    enum policy_field field;
    bool (*read)(const struct reading *r); /* true: the field is set */
} rows[] = {
    {"enabled", POLICY_ENABLED, read_enabled},
    {"mobile", POLICY_MOBILE, read_mobile},
    {"suspended_until", POLICY_SUSPENDED_UNTIL, read_suspended_until},
    {"suspended_reason", POLICY_SUSPENDED_REASON, read_suspended_reason},
    {"issuer", POLICY_ISSUER, read_issuer},
    {"algorithm", POLICY_ALGORITHM, read_algorithm},
    {"digits", POLICY_DIGITS, read_digits},
    {"period", POLICY_PERIOD, read_period},
    {"window_steps", POLICY_WINDOW_STEPS, read_window_steps},
    {"enrollment_lifetime", POLICY_ENROLLMENT_LIFETIME, read_enrollment_lifetime},
    {"reset_lifetime", POLICY_RESET_LIFETIME, read_reset_lifetime},
    {"reset_link", POLICY_RESET_LINK, read_reset_link},
    {"mail_from", POLICY_MAIL_FROM, read_mail_from},
    {"mail_from_name", POLICY_MAIL_FROM_NAME, read_mail_from_name},
    {"locale", POLICY_LOCALE, read_locale},
};
#define N_ROWS (sizeof rows / sizeof rows[0])

/* ---- SetPolicy ---- */

/* Reads every field, so that every mistake is found; returns those that are set. */
static uint32_t read_fields(const struct reading *r)
{
    uint32_t set = 0;
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].read(r))
            set |= rows[i].field;
    return set;
}

static uint32_t field_named(const char *name)
{
    if (strcmp(name, "*") == 0)
        return POLICY_ALL_FIELDS;
    for (size_t i = 0; i < N_ROWS; i++)
        if (strcmp(name, rows[i].name) == 0)
            return rows[i].field;
    return 0;
}

static uint32_t masked_fields(const Google__Protobuf__FieldMask *mask, struct violations *v)
{
    uint32_t fields = 0;
    for (size_t i = 0; i < mask->n_paths; i++) {
        uint32_t field = field_named(mask->paths[i]);
        if (field == 0)
            check_note(v, "update_mask", "names a field that cannot be set");
        fields |= field;
    }
    return fields;
}

static enum grpc_status decode_set(struct job *job, const ProtobufCMessage *message,
                                   struct violations *v)
{
    const Twostep__V1__SetPolicyRequest *m = (const void *)message;
    struct policy_change *change = job->args;
    change->actor.caller = str_from(job->caller->name);
    change->actor.on_behalf_of = check_text(v, "on_behalf_of", m->on_behalf_of, ID_MAX);
    change->reason = check_text(v, "reason", m->reason, POLICY_TEXT_MAX);
    change->expected_revision = m->expected_revision;
    if (m->expected_revision < 0)
        check_note(v, "expected_revision", "negative");
    if (m->policy == NULL) {
        check_note(v, "policy", "missing");
        return GRPC_OK;
    }
    job->tenant = change->tenant = check_tenant(v, "policy.tenant_id", m->policy->tenant_id);
    policy_defaults(&change->values, change->tenant);
    struct reading r = {.from = m->policy, .to = &change->values, .v = v};
    uint32_t set = read_fields(&r);
    bool masked = m->update_mask != NULL && m->update_mask->n_paths > 0;
    change->fields = masked ? masked_fields(m->update_mask, v) : set;
    if (change->fields == 0)
        check_note(v, "update_mask", "nothing to set: no field is named, and none is set");
    return GRPC_OK;
}

static enum err work_set(struct job *job, struct domain *d, struct err_text *why)
{
    return policy_set(d, job->args, job->answer, why);
}

/* ---- the way out ---- */

/* A policy as a message, with room for what it points to. */
struct policy_message {
    Twostep__V1__Policy m;
    char tenant_id[ID_MAX + 1];
    Google__Protobuf__Timestamp suspended_until, update_time;
    Google__Protobuf__Duration period, enrollment_lifetime, reset_lifetime;
};

static void write_policy(struct policy_message *out, struct tenant_id tenant,
                         const struct policy *p)
{
    Twostep__V1__Policy *m = &out->m;
    twostep__v1__policy__init(m);
    memcpy(out->tenant_id, tenant.s.p, tenant.s.len);
    out->tenant_id[tenant.s.len] = '\0';
    out->suspended_until = reply_timestamp(p->suspended_until_ms);
    out->update_time = reply_timestamp(p->update_time_ms);
    out->period = reply_duration((int64_t)p->period * 1000);
    out->enrollment_lifetime = reply_duration((int64_t)p->enrollment_lifetime * 1000);
    out->reset_lifetime = reply_duration((int64_t)p->reset_lifetime * 1000);

    m->tenant_id = out->tenant_id;
    m->revision = p->revision;
    m->enabled_presence_case = TWOSTEP__V1__POLICY__ENABLED_PRESENCE_ENABLED;
    m->enabled = p->enabled;
    m->mobile_presence_case = TWOSTEP__V1__POLICY__MOBILE_PRESENCE_MOBILE;
    m->mobile = p->mobile;
    m->suspended_until = p->suspended_until_ms != 0 ? &out->suspended_until : NULL;
    m->suspended_reason = reply_lend(p->suspended_reason);
    m->issuer = reply_lend(p->issuer);
    m->algorithm = (Twostep__V1__Algorithm)p->algorithm;
    m->digits = p->digits;
    m->period = &out->period;
    m->window_steps_presence_case = TWOSTEP__V1__POLICY__WINDOW_STEPS_PRESENCE_WINDOW_STEPS;
    m->window_steps = p->window_steps;
    m->enrollment_lifetime = &out->enrollment_lifetime;
    m->reset_lifetime = &out->reset_lifetime;
    m->reset_link = reply_lend(p->reset_link);
    m->mail_from = reply_lend(p->mail_from);
    m->mail_from_name = reply_lend(p->mail_from_name);
    m->locale = reply_lend(p->locale);
    m->update_time = p->revision > 0 ? &out->update_time : NULL;
    m->updated_by = reply_lend(p->updated_by);
}

/* Both responses hold the policy as their only field. */
static void encode(const struct job *job, struct buf *out)
{
    struct policy_message policy;
    write_policy(&policy, job->tenant, job->answer);
    Twostep__V1__GetPolicyResponse m = TWOSTEP__V1__GET_POLICY_RESPONSE__INIT;
    m.policy = &policy.m;
    reply_pack(out, &m.base);
}

const struct rpc_method rpc_set_policy = {
    .path = "/twostep.v1.TwoStepService/SetPolicy",
    .permissions = PERMISSION_POLICY,
    .request = &twostep__v1__set_policy_request__descriptor,
    .args_size = sizeof(struct policy_change),
    .answer_size = sizeof(struct policy),
    .decode = decode_set,
    .work = work_set,
    .encode = encode,
};

/* ---- GetPolicy */

static enum grpc_status decode_get(struct job *job, const ProtobufCMessage *message,
                                   struct violations *v)
{
    const Twostep__V1__GetPolicyRequest *m = (const void *)message;
    job->tenant = check_tenant(v, "tenant_id", m->tenant_id);
    return GRPC_OK;
}

static enum err work_get(struct job *job, struct domain *d, struct err_text *why)
{
    return policy_load(d, job->tenant, job->answer, why);
}

const struct rpc_method rpc_get_policy = {
    .path = "/twostep.v1.TwoStepService/GetPolicy",
    .permissions = PERMISSION_POLICY,
    .request = &twostep__v1__get_policy_request__descriptor,
    .args_size = 0,
    .answer_size = sizeof(struct policy),
    .decode = decode_get,
    .work = work_get,
    .encode = encode,
};
