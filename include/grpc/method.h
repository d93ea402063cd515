/* SPDX-License-Identifier: ISC */
#ifndef GRPC_METHOD_H
#define GRPC_METHOD_H

/* A method of a service: its path, which side streams, and what is called for its calls.
 * The handlers of one call are called one at a time, on the call's loop. */

#include <stddef.h>

struct grpc_call;
struct grpc_method;

/* Which side sends a stream of messages instead of one. */
enum grpc_streams {
    GRPC_UNARY = 0,
    GRPC_CLIENT_STREAMS = 1,
    GRPC_SERVER_STREAMS = 2,
    GRPC_BOTH_STREAM = GRPC_CLIENT_STREAMS | GRPC_SERVER_STREAMS,
};

typedef void grpc_handler(struct grpc_call *call, const struct grpc_method *method);

struct grpc_method {
    const char *path; /* "/package.Service/Method" */
    enum grpc_streams streams;
    size_t message_bytes; /* one received message, where the server allows more; 0: as the server */

    /* The headers are complete; no message is there yet. May reply, and then nothing
     * else is called. NULL: nothing to check. */
    grpc_handler *admit;

    /* A message is complete: the only one, or the next one where the client streams. Replies
     * now, or keeps the id and replies later. */
    grpc_handler *serve;

    /* The client will send no more. Where the client streams, and needed there. */
    grpc_handler *half_closed;

    /* grpc_send takes messages again. Where the server streams. NULL: never mind. */
    grpc_handler *room;

    /* The call has ended without the service: the client cancelled, the connection died, the
     * deadline passed or the transport refused what came. Once for a call that admit let
     * through and nobody replied to; only the id, the context and the state are of use then.
     * NULL: never mind. */
    grpc_handler *gone;

    /* The server drains, and this call keeps it from its end: a stream that would go on is
     * ended here. Once at most. NULL: the call comes to its end without that. */
    grpc_handler *draining;

    const void *ctx; /* the service's own */
};

#endif
