/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_FACTOR_INTERNAL_H
#define DOMAIN_FACTOR_INTERNAL_H

/* A user's TOTP secret: sealed for the store, opened for the blink of a compare.
 * Thread: worker. */

#include "base/err.h"
#include "store/types.h"

struct domain;
struct secret;

/* Seals `secret` into f, whose generation is set; makes the tenant's data key when there
 * is none. */
MUST_CHECK enum err factor_seal(struct domain *d, struct tenant_id t, struct user_id u,
                                struct factor *f, const struct secret *secret,
                                struct err_text *why);

/* The newest time step within `window` of now that the code fits, or -1. code has f->digits
 * digits. ERR_CORRUPT when the secret does not open: alarm. */
MUST_CHECK enum err factor_match(struct domain *d, struct tenant_id t, struct user_id u,
                                 const struct factor *f, const char *code, uint32_t window,
                                 int64_t now_ms, int64_t *step_out, struct err_text *why);

#endif
