/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_LISTENERS_INTERNAL_H
#define DAEMON_LISTENERS_INTERNAL_H

/* Where the daemon listens, and its TLS there: the addresses of `listen`, or the sockets that
 * a service manager has passed instead. Thread: startup. */

#include "base/err.h"

#include <stddef.h>

struct grpc_server;
struct grpc_tls;
struct listeners;
struct settings;

/* Reads the certificates, and refuses addresses that would let in whom nothing keeps out: more than
 * this machine needs callers, and TLS or in so many words that there is none. n_passed sockets were
 * passed (systemd_take_sockets). */
MUST_CHECK enum err listeners_new(struct listeners **out, const struct settings *set, int n_passed,
                                  struct err_text *why);
void listeners_free(struct listeners *l);

/* Listens on all of them and logs each; set as above. On failure some may be open. */
MUST_CHECK enum err listeners_open(struct listeners *l, struct grpc_server *server,
                                   const struct settings *set, struct err_text *why);

/* The server speaks TLS from now on, when the settings name certificates. Once. */
void listeners_give_tls(struct listeners *l, struct grpc_server *server);

/* Would it be right to listen where we do with these settings? As listeners_new; and reads the
 * certificates again. *out is NULL when the settings name none. */
MUST_CHECK enum err listeners_check(const struct listeners *l, const struct settings *set,
                                    struct grpc_tls **out, struct err_text *why);

/* For grpc_server_options.paused and refused. Thread: any. */
void listeners_log_paused(void *ctx, const char *why);
void listeners_log_refused(void *ctx, const char *peer, const char *why);

#endif
