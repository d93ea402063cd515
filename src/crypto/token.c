/* SPDX-License-Identifier: ISC */
#include "crypto/token.h"

#include "crypto/random.h"
#include "crypto/secret.h"

#include <sodium.h>

#define TOKEN_BYTES 32

void token_make(struct secret *out)
{
    uint8_t bytes[TOKEN_BYTES];
    char text[TOKEN_TEXT_LEN + 1];
    random_bytes(bytes, sizeof bytes);
    sodium_bin2base64(text, sizeof text, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    secret_set(out, (const uint8_t *)text, TOKEN_TEXT_LEN);
    secret_wipe(bytes, sizeof bytes);
    secret_wipe(text, sizeof text);
}

void token_hash(uint8_t out[static DIGEST_LEN], struct str text)
{
    struct str parts[] = {STR("reset-token"), text};
    digest_parts(out, parts, 2);
}
