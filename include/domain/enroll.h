/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_ENROLL_H
#define DOMAIN_ENROLL_H

/* A new secret for a user who has none. Thread: worker. */

#include "crypto/base32.h"
#include "domain/domain.h"
#include "qr/key_uri.h"
#include "qr/qr.h"

struct enroll_request {
    struct tenant_id tenant;
    struct user_id user;
    enum channel channel;
    bool password_verified;
    struct str account_name; /* empty: the user's id */
    struct str
        notify_address; /* where a notice goes once the secret is confirmed; empty: nowhere */
    struct str locale;  /* of the notice; empty: the policy's */
    struct actor actor;
};

#define ENROLL_SECRET_MAX 64 /* bytes of the longest TOTP secret */
#define ENROLL_HINTS_MAX  2

/* Holds the secret in the clear: enroll_answer_release wipes it. */
struct enroll_answer {
    struct enrollment_id enrollment;
    char secret_base32[BASE32_LEN(ENROLL_SECRET_MAX) + 1];
    char uri[KEY_URI_MAX];
    struct qr_image image; /* empty until enroll_draw */
    int64_t expire_ms;
    const char *hints[ENROLL_HINTS_MAX]; /* constants: what to tell users about their apps */
    size_t n_hints;
};

/* Makes a pending secret. Borrows req. ERR_PRECONDITION with reason PASSWORD_NOT_VERIFIED or
 * POLICY_OFF, ERR_EXISTS for an enrolled user, ERR_INVALID for a name that cannot stand in a
 * key URI. On failure *out is released and nothing was made. */
MUST_CHECK enum err enroll_user(struct domain *d, const struct enroll_request *req,
                                struct enroll_answer *out, struct err_text *why);

/* Draws the QR code of an answer. It takes some ten times as long as all the rest, so it is not
 * the worker's to do. Thread: any. */
MUST_CHECK enum err enroll_draw(struct enroll_answer *answer, enum qr_format format,
                                struct err_text *why);

/* Wipes and frees what *out holds. Fine on zero bytes. */
void enroll_answer_release(struct enroll_answer *out);

#endif
