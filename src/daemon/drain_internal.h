/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_DRAIN_INTERNAL_H
#define DAEMON_DRAIN_INTERNAL_H

/* The end of the serving. Thread: main. */

#include <signal.h>
#include <stdint.h>

struct executor;
struct grpc_server;
struct rpc;

/* What the main thread waits for; blocked in all threads. */
sigset_t drain_signals(void);

/* Health says NOT_SERVING, new calls go elsewhere, accepted ones are answered. Returns when all
 * connections are closed, when the seconds are over, or with another SIGTERM or SIGINT; what is
 * open then is cut, and what it waited for is not decided any more. */
void drain_run(struct rpc *rpc, struct grpc_server *server, struct executor *executor,
               int64_t seconds);

#endif
