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

/* Reads the templates and the password. */
MUST_CHECK enum err mailroom_new(struct mailroom **out, const struct settings *set,
                                 struct err_text *why);
void mailroom_free(struct mailroom *m);

/* Starts the mail thread, which submits to executor and is answered on home, a loop that
 * runs. */
MUST_CHECK enum err mailroom_start(struct mailroom *m, struct executor *executor, struct loop *home,
                                   struct err_text *why);
/* The executor must still run. Fine when it was never started, and with NULL. */
void mailroom_stop(struct mailroom *m);

/* There is a new mail; ctx is the struct mailroom, or NULL. Thread: any. */
void mailroom_wake(void *ctx);

#endif
