/* SPDX-License-Identifier: ISC */
#ifndef MAIL_TEMPLATE_INTERNAL_H
#define MAIL_TEMPLATE_INTERNAL_H

/* A text with {placeholders}. A brace that is meant is doubled: "{{" and "}}". Lines may end
 * in LF or CRLF; what is filled in has CRLF. Thread: any; a parsed template does not change. */

#include "base/buf.h"
#include "base/err.h"

enum slot {
    SLOT_ISSUER,   /* the service's name */
    SLOT_LINK,     /* where the new QR code is */
    SLOT_EXPIRES,  /* until when, in words */
    SLOT_DATE,     /* when it was asked for or done, in words */
    SLOT_SUBJECT,  /* in the frame: the mail's subject */
    SLOT_LANGUAGE, /* in the frame: its tag */
    SLOT_BODY,     /* in the frame: the HTML that it is around */
    N_SLOTS,
};
#define SLOT_BIT(slot) (1u << (slot))

#define TEMPLATE_PIECES_MAX 64

struct template
{
    struct buf literals;
    struct piece {
        size_t literal_len; /* so many of the literals' bytes */
        enum slot slot;     /* and then this value; N_SLOTS: none, the end */
    } pieces[TEMPLATE_PIECES_MAX];
    size_t n;
};

struct template_rules {
    const char *name;    /* for errors: the file */
    size_t first_line;   /* the number of the text's first line in that file */
    unsigned allowed;    /* which slots may stand in it: SLOT_BITs */
    unsigned required;   /* and which must */
    const char *of_what; /* for errors: "the subject" */
};

/* *out is zero or released before. ERR_INVALID with file and line: not UTF-8, a control
 * character, an unbalanced brace, a placeholder that is unknown, not allowed or missing. */
MUST_CHECK enum err template_parse(struct template *out, struct str text,
                                   const struct template_rules *rules, struct err_text *why);
void template_release(struct template *t);

/* Values by slot. */
struct template_values {
    struct str of[N_SLOTS];
};

/* How values are written. */
enum template_style {
    TEMPLATE_PLAIN,
    TEMPLATE_HTML, /* escaped, all but SLOT_BODY, which is HTML */
};

/* Appends. Room for all of it is made first, so that no copy of a value is left by growing. */
void template_fill(struct buf *out, const struct template *t, const struct template_values *values,
                   enum template_style style);

#endif
