/* SPDX-License-Identifier: ISC */
#include "grpc/call_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "grpc/edge_internal.h"
#include "grpc/reply_internal.h"

#include <event2/event.h>
#include <stdlib.h>

#define HTTP_OK 200

const struct grpc_limits *call_limits(const struct grpc_call *call)
{
    return &call->edge->limits;
}

struct frame_rules call_frame_rules(const struct grpc_call *call)
{
    return (struct frame_rules){.limit = call->message_bytes, .encoding = call->head.encoding};
}

bool call_is_open(const struct grpc_call *call)
{
    switch (call->state) {
    case CALL_MESSAGE:
    case CALL_STREAM:
    case CALL_SERVED:
        return true;
    case CALL_HEADERS:
    case CALL_NOT_GRPC:
    case CALL_ANSWERED:
        break;
    }
    return false;
}

void call_lose(struct grpc_call *call)
{
    bool was_open = call_is_open(call);
    call_leave(call);
    if (was_open && call->method->gone != NULL)
        call->method->gone(call, call->method);
}

void call_refuse(struct grpc_call *call, struct refusal refusal)
{
    call_lose(call);
    reply_submit(call, &(struct grpc_answer){.status = refusal.status,
                                             .status_message = str_from(refusal.text)});
}

void call_tell_draining(struct grpc_call *call)
{
    if (call_is_open(call) && call->method->draining != NULL)
        call->method->draining(call, call->method);
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
        call_refuse(call, (struct refusal){GRPC_DEADLINE_EXCEEDED, "deadline exceeded"});
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
    stream_release(&call->flow);
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
    call->memory = NULL;
    call->deadline_ms = INT64_MAX;
    call->message_bytes = call_limits(call)->message_bytes;
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
    if (call_is_open(call))
        tally_ended(call, GRPC_CANCELLED);
    tally_closed(call);
    if (call->state != CALL_ANSWERED)
        call_lose(call);
    stream_reset(call);
    reply_release(call);
    frame_reset(&call->frame);
    head_reset(&call->head);
    TAILQ_REMOVE(&conn->calls, call, link);
    conn->idle_since = call->edge->now_s;
    if (conn->current == call)
        conn->current = NULL;
    call->conn = NULL;
    edge_call_give(call->edge, call);
}

bool call_header(struct grpc_call *call, struct str name, struct str value)
{
    size_t limit = call_limits(call)->metadata_bytes;
    return call->state == CALL_HEADERS ? head_take(&call->head, name, value, limit)
                                       : head_take_trailer(&call->head, name, value, limit);
}

static bool is_one_too_many(const struct grpc_call *call)
{
    uint32_t limit = call_limits(call)->calls;
    return limit > 0 && call->edge->n_calls > limit;
}

/* What the headers ask for; the deadline runs from here. */
static struct refusal examine(struct grpc_call *call)
{
    struct refusal refusal = head_finish(&call->head, call_limits(call)->metadata_bytes);
    if (refusal.status != GRPC_OK)
        return refusal;
    call->method = server_route(call->edge->server, head_path(&call->head));
    if (call->method == NULL)
        return (struct refusal){GRPC_UNIMPLEMENTED, "unknown method"};
    if (is_one_too_many(call)) {
        tally_fault(&call->edge->server->tally, TALLY_TOO_MANY_CALLS);
        return (struct refusal){GRPC_RESOURCE_EXHAUSTED, "too many calls at once"};
    }
    size_t own = call->method->message_bytes;
    if (own > 0 && own < call->message_bytes)
        call->message_bytes = own;
    if (call->head.has_timeout) {
        if (call->head.timeout_ms == 0)
            return (struct refusal){GRPC_DEADLINE_EXCEEDED, "deadline exceeded"};
        call->deadline_ms = now_ms(call) + call->head.timeout_ms;
        wake_in(call, call->head.timeout_ms);
    }
    return REFUSAL_NONE;
}

static int http_status(const struct grpc_call *call)
{
    return head_http_status(&call->head, call_limits(call)->metadata_bytes);
}

void call_headers_complete(struct grpc_call *call)
{
    if (http_status(call) != HTTP_OK) {
        call->state = CALL_NOT_GRPC;
        return;
    }
    struct refusal refusal = examine(call);
    tally_started(call);
    if (refusal.status != GRPC_OK) {
        call_refuse(call, refusal);
        return;
    }
    call->state = call->method->streams & GRPC_CLIENT_STREAMS ? CALL_STREAM : CALL_MESSAGE;
    if (call->method->admit != NULL)
        call->method->admit(call, call->method);
    if (call->edge->draining || call->conn->drain != CONN_SERVING)
        call_tell_draining(call);
}

size_t call_data(struct grpc_call *call, const uint8_t *bytes, size_t n)
{
    if (call->state == CALL_STREAM)
        return stream_data(call, bytes, n);
    if (call->state != CALL_MESSAGE)
        return n;
    struct refusal refusal = frame_push(&call->frame, call_frame_rules(call), bytes, n);
    if (refusal.status != GRPC_OK)
        call_refuse(call, refusal);
    return n;
}

void call_end(struct grpc_call *call)
{
    call->request_ended = true;
    if (call->state == CALL_NOT_GRPC)
        reply_http_error(call, http_status(call));
    if (call->state == CALL_STREAM)
        stream_end(call);
    if (call->state != CALL_MESSAGE)
        return;
    struct refusal refusal = frame_end(&call->frame, call_frame_rules(call), &call->edge->gzip);
    if (refusal.status != GRPC_OK) {
        call_refuse(call, refusal);
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
        return;
    case CALL_MESSAGE:
        if (now - call->opened > limit)
            call_refuse(call, (struct refusal){GRPC_DEADLINE_EXCEEDED, "the message did not come"});
        return;
    case CALL_NOT_GRPC:
        if (now - call->opened > limit)
            reply_http_error(call, http_status(call));
        return;
    case CALL_STREAM:
    case CALL_SERVED:
        stream_check(call, now, limit);
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
    return call->serial == id.serial && call_is_open(call) ? call : NULL;
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
    return call->state == CALL_SERVED || call->flow.handing ? buf_str(&call->frame.body)
                                                            : (struct str){0};
}

const char *grpc_call_peer(const struct grpc_call *call)
{
    return call->conn->peer;
}

size_t grpc_call_peer_names(const struct grpc_call *call, const char *const **out)
{
    *out = NULL;
    return call->conn->tls != NULL ? tls_link_names(call->conn->tls, out) : 0;
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

void grpc_call_set_state(struct grpc_call *call, void *state)
{
    call->memory = state;
}

void *grpc_call_state(const struct grpc_call *call)
{
    return call->memory;
}
