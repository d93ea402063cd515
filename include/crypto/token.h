/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_TOKEN_H
#define CRYPTO_TOKEN_H

/* The token of a mailed link: 256 bits from the system's generator as base64url (RFC 4648
 * section 5) without padding. It is found again by its hash; the token itself is a secret.
 * Thread: any. */

#include "base/str.h"
#include "crypto/digest.h"

struct secret;

#define TOKEN_TEXT_LEN 43

/* A fresh one: TOKEN_TEXT_LEN characters. */
void token_make(struct secret *out);

/* What a token is found by. text may be anything: what is no token has a hash that nobody has. */
void token_hash(uint8_t out[static DIGEST_LEN], struct str text);

#endif
