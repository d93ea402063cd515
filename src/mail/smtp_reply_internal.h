/* SPDX-License-Identifier: ISC */
#ifndef MAIL_SMTP_REPLY_INTERNAL_H
#define MAIL_SMTP_REPLY_INTERNAL_H

/* What a mail server answers (RFC 5321 section 4.2) while one mail is tried, line by line.
 * Thread: any, one at a time. */

#include "base/str.h"

#define SMTP_REPLY_TEXT_MAX 512

struct smtp_replies {
    bool within;     /* a reply of several lines has begun */
    bool data_begun; /* 354 was said: the next reply is about the whole mail, */
    bool decided;    /* it was said, and what comes after is about something else; */
    bool taken;      /* it was 2xx: the mail is the server's now */
    /* The last reply that was no yes (4xx, 5xx), if it ended; 0: there was none. */
    int refusal;
    size_t len;
    char text[SMTP_REPLY_TEXT_MAX]; /* of all its lines, as far as there is room */
};

/* The next line, with or without its CRLF; *replies begins as zero bytes. Gives the code of the
 * reply that it ends, or 0. */
int smtp_reply_line(struct smtp_replies *replies, struct str line);

/* Words for people: text as printable ASCII in at most size - 1 bytes, and without what may be
 * the reader's address or a link (`to` is that address). Terminated. */
void smtp_reply_clean(char *out, size_t size, struct str text, struct str to);

#endif
