/* SPDX-License-Identifier: ISC */
#ifndef MAIL_POSTMAN_H
#define MAIL_POSTMAN_H

/* The mail thread: takes mails from a source one by one and hands them to the mail server, so
 * that nothing else ever waits for mail. One connection at a time, kept for a burst. When the
 * server itself is the trouble (no connection, TLS, authentication, 421, a time-out) it is left
 * alone for a while that doubles, with jitter, and no mail is charged for it more than once. */

#include "mail/message.h"

struct clock;
struct postman;

enum mail_end {
    MAIL_DELIVERED, /* the server said 250 to it */
    MAIL_DEFERRED,  /* not this time: 4xx, or the server is in trouble */
    MAIL_REFUSED,   /* never: 5xx to this mail, or an address that cannot be sent to */
};

struct mail_report {
    enum mail_end end;
    const char *error; /* for people, without addresses and without the mail's words */
};

/* Where mails come from. Thread: the mail thread. */
struct postman_source {
    /* Records the end of the mail that was given out last (NULL: none was, or it is recorded),
     * then gives out the next. May block. ERR_NOT_FOUND: none is due; *out is borrowed until the
     * next call. On any other failure the report counts as not recorded. */
    enum err (*next)(void *ctx, const struct mail_report *last, struct mail_message *out,
                     struct err_text *why);
    void *ctx;
};

struct postman_options {
    const char *url;      /* "smtp://host:port" or "smtps://host:port" */
    const char *user;     /* empty: no AUTH */
    const char *password; /* borrowed; wiped by its owner after postman_stop */
    const char *ca_file;  /* empty: the system's */
    bool allow_plaintext; /* no STARTTLS needed; only for a loopback host, else start fails */
    int64_t timeout_ms;   /* of one mail, all in all */
    const struct mail_templates *templates; /* borrowed */
    struct postman_source source;
};

/* Thread: startup, all but wake. ERR_INVALID for a URL or a combination that cannot be. */
MUST_CHECK enum err postman_start(struct postman **out, const struct postman_options *opt,
                                  struct err_text *why);

/* There is a new mail: look now, not at the next second. Thread: any. */
void postman_wake(struct postman *p);

/* Ends the thread within about a second; a mail that is under way then is cut off and reported
 * as deferred. Fine with NULL. */
void postman_stop(struct postman *p);

#endif
