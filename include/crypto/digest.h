/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

/* BLAKE2b hashes of 256 bits: of a caller's secret, of a record of the audit
 * chain, and keyed (as a message authentication code) of the fields of a request.
 * Several parts are hashed each with its length before it. Thread: any. */

#include "base/str.h"

struct secret;

#define DIGEST_LEN 32

void digest_parts(uint8_t out[static DIGEST_LEN], const struct str *parts, size_t n);

/* With a key of SEAL_KEY_LEN bytes. */
void digest_keyed(uint8_t out[static DIGEST_LEN], const struct secret *key, const struct str *parts,
                  size_t n);

#endif
