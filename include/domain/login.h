/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_LOGIN_H
#define DOMAIN_LOGIN_H

/* Which screen comes after the password? Thread: worker. */

#include "domain/domain.h"

/* The numbers are those of the API. */
enum login_requirement {
    LOGIN_REQUIREMENT_NOTHING = 1,
    LOGIN_REQUIREMENT_CODE = 2,
    LOGIN_REQUIREMENT_ENROLL = 3,
};

struct login_answer {
    enum login_requirement requirement;
    enum login_reason reason;
    bool may_remember_password;
    int64_t retry_after_ms;       /* 0: not locked, or for good */
    bool reset_by_mail_available; /* a code is asked for, and a mail could be sent */
};

/* Changes nothing. Borrows its arguments. */
MUST_CHECK enum err login_requirement(struct domain *d, struct tenant_id tenant,
                                      struct user_id user, enum channel channel,
                                      struct login_answer *out, struct err_text *why);

#endif
