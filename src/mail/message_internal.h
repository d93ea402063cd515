/* SPDX-License-Identifier: ISC */
#ifndef MAIL_MESSAGE_INTERNAL_H
#define MAIL_MESSAGE_INTERNAL_H

/* From what is told to whom (mail/message.h) to the words of the mail. Thread: any. */

#include "base/buf.h"
#include "mail/message.h"

#define MESSAGE_PATH_MAX 256

/* A mail, ready to be encoded and sent. */
struct message {
    char from[MESSAGE_PATH_MAX + 1]; /* "<a@b>", for the envelope */
    char to[MESSAGE_PATH_MAX + 1];
    struct buf headers; /* ASCII, each field ended by a NUL; all but those about the parts */
    struct buf text;    /* the two parts: UTF-8, lines with CRLF */
    struct buf html;
};

/* ERR_INVALID, with words for people that name no address: something in m cannot be sent.
 * message_release what is in *out in any case. */
MUST_CHECK enum err message_compose(struct message *out, const struct mail_templates *t,
                                    const struct mail_message *m, struct err_text *why);

/* Wipes it: the link carries a token. */
void message_release(struct message *m);

#endif
