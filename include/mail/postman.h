/* SPDX-License-Identifier: ISC */
#ifndef MAIL_POSTMAN_H
#define MAIL_POSTMAN_H

/* The mail thread: takes mails from a source one by one and hands them to the mail server, so
 * that nothing else ever waits for mail. One connection at a time, kept for a burst. When the
 * server itself is the trouble (no connection, TLS, authentication, 421, a time-out) it is left
 * alone for a while that doubles, with jitter, and no mail is charged for it more than once. */

#include "mail/message.h"

struct postman;

enum mail_end {
    MAIL_DELIVERED, /* the server said 250 to it */
    MAIL_DEFERRED,  /* not this time: 4xx, or the server is in trouble */
    MAIL_REFUSED,   /* never: 5xx to this mail, or an address that cannot be sent to */
};

struct mail_report {
    enum mail_end end;
    /* For people, without addresses and without the mail's words; at most MAIL_ERROR_MAX bytes;
     * empty with MAIL_DELIVERED. */
    const char *error;
};

/* Where mails come from. Thread: the mail thread. */
struct postman_source {
    /* Records the end of the mail that was given out last (NULL: none was, or it is recorded),
     * then gives out the next, unless out is NULL: before a rest and at the stop only the end is
     * told. May block. ERR_NOT_FOUND: none is due; *out is borrowed until the next call. On any
     * other failure the report counts as not recorded, and comes again with the next call. */
    enum err (*next)(void *ctx, const struct mail_report *last, struct mail_message *out,
                     struct err_text *why);
    void *ctx;
};

/* All is borrowed until postman_stop, or until done. */
struct postman_options {
    const char *url;      /* "smtp://host:port" or "smtps://host:port"; a path is our EHLO name */
    const char *user;     /* empty: no AUTH */
    const char *password; /* wiped by its owner after postman_stop */
    const char *ca_file;  /* empty: the system's */
    bool allow_plaintext; /* without STARTTLS; only for a loopback host, else start fails */
    int64_t timeout_ms;   /* of one mail, all in all */
    const struct mail_templates *templates;
    struct postman_source source;
    /* These options are used no more; NULL: never mind. Thread: any. */
    void (*done)(void *ctx);
    void *done_ctx;
};

/* As postman_start says, without starting anything. Thread: any. */
MUST_CHECK enum err postman_check(const struct postman_options *opt, struct err_text *why);

/* Thread: startup, all but wake. ERR_INVALID for a URL or a combination that cannot be. */
MUST_CHECK enum err postman_start(struct postman **out, const struct postman_options *opt,
                                  struct err_text *why);

/* From the next mail on these are the options, which postman_check has passed; a mail that is under
 * way ends as it began, and a server that was left alone is tried again. Thread: any. */
void postman_change(struct postman *p, const struct postman_options *opt);

/* There is a new mail: look now, not at the next second. Thread: any. */
void postman_wake(struct postman *p);

/* Ends the thread within about a second; a mail that is under way then is cut off and reported
 * as deferred. Fine with NULL. */
void postman_stop(struct postman *p);

#endif
