/* SPDX-License-Identifier: ISC */
#include "grpc/session_internal.h"

#include "grpc/edge_internal.h"
#include "grpc/reply_internal.h"

#include <stdlib.h>
#include <string.h>

/* Resets by the peer are counted by the guard, together with other useless frames; the
 * library's own limit knows nothing of the useful work between them. */
#define RESETS_UNLIMITED (1u << 30)

/* The receive windows: large enough for a message to come in one go, and no more than
 * one connection may make us hold. */
#define WINDOW_MIN        65535
#define WINDOW_MAX        (1024 * 1024)
#define CONNECTION_WINDOW (1024 * 1024)

/* The last stream of a notice: RFC 9113 section 6.8. */
#define NOTICE_STREAM 0x7fffffff

static const uint8_t drain_ping[8] = {'l', 'a', 's', 't', 'c', 'a', 'l', 'l'};

void session_must(int rv)
{
    if (rv != 0)
        abort();
}

static struct str bytes_of(const uint8_t *p, size_t n)
{
    return (struct str){.p = (const char *)p, .len = n};
}

/* nghttp2 tells of one stream many times in a row: the last one is remembered. */
static struct grpc_call *call_of(nghttp2_session *session, struct conn *c, int32_t stream)
{
    if (c->current == NULL || c->current->stream != stream)
        c->current = nghttp2_session_get_stream_user_data(session, stream);
    return c->current;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct conn *c = ctx;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    c->current = call_open(c, frame->hd.stream_id);
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, c->current);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    (void)flags;
    struct grpc_call *call = call_of(session, ctx, frame->hd.stream_id);
    if (call == NULL)
        return 0;
    return call_header(call, bytes_of(name, name_len), bytes_of(value, value_len))
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes,
                   size_t n, void *ctx)
{
    (void)flags;
    struct grpc_call *call = call_of(session, ctx, stream);
    size_t used = call != NULL ? call_data(call, bytes, n) : n;
    session_must(nghttp2_session_consume_connection(session, n));
    session_must(nghttp2_session_consume_stream(session, stream, used));
    return 0;
}

void session_consume(struct grpc_call *call, size_t n)
{
    session_must(nghttp2_session_consume_stream(call->conn->session, call->stream, n));
}

static void on_request_frame(nghttp2_session *session, struct conn *c, const nghttp2_frame *frame)
{
    struct grpc_call *call = call_of(session, c, frame->hd.stream_id);
    if (call == NULL)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        call_headers_complete(call);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        call_end(call);
}

static void on_ping(struct conn *c, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
        if (str_equal(bytes_of(frame->ping.opaque_data, sizeof drain_ping),
                      bytes_of(drain_ping, sizeof drain_ping)))
            conn_last_calls(c);
        return;
    }
    const char *why = guard_ping(&c->guard, c->edge->now_s, c->edge->limits.ping_s);
    if (why != NULL)
        conn_blame(c, NGHTTP2_ENHANCE_YOUR_CALM, why);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct conn *c = ctx;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        on_request_frame(session, c, frame);
        break;
    case NGHTTP2_SETTINGS:
        c->greeted = true;
        break;
    case NGHTTP2_PING:
        on_ping(c, frame);
        break;
    default:
        break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *ctx)
{
    (void)code;
    struct grpc_call *call = call_of(session, ctx, stream);
    if (call != NULL)
        call_close(call);
    return 0;
}

/* The answer is complete. When the request is not, a reset tells the peer to stop
 * sending it (RFC 9113 section 8.1); before the answer it would have lost it. */
static void end_early(nghttp2_session *session, struct conn *c, int32_t stream)
{
    const struct grpc_call *call = call_of(session, c, stream);
    if (call != NULL && !call->request_ended)
        session_must(
            nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR));
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct conn *c = ctx;
    tally_frame_sent(&c->edge->server->tally, frame);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        guard_earn(&c->guard);
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            end_early(session, c, frame->hd.stream_id);
        break;
    case NGHTTP2_GOAWAY:
        /* Not together with the notice: nghttp2 would let a PING overtake it. */
        if (frame->goaway.last_stream_id == NOTICE_STREAM)
            session_must(nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, drain_ping));
        break;
    case NGHTTP2_RST_STREAM:
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
            frame->rst_stream.error_code != NGHTTP2_CANCEL &&
            frame->rst_stream.error_code != NGHTTP2_REFUSED_STREAM &&
            !guard_charge_fault(&c->guard))
            conn_blame(c, NGHTTP2_ENHANCE_YOUR_CALM, "too many broken streams");
        break;
    default:
        break;
    }
    return 0;
}

/* An answer that nghttp2 cannot send, such as headers beyond its own limit. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *ctx)
{
    (void)ctx;
    if (frame->hd.type == NGHTTP2_HEADERS && error != NGHTTP2_ERR_STREAM_CLOSED &&
        error != NGHTTP2_ERR_STREAM_CLOSING)
        session_must(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                               NGHTTP2_INTERNAL_ERROR));
    return 0;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)frame;
    struct conn *c = ctx;
    struct str bytes = reply_take(source->ptr, n);
    bool put = conn_put(c, head, GUARD_FRAME_HEAD) && conn_put(c, bytes.p, bytes.len);
    stream_sent(source->ptr);
    return put ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

void session_kit_init(struct session_kit *kit)
{
    session_must(nghttp2_session_callbacks_new(&kit->callbacks));
    nghttp2_session_callbacks *cb = kit->callbacks;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    session_must(nghttp2_option_new(&kit->option));
    /* A stream's window opens as its messages are taken. */
    nghttp2_option_set_no_auto_window_update(kit->option, 1);
    nghttp2_option_set_stream_reset_rate_limit(kit->option, RESETS_UNLIMITED, RESETS_UNLIMITED);
}

void session_kit_release(struct session_kit *kit)
{
    nghttp2_session_callbacks_del(kit->callbacks);
    nghttp2_option_del(kit->option);
}

static uint32_t stream_window(const struct grpc_limits *limits)
{
    size_t message = limits->message_bytes + FRAME_HEAD;
    return message < WINDOW_MIN   ? WINDOW_MIN
           : message < WINDOW_MAX ? (uint32_t)message
                                  : WINDOW_MAX;
}

nghttp2_session *session_new(const struct session_kit *kit, const struct grpc_limits *limits,
                             struct conn *c)
{
    nghttp2_session *session;
    session_must(nghttp2_session_server_new2(&session, kit->callbacks, c, kit->option));
    /* The old priorities cost a tree of streams that nobody uses. */
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window(limits)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->metadata_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    session_must(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
                                         sizeof settings / sizeof settings[0]));
    session_must(
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW));
    return session;
}

void session_submit_notice(nghttp2_session *session)
{
    session_must(nghttp2_submit_shutdown_notice(session));
}
