/* SPDX-License-Identifier: ISC */
#include "grpc/codec_internal.h"

#define TIMEOUT_DIGITS 8

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A space at either end would not be a field value of HTTP/2 (RFC 9113 section 8.2.1). */
static bool stands_for_itself(struct str s, size_t i)
{
    char c = s.p[i];
    return (c > ' ' && c <= '~' && c != '%') || (c == ' ' && i > 0 && i + 1 < s.len);
}

size_t codec_percent_encode(char *out, struct str s)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = (uint8_t)s.p[i];
        if (stands_for_itself(s, i)) {
            out[n++] = s.p[i];
        } else {
            out[n++] = '%';
            out[n++] = digits[byte >> 4];
            out[n++] = digits[byte & 15];
        }
    }
    return n;
}

size_t codec_percent_decode(char *out, struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte;
        if (s.p[i] == '%' && s.len - i > 2 &&
            str_hex_decode(&byte, 1, (struct str){.p = s.p + i + 1, .len = 2})) {
            out[n++] = (char)byte;
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    return n;
}

bool codec_is_binary(struct str name)
{
    static const struct str suffix = {.p = "-bin", .len = 4};
    return name.len > suffix.len &&
           str_equal((struct str){.p = name.p + name.len - suffix.len, .len = suffix.len}, suffix);
}

size_t codec_base64_encode(char *out, struct str bytes)
{
    size_t n = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = bits << 8 | (uint8_t)bytes.p[i];
        for (count += 8; count >= 6; count -= 6)
            out[n++] = base64_digits[bits >> (count - 6) & 63];
    }
    if (count > 0)
        out[n++] = base64_digits[bits << (6 - count) & 63];
    return n;
}

/* The value of one digit; 64 for a character that is none. */
static uint32_t base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool codec_base64_decode(char *out, size_t *len_out, struct str text)
{
    if (text.len > 0 && text.len % 4 == 0)
        for (int pad = 0; pad < 2 && text.p[text.len - 1] == '='; pad++)
            text.len--;
    if (text.len % 4 == 1)
        return false;
    size_t n = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint32_t value = base64_value(text.p[i]);
        if (value > 63)
            return false;
        bits = bits << 6 | value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[n++] = (char)(bits >> count & 0xff);
        }
    }
    *len_out = n;
    return true;
}

/* A unit as so many milliseconds, or so many to a millisecond. */
struct timeout_unit {
    char name;
    int64_t ms;
    int64_t per_ms;
};

static const struct timeout_unit timeout_units[] = {
    {'n', 1, 1000000}, {'u', 1, 1000},  {'m', 1, 1},
    {'S', 1000, 1},    {'M', 60000, 1}, {'H', 3600000, 1},
};
#define TIMEOUT_UNITS   (sizeof timeout_units / sizeof timeout_units[0])
#define TIMEOUT_UNIT_MS 2 /* the index of 'm' */

bool codec_timeout_parse(struct str s, int64_t *ms_out)
{
    if (s.len < 2 || s.len > TIMEOUT_DIGITS + 1)
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < s.len - 1; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        value = value * 10 + (s.p[i] - '0');
    }
    for (size_t u = 0; u < TIMEOUT_UNITS; u++) {
        const struct timeout_unit *unit = &timeout_units[u];
        if (s.p[s.len - 1] == unit->name) {
            *ms_out = (value * unit->ms + unit->per_ms - 1) / unit->per_ms;
            return true;
        }
    }
    return false;
}

size_t codec_timeout_format(char out[static CODEC_TIMEOUT_MAX], int64_t ms)
{
    static const int64_t digits_max = 99999999;
    size_t u = TIMEOUT_UNIT_MS;
    while (u + 1 < TIMEOUT_UNITS && ms / timeout_units[u].ms > digits_max)
        u++;
    int64_t value = ms / timeout_units[u].ms;
    if (value > digits_max)
        value = digits_max;
    char digits[TIMEOUT_DIGITS];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    out[n] = timeout_units[u].name;
    return n + 1;
}
