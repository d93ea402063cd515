/* SPDX-License-Identifier: ISC */
#include "health_internal.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "grpc/call.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/server.h"
#include "refusal_internal.h"
#include "reply_internal.h"
#include "rpc/rpc.h"
#include "rpc_internal.h"
#include "wire_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

/* A client that is told. */
struct watch {
    LIST_ENTRY(watch) link; /* of its loop's */
    struct grpc_call_id call;
    serving_status told; /* UNKNOWN, which is never told: nothing yet */
    bool is_known;       /* is the service? */
};

struct health {
    struct rpc *rpc;
    size_t n_loops;
    struct watched_loop {
        struct health *health;
        struct loop *loop;
        LIST_HEAD(, watch) watches; /* Thread: the loop */
    } loops[];
};

/* The names that can be asked for; "" is the whole server. */
static const char *const services[] = {"", "twostep.v1.TwoStepService"};

static bool is_known(const char *service)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (strcmp(service, services[i]) == 0)
            return true;
    return false;
}

static serving_status status_of(const struct rpc *rpc)
{
    return rpc_is_serving(rpc) ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

static struct buf pack_status(serving_status status)
{
    Grpc__Health__V1__HealthCheckResponse m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    m.status = status;
    struct buf packed = BUF_INIT;
    reply_pack(&packed, &m.base);
    return packed;
}

/* Is the service in the request known? False when the call has been refused. */
static bool read_request(struct grpc_call *call, bool *is_known_out)
{
    struct arena *arena = arena_new(JOB_ARENA_CAP);
    struct violations v = {0};
    ProtobufCMessage *message;
    enum err e = wire_unpack(&message, &grpc__health__v1__health_check_request__descriptor,
                             grpc_call_message(call), arena, &v);
    if (e == ERR_OK)
        *is_known_out = is_known(((const Grpc__Health__V1__HealthCheckRequest *)message)->service);
    else
        rpc_refuse_message(call, e, &v);
    arena_free(arena);
    return e == ERR_OK;
}

void health_check(struct grpc_call *call, const struct grpc_method *method)
{
    static const struct refusal unknown = {.status = GRPC_NOT_FOUND,
                                           .reason = "UNKNOWN_SERVICE",
                                           .text = "no service of this name is served here"};
    bool known;
    if (!read_request(call, &known))
        return;
    if (!known) {
        refusal_send(call, &unknown);
        return;
    }
    struct buf packed = pack_status(status_of(method->ctx));
    struct grpc_answer answer = {.status = GRPC_OK, .message = buf_str(&packed)};
    grpc_reply(call, &answer);
    buf_release(&packed);
}

/* ---- watching ---- */

/* Tells what is so now, if that is news. When there is no room, room comes. */
static void tell(struct grpc_call *call, struct watch *w, const struct rpc *rpc)
{
    serving_status status = w->is_known ? status_of(rpc) : STATUS(SERVICE_UNKNOWN);
    if (status == w->told)
        return;
    struct buf packed = pack_status(status);
    if (grpc_send(call, buf_str(&packed)))
        w->told = status;
    buf_release(&packed);
}

static void forget(struct watch *w)
{
    LIST_REMOVE(w, link);
    free(w);
}

/* The last word, and the end: nothing will change here any more. */
static void end(struct grpc_call *call, struct watch *w, const struct rpc *rpc)
{
    tell(call, w, rpc);
    forget(w);
    rpc_refuse_draining(call);
}

void health_watch(struct grpc_call *call, const struct grpc_method *method)
{
    const struct rpc *rpc = method->ctx;
    bool known;
    if (!read_request(call, &known))
        return;
    struct watch *w = mem_zalloc(1, sizeof *w);
    w->call = grpc_call_id(call);
    w->is_known = known;
    LIST_INSERT_HEAD(&rpc_health(rpc)->loops[w->call.loop].watches, w, link);
    grpc_call_set_state(call, w);
    grpc_start(call, NULL, 0, GRPC_COMPRESS_NEVER);
    if (rpc_is_stopping(rpc))
        end(call, w, rpc);
    else
        tell(call, w, rpc);
}

void health_watch_room(struct grpc_call *call, const struct grpc_method *method)
{
    tell(call, grpc_call_state(call), method->ctx);
}

void health_watch_gone(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct watch *w = grpc_call_state(call);
    if (w != NULL) /* NULL: its message has not come */
        forget(w);
}

void health_watch_draining(struct grpc_call *call, const struct grpc_method *method)
{
    struct watch *w = grpc_call_state(call);
    if (w != NULL)
        end(call, w, method->ctx);
}

struct health *health_new(struct rpc *rpc, struct loop *const *loops, size_t n_loops)
{
    struct health *h = mem_zalloc(1, sizeof *h + n_loops * sizeof h->loops[0]);
    h->rpc = rpc;
    h->n_loops = n_loops;
    for (size_t i = 0; i < n_loops; i++) {
        h->loops[i].health = h;
        h->loops[i].loop = loops[i];
        LIST_INIT(&h->loops[i].watches);
    }
    return h;
}

void health_free(struct health *h)
{
    free(h);
}

/* The news on its way to a loop. */
struct news {
    struct loop_task task; /* first */
    struct watched_loop *to;
};

static void spread(struct loop_task *task)
{
    struct watched_loop *to = ((struct news *)task)->to;
    struct watch *w;
    LIST_FOREACH(w, &to->watches, link)
    tell(grpc_call_find(rpc_server(to->health->rpc), w->call), w, to->health->rpc);
    free(task);
}

void health_changed(void *ctx)
{
    struct health *h = ctx;
    for (size_t i = 0; i < h->n_loops; i++) {
        struct news *news = mem_zalloc(1, sizeof *news);
        news->task.run = spread;
        news->to = &h->loops[i];
        loop_post(h->loops[i].loop, &news->task);
    }
}
