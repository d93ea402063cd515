/* SPDX-License-Identifier: ISC */
#include "domain/login.h"

#include "base/clock.h"
#include "domain/policy.h"
#include "domain/reset.h"
#include "domain_internal.h"
#include "store/store.h"

enum err login_requirement(struct domain *d, struct tenant_id tenant, struct user_id user,
                           enum channel channel, struct login_answer *out, struct err_text *why)
{
    int64_t now = clock_wall_ms(d->opt.clock);
    struct policy policy;
    enum login_reason reason;
    TRY(policy_load(d, tenant, &policy, why));
    if (!policy_asks(&policy, channel, now, &reason)) {
        /* A suspension ends by itself, a remembered password does not. */
        *out = (struct login_answer){.requirement = LOGIN_REQUIREMENT_NOTHING,
                                     .reason = reason,
                                     .may_remember_password = reason != LOGIN_REASON_SUSPENDED};
        return ERR_OK;
    }
    struct user_state state;
    TRY(d->opt.store->ops->user_get(d->opt.store, tenant, user, now, &d->opt.rules.lockout, &state,
                                    why));
    *out = (struct login_answer){
        .requirement = state.enrolled ? LOGIN_REQUIREMENT_CODE : LOGIN_REQUIREMENT_ENROLL,
        .retry_after_ms = state.retry_after_ms,
        .reset_by_mail_available = state.enrolled && reset_is_available(d, &policy)};
    return ERR_OK;
}
