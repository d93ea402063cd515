/* SPDX-License-Identifier: ISC */
#include "grpc/call_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "grpc/edge_internal.h"
#include "grpc/reply_internal.h"

#include <event2/event.h>
#include <stdlib.h>

static const struct grpc_limits *limits_of(const struct grpc_call *call)
{
    return &call->edge->server->limits;
}

static struct frame_rules rules_of(const struct grpc_call *call)
{
    return (struct frame_rules){.limit = limits_of(call)->message_bytes,
                                .encoding = call->head.encoding};
}

static void refuse(struct grpc_call *call, struct refusal refusal)
{
    grpc_reply_status(call, refusal.status, refusal.text);
}

static int64_t now_ms(const struct grpc_call *call)
{
    return clock_mono_ms(call->edge->server->clock);
}

static void wake_in(struct grpc_call *call, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_add(&call->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct grpc_call *call = arg;
    int64_t left = call->deadline_ms - now_ms(call);
    if (left > 0)
        wake_in(call, left);
    else
        refuse(call, (struct refusal){GRPC_DEADLINE_EXCEEDED, "deadline exceeded"});
}

struct grpc_call *call_new(struct edge *edge, uint32_t slot)
{
    struct grpc_call *call = mem_zalloc(1, sizeof *call);
    call->edge = edge;
    call->slot = slot;
    event_assign(&call->timer, loop_base(edge->loop), -1, 0, on_timer, call);
    return call;
}

void call_free(struct grpc_call *call)
{
    head_release(&call->head);
    frame_release(&call->frame);
    buf_release(&call->answer);
    free(call);
}

struct grpc_call *call_open(struct conn *conn, int32_t stream)
{
    struct grpc_call *call = edge_call_take(conn->edge);
    call->conn = conn;
    call->stream = stream;
    call->state = CALL_HEADERS;
    call->request_ended = false;
    call->method = NULL;
    call->context = NULL;
    call->deadline_ms = INT64_MAX;
    call->opened = call->touched = conn->edge->now_s;
    TAILQ_INSERT_TAIL(&conn->calls, call, link);
    tally_opened(call);
    return call;
}

void call_leave(struct grpc_call *call)
{
    if (call->deadline_ms != INT64_MAX)
        event_del(&call->timer);
    call->state = CALL_ANSWERED;
    call->touched = call->edge->now_s;
}

void call_close(struct grpc_call *call)
{
    struct conn *conn = call->conn;
    if (call->state == CALL_MESSAGE || call->state == CALL_SERVED)
        tally_ended(call, GRPC_CANCELLED);
    tally_closed(call);
    if (call->state != CALL_ANSWERED)
        call_leave(call);
    reply_release(call);
    frame_reset(&call->frame);
    head_reset(&call->head);
    TAILQ_REMOVE(&conn->calls, call, link);
    if (conn->current == call)
        conn->current = NULL;
    call->conn = NULL;
    edge_call_give(call->edge, call);
}

bool call_header(struct grpc_call *call, struct str name, struct str value)
{
    size_t limit = limits_of(call)->metadata_bytes;
    return call->state == CALL_HEADERS ? head_take(&call->head, name, value, limit)
                                       : head_take_trailer(&call->head, name, value, limit);
}

/* What the headers ask for; the deadline runs from here. */
static struct refusal examine(struct grpc_call *call)
{
    struct refusal refusal = head_finish(&call->head, limits_of(call)->metadata_bytes);
    if (refusal.status != GRPC_OK)
        return refusal;
    call->method = server_route(call->edge->server, head_path(&call->head));
    if (call->method == NULL)
        return (struct refusal){GRPC_UNIMPLEMENTED, "unknown method"};
    if (call->head.has_timeout) {
        if (call->head.timeout_ms == 0)
            return (struct refusal){GRPC_DEADLINE_EXCEEDED, "deadline exceeded"};
        call->deadline_ms = now_ms(call) + call->head.timeout_ms;
        wake_in(call, call->head.timeout_ms);
    }
    return REFUSAL_NONE;
}

void call_headers_complete(struct grpc_call *call)
{
    int status = head_http_status(&call->head, limits_of(call)->metadata_bytes);
    if (status != 200) {
        reply_http_error(call, status);
        return;
    }
    struct refusal refusal = examine(call);
    tally_started(call);
    if (refusal.status != GRPC_OK) {
        refuse(call, refusal);
        return;
    }
    call->state = CALL_MESSAGE;
    if (call->method->admit != NULL)
        call->method->admit(call, call->method);
}

void call_data(struct grpc_call *call, const uint8_t *bytes, size_t n)
{
    if (call->state != CALL_MESSAGE)
        return;
    struct refusal refusal = frame_push(&call->frame, rules_of(call), bytes, n);
    if (refusal.status != GRPC_OK)
        refuse(call, refusal);
}

void call_end(struct grpc_call *call)
{
    call->request_ended = true;
    if (call->state != CALL_MESSAGE)
        return;
    struct refusal refusal = frame_end(&call->frame, rules_of(call), &call->edge->gzip);
    if (refusal.status != GRPC_OK) {
        refuse(call, refusal);
        return;
    }
    call->state = CALL_SERVED;
    tally_received(call);
    call->method->serve(call, call->method);
}

void call_check(struct grpc_call *call, uint32_t now, uint32_t limit)
{
    switch (call->state) {
    case CALL_HEADERS: /* the connection's guard watches unfinished header blocks */
    case CALL_SERVED:
        return;
    case CALL_MESSAGE:
        if (now - call->opened > limit)
            refuse(call, (struct refusal){GRPC_DEADLINE_EXCEEDED, "the message did not come"});
        return;
    case CALL_ANSWERED:
        if (now - call->touched > limit)
            reply_cancel(call);
        return;
    }
}

/* ---- what the service sees ---- */

struct grpc_call *grpc_call_find(struct grpc_server *server, struct grpc_call_id id)
{
    if (id.loop >= server->n_edges)
        return NULL;
    struct edge *edge = server->edges[id.loop];
    loop_assert_here(edge->loop);
    if (id.slot >= edge->n_slots)
        return NULL;
    struct grpc_call *call = edge->slots[id.slot];
    bool waits = call->state == CALL_MESSAGE || call->state == CALL_SERVED;
    return call->serial == id.serial && waits ? call : NULL;
}

struct grpc_call_id grpc_call_id(const struct grpc_call *call)
{
    return (struct grpc_call_id){
        .loop = call->edge->index, .slot = call->slot, .serial = call->serial};
}

struct loop *grpc_call_loop(const struct grpc_call *call)
{
    return call->edge->loop;
}

struct str grpc_call_path(const struct grpc_call *call)
{
    return head_path(&call->head);
}

size_t grpc_call_metadata(const struct grpc_call *call, const struct grpc_metadata **out)
{
    *out = call->head.metadata;
    return call->head.n_entries;
}

bool grpc_call_metadata_get(const struct grpc_call *call, const char *name, struct str *out)
{
    struct str wanted = str_from(name);
    for (size_t i = 0; i < call->head.n_entries; i++) {
        if (str_equal(call->head.metadata[i].name, wanted)) {
            *out = call->head.metadata[i].value;
            return true;
        }
    }
    return false;
}

struct str grpc_call_message(const struct grpc_call *call)
{
    return call->state == CALL_SERVED ? buf_str(&call->frame.body) : (struct str){0};
}

const char *grpc_call_peer(const struct grpc_call *call)
{
    return call->conn->peer;
}

bool grpc_call_message_was_compressed(const struct grpc_call *call)
{
    return call->frame.compressed;
}

int64_t grpc_call_deadline_ms(const struct grpc_call *call)
{
    return call->deadline_ms;
}

void grpc_call_set_context(struct grpc_call *call, const void *ctx)
{
    call->context = ctx;
}

const void *grpc_call_context(const struct grpc_call *call)
{
    return call->context;
}
