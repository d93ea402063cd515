/* SPDX-License-Identifier: ISC */
#include "header_internal.h"

#include "base/buf.h"

#include <string.h>

/* RFC 2047 section 2: a line that has an encoded word has at most 76 characters. */
#define LINE_MAX_LEN 76
#define WORD_BEGIN   "=?utf-8?Q?"
#define WORD_END     "?="

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool header_is_dot_atom(struct str s)
{
    bool may_dot = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '.') {
            if (!may_dot)
                return false;
            may_dot = false;
        } else if (c != '\0' && (is_alnum(c) || strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL)) {
            may_dot = true;
        } else {
            return false;
        }
    }
    return may_dot;
}

bool header_is_address(struct str s)
{
    const char *at = s.len > 0 ? memchr(s.p, '@', s.len) : NULL;
    if (at == NULL || s.len > HEADER_ADDRESS_MAX)
        return false;
    struct str local = {s.p, (size_t)(at - s.p)};
    struct str domain = {at + 1, s.len - local.len - 1};
    return local.len <= HEADER_LOCAL_MAX && header_is_dot_atom(local) && header_is_dot_atom(domain);
}

/* Where the end of out stands on its line, which begins after a fold or another field. */
static size_t column(const struct buf *out)
{
    size_t n = 0;
    while (n < out->len && out->data[out->len - 1 - n] != '\n' &&
           out->data[out->len - 1 - n] != '\0')
        n++;
    return n;
}

/* Of ASCII that no reader takes for an encoded word. */
static bool is_clear(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    return memmem(s.p, s.len, "=?", 2) == NULL;
}

/* The length of the character that begins with this byte. */
static size_t utf8_len(char lead)
{
    uint8_t byte = (uint8_t)lead;
    return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/* RFC 2047 section 5 (3): what needs no encoding even in a display name. */
static bool is_word_safe(char c)
{
    return is_alnum(c) || c == '!' || c == '*' || c == '+' || c == '-' || c == '/';
}

static void encode_byte(struct buf *out, char c)
{
    if (c == ' ')
        buf_append_byte(out, '_');
    else if (is_word_safe(c))
        buf_append_byte(out, (uint8_t)c);
    else
        buf_printf(out, "=%02X", (uint8_t)c);
}

/* As encoded words, one a line, no character cut in two. */
static void encode_words(struct buf *out, struct str s)
{
    size_t at = column(out);
    bool open = false;
    for (size_t i = 0, n; i < s.len; i += n) {
        struct buf one = BUF_INIT;
        n = utf8_len(s.p[i]);
        for (size_t k = 0; k < n; k++)
            encode_byte(&one, s.p[i + k]);
        size_t need = one.len + (open ? 0 : strlen(WORD_BEGIN)) + strlen(WORD_END);
        if (at + need > LINE_MAX_LEN) {
            buf_append_str(out, open ? STR(WORD_END "\r\n ") : STR("\r\n "));
            at = 1;
            open = false;
        }
        if (!open)
            buf_append_str(out, STR(WORD_BEGIN));
        at += one.len + (open ? 0 : strlen(WORD_BEGIN));
        open = true;
        buf_append_str(out, buf_str(&one));
        buf_release(&one);
    }
    if (open)
        buf_append_str(out, STR(WORD_END));
}

static void begin(struct buf *out, const char *name)
{
    buf_printf(out, "%s: ", name);
}

static void end(struct buf *out)
{
    buf_append_byte(out, '\0');
}

void header_raw(struct buf *out, const char *name, struct str value)
{
    begin(out, name);
    buf_append_str(out, value);
    end(out);
}

void header_text(struct buf *out, const char *name, struct str value)
{
    begin(out, name);
    if (is_clear(value) && column(out) + value.len <= LINE_MAX_LEN)
        buf_append_str(out, value);
    else
        encode_words(out, value);
    end(out);
}

static bool needs_backslash(char c)
{
    return c == '"' || c == '\\';
}

static size_t quoted_len(struct str s)
{
    size_t n = s.len + strlen("\"\"");
    for (size_t i = 0; i < s.len; i++)
        n += needs_backslash(s.p[i]) ? 1 : 0;
    return n;
}

static void quote(struct buf *out, struct str s)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (needs_backslash(s.p[i]))
            buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)s.p[i]);
    }
    buf_append_byte(out, '"');
}

void header_mailbox(struct buf *out, const char *name, struct str display, struct str address)
{
    begin(out, name);
    if (display.len == 0) {
        buf_append_str(out, address);
        end(out);
        return;
    }
    if (is_clear(display) && column(out) + quoted_len(display) <= LINE_MAX_LEN)
        quote(out, display);
    else
        encode_words(out, display);
    bool fits = column(out) + strlen(" <>") + address.len <= LINE_MAX_LEN;
    buf_append_str(out, fits ? STR(" <") : STR("\r\n <"));
    buf_append_str(out, address);
    buf_append_byte(out, '>');
    end(out);
}
