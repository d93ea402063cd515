/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_WATCH_INTERNAL_H
#define DAEMON_WATCH_INTERNAL_H

/* What programs that watch the daemon see: its metrics, and whether it serves, on a page of its
 * own. NULL is one that nobody watches: fine for all functions. Thread: startup. */

#include "base/err.h"

struct executor;
struct metrics;
struct rpc;
struct settings;
struct watch;

/* Checks the settings; opens nothing yet. *out is NULL without metrics_listen. ERR_DENIED when
 * the address is none, or is more than this machine without metrics_allow_remote. */
MUST_CHECK enum err watch_new(struct watch **out, const struct settings *set, struct err_text *why);
void watch_free(struct watch *w);

/* Where the parts of the daemon count; NULL when nobody watches. */
struct metrics *watch_metrics(struct watch *w);

/* From here on, until watch_stop, there is the page; both are borrowed until then. */
MUST_CHECK enum err watch_start(struct watch *w, const struct rpc *rpc, struct executor *executor,
                                struct err_text *why);
void watch_stop(struct watch *w);

/* Calls are accepted now. */
void watch_listening(struct watch *w);

#endif
