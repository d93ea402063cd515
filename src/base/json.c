/* SPDX-License-Identifier: ISC */
#include "base/json.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define JSON_TIME_LEN 40

void json_begin(struct buf *out)
{
    buf_append_byte(out, '{');
}

void json_end(struct buf *out)
{
    buf_append_byte(out, '}');
}

/* The length of the well-formed printable character at s[i] that may stand as it is
 * in a JSON string; 0 when it has to be escaped or replaced. */
static size_t plain_len(struct str s, size_t i)
{
    uint8_t c = (uint8_t)s.p[i];
    if (c < 0x80)
        return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
    for (size_t n = 2; n <= 4 && n <= s.len - i; n++)
        if (str_is_plain((struct str){.p = s.p + i, .len = n}))
            return n;
    return 0;
}

/* How many bytes make up the character at s[i] that is not plain. */
static size_t odd_len(struct str s, size_t i)
{
    if ((uint8_t)s.p[i] < 0x80)
        return 1;
    for (size_t n = 2; n <= 4 && n <= s.len - i; n++)
        if (str_is_utf8((struct str){.p = s.p + i, .len = n}))
            return n;
    return 1;
}

static void append_odd(struct buf *out, struct str s, size_t i, size_t n)
{
    uint8_t c = (uint8_t)s.p[i];
    if (c == '"' || c == '\\')
        buf_printf(out, "\\%c", c);
    else if (n == 2)
        buf_printf(out, "\\u%04x", (unsigned)((c & 0x1f) << 6 | (s.p[i + 1] & 0x3f)));
    else if (n == 3)
        buf_printf(out, "\\u%04x",
                   (unsigned)((c & 0x0f) << 12 | (s.p[i + 1] & 0x3f) << 6 | (s.p[i + 2] & 0x3f)));
    else if (c < 0x80)
        buf_printf(out, "\\u%04x", (unsigned)c);
    else
        buf_append_str(out, STR("\xef\xbf\xbd"));
}

static void append_quoted(struct buf *out, struct str s)
{
    buf_append_byte(out, '"');
    size_t i = 0;
    while (i < s.len) {
        size_t start = i;
        for (size_t n; i < s.len && (n = plain_len(s, i)) > 0;)
            i += n;
        buf_append(out, s.p + start, i - start);
        if (i == s.len)
            break;
        size_t n = odd_len(s, i);
        append_odd(out, s, i, n);
        i += n;
    }
    buf_append_byte(out, '"');
}

static void append_key(struct buf *out, const char *key)
{
    if (out->data[out->len - 1] != '{')
        buf_append_byte(out, ',');
    buf_append_byte(out, '"');
    buf_append_str(out, str_from(key));
    buf_append_str(out, STR("\":"));
}

void json_str(struct buf *out, const char *key, struct str value)
{
    append_key(out, key);
    append_quoted(out, value);
}

void json_int(struct buf *out, const char *key, int64_t value)
{
    append_key(out, key);
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value);
    buf_append(out, digits, (size_t)n);
}

void json_bool(struct buf *out, const char *key, bool value)
{
    append_key(out, key);
    buf_append_str(out, value ? STR("true") : STR("false"));
}

void json_time(struct buf *out, const char *key, int64_t unix_ms)
{
    int64_t ms = unix_ms % 1000 + (unix_ms % 1000 < 0 ? 1000 : 0);
    time_t seconds = (time_t)((unix_ms - ms) / 1000);
    struct tm tm;
    char text[JSON_TIME_LEN];
    size_t n = 0;
    if (gmtime_r(&seconds, &tm) != NULL)
        n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(text + n, sizeof text - n, ".%03dZ", (int)ms);
    json_str(out, key, (struct str){.p = text, .len = n});
}
