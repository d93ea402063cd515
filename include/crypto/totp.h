/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_TOTP_H
#define CRYPTO_TOTP_H

/* One-time codes: HOTP (RFC 4226) over time steps (RFC 6238). Pure: the caller
 * brings the time. Thread: any. */

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct secret;

enum totp_hash { TOTP_SHA1 = 1, TOTP_SHA256 = 2, TOTP_SHA512 = 3 };

#define TOTP_DIGITS_MIN 6
#define TOTP_DIGITS_MAX 8

/* Bytes of a fresh secret: as long as the hash (RFC 6238 section 5.1). */
size_t totp_secret_len(enum totp_hash hash);

/* The time step of a point in time (RFC 6238 section 4.2, T0 = 0). Times before
 * 1970 are step 0. period is in seconds, 1 or more. */
int64_t totp_step(int64_t unix_ms, uint32_t period);

/* Finds the HMAC implementation; once, before the rest. Thread: startup. */
MUST_CHECK enum err totp_init(struct err_text *why);

/* The code of one step (RFC 4226 section 5.3), zero-padded to digits (6 to 8) and
 * terminated. ERR_INTERNAL when the library fails, the key is empty or a number is
 * out of its range. */
MUST_CHECK enum err totp_code(char out[static TOTP_DIGITS_MAX + 1], const struct secret *key,
                              enum totp_hash hash, uint32_t digits, int64_t step);

/* Which step in [center - window, center + window] does code (digits characters,
 * digits only) fit? *step_out is the newest such step, or -1 when there is none.
 * The time depends on hash, digits and window alone: every step is computed and
 * every compare is made. window is 0 to 2. Errors as totp_code. */
MUST_CHECK enum err totp_match(int64_t *step_out, const char *code, const struct secret *key,
                               enum totp_hash hash, uint32_t digits, int64_t center,
                               uint32_t window);

#endif
