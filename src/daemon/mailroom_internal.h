/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_MAILROOM_INTERNAL_H
#define DAEMON_MAILROOM_INTERNAL_H

/* Between the mail thread and the outbox: what the mail thread asks of the store is decided on
 * the worker, like everything else. Thread: startup, unless it says otherwise. */

#include "base/err.h"

struct executor;
struct loop;
struct mailroom;
struct settings;

/* What the settings say about mail, with the templates and the password that they name: read and
 * checked. It does not need the settings any more. */
struct mail_kit;
MUST_CHECK enum err mailroom_read_kit(struct mail_kit **out, const struct settings *set,
                                      struct err_text *why);
/* Fine with NULL. */
void mailroom_free_kit(struct mail_kit *kit);

/* kit is the mailroom's now. */
struct mailroom *mailroom_new(struct mail_kit *kit);
void mailroom_free(struct mailroom *m);

/* Starts the mail thread, which submits to executor and is answered on home, a loop that
 * runs. */
MUST_CHECK enum err mailroom_start(struct mailroom *m, struct executor *executor, struct loop *home,
                                   struct err_text *why);
/* From the next mail on kit, which is the mailroom's now, is used. It has been started. */
void mailroom_change(struct mailroom *m, struct mail_kit *kit);

/* The executor must still run. Fine when it was never started, and with NULL. */
void mailroom_stop(struct mailroom *m);

/* There is a new mail; ctx is the struct mailroom, or NULL. Thread: any. */
void mailroom_wake(void *ctx);

#endif
