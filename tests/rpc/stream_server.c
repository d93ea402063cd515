/* SPDX-License-Identifier: ISC */

/* Streams of plain bytes, and a count of what their handlers were told. */

#include "base/loop.h"
#include "base/mem.h"
#include "rpc/serve.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_MAX 256

/* What the handlers of streams were told so far. One loop. */
static struct {
    unsigned messages, half_closed, room, gone, draining, refused;
} told;

static void reply(struct grpc_call *call, enum grpc_status status, const char *text)
{
    grpc_reply_status(call, status, text);
}

static void count_gone(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    told.gone++;
    free(grpc_call_state(call));
    if (grpc_call_find(serve_server(), grpc_call_id(call)) != NULL)
        abort(); /* it is over, so nobody may find it */
}

static void count_draining(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    told.draining++;
    free(grpc_call_state(call));
    reply(call, GRPC_UNAVAILABLE, "the server is going away");
}

/* ---- Told: the counts as text, and then they are zero ---- */

static void tell(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    char text[COUNT_MAX];
    int n = snprintf(
        text, sizeof text, "messages=%u half_closed=%u room=%u gone=%u draining=%u refused=%u",
        told.messages, told.half_closed, told.room, told.gone, told.draining, told.refused);
    grpc_reply(call, &(struct grpc_answer){.message = {.p = text, .len = (size_t)n}});
    told.messages = told.half_closed = told.room = told.gone = told.draining = told.refused = 0;
}

/* ---- Echo: both ways; "fail" ends it, "twice" comes back twice ---- */

static void echo(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    told.messages++;
    struct str m = grpc_call_message(call);
    if (str_equal(m, STR("fail"))) {
        reply(call, GRPC_ABORTED, "as you like");
        return;
    }
    if (!grpc_send(call, m))
        abort(); /* the first answer to a message has its place */
    if (str_equal(m, STR("twice")) && !grpc_send(call, m))
        told.refused++;
}

/* Only who still has the call is told anything of it. */
static void count_room(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    told.room++;
    if (grpc_call_find(serve_server(), grpc_call_id(call)) == NULL)
        abort();
}

static void end_well(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    told.half_closed++;
    free(grpc_call_state(call));
    reply(call, GRPC_OK, "");
}

/* ---- Pour: as many messages as the request says, "COUNT SIZE"; -1: without end ---- */

struct pour {
    long left;
    size_t size;
};

static void go_on_pouring(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct pour *pour = grpc_call_state(call);
    char *bytes = mem_zalloc(pour->size, 1);
    while (pour->left != 0 && grpc_send(call, (struct str){.p = bytes, .len = pour->size}))
        pour->left--;
    free(bytes);
    if (pour->left != 0) {
        told.refused++;
        return;
    }
    free(pour);
    reply(call, GRPC_OK, "poured");
}

static void pour(struct grpc_call *call, const struct grpc_method *method)
{
    told.messages++;
    struct str m = grpc_call_message(call);
    char text[COUNT_MAX];
    snprintf(text, sizeof text, "%.*s", (int)m.len, m.p);
    struct pour *pour = mem_zalloc(1, sizeof *pour);
    char *end;
    pour->left = strtol(text, &end, 10);
    pour->size = strtoul(end, NULL, 10);
    grpc_call_set_state(call, pour);
    go_on_pouring(call, method);
}

static void pour_on(struct grpc_call *call, const struct grpc_method *method)
{
    told.room++;
    go_on_pouring(call, method);
}

/* ---- Count: the client's stream, as "MESSAGES BYTES"; Slow takes a message each turn,
   Never takes the first one only ---- */

struct count {
    struct grpc_call_id id;
    size_t messages, bytes;
};

static void count(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    told.messages++;
    struct count *n = grpc_call_state(call);
    if (n == NULL) {
        n = mem_zalloc(1, sizeof *n);
        grpc_call_set_state(call, n);
    }
    n->messages++;
    n->bytes += grpc_call_message(call).len;
}

static void tell_count(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    told.half_closed++;
    struct count *n = grpc_call_state(call);
    char text[COUNT_MAX];
    int len = snprintf(text, sizeof text, "%zu %zu", n != NULL ? n->messages : 0,
                       n != NULL ? n->bytes : 0);
    free(n);
    grpc_reply(call, &(struct grpc_answer){.message = {.p = text, .len = (size_t)len}});
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct grpc_call_id *id = arg;
    struct grpc_server *server = serve_server();
    struct grpc_call *call = server != NULL ? grpc_call_find(server, *id) : NULL;
    if (call != NULL)
        grpc_resume(call);
    free(id);
}

static void count_slowly(struct grpc_call *call, const struct grpc_method *method)
{
    static const struct timeval at_once = {0};
    count(call, method);
    grpc_hold(call);
    struct grpc_call_id *id = mem_alloc(sizeof *id);
    *id = grpc_call_id(call);
    event_base_once(loop_base(grpc_call_loop(call)), -1, EV_TIMEOUT, on_time, id, &at_once);
}

static void count_one(struct grpc_call *call, const struct grpc_method *method)
{
    count(call, method);
    grpc_hold(call);
}

#define SERVICE "/rpctest.v1.Stream/"

static const struct grpc_method methods[] = {
    {.path = SERVICE "Told", .serve = tell},
    {.path = SERVICE "Echo",
     .streams = GRPC_BOTH_STREAM,
     .serve = echo,
     .half_closed = end_well,
     .room = count_room,
     .gone = count_gone,
     .draining = count_draining},
    {.path = SERVICE "Pour",
     .streams = GRPC_SERVER_STREAMS,
     .serve = pour,
     .room = pour_on,
     .gone = count_gone},
    {.path = SERVICE "Count",
     .streams = GRPC_CLIENT_STREAMS,
     .serve = count,
     .half_closed = tell_count,
     .gone = count_gone},
    {.path = SERVICE "Slow",
     .streams = GRPC_CLIENT_STREAMS,
     .serve = count_slowly,
     .half_closed = tell_count,
     .gone = count_gone},
    {.path = SERVICE "Never",
     .streams = GRPC_CLIENT_STREAMS,
     .serve = count_one,
     .half_closed = tell_count,
     .gone = count_gone},
};

int main(int argc, char **argv)
{
    return serve_main(argc, argv, methods, sizeof methods / sizeof methods[0]);
}
