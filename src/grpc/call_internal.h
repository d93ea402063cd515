/* SPDX-License-Identifier: ISC */
#ifndef GRPC_CALL_INTERNAL_H
#define GRPC_CALL_INTERNAL_H

/* One stream of one connection, from its first header field until nghttp2 closes it.
 * Calls are recycled with their memory; the serial tells one use of a slot from the
 * next. Thread: the call's loop. */

#include "grpc/call.h"
#include "grpc/frame_internal.h"
#include "grpc/head_internal.h"
#include "grpc/stream_internal.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

struct conn;
struct edge;
struct grpc_limits;
struct grpc_method;
struct fields;

enum call_state {
    CALL_HEADERS,  /* header fields are coming */
    CALL_MESSAGE,  /* admitted; the message is coming */
    CALL_STREAM,   /* admitted; the client's messages are coming */
    CALL_SERVED,   /* the service has it all and will answer */
    CALL_NOT_GRPC, /* answered in plain HTTP when all of it has come: what HTTP/2 finds wrong
                      with the rest is told before */
    CALL_ANSWERED, /* the answer is nghttp2's to send; the service cannot find it any more */
};

struct grpc_call {
    TAILQ_ENTRY(grpc_call) link; /* of its connection's calls, or of the loop's unused ones */
    struct edge *edge;
    struct conn *conn; /* NULL: unused */
    const struct grpc_method *method;
    const void *context; /* the service's own, and this */
    void *memory;
    uint64_t serial;
    uint32_t slot;
    int32_t stream;
    enum call_state state;
    bool request_ended; /* END_STREAM has come */
    struct head head;
    struct frame frame;
    size_t message_bytes; /* as the limits were when it began */
    int64_t deadline_ms;
    struct event timer; /* pending only when there is a deadline */
    int64_t began_us;   /* of the turn in which the headers were complete */
    uint32_t opened;    /* the second of it, and of the answer's last progress */
    uint32_t touched;

    struct stream flow;

    /* The answer. */
    struct buf answer; /* messages with their heads, or the text of an HTTP error */
    size_t answer_sent;
    struct fields *trailers; /* NULL: grpc-status 0 alone */
    bool is_http_error;      /* no trailers */
};
TAILQ_HEAD(call_list, grpc_call);

/* The stream of the id opens. */
struct grpc_call *call_open(struct conn *conn, int32_t stream);

/* What nghttp2 tells of it, in this order. call_header is false when the stream has to
 * be reset; call_data is how many of the bytes the peer may send anew; call_end says that
 * the peer will send nothing more. */
bool call_header(struct grpc_call *call, struct str name, struct str value);
void call_headers_complete(struct grpc_call *call);
size_t call_data(struct grpc_call *call, const uint8_t *bytes, size_t n);
void call_end(struct grpc_call *call);

/* The stream is closed, answered or not; the call goes back to the loop. */
void call_close(struct grpc_call *call);

/* Thread: startup or the loop, these two: the memory of a slot, for calls to come. */
struct grpc_call *call_new(struct edge *edge, uint32_t slot);
void call_free(struct grpc_call *call);

/* Will the service still answer it? */
bool call_is_open(const struct grpc_call *call);

/* The service is done with it: it cannot be found and its deadline is off. */
void call_leave(struct grpc_call *call);

/* It is over without the service, which is told; the second answers it as well. */
void call_lose(struct grpc_call *call);
void call_refuse(struct grpc_call *call, struct refusal refusal);

/* Tells the service, if it still has the call, that the server drains. */
void call_tell_draining(struct grpc_call *call);

struct frame_rules call_frame_rules(const struct grpc_call *call);
const struct grpc_limits *call_limits(const struct grpc_call *call);

/* Ends the call if it has been waiting for its peer for more than limit seconds: for
 * the rest of a message, or for room for the answer. */
void call_check(struct grpc_call *call, uint32_t now, uint32_t limit);

#endif
