/* SPDX-License-Identifier: ISC */
#include "qr/key_uri.h"

#include "crypto/base32.h"
#include "crypto/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ISSUER_MAX       64
#define ACCOUNT_MAX      128
#define ACCOUNT_KEPT_MIN 8

#define ENCODED_BYTE   3
#define UTF8_BYTES_MAX 4
#define ELLIPSIS       "%E2%80%A6"
#define ELLIPSIS_LEN   (sizeof ELLIPSIS - 1)

#define SCHEME "otpauth://totp/"
#define SECRET "?secret="
#define ISSUER "&issuer="
/* The last three parameters at their longest, and the terminator. */
#define TAIL_MAX (sizeof "&algorithm=SHA512&digits=8&period=4294967295")

_Static_assert(sizeof SCHEME SECRET ISSUER ":" + TAIL_MAX + 2 * ENCODED_BYTE * ISSUER_MAX +
                       ENCODED_BYTE * UTF8_BYTES_MAX * ACCOUNT_KEPT_MIN + 2 * ELLIPSIS_LEN +
                       BASE32_LEN(SECRET_MAX) <=
                   KEY_URI_MAX,
               "a URI above KEY_URI_SHORT, its account cut, fits");

static const char *hash_name(enum totp_hash hash)
{
    switch (hash) {
    case TOTP_SHA1:
        return "SHA1";
    case TOTP_SHA256:
        return "SHA256";
    case TOTP_SHA512:
        return "SHA512";
    }
    return NULL;
}

/* RFC 3986 section 2.3; isalnum would ask the locale. */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static size_t encoded_len(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += is_unreserved(s.p[i]) ? 1 : ENCODED_BYTE;
    return n;
}

static char *put_encoded(char *at, struct str s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = (uint8_t)s.p[i];
        if (is_unreserved(s.p[i])) {
            *at++ = s.p[i];
            continue;
        }
        *at++ = '%';
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 15];
    }
    return at;
}

static char *put(char *at, const char *text)
{
    size_t n = strlen(text);
    memcpy(at, text, n);
    return at + n;
}

/* The length of s without its last character. */
static size_t len_without_last(struct str s)
{
    size_t n = s.len - 1;
    while (n > 0 && ((uint8_t)s.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static size_t count_characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
    return n;
}

/* As much of account as leaves the rest of the URI room in KEY_URI_SHORT. An
 * account that cutting would not make shorter stays whole. */
static struct str cut_account(struct str account, size_t rest)
{
    size_t whole = encoded_len(account);
    if (rest + whole <= KEY_URI_SHORT)
        return account;
    struct str cut = account;
    size_t characters = count_characters(account);
    while (characters > ACCOUNT_KEPT_MIN &&
           (cut.len == account.len || rest + encoded_len(cut) + ELLIPSIS_LEN > KEY_URI_SHORT)) {
        cut.len = len_without_last(cut);
        characters--;
    }
    return encoded_len(cut) + ELLIPSIS_LEN < whole ? cut : account;
}

static enum err check_name(struct str name, size_t max, const char *field, struct err_text *why)
{
    const char *wrong = NULL;
    if (name.len == 0)
        wrong = "is empty";
    else if (name.len > max)
        wrong = "is too long";
    else if (!str_is_plain(name))
        wrong = "is not UTF-8 text without control characters";
    else if (memchr(name.p, ':', name.len) != NULL)
        wrong = "has a colon, which apps read as the end of the issuer";
    if (wrong == NULL)
        return ERR_OK;
    return err_invalid(why, NULL, field, "%s %s", field, wrong);
}

static enum err check(const struct key_uri *u, struct err_text *why)
{
    TRY(check_name(u->issuer, ISSUER_MAX, "issuer", why));
    TRY(check_name(u->account, ACCOUNT_MAX, "account_name", why));
    if (u->secret->len == 0 || hash_name(u->hash) == NULL || u->digits < TOTP_DIGITS_MIN ||
        u->digits > TOTP_DIGITS_MAX || u->period == 0)
        return err_set(why, ERR_INTERNAL, NULL, "a key URI of no usable secret");
    return ERR_OK;
}

enum err key_uri_write(char out[static KEY_URI_MAX], const struct key_uri *u, struct err_text *why)
{
    TRY(check(u, why));
    char tail[TAIL_MAX];
    snprintf(tail, sizeof tail, "&algorithm=%s&digits=%u&period=%u", hash_name(u->hash), u->digits,
             u->period);
    size_t secret_len = BASE32_LEN(u->secret->len);
    size_t rest =
        strlen(SCHEME ":" SECRET ISSUER) + 2 * encoded_len(u->issuer) + secret_len + strlen(tail);
    struct str account = cut_account(u->account, rest);

    char *at = put(out, SCHEME);
    at = put_encoded(at, u->issuer);
    at = put(at, ":");
    at = put_encoded(at, account);
    at = put(at, account.len < u->account.len ? ELLIPSIS : "");
    at = put(at, SECRET);
    base32_encode(at, u->secret->bytes, u->secret->len);
    at = put(at + secret_len, ISSUER);
    at = put_encoded(at, u->issuer);
    at = put(at, tail);
    *at = '\0';
    return ERR_OK;
}
