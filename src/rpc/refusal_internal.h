/* SPDX-License-Identifier: ISC */
#ifndef RPC_REFUSAL_INTERNAL_H
#define RPC_REFUSAL_INTERNAL_H

/* Errors as gRPC says them: a status, a text, and a google.rpc.Status with an ErrorInfo
 * (domain "twostep"), a BadRequest where fields are at fault, a RetryInfo where trying again
 * later helps. Thread: loop. */

#include "base/err.h"
#include "grpc/status.h"

#include <stdint.h>

struct grpc_call;
struct violations;

struct refusal {
    enum grpc_status status;
    const char *reason; /* UPPER_SNAKE_CASE */
    const char *text;
    const struct violations *violations; /* NULL: none */
    int64_t retry_ms;                    /* 0: trying again does not help */
};

/* Answers the call with it. */
void refusal_send(struct grpc_call *call, const struct refusal *r);

/* The status, reason and retry time for a failure of the domain. What concerns only the
 * operator (internal, corrupt) gets a neutral text. */
struct refusal refusal_of(enum err e, const struct err_text *why);

#endif
