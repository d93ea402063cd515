/* SPDX-License-Identifier: ISC */
#ifndef MAIL_SMTP_REPLY_INTERNAL_H
#define MAIL_SMTP_REPLY_INTERNAL_H

/* What a mail server answers (RFC 5321 section 4.2), line by line. Thread: any, one at a time. */

#include "base/str.h"

#define SMTP_REPLY_TEXT_MAX 512

struct smtp_reply {
    int code; /* of the last line; 0: there was none yet */
    bool ended;
    bool data_begun; /* 354 was said: what comes next is about the whole mail */
    bool taken;      /* and it was 2xx: the mail is the server's now, whatever comes after */
    size_t len;
    char text[SMTP_REPLY_TEXT_MAX]; /* of all its lines, as far as there is room */
};

#define SMTP_REPLY_INIT ((struct smtp_reply){.ended = true})

/* The next line, with or without its CRLF. */
void smtp_reply_line(struct smtp_reply *r, struct str line);

/* Words for people: text as printable ASCII in at most size - 1 bytes, and without what may be
 * the reader's address or a link (`to` is that address). Terminated. */
void smtp_reply_clean(char *out, size_t size, struct str text, struct str to);

#endif
