/* SPDX-License-Identifier: ISC */
#ifndef RPC_TRACE_INTERNAL_H
#define RPC_TRACE_INTERNAL_H

/* The names under which a caller's own logs know a call: the trace of `traceparent` (W3C Trace
 * Context) and an id in `x-request-id`. They go into the log lines of calls that were refused or
 * failed. What has not the form of one is as if it were not there. Thread: any. */

#include "base/log.h"

struct grpc_call;

#define TRACE_ID_LEN      32 /* hexadecimal digits */
#define TRACE_REQUEST_MAX 64
#define TRACE_FIELDS_MAX  2

struct trace {
    char id[TRACE_ID_LEN + 1];              /* empty: none */
    char request_id[TRACE_REQUEST_MAX + 1]; /* empty: none */
};

/* Thread: the call's loop. */
void trace_read(struct trace *out, const struct grpc_call *call);

/* The 16 bytes of a message's request_id, which stands for the id of the metadata. */
void trace_set_request(struct trace *t, const uint8_t *uuid);

/* Borrows t. Returns how many there are. */
size_t trace_fields(const struct trace *t, struct log_field out[static TRACE_FIELDS_MAX]);

/* The trace id in a value of `traceparent`, or an empty one. */
struct str trace_id_in(struct str traceparent);

#endif
