/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

/* Sealing: XChaCha20-Poly1305 (AEAD) with a random 192-bit nonce. What the bytes
 * belong to is bound as additional data, each part with its length, so a sealed
 * row opens in its own place only and ids cannot be shifted into one another.
 *
 * Format: version byte 0x01 | nonce 24 | ciphertext | tag 16. Thread: any. */

#include "base/err.h"
#include "base/str.h"

struct secret;

#define SEAL_KEY_LEN     32
#define SEAL_OVERHEAD    (1 + 24 + 16)
#define SEAL_BINDING_MAX 512

/* The bytes that a sealed value is bound to: what it is, whose, which version.
 * purpose is a constant of ours ("factor", "data-key"). Purpose, tenant and user are
 * at most SEAL_BINDING_MAX bytes together, else closing and opening abort. */
struct seal_binding {
    const char *purpose;
    struct str tenant;
    struct str user; /* empty where there is none */
    uint32_t generation;
    uint32_t key_id; /* of the key that seals */
};

/* Seals n <= SECRET_MAX bytes of plain; out holds n + SEAL_OVERHEAD bytes. key is
 * SEAL_KEY_LEN bytes, else aborts. */
void seal_close(uint8_t *out, const struct secret *key, const struct seal_binding *binding,
                const struct secret *plain);

/* Opens into *plain, which may have been used before. ERR_CORRUPT when key, binding or bytes do not
 * belong together; plain is then empty. */
MUST_CHECK enum err seal_open(struct secret *plain, const struct secret *key,
                              const struct seal_binding *binding, const uint8_t *sealed, size_t n);

#endif
