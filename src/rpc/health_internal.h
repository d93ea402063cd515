/* SPDX-License-Identifier: ISC */
#ifndef RPC_HEALTH_INTERNAL_H
#define RPC_HEALTH_INTERNAL_H

/* grpc.health.v1.Health/Check: answered on the loop, without a credential, as load balancers
 * ask. Thread: loop. */

struct grpc_call;
struct grpc_method;

#define HEALTH_CHECK_PATH "/grpc.health.v1.Health/Check"

/* The method's serve; its ctx is a struct rpc. */
void health_check(struct grpc_call *call, const struct grpc_method *method);

#endif
