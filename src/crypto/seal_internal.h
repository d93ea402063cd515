/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_SEAL_INTERNAL_H
#define CRYPTO_SEAL_INTERNAL_H

/* The bare AEAD under seal.h, apart so that published test vectors, which know
 * nothing of our framing, can be run against it. Thread: any. */

#include "crypto/seal.h"

#define SEAL_NONCE_LEN 24
#define SEAL_TAG_LEN   16

struct seal_raw {
    const uint8_t *key;   /* SEAL_KEY_LEN bytes */
    const uint8_t *nonce; /* SEAL_NONCE_LEN bytes */
    struct str aad;
};

/* out holds n + SEAL_TAG_LEN bytes. */
void seal_raw_close(uint8_t *out, const struct seal_raw *raw, const uint8_t *plain, size_t n);

/* n counts the tag; out holds n - SEAL_TAG_LEN bytes. False when it does not open. */
bool seal_raw_open(uint8_t *out, const struct seal_raw *raw, const uint8_t *sealed, size_t n);

#endif
