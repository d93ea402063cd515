/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_VERIFY_H
#define DOMAIN_VERIFY_H

/* Is this code right? The decision that everything else is about. Thread: worker. */

#include "domain/domain.h"

/* The numbers are those of the API. */
enum verify_outcome {
    VERIFY_REFUSED = 0, /* before anything is decided; never sent */
    VERIFY_ACCEPTED = 1,
    VERIFY_WRONG_CODE = 2,
    VERIFY_REPLAYED_CODE = 3,
    VERIFY_LOCKED = 4,
    VERIFY_NOT_ENROLLED = 5,
    VERIFY_NOT_REQUIRED = 6,
    VERIFY_SUPERSEDED_SECRET = 7, /* the code fits a secret that another takes the place of */
    VERIFY_ENROLLMENT_EXPIRED = 8,
};

struct verify_request {
    struct tenant_id tenant;
    struct user_id user;
    enum channel channel;
    bool password_verified;
    struct str code;                        /* 6 to 8 ASCII digits; empty with a recovery code */
    struct str recovery_code;               /* empty with a code */
    const struct enrollment_id *enrollment; /* NULL: the user's own secret */
    const uint8_t *request_id;              /* REQUEST_ID_LEN bytes; NULL: not retry-safe */
    struct actor actor;
};

struct verify_answer {
    enum verify_outcome outcome;
    enum login_reason reason;
    int64_t retry_after_ms; /* VERIFY_LOCKED; 0: until an administrator unlocks */
    int64_t time_ms;
    struct enrollment_id enrollment; /* VERIFY_SUPERSEDED_SECRET: of the secret that counts */
};

/* Borrows req. On ERR_OK *out is the answer and the attempt is recorded (durable when the
 * batch is); on any other return *out is VERIFY_REFUSED. A wrong, reused or late code is an
 * answer, not an error. ERR_PRECONDITION with reason PASSWORD_NOT_VERIFIED; ERR_INVALID for a
 * code of another length than the secret's and for a request id that came before with other
 * fields; ERR_LIMIT when too many request ids are remembered; ERR_CORRUPT for a sealed secret
 * that does not open. */
MUST_CHECK enum err verify_code(struct domain *d, const struct verify_request *req,
                                struct verify_answer *out, struct err_text *why);

#endif
