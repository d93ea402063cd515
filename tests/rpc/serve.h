/* SPDX-License-Identifier: ISC */
#ifndef TEST_SERVE_H
#define TEST_SERVE_H

/* What the test servers share: the command line, the loops, and a graceful end on
 * SIGTERM. A server tells its address on standard error as the daemon does:
 * {"event":"listening","address":"127.0.0.1:4711"}
 *
 * --listen ADDRESS (a local one), --loops N, and the limits of grpc/server.h:
 * --message, --metadata, --streams, --calls, --connections, --peer (its connections), --stall,
 * --idle, --age, --ping. With --count calls are counted, for
 * what that costs. */

#include "base/buf.h"
#include "grpc/call.h"
#include "grpc/server.h"
#include "grpc/tls.h"

#include <protobuf-c/protobuf-c.h>

#define SERVE_MESSAGE_LIMIT (4 * 1024 * 1024) /* unless the command line says otherwise */

/* Serves until SIGTERM; the exit code of the program. */
int serve_main(int argc, char **argv, const struct grpc_method *methods, size_t n_methods);

/* The same for a program with a start of its own. */
struct serve_options {
    const char *address; /* a local one */
    size_t loops;
    struct grpc_limits limits;
    struct grpc_tls_files tls;
    struct metrics *metrics;                /* taken; NULL: nothing is counted */
    void (*listening)(const char *address); /* tells it */
};
int serve_run(const struct serve_options *o, const struct grpc_method *methods, size_t n_methods);

/* NULL when it has ended: what was to be done later on a loop may come after that. */
struct grpc_server *serve_server(void);

/* Packs m. Free with buf_release. */
struct buf serve_pack(const ProtobufCMessage *m);

/* Packs m as the answer's message and replies. */
void serve_answer(struct grpc_call *call, struct grpc_answer *answer, const ProtobufCMessage *m);

#endif
