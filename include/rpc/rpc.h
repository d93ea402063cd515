/* SPDX-License-Identifier: ISC */
#ifndef RPC_RPC_H
#define RPC_RPC_H

/* The API of proto/twostep/v1 between the gRPC edge and the domain: one row a method. On
 * a loop a call's caller is authenticated, its fields are checked and copied into a job;
 * jobs go to the worker's queue once a turn; the worker runs a batch of them as one durable
 * step; each job goes back to its loop, which encodes the answer.
 * Thread: startup, unless it says otherwise. */

#include "base/queue.h"

#include <stdbool.h>

struct callers;
struct clock;
struct domain;
struct grpc_method;
struct grpc_server;
struct loop;
struct rpc;

struct rpc_options {
    struct domain *domain;         /* borrowed; used by the worker only */
    struct queue *queue;           /* borrowed; to the worker */
    const struct callers *callers; /* borrowed */
    struct clock *clock;
    struct loop *const *loops; /* borrowed; those of the server */
    size_t n_loops;
};

struct rpc *rpc_new(const struct rpc_options *opt);

/* The loops must have stopped and the queue be empty. Fine with NULL. */
void rpc_free(struct rpc *r);

/* The table for grpc_server_options, borrowed. */
const struct grpc_method *rpc_methods(const struct rpc *r, size_t *n_out);

/* The server that the methods were given to; before it listens. */
void rpc_attach(struct rpc *r, struct grpc_server *server);

/* What the worker does with a list of jobs; ctx is the struct rpc. Thread: worker. */
void rpc_run_batch(void *ctx, struct queue_list *jobs);

/* Queues one round of deleting what has expired; it also finds out whether a store that
 * failed works again. Thread: any. */
void rpc_tick(struct rpc *r);

/* From now on health says NOT_SERVING. Thread: any. */
void rpc_stop_serving(struct rpc *r);

#endif
