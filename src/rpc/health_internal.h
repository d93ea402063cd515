/* SPDX-License-Identifier: ISC */
#ifndef RPC_HEALTH_INTERNAL_H
#define RPC_HEALTH_INTERNAL_H

/* grpc.health.v1.Health: answered on the loop, without a credential, as load balancers ask.
 * Check tells once; Watch tells at once and then whenever it changes, and ends when the
 * server drains. Thread: loop, unless it says otherwise. */

#include "grpc/method.h"

#include <stddef.h>

struct health;
struct loop;
struct rpc;

#define HEALTH_CHECK_PATH "/grpc.health.v1.Health/Check"
#define HEALTH_WATCH_PATH "/grpc.health.v1.Health/Watch"

/* Who watches. Borrows rpc and the loops. Thread: startup, both; nobody may watch any more
 * when it is freed. */
struct health *health_new(struct rpc *rpc, struct loop *const *loops, size_t n_loops);
void health_free(struct health *h);

/* What rpc_is_serving says may have changed; ctx is a struct health. Thread: any. */
void health_changed(void *ctx);

/* The handlers; their method's ctx is a struct rpc. */
grpc_handler health_check;
grpc_handler health_watch;
grpc_handler health_watch_room;
grpc_handler health_watch_gone;
grpc_handler health_watch_draining;

#endif
