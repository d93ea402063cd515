/* SPDX-License-Identifier: ISC */
#ifndef GRPC_TALLY_INTERNAL_H
#define GRPC_TALLY_INTERNAL_H

/* What a server counts, as metrics with the names that gRPC's dashboards know (those of
 * go-grpc-middleware), and some of its connections. The labels of methods come from the server's
 * table; all paths that are not in it are one method, "unknown".
 * Thread: startup for tally_init; the loop of what is counted for the rest. */

#include "grpc/status.h"

#include <nghttp2/nghttp2.h>
#include <stddef.h>

struct grpc_call;
struct grpc_method;
struct grpc_server_options;
struct metric;

/* All metrics NULL: nothing is counted. */
struct tally {
    const struct grpc_method *methods; /* the server's table */
    size_t n_methods;
    struct metric *started, *handled, *handling, *received, *sent;
    struct metric *open, *accepted, *refused, *streams, *faults;
};

/* What peers do wrong, or too much of. */
enum tally_fault {
    TALLY_FLOOD,            /* a connection was ended: too much that does nothing */
    TALLY_CONNECTION_ERROR, /* a connection was ended: not HTTP/2 */
    TALLY_STREAM_ERROR,     /* a stream was reset */
    TALLY_TOO_MANY_STREAMS, /* a stream was refused */
    TALLY_STALLED,          /* a connection was ended: half done for too long */
    TALLY_NOT_GRPC,         /* a request was answered in plain HTTP */
    TALLY_HANDSHAKE,        /* a connection was ended: no TLS, or not as it must be */
    TALLY_TOO_MANY_CALLS,   /* a call was refused: the loop has too many */
    TALLY_IDLE,             /* a connection was ended: it had no calls for too long */
    TALLY_AGE,              /* a connection was ended: it is old */
    TALLY_ACCEPT_PAUSED,    /* there were no file descriptors or memory for a connection */
    TALLY_FAULTS
};

/* Why a connection is closed at once. */
enum tally_refused {
    TALLY_ALL,     /* the loop has too many */
    TALLY_OF_PEER, /* its peer has */
    TALLY_REFUSED
};

void tally_init(struct tally *t, const struct grpc_server_options *opt);

void tally_connection_opened(struct tally *t);
void tally_connection_closed(struct tally *t);
void tally_connection_refused(struct tally *t, enum tally_refused why);
void tally_fault(struct tally *t, enum tally_fault fault);

/* The faults that show in what nghttp2 has sent. */
void tally_frame_sent(struct tally *t, const nghttp2_frame *frame);

/* A stream has opened, and is closed. */
void tally_opened(struct grpc_call *call);
void tally_closed(struct grpc_call *call);

/* In this order for one call: its headers are complete and its method is known, or is not one of
 * ours (call->method NULL); its message has come; one goes out; it has this status. */
void tally_started(struct grpc_call *call);
void tally_received(struct grpc_call *call);
void tally_sent(struct grpc_call *call);
void tally_ended(struct grpc_call *call, enum grpc_status status);

#endif
