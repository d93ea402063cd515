/* SPDX-License-Identifier: ISC */
#ifndef RPC_REFLECTION_INTERNAL_H
#define RPC_REFLECTION_INTERNAL_H

/* grpc.reflection.v1 and v1alpha, whose messages are the same: what proto/ says, for tools
 * that have no schema. Answered on the loop and without a credential: it shows what anybody
 * can read in proto/, and nothing of who may call it. Thread: loop. */

#include "grpc/method.h"

#define REFLECTION_PATH       "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define REFLECTION_ALPHA_PATH "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

/* The handlers of both rows, which stream both ways. */
grpc_handler reflection_answer;
grpc_handler reflection_half_closed;
grpc_handler reflection_draining;

#endif
