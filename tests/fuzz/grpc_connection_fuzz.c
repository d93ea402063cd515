/* SPDX-License-Identifier: ISC */
/* One connection of the gRPC server, fed with whatever libFuzzer thinks of.
 *
 * The first byte of an input chooses what happens meanwhile, the second how the rest is
 * cut into reads. Invariants: no sanitizer complains, and when the peer has closed
 * there is neither a connection nor a call that could be found. */

#include "base/clock.h"
#include "base/loop.h"
#include "grpc/call.h"
#include "grpc/edge_internal.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GREETING = 1, /* preface and SETTINGS come before the input */
    UNREAD = 2,   /* the peer does not read its answers */
    LATE = 4,     /* delayed calls are answered in between, not at the end */
    DRAIN = 8,
    AGEING = 16, /* a second passes with each read */
};

#define PIECE     4     /* the second byte counts in these; 0: all at once */
#define PIECE_MAX 60000 /* what fits into a socket's buffer */
#define LATER_MAX 64
#define STALL_S   3

static struct loop *loop;
static struct grpc_server *server;
static struct grpc_call_id later[LATER_MAX];
static size_t n_later;

static void echo(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    const struct grpc_metadata *metadata;
    size_t n = grpc_call_metadata(call, &metadata);
    grpc_reply(call, &(struct grpc_answer){.message = grpc_call_message(call),
                                           .initial = metadata,
                                           .n_initial = n,
                                           .trailing = metadata,
                                           .n_trailing = n,
                                           .compress = GRPC_COMPRESS_ALWAYS});
}

static void fail(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    grpc_reply(call, &(struct grpc_answer){.status = GRPC_ABORTED,
                                           .status_message = grpc_call_message(call),
                                           .status_details = grpc_call_message(call)});
}

static void delay(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    if (n_later < LATER_MAX)
        later[n_later++] = grpc_call_id(call);
}

static void answer_delayed(void)
{
    if (n_later == 0)
        return;
    struct grpc_call *call = grpc_call_find(server, later[--n_later]);
    if (call != NULL && grpc_call_state(call) != NULL)
        grpc_resume(call);
    else if (call != NULL)
        fail(call, NULL);
}

/* ---- a stream: its state is freed when it ends, and the leak checker sees whether it did ---- */

static void flow_message(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct str m = grpc_call_message(call);
    if (grpc_call_state(call) == NULL)
        grpc_call_set_state(call, malloc(1));
    if (!grpc_send(call, m))
        abort(); /* the first answer to a message has its place */
    for (size_t i = 0; i < m.len % 4; i++)
        (void)grpc_send(call, m);
    if (m.len % 5 == 1) {
        grpc_hold(call);
        delay(call, method);
    }
}

static void flow_room(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    if (!grpc_send(call, STR("room")))
        abort();
}

static void flow_over(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    free(grpc_call_state(call));
}

static void flow_end(struct grpc_call *call, const struct grpc_method *method)
{
    flow_over(call, method);
    fail(call, method);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static const struct grpc_method methods[] = {
        {.path = "/echo", .serve = echo},
        {.path = "/fail", .serve = fail},
        {.path = "/delay", .serve = delay},
        {.path = "/refuse", .admit = fail, .serve = echo},
        {.path = "/stream",
         .streams = GRPC_BOTH_STREAM,
         .serve = flow_message,
         .half_closed = flow_end,
         .room = flow_room,
         .gone = flow_over,
         .draining = flow_end},
    };
    signal(SIGPIPE, SIG_IGN);
    if (loop_new(&loop, NULL) != ERR_OK)
        abort();
    struct grpc_server_options options = {.loops = &loop,
                                          .n_loops = 1,
                                          .methods = methods,
                                          .n_methods = sizeof methods / sizeof methods[0],
                                          .limits = GRPC_LIMITS_DEFAULT,
                                          .clock = clock_system()};
    /* Small, so that inputs reach them. */
    options.limits.message_bytes = 4096;
    options.limits.metadata_bytes = 1024;
    options.limits.output_bytes = 2048;
    options.limits.stream_bytes = 512;
    options.limits.streams = 20;
    options.limits.stall_s = STALL_S;
    server = grpc_server_new(&options);
    return 0;
}

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

static void read_answers(int peer)
{
    static uint8_t sink[65536];
    while (read(peer, sink, sizeof sink) > 0)
        ;
}

static void pass_a_second(struct edge *edge)
{
    edge->now_s++;
    struct conn *next;
    for (struct conn *c = TAILQ_FIRST(&edge->conns); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        conn_sweep(c, edge->now_s);
    }
}

/* What the first byte asks for between two reads. */
static void meanwhile(struct edge *edge, int peer, uint8_t mode)
{
    if (!(mode & UNREAD))
        read_answers(peer);
    if (mode & LATE)
        answer_delayed();
    if (mode & DRAIN) {
        edge_tell_draining(edge);
        struct conn *c;
        TAILQ_FOREACH (c, &edge->conns, link)
            conn_drain(c);
    }
    if (mode & AGEING)
        pass_a_second(edge);
    turn();
}

static void end(struct edge *edge, int peer)
{
    while (n_later > 0)
        answer_delayed();
    turn();
    read_answers(peer);
    close(peer);
    turn();
    struct conn *c = TAILQ_FIRST(&edge->conns);
    if (c != NULL)
        conn_free(c); /* it waited for room to write, and did not read that we are gone */
    turn();
    edge->draining = false;
    if (edge->n_conns != 0 || grpc_server_connections(server) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    if (n < 2)
        return 0;
    uint8_t mode = bytes[0];
    size_t piece = bytes[1] > 0 ? bytes[1] * PIECE : PIECE_MAX;
    struct edge *edge = server->edges[0];
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        abort();
    conn_open(edge, ends[0], "fuzz", (struct peer_key){0});
    if (mode & GREETING && write(ends[1], greeting, sizeof greeting - 1) < 0)
        abort();
    for (size_t at = 2; at < n;) {
        ssize_t written = write(ends[1], bytes + at, n - at < piece ? n - at : piece);
        if (written < 0)
            break;
        at += (size_t)written;
        turn();
        meanwhile(edge, ends[1], mode);
    }
    end(edge, ends[1]);
    return 0;
}
