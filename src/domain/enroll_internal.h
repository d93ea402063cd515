/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_ENROLL_INTERNAL_H
#define DOMAIN_ENROLL_INTERNAL_H

/* What an enrolment and the confirmation of a reset have in common. Thread: worker. */

#include "domain/enroll.h"
#include "domain/policy.h"

/* How often a secret is made anew because another one of the user came between. */
#define ENROLL_TRIES 64

/* The password, and that the policy asks for codes; *policy is the tenant's. */
MUST_CHECK enum err enroll_check(struct domain *d, const struct enroll_request *req, int64_t now_ms,
                                 struct policy *policy, struct err_text *why);

/* A fresh secret of this generation: shown in *out, sealed in *f for the store. On failure *out
 * is released. */
MUST_CHECK enum err enroll_make(struct domain *d, const struct enroll_request *req,
                                const struct policy *policy, uint32_t generation, int64_t now_ms,
                                struct factor *f, struct enroll_answer *out, struct err_text *why);

#endif
