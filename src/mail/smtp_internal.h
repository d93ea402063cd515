/* SPDX-License-Identifier: ISC */
#ifndef MAIL_SMTP_INTERNAL_H
#define MAIL_SMTP_INTERNAL_H

/* Hands mails to a mail server, over one connection that is kept between them. Only this
 * module knows libcurl. Thread: one. */

#include "mail/postman.h"
#include "store/reset.h"

#include <stdatomic.h>

struct message;
struct smtp;

/* What became of a mail. A server that is in trouble is one that could not be reached, did not
 * let us in, said 421, was too slow or went away: another mail would fare no better. */
enum smtp_end {
    SMTP_TROUBLE = 0,
    SMTP_TAKEN,
    SMTP_LATER,   /* 4xx to this mail */
    SMTP_NEVER,   /* 5xx to this mail */
    SMTP_STOPPED, /* *stop became true */
};

/* As postman_check. */
MUST_CHECK enum err smtp_check(const struct postman_options *opt, struct err_text *why);

/* Uses the URL, user, password, ca_file, allow_plaintext and timeout_ms of opt, which stays the
 * caller's and may change after smtp_hang_up. *stop, when true, ends whatever is under way within a
 * second. ERR_INVALID for a URL or a combination that cannot be. */
MUST_CHECK enum err smtp_new(struct smtp **out, const struct postman_options *opt,
                             const atomic_bool *stop, struct err_text *why);
void smtp_free(struct smtp *s);

/* Tries once; once more at once when a connection that was kept proves dead. Writes words for
 * people, empty with SMTP_TAKEN: no address, nothing of the mail. */
enum smtp_end smtp_send(struct smtp *s, const struct message *m,
                        char error[static MAIL_ERROR_MAX + 1]);

/* Ends the connection, if there is one; takes at most a second. */
void smtp_hang_up(struct smtp *s);

#endif
