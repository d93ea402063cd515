/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_FENCE_INTERNAL_H
#define DAEMON_FENCE_INTERNAL_H

/* The order in which the process gives up what it will not need (harden_internal.h), around the
 * binding of its addresses, which may take a capability. Thread: main. */

#include "harden_internal.h"

struct grpc_server;
struct listeners;

struct fence {
    struct hardened hardened;
    struct harden_helper *binder; /* NULL: the main thread binds */
};

/* Before the first thread. Nothing happens without the setting. */
MUST_CHECK enum err fence_start(struct fence *f, const char *config_file,
                                const struct settings *set, struct err_text *why);

/* As listeners_open. */
MUST_CHECK enum err fence_listen(struct fence *f, struct listeners *l, struct grpc_server *server,
                                 const struct settings *set, struct err_text *why);

/* The rest, and a line that says what is in effect. */
MUST_CHECK enum err fence_close(struct fence *f, const struct settings *set, struct err_text *why);

/* Fine when it was never started. */
void fence_stop(struct fence *f);

#endif
