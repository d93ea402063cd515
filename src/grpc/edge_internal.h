/* SPDX-License-Identifier: ISC */
#ifndef GRPC_EDGE_INTERNAL_H
#define GRPC_EDGE_INTERNAL_H

/* The server's part on one loop: its listeners, its connections, and what they share:
 * the buffers for reading and writing, the calls and the clock of seconds.
 * Thread: its loop, unless a function says startup. */

#include "base/loop.h"
#include "grpc/conn_internal.h"
#include "grpc/gzip_internal.h"
#include "grpc/server_internal.h"

#define EDGE_IN_SIZE  65536
#define EDGE_OUT_SIZE 65536 /* more than one frame of 16 KiB */

#define EDGE_ACCEPT_BURST    64   /* connections taken in one turn */
#define EDGE_ACCEPT_PAUSE_MS 100  /* when there are no file descriptors left */
#define EDGE_NOTICE_MS       1000 /* between the notice and the last GOAWAY */
#define EDGE_LINGER_S        1    /* for the peer's end of a connection that we have ended */

struct listener {
    SLIST_ENTRY(listener) link;
    struct edge *edge;
    int fd;
    struct event acceptable;
};

struct edge {
    struct grpc_server *server;
    struct loop *loop;
    uint32_t index;
    struct grpc_limits limits;

    SLIST_HEAD(, listener) listeners;
    struct event accept_again; /* pending while accepting pauses */
    bool paused;               /* it has, and nothing has been accepted since */

    struct conn_list conns;
    struct conn_list dirty; /* those with something to send in this turn */
    struct loop_hook flush;
    uint32_t n_conns;
    uint32_t n_calls; /* open */

    struct grpc_call **slots; /* every call ever made here, by slot */
    uint32_t n_slots, cap_slots;
    struct call_list unused;
    uint64_t last_serial;

    struct call_list due; /* streams to go on with in the next turn */
    struct event next_turn;
    bool draining; /* calls have been told */

    struct event second; /* runs while there are connections */
    uint32_t now_s;      /* counted by it */
    int64_t turn_us;     /* the time of this turn, once it is asked for; 0: not yet */
    struct loop_hook turn_over;
    struct event notice_over;

    struct gzip gzip;
    size_t out_len;
    uint8_t out[EDGE_OUT_SIZE];
    uint8_t sealed[EDGE_IN_SIZE];              /* what came by TLS, until it is opened into in */
    uint8_t in[GUARD_PART_MAX + EDGE_IN_SIZE]; /* room before it for a part of a frame */
};

/* Thread: startup, these two; nothing may be open at the end. */
struct edge *edge_new(struct grpc_server *server, struct loop *loop, uint32_t index,
                      const struct grpc_limits *limits);
void edge_free(struct edge *edge);

/* Accepts on fd from now on, which is the edge's now. */
void edge_listen(struct edge *edge, int fd);

void edge_stop_listening(struct edge *edge);

/* Tells the calls that there are and those to come. */
void edge_tell_draining(struct edge *edge);

/* Begins the graceful end of every connection. */
void edge_drain(struct edge *edge);

/* Stops accepting and closes everything. */
void edge_close(struct edge *edge);

/* An unused call, on a slot of its own. */
struct grpc_call *edge_call_take(struct edge *edge);
void edge_call_give(struct edge *edge, struct grpc_call *call);

/* stream_continue in the next turn. */
void edge_call_again(struct grpc_call *call);

#endif
