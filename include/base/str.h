/* SPDX-License-Identifier: ISC */
#ifndef BASE_STR_H
#define BASE_STR_H

/* A borrowed run of bytes with its length; NUL is a byte like any other.
 * Whoever made the bytes owns them. Thread: any. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p;
    size_t len;
};

/* A string literal, or a NUL-terminated string. */
#define STR(lit) ((struct str){.p = (lit), .len = sizeof(lit) - 1})
struct str str_from(const char *c_string);

/* For secrets use secret_equal: this one stops at the first difference. */
bool str_equal(struct str a, struct str b);
/* The same for n bytes that are no struct str. */
bool str_equal_bytes(const void *a, const void *b, size_t n);
bool str_has_prefix(struct str s, struct str prefix);

/* Spreads strings over the slots of a table (FNV-1a); decides nothing. */
uint32_t str_hash(struct str s);

/* Is s well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF)? NUL is well-formed; see str_is_plain. */
bool str_is_utf8(struct str s);

/* Is s well-formed UTF-8 without control characters (C0 with NUL, DEL, C1) and
 * without line or paragraph separators (U+2028, U+2029)? */
bool str_is_plain(struct str s);

/* Lower-case hexadecimal. out holds 2 * n + 1 bytes; it is terminated. */
void str_hex_encode(char *out, const uint8_t *bytes, size_t n);

/* Exactly 2 * n digits of either case into n bytes; false when s is not that. */
bool str_hex_decode(uint8_t *out, size_t n, struct str s);

/* A decimal number without sign, space or leading zero, at most max. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *out);

#endif
