/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_RESET_H
#define DOMAIN_RESET_H

/* A new phone: the user gets a mail with a link, the link's token comes back, and a new secret
 * is shown. The old one works until a code of the new one was verified. Neither a request nor
 * a confirmation changes the count of wrong attempts or a lock. Thread: worker. */

#include "domain/enroll.h"
#include "store/reset.h"

struct reset_mail_request {
    struct tenant_id tenant;
    struct user_id user;
    enum channel channel;
    bool password_verified;
    struct str address;        /* a checked mail address */
    struct str locale;         /* empty: the policy's */
    const uint8_t *request_id; /* REQUEST_ID_LEN bytes; NULL: not retry-safe */
    struct actor actor;
};

/* May a reset by mail be offered under this policy? Pure. */
bool reset_is_available(const struct domain *d, const struct policy *p);

/* Queues the mail: token and mail are one step. Borrows req. ERR_PRECONDITION with reason
 * PASSWORD_NOT_VERIFIED, POLICY_OFF or MAIL_NOT_CONFIGURED; ERR_LIMIT with why->retry_ms when a
 * limit is reached; ERR_INVALID for a request id that came before with other fields. */
MUST_CHECK enum err reset_request_mail(struct domain *d, const struct reset_mail_request *req,
                                       struct reset_status *out, struct err_text *why);

/* Turns a token into a pending secret, shown once, as enroll_user does. Borrows its arguments.
 * ERR_NOT_FOUND for a token that is wrong, used, expired, replaced or another user's: all alike.
 * ERR_PRECONDITION as enroll_user. */
MUST_CHECK enum err reset_confirm(struct domain *d, const struct enroll_request *req,
                                  struct str token, struct enroll_answer *out,
                                  struct err_text *why);

/* ERR_NOT_FOUND: the tenant has no such reset (any more). */
MUST_CHECK enum err reset_look(struct domain *d, struct tenant_id tenant, const struct reset_id *id,
                               struct reset_status *out, struct err_text *why);

#endif
