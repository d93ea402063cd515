/* SPDX-License-Identifier: ISC */
#include "smtp_reply_internal.h"

#include <string.h>

#define CODE_LEN     3
#define CODE_GO_ON   354 /* to DATA */
#define CODE_REFUSES 400 /* and all above */
#define WORD_MAX_LEN 42  /* a link's token is longer */
#define LOCAL_MIN    3   /* a shorter left part of an address is in half of all words */

/* 0: not a reply. */
static int code_of(struct str line)
{
    int code = 0;
    if (line.len < CODE_LEN)
        return 0;
    for (size_t i = 0; i < CODE_LEN; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return 0;
        code = code * 10 + (line.p[i] - '0');
    }
    return code;
}

static void add_text(struct smtp_replies *r, struct str s)
{
    size_t n = SMTP_REPLY_TEXT_MAX - r->len;
    n = s.len < n ? s.len : n;
    memcpy(r->text + r->len, s.p, n);
    r->len += n;
}

/* A reply that ended. */
static void note_reply(struct smtp_replies *r, int code)
{
    bool refuses = code >= CODE_REFUSES;
    if (refuses)
        r->refusal = code;
    if (r->data_begun) {
        r->decided = true;
        r->taken = code / 100 == 2;
        r->refusal = refuses ? code : 0;
    }
    r->data_begun = r->data_begun || code == CODE_GO_ON;
}

int smtp_reply_line(struct smtp_replies *r, struct str line)
{
    while (line.len > 0 && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
        line.len--;
    int code = code_of(line);
    if (code == 0 || r->decided)
        return 0;
    size_t skip = line.len > CODE_LEN ? CODE_LEN + 1 : CODE_LEN;
    bool ends = line.len == CODE_LEN || line.p[CODE_LEN] != '-';
    if (code >= CODE_REFUSES) {
        if (r->within)
            add_text(r, STR(" "));
        else
            r->len = 0;
        add_text(r, (struct str){line.p + skip, line.len - skip});
    }
    r->within = !ends;
    if (!ends)
        return 0;
    note_reply(r, code);
    return code;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool has_ignoring_case(struct str s, struct str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++) {
        size_t k = 0;
        while (k < part.len && lower(s.p[i + k]) == lower(part.p[k]))
            k++;
        if (k == part.len)
            return true;
    }
    return false;
}

static bool is_private(struct str word, struct str to)
{
    const char *at = to.len > 0 ? memchr(to.p, '@', to.len) : NULL;
    struct str local = {to.p, at != NULL ? (size_t)(at - to.p) : 0};
    bool may_be_local = local.len >= LOCAL_MIN || (local.len > 0 && word.len <= LOCAL_MIN);
    return word.len > WORD_MAX_LEN || memchr(word.p, '@', word.len) != NULL ||
           memmem(word.p, word.len, "://", 3) != NULL ||
           (may_be_local && has_ignoring_case(word, local));
}

/* Takes a run of what is not a space off the front; empty: there is no more. */
static struct str take_word(struct str *rest)
{
    size_t begin = 0;
    while (begin < rest->len && (unsigned char)rest->p[begin] <= 0x20)
        begin++;
    size_t end = begin;
    while (end < rest->len && (unsigned char)rest->p[end] > 0x20)
        end++;
    struct str word = {rest->p + begin, end - begin};
    *rest = (struct str){rest->p + end, rest->len - end};
    return word;
}

void smtp_reply_clean(char *out, size_t size, struct str text, struct str to)
{
    size_t n = 0;
    for (struct str word; (word = take_word(&text)).len > 0;) {
        if (is_private(word, to))
            word = STR("(...)");
        if (n + word.len + 2 > size)
            break;
        if (n > 0)
            out[n++] = ' ';
        for (size_t i = 0; i < word.len; i++)
            out[n++] = (unsigned char)word.p[i] < 0x7f ? word.p[i] : '?';
    }
    out[n] = '\0';
}
