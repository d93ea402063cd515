/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_TOTP_INTERNAL_H
#define CRYPTO_TOTP_INTERNAL_H

/* The HMAC under totp.h, apart so that published test vectors can be run against
 * it. Thread: any. */

#include "crypto/totp.h"

#define TOTP_MAC_MAX 64

/* The HMAC (RFC 2104) of n bytes into mac[0..*len_out). */
MUST_CHECK enum err totp_hmac(uint8_t mac[static TOTP_MAC_MAX], size_t *len_out,
                              const struct secret *key, enum totp_hash hash, const uint8_t *bytes,
                              size_t n);

#endif
