/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_POLICY_H
#define DOMAIN_POLICY_H

/* A tenant's policy: read, changed, and asked whether it wants a code. Thread: worker,
 * unless it says pure. */

#include "domain/domain.h"

/* The fields that a change may name, as bits. */
enum policy_field {
    POLICY_ENABLED = 1 << 0,
    POLICY_MOBILE = 1 << 1,
    POLICY_SUSPENDED_UNTIL = 1 << 2,
    POLICY_SUSPENDED_REASON = 1 << 3,
    POLICY_ISSUER = 1 << 4,
    POLICY_ALGORITHM = 1 << 5,
    POLICY_DIGITS = 1 << 6,
    POLICY_PERIOD = 1 << 7,
    POLICY_WINDOW_STEPS = 1 << 8,
    POLICY_ENROLLMENT_LIFETIME = 1 << 9,
    POLICY_RESET_LIFETIME = 1 << 10,
    POLICY_RESET_LINK = 1 << 11,
    POLICY_MAIL_FROM = 1 << 12,
    POLICY_MAIL_FROM_NAME = 1 << 13,
    POLICY_LOCALE = 1 << 14,
    POLICY_ALL_FIELDS = (1 << 15) - 1,
};

struct policy_change {
    struct tenant_id tenant;
    struct policy values;      /* already checked, field by field */
    uint32_t fields;           /* which of them to take over */
    int64_t expected_revision; /* 0: any */
    struct str reason;
    struct actor actor;
};

/* The defaults for a tenant without a policy, revision 0. Pure. */
void policy_defaults(struct policy *out, struct tenant_id tenant);

/* The tenant's policy, or the defaults. */
MUST_CHECK enum err policy_load(struct domain *d, struct tenant_id tenant, struct policy *out,
                                struct err_text *why);

/* Takes over the named fields; *out is the policy after it. ERR_CONFLICT when
 * expected_revision is old. */
MUST_CHECK enum err policy_set(struct domain *d, const struct policy_change *change,
                               struct policy *out, struct err_text *why);

/* Does the policy ask for a code on this channel at this time? If not, *reason_out says
 * why; else it is LOGIN_REASON_NONE. Pure. */
bool policy_asks(const struct policy *p, enum channel channel, int64_t now_ms,
                 enum login_reason *reason_out);

#endif
