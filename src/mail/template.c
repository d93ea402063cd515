/* SPDX-License-Identifier: ISC */
#include "template_internal.h"

#include <string.h>

/* The longest that escaping makes of one byte: "&quot;". */
#define ESCAPED_MAX 6

/* So much of an unknown name is in the error. */
#define SHOWN_MAX 32

static const struct str slot_names[N_SLOTS] = {
    [SLOT_ISSUER] = {"issuer", 6},     [SLOT_LINK] = {"link", 4},
    [SLOT_EXPIRES] = {"expires", 7},   [SLOT_DATE] = {"date", 4},
    [SLOT_SUBJECT] = {"subject", 7},   [SLOT_BODY] = {"body", 4},
    [SLOT_LANGUAGE] = {"language", 8},
};

/* ---- parsing ---------------------------------------------------------------------------- */

struct parser {
    struct template *out;
    const struct template_rules *rules;
    struct str text;
    size_t at, line;
    size_t literal_begin; /* in out->literals */
    unsigned seen;        /* SLOT_BITs */
    struct err_text *why;
};

static enum err refuse(const struct parser *p, const char *what)
{
    return err_set(p->why, ERR_INVALID, NULL, "%s:%zu: %s", p->rules->name, p->line, what);
}

static enum err add_piece(struct parser *p, enum slot slot)
{
    struct template *t = p->out;
    if (t->n == TEMPLATE_PIECES_MAX)
        return refuse(p, "too many placeholders");
    t->pieces[t->n++] =
        (struct piece){.literal_len = t->literals.len - p->literal_begin, .slot = slot};
    p->literal_begin = t->literals.len;
    return ERR_OK;
}

static enum err place(struct parser *p, struct str name)
{
    for (enum slot slot = 0; slot < N_SLOTS; slot++) {
        if (!str_equal(name, slot_names[slot]))
            continue;
        if ((p->rules->allowed & SLOT_BIT(slot)) == 0)
            return err_set(p->why, ERR_INVALID, NULL, "%s:%zu: {%s} has no place in %s",
                           p->rules->name, p->line, slot_names[slot].p, p->rules->of_what);
        p->seen |= SLOT_BIT(slot);
        return add_piece(p, slot);
    }
    return err_set(p->why, ERR_INVALID, NULL, "%s:%zu: unknown placeholder {%.*s}", p->rules->name,
                   p->line, (int)(name.len < SHOWN_MAX ? name.len : SHOWN_MAX), name.p);
}

/* At a brace. */
static enum err read_brace(struct parser *p)
{
    const char *here = p->text.p + p->at;
    size_t left = p->text.len - p->at;
    if (left > 1 && here[1] == here[0]) {
        buf_append_byte(&p->out->literals, (uint8_t)here[0]);
        p->at += 2;
        return ERR_OK;
    }
    size_t len = 1;
    while (len < left && here[len] >= 'a' && here[len] <= 'z')
        len++;
    if (here[0] == '}' || len == left || here[len] != '}')
        return refuse(p, "a brace without its other, or with more than a name between (a brace "
                         "that is meant is doubled)");
    p->at += len + 1;
    return place(p, (struct str){here + 1, len - 1});
}

/* The text's part up to the end of the line; at is behind it then. */
static enum err read_line(struct parser *p)
{
    struct buf *to = &p->out->literals;
    while (p->at < p->text.len) {
        char c = p->text.p[p->at];
        bool crlf = c == '\r' && p->at + 1 < p->text.len && p->text.p[p->at + 1] == '\n';
        if (c == '\n' || crlf) {
            buf_append(to, "\r\n", 2);
            p->at += crlf ? 2 : 1;
            return ERR_OK;
        }
        if (c == '{' || c == '}') {
            TRY(read_brace(p));
            continue;
        }
        if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
            return refuse(p, "a control character");
        buf_append_byte(to, (uint8_t)c);
        p->at++;
    }
    return ERR_OK;
}

static enum err check_utf8(const struct parser *p)
{
    const char *here = p->text.p + p->at;
    size_t left = p->text.len - p->at;
    const char *end = memchr(here, '\n', left);
    struct str line = {here, end != NULL ? (size_t)(end - here) : left};
    return str_is_utf8(line) ? ERR_OK : refuse(p, "not UTF-8");
}

static enum err check_required(const struct parser *p)
{
    for (enum slot slot = 0; slot < N_SLOTS; slot++)
        if (p->rules->required & ~p->seen & SLOT_BIT(slot))
            return err_set(p->why, ERR_INVALID, NULL, "%s:%zu: {%s} is missing in %s",
                           p->rules->name, p->line, slot_names[slot].p, p->rules->of_what);
    return ERR_OK;
}

static enum err read_all(struct parser *p)
{
    while (p->at < p->text.len) {
        TRY(check_utf8(p));
        TRY(read_line(p));
        if (p->at < p->text.len)
            p->line++;
    }
    TRY(check_required(p));
    return add_piece(p, N_SLOTS);
}

enum err template_parse(struct template *out, struct str text, const struct template_rules *rules,
                        struct err_text *why)
{
    *out = (struct template){0};
    struct parser p = {
        .out = out, .rules = rules, .text = text, .line = rules->first_line, .why = why};
    enum err e = read_all(&p);
    if (e != ERR_OK)
        template_release(out);
    return e;
}

void template_release(struct template *t)
{
    buf_release(&t->literals);
    t->n = 0;
}

/* ---- filling ------------------------------------------------------------------------------ */

static void append_escaped(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.p[i]) {
        case '&':
            buf_append_str(out, STR("&amp;"));
            break;
        case '<':
            buf_append_str(out, STR("&lt;"));
            break;
        case '>':
            buf_append_str(out, STR("&gt;"));
            break;
        case '"':
            buf_append_str(out, STR("&quot;"));
            break;
        case '\'':
            buf_append_str(out, STR("&#39;"));
            break;
        default:
            buf_append_byte(out, (uint8_t)s.p[i]);
        }
    }
}

static size_t room_for(const struct template *t, const struct template_values *values)
{
    size_t room = t->literals.len;
    for (size_t i = 0; i < t->n; i++)
        if (t->pieces[i].slot != N_SLOTS)
            room += ESCAPED_MAX * values->of[t->pieces[i].slot].len;
    return room;
}

void template_fill(struct buf *out, const struct template *t, const struct template_values *values,
                   enum template_style style)
{
    const uint8_t *literal = t->literals.data;
    buf_reserve(out, room_for(t, values));
    for (size_t i = 0; i < t->n; i++) {
        const struct piece *piece = &t->pieces[i];
        buf_append(out, literal, piece->literal_len);
        literal += piece->literal_len;
        if (piece->slot == N_SLOTS)
            return;
        struct str value = values->of[piece->slot];
        if (style == TEMPLATE_HTML && piece->slot != SLOT_BODY)
            append_escaped(out, value);
        else
            buf_append_str(out, value);
    }
}
