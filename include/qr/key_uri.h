/* SPDX-License-Identifier: ISC */
#ifndef QR_KEY_URI_H
#define QR_KEY_URI_H

/* The key URI that an authenticator app reads:
 *   otpauth://totp/Issuer:account?secret=…&issuer=Issuer&algorithm=SHA1&digits=6&period=30
 * The issuer stands in the label and as a parameter, the secret is base32 without
 * padding, everything else is percent-encoded (a space is %20). Thread: any. */

#include "base/err.h"
#include "base/str.h"
#include "crypto/totp.h"

struct secret;

/* Room for the longest URI that is made, with its NUL. */
#define KEY_URI_MAX 1024
/* Cameras of old phones read a code of up to this many characters well. */
#define KEY_URI_SHORT 180

struct key_uri {
    struct str issuer;  /* 1 to 64 bytes, plain (str_is_plain), no colon */
    struct str account; /* 1 to 128 bytes, plain, no colon */
    const struct secret *secret;
    enum totp_hash hash;
    uint32_t digits;
    uint32_t period;
};

/* Writes the URI into out, terminated; wipe it after use. When it would be longer
 * than KEY_URI_SHORT, the account is cut at a character's border, with "…" in place
 * of the rest, as far as it has to be, leaves at least 8 characters and makes it
 * shorter; the issuer and the secret are never cut. ERR_INVALID with the field
 * (issuer or account_name, as the API names them) for a colon, an empty or an
 * overlong name; ERR_INTERNAL for an empty secret or a number out of its range. */
MUST_CHECK enum err key_uri_write(char out[static KEY_URI_MAX], const struct key_uri *u,
                                  struct err_text *why);

#endif
