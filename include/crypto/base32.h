/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_BASE32_H
#define CRYPTO_BASE32_H

/* Base32 of RFC 4648 section 6 (A-Z, 2-7), without padding, in a time that does
 * not depend on the bytes: it writes and reads TOTP secrets. Thread: any. */

#include "base/err.h"
#include "base/str.h"

/* Characters for n bytes, without padding and without NUL. */
#define BASE32_LEN(n) (((n)*8 + 4) / 5)

/* out holds BASE32_LEN(n) + 1 bytes; it is terminated. */
void base32_encode(char *out, const uint8_t *bytes, size_t n);

/* Either case; spaces, dashes and trailing '=' are skipped, as people paste them.
 * ERR_INVALID for any other character, for an impossible length and for left-over
 * bits that are not zero; ERR_LIMIT when more than cap bytes come out. */
MUST_CHECK enum err base32_decode(uint8_t *out, size_t cap, size_t *len_out, struct str text);

#endif
