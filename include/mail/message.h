/* SPDX-License-Identifier: ISC */
#ifndef MAIL_MESSAGE_H
#define MAIL_MESSAGE_H

/* One mail to one reader, and the templates that its words come from. Thread: any, one at a
 * time; templates do not change once loaded. */

#include "base/err.h"
#include "base/str.h"
#include "store/reset.h"

/* What is told to whom. Everything is borrowed. The addresses were checked when they were
 * taken in, and are checked again before they are sent. */
struct mail_message {
    enum mail_kind kind;
    struct str to;         /* the address */
    struct str from;       /* the address */
    struct str from_name;  /* shown beside it; may be empty */
    struct str issuer;     /* the service's name for the reader */
    struct str locale;     /* "en", "nl", "de" */
    struct str message_id; /* the left part of Message-ID, the same at every try */
    struct str link;       /* MAIL_RESET: carries a token */
    int64_t date_ms;       /* when it was asked for */
    int64_t expire_ms;     /* MAIL_RESET: until when the link is good */
};

struct mail_templates;

/* Reads the templates of all kinds and languages: those built in (src/mail/templates), each
 * replaced by the file of its name in folder, where there is one (NULL: no folder). ERR_INVALID
 * with file and line for one that does not parse, and for a .txt or .html of another name.
 * Thread: startup. */
MUST_CHECK enum err mail_templates_load(struct mail_templates **out, const char *folder,
                                        struct err_text *why);
void mail_templates_free(struct mail_templates *t);

#endif
