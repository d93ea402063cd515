/* SPDX-License-Identifier: ISC */
#include "crypto/seal_internal.h"

#include "crypto/random.h"
#include "crypto/secret.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define VERSION  0x01
#define NONCE_AT 1
#define BODY_AT  (NONCE_AT + SEAL_NONCE_LEN)

_Static_assert(SEAL_OVERHEAD == BODY_AT + SEAL_TAG_LEN, "the format is as in seal.h");
_Static_assert(SEAL_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(SEAL_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(SEAL_TAG_LEN == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

/* The additional data: purpose, tenant and user each behind its length, then the
 * two numbers. */
struct aad {
    size_t len;
    char bytes[SEAL_BINDING_MAX + 5 * sizeof(uint32_t)];
};

static void add_u32(struct aad *a, uint32_t n)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        a->bytes[a->len++] = (char)(n >> shift & 0xff);
}

static void add_str(struct aad *a, struct str s)
{
    add_u32(a, (uint32_t)s.len);
    if (s.len > 0)
        memcpy(a->bytes + a->len, s.p, s.len);
    a->len += s.len;
}

static struct str encode(struct aad *a, const struct seal_binding *b)
{
    struct str purpose = str_from(b->purpose);
    if (purpose.len > SEAL_BINDING_MAX || b->tenant.len > SEAL_BINDING_MAX ||
        b->user.len > SEAL_BINDING_MAX ||
        purpose.len + b->tenant.len + b->user.len > SEAL_BINDING_MAX)
        abort();
    a->len = 0;
    add_str(a, purpose);
    add_str(a, b->tenant);
    add_str(a, b->user);
    add_u32(a, b->generation);
    add_u32(a, b->key_id);
    return (struct str){.p = a->bytes, .len = a->len};
}

void seal_raw_close(uint8_t *out, const struct seal_raw *raw, const uint8_t *plain, size_t n)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain, n, (const uint8_t *)raw->aad.p,
                                               raw->aad.len, NULL, raw->nonce, raw->key);
}

bool seal_raw_open(uint8_t *out, const struct seal_raw *raw, const uint8_t *sealed, size_t n)
{
    return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, n,
                                                      (const uint8_t *)raw->aad.p, raw->aad.len,
                                                      raw->nonce, raw->key) == 0;
}

void seal_close(uint8_t *out, const struct secret *key, const struct seal_binding *binding,
                const struct secret *plain)
{
    if (key->len != SEAL_KEY_LEN)
        abort();
    struct aad aad;
    out[0] = VERSION;
    random_bytes(out + NONCE_AT, SEAL_NONCE_LEN);
    const struct seal_raw raw = {
        .key = key->bytes, .nonce = out + NONCE_AT, .aad = encode(&aad, binding)};
    seal_raw_close(out + BODY_AT, &raw, plain->bytes, plain->len);
}

enum err seal_open(struct secret *plain, const struct secret *key,
                   const struct seal_binding *binding, const uint8_t *sealed, size_t n)
{
    secret_set(plain, NULL, 0);
    if (n < SEAL_OVERHEAD || n - SEAL_OVERHEAD > SECRET_MAX || sealed[0] != VERSION ||
        key->len != SEAL_KEY_LEN)
        return ERR_CORRUPT;
    struct aad aad;
    const struct seal_raw raw = {
        .key = key->bytes, .nonce = sealed + NONCE_AT, .aad = encode(&aad, binding)};
    if (!seal_raw_open(plain->bytes, &raw, sealed + BODY_AT, n - BODY_AT)) {
        secret_set(plain, NULL, 0);
        return ERR_CORRUPT;
    }
    plain->len = n - SEAL_OVERHEAD;
    return ERR_OK;
}
