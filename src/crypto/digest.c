/* SPDX-License-Identifier: ISC */
#include "crypto/digest.h"

#include "crypto/seal.h"
#include "crypto/secret.h"

#include <sodium.h>
#include <stdlib.h>

static void put_u64(uint8_t out[static 8], uint64_t n)
{
    for (size_t i = 0; i < 8; i++)
        out[i] = (uint8_t)(n >> (56 - 8 * i));
}

static void hash(uint8_t out[static DIGEST_LEN], const uint8_t *key, size_t key_len,
                 const struct str *parts, size_t n)
{
    crypto_generichash_state state;
    uint8_t len[8];
    crypto_generichash_init(&state, key, key_len, DIGEST_LEN);
    for (size_t i = 0; i < n; i++) {
        put_u64(len, parts[i].len);
        crypto_generichash_update(&state, len, sizeof len);
        crypto_generichash_update(&state, (const uint8_t *)parts[i].p, parts[i].len);
    }
    crypto_generichash_final(&state, out, DIGEST_LEN);
    secret_wipe(&state, sizeof state);
}

void digest_parts(uint8_t out[static DIGEST_LEN], const struct str *parts, size_t n)
{
    hash(out, NULL, 0, parts, n);
}

void digest_keyed(uint8_t out[static DIGEST_LEN], const struct secret *key, const struct str *parts,
                  size_t n)
{
    if (key->len != SEAL_KEY_LEN)
        abort();
    hash(out, key->bytes, key->len, parts, n);
}
