/* SPDX-License-Identifier: ISC */
#ifndef GRPC_CONN_INTERNAL_H
#define GRPC_CONN_INTERNAL_H

/* One connection: a socket, TLS or not, an nghttp2 session and its calls. It reads into the loop's
 * buffer and writes from the loop's buffer; only what a slow peer has not taken is
 * kept in memory of its own. Thread: its loop. */

#include "base/buf.h"
#include "grpc/call_internal.h"
#include "grpc/guard_internal.h"
#include "grpc/peers_internal.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

#define CONN_PEER_MAX 64 /* "[v6]:port" */

struct edge;
struct nghttp2_session;
struct tls_link;

enum conn_state {
    CONN_SHAKING, /* hands for TLS; there is no session yet */
    CONN_OPEN,
    CONN_ENDING, /* what is queued is still sent, nothing is read */
    CONN_CLOSED, /* written to the end; waits for the peer's end, throwing away what comes */
};

/* The graceful end of a connection: a notice, the peer's answer to a PING or a second,
 * then the GOAWAY that counts. */
enum conn_drain { CONN_SERVING, CONN_NOTICED, CONN_LAST_CALLS_DUE, CONN_LAST_CALLS };

struct conn {
    TAILQ_ENTRY(conn) link;
    TAILQ_ENTRY(conn) dirty_link;
    struct edge *edge;
    struct tls_link *tls; /* NULL: plaintext */
    struct nghttp2_session *session;
    struct call_list calls;    /* oldest first */
    struct grpc_call *current; /* the call that nghttp2 spoke of last */
    struct event readable;
    struct event writable; /* pending only while waiting is not empty */
    struct buf waiting;    /* what the socket has not taken, as it is on the wire */
    struct guard guard;
    const char *fault; /* why the connection has to end at the next flush; NULL: it has not */
    uint32_t fault_code;
    int fd;
    enum conn_state state;
    enum conn_drain drain;
    uint32_t touched;      /* the second of the opening, and of the last write when bytes wait */
    uint32_t record_begun; /* the second in which a TLS record came in part */
    bool amid_record;
    bool dirty;   /* is in the loop's list for the flush */
    bool greeted; /* the peer's first SETTINGS have come */
    bool reading;
    uint32_t idle_since; /* the second in which it was left without calls */
    uint32_t ends_at;    /* the second in which it is too old; 0: never */
    uint32_t noticed;    /* the second of its notice */
    struct peer_key key;
    char peer[CONN_PEER_MAX];
};
TAILQ_HEAD(conn_list, conn);

/* Takes over the connected, non-blocking socket fd, and the place that peers_take gave. TLS, if
 * the server has any and it is no Unix socket. */
void conn_open(struct edge *edge, int fd, const char *peer, struct peer_key key);

/* Closes the socket at once and frees; the calls are gone. */
void conn_free(struct conn *c);

/* nghttp2 has something to send: flush at the end of the turn. */
void conn_touch(struct conn *c);

/* The connection has to end at the next flush, with this error code of HTTP/2; the first that
 * is found counts. why is a constant. */
void conn_blame(struct conn *c, uint32_t code, const char *why);

/* Sends what there is, and ends the connection when it is over. */
void conn_flush(struct conn *c);

/* Behind what was put before; within conn_flush only. False: the socket is broken. */
bool conn_put(struct conn *c, const void *bytes, size_t n);

/* Begins the graceful end; with conn_last_calls at the latest it becomes final. Frees a
 * connection that has not begun. */
void conn_drain(struct conn *c);
void conn_last_calls(struct conn *c);

/* Ends what has waited for the peer for too long, and a connection that has no calls for too long
 * or is too old. */
void conn_sweep(struct conn *c, uint32_t now);

#endif
