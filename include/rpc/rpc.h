/* SPDX-License-Identifier: ISC */
#ifndef RPC_RPC_H
#define RPC_RPC_H

/* The API of proto/twostep/v1 between the gRPC edge and the domain: one row a method. On
 * a loop a call's caller is authenticated, and its fields are checked and become a job; the
 * jobs of a turn go to the executor; a job that comes back is encoded as the answer.
 * Thread: startup, unless it says otherwise. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct callers;
struct clock;
struct executor;
struct grpc_method;
struct grpc_server;
struct loop;
struct metrics;
struct rpc;

/* What one caller and one tenant may take of the service. Beyond it calls are refused with
 * RESOURCE_EXHAUSTED and the time after which to try again, before anything is done for them. */
struct rpc_limits {
    uint32_t caller_rate, caller_burst; /* requests a second, and at once; rate 0: no limit */
    uint32_t tenant_rate, tenant_burst;
    uint32_t caller_queue; /* a caller's jobs that wait for the store; 0: no limit */
};

struct rpc_options {
    struct executor *executor; /* borrowed */
    struct callers *callers;   /* the rpc's now */
    struct rpc_limits limits;
    struct clock *clock;
    struct loop *const *loops; /* borrowed; those of the server */
    size_t n_loops;
    struct metrics *metrics; /* borrowed; what it counts goes there. NULL: it does not count */
    /* There is a new mail in the outbox. Called on a loop; must not block. */
    void (*mail_queued)(void *ctx);
    void *mail_ctx;
};

struct rpc *rpc_new(const struct rpc_options *opt);

/* No call of the server may be left. Fine with NULL. */
void rpc_free(struct rpc *r);

/* The table for grpc_server_options, borrowed. */
const struct grpc_method *rpc_methods(const struct rpc *r, size_t *n_out);

/* The server that the methods were given to; before it listens. */
void rpc_attach(struct rpc *r, struct grpc_server *server);

/* When this returns, every call is admitted by fresh, which is the rpc's now; calls that go on keep
 * the caller that they were admitted as. The loops run. */
void rpc_set_callers(struct rpc *r, struct callers *fresh);

/* From now on these are the limits. Thread: any. */
void rpc_set_limits(struct rpc *r, const struct rpc_limits *limits);

/* From now on health says NOT_SERVING. Thread: any. */
void rpc_stop_serving(struct rpc *r);

/* What health says. Thread: any. */
bool rpc_is_serving(const struct rpc *r);

#endif
