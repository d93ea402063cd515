/* SPDX-License-Identifier: ISC */
#include "base/str.h"

#include <string.h>

struct str str_from(const char *c_string)
{
    return (struct str){.p = c_string, .len = strlen(c_string)};
}

bool str_equal(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (a.p[i] != b.p[i])
            return false;
    return true;
}

bool str_equal_bytes(const void *a, const void *b, size_t n)
{
    return str_equal((struct str){.p = a, .len = n}, (struct str){.p = b, .len = n});
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_equal((struct str){.p = s.p, .len = prefix.len}, prefix);
}

uint32_t str_hash(struct str s)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.p[i]) * 16777619u;
    return hash;
}

/* Decodes the character at s[i]; returns its length in bytes, 0 when malformed. */
static size_t utf8_at(struct str s, size_t i, uint32_t *code_out)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)s.p[i];
    if (lead < 0x80) {
        *code_out = lead;
        return 1;
    }
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || n > s.len - i)
        return 0;
    uint32_t code = lead & (0xffu >> (n + 1));
    for (size_t k = 1; k < n; k++) {
        uint8_t byte = (uint8_t)s.p[i + k];
        if ((byte & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (byte & 0x3f);
    }
    if (code < smallest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *code_out = code;
    return n;
}

bool str_is_utf8(struct str s)
{
    uint32_t code;
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_at(s, i, &code);
        if (n == 0)
            return false;
    }
    return true;
}

bool str_is_plain(struct str s)
{
    uint32_t code;
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_at(s, i, &code);
        if (n == 0)
            return false;
        bool control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
        if (control || code == 0x2028 || code == 0x2029)
            return false;
    }
    return true;
}

void str_hex_encode(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool str_hex_decode(uint8_t *out, size_t n, struct str s)
{
    if (s.len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_value(s.p[2 * i]), low = hex_value(s.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
    if (s.len == 0 || s.len > 20 || (s.p[0] == '0' && s.len > 1))
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n))
            return false;
    }
    if (n > max)
        return false;
    *out = n;
    return true;
}
