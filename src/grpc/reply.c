/* SPDX-License-Identifier: ISC */
#include "grpc/reply_internal.h"

#include "grpc/edge_internal.h"
#include "grpc/fields_internal.h"
#include "grpc/scrub_internal.h"

#include <stdlib.h>

/* GRPC_COMPRESS_AUTO leaves smaller messages alone: they fit into one packet as they are. */
#define COMPRESS_MIN 1024

enum { HEAD_STATUS, HEAD_TYPE, HEAD_ENCODING, HEAD_FIELDS };
static const nghttp2_nv head_fields[HEAD_FIELDS] = {
    [HEAD_STATUS] = FIELDS_FIXED(":status", "200"),
    [HEAD_TYPE] = FIELDS_FIXED("content-type", "application/grpc"),
    [HEAD_ENCODING] = FIELDS_FIXED("grpc-encoding", "gzip"),
};
static const nghttp2_nv accepts = FIELDS_FIXED("grpc-accept-encoding", "identity,gzip");

static void submit_trailers(struct grpc_call *call)
{
    const struct fields *t = call->trailers;
    session_must(nghttp2_submit_trailer(call->conn->session, call->stream,
                                        t != NULL ? t->nv : &fields_status_ok,
                                        t != NULL ? t->n : 1));
}

/* nghttp2 asks how much DATA the next frame can hold; send_data takes it (session.c). */
static ssize_t offer_data(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)stream;
    (void)buf;
    (void)ctx;
    struct grpc_call *call = source->ptr;
    size_t left = reply_waiting(call);
    bool ended = call->state == CALL_ANSWERED;
    if (left == 0 && !ended) {
        call->flow.deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left > room || !ended)
        return (ssize_t)(left > room ? room : left);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!call->is_http_error) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(call);
    }
    return (ssize_t)left;
}

size_t reply_waiting(const struct grpc_call *call)
{
    return call->answer.len - call->answer_sent;
}

struct str reply_take(struct grpc_call *call, size_t n)
{
    struct str bytes = {.p = (const char *)call->answer.data + call->answer_sent, .len = n};
    call->answer_sent += n;
    call->touched = call->edge->now_s;
    return bytes;
}

static void submit_with_data(struct grpc_call *call, const nghttp2_nv *nv, size_t n)
{
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = offer_data};
    session_must(nghttp2_submit_response(call->conn->session, call->stream, nv, n, &provider));
}

/* Appends the message with its head to call->answer; is it compressed? */
static bool pack(struct grpc_call *call, struct str message, enum grpc_compress compress)
{
    struct buf *out = &call->answer;
    size_t at = out->len;
    buf_reserve(out, FRAME_HEAD + message.len);
    out->len += FRAME_HEAD;
    bool wanted =
        call->head.takes_gzip && (compress == GRPC_COMPRESS_ALWAYS ||
                                  (compress == GRPC_COMPRESS_AUTO && message.len >= COMPRESS_MIN));
    bool packed = wanted && gzip_deflate(&call->edge->gzip, message, out);
    if (!packed)
        buf_append_str(out, message);
    frame_write_head(out->data + at, packed, (uint32_t)(out->len - at - FRAME_HEAD));
    return packed;
}

static struct fields *make_trailers(const struct grpc_answer *a)
{
    struct fields *f = fields_new(0, a, a->trailing, a->n_trailing);
    fields_add_status(f, a);
    fields_add_metadata(f, a->trailing, a->n_trailing);
    return f;
}

/* The usual fields before end, then the service's own. */
static struct fields *make_head(const struct grpc_answer *a, size_t end)
{
    struct fields *f = fields_new(end, NULL, a->initial, a->n_initial);
    for (size_t i = 0; i < end; i++)
        fields_add_fixed(f, &head_fields[i]);
    fields_add_metadata(f, a->initial, a->n_initial);
    return f;
}

static void reply_message(struct grpc_call *call, const struct grpc_answer *a)
{
    size_t end = pack(call, a->message, a->compress) ? HEAD_FIELDS : HEAD_ENCODING;
    tally_sent(call);
    if (a->n_trailing > 0 || a->status_message.len > 0)
        call->trailers = make_trailers(a);
    if (a->n_initial == 0) {
        submit_with_data(call, head_fields, end);
        return;
    }
    struct fields *head = make_head(a, end);
    submit_with_data(call, head->nv, head->n);
    free(head);
}

/* One HEADERS frame that ends the stream ("Trailers-Only"). */
static void reply_status_only(struct grpc_call *call, const struct grpc_answer *a)
{
    struct fields *f = fields_new(HEAD_FIELDS, a, a->trailing, a->n_trailing);
    fields_add_fixed(f, &head_fields[HEAD_STATUS]);
    fields_add_fixed(f, &head_fields[HEAD_TYPE]);
    fields_add_fixed(f, &accepts);
    fields_add_status(f, a);
    fields_add_metadata(f, a->trailing, a->n_trailing);
    session_must(nghttp2_submit_response(call->conn->session, call->stream, f->nv, f->n, NULL));
    free(f);
}

/* Headers of their own have to come before the status: two HEADERS frames. */
static void reply_headers_and_status(struct grpc_call *call, const struct grpc_answer *a)
{
    struct fields *head = make_head(a, HEAD_ENCODING);
    session_must(nghttp2_submit_headers(call->conn->session, NGHTTP2_FLAG_NONE, call->stream, NULL,
                                        head->nv, head->n, NULL));
    free(head);
    call->trailers = make_trailers(a);
    submit_trailers(call);
}

/* ---- answers of many messages ---- */

static void start(struct grpc_call *call, const struct grpc_answer *a)
{
    call->flow.started = true;
    call->flow.compress = a->compress;
    bool may_pack = call->head.takes_gzip && a->compress != GRPC_COMPRESS_NEVER;
    struct fields *head = make_head(a, may_pack ? HEAD_FIELDS : HEAD_ENCODING);
    submit_with_data(call, head->nv, head->n);
    free(head);
}

/* nghttp2 asks for DATA again. */
static void resume(struct grpc_call *call)
{
    if (!call->flow.deferred)
        return;
    call->flow.deferred = false;
    session_must(nghttp2_session_resume_data(call->conn->session, call->stream));
}

static void finish(struct grpc_call *call, const struct grpc_answer *a)
{
    call->trailers = make_trailers(a);
    resume(call);
}

void reply_submit(struct grpc_call *call, const struct grpc_answer *a)
{
    tally_ended(call, a->status);
    bool many = a->status == GRPC_OK && call->method->streams & GRPC_SERVER_STREAMS;
    if (many && !call->flow.started)
        start(call, a);
    if (call->flow.started)
        finish(call, a);
    else if (a->status == GRPC_OK)
        reply_message(call, a);
    else if (a->n_initial > 0)
        reply_headers_and_status(call, a);
    else
        reply_status_only(call, a);
    conn_touch(call->conn);
}

static void must_be_open(const struct grpc_call *call)
{
    loop_assert_here(call->edge->loop);
    if (call->conn == NULL || !call_is_open(call))
        abort();
}

void grpc_reply(struct grpc_call *call, const struct grpc_answer *answer)
{
    must_be_open(call);
    call_leave(call);
    reply_submit(call, answer);
}

void grpc_start(struct grpc_call *call, const struct grpc_metadata *initial, size_t n_initial,
                enum grpc_compress compress)
{
    must_be_open(call);
    if (call->flow.started || !(call->method->streams & GRPC_SERVER_STREAMS))
        abort();
    start(call,
          &(struct grpc_answer){.initial = initial, .n_initial = n_initial, .compress = compress});
    conn_touch(call->conn);
}

bool grpc_send(struct grpc_call *call, struct str message)
{
    must_be_open(call);
    if (!call->flow.started)
        grpc_start(call, NULL, 0, GRPC_COMPRESS_AUTO);
    if (!stream_has_room(call)) {
        call->flow.owes_room = true;
        return false;
    }
    if (reply_waiting(call) == 0)
        call->touched = call->edge->now_s;
    if (call->answer_sent > 0)
        scrub_front(&call->answer, call->answer_sent);
    call->answer_sent = 0;
    pack(call, message, call->flow.compress);
    tally_sent(call);
    resume(call);
    conn_touch(call->conn);
    return true;
}

void grpc_reply_status(struct grpc_call *call, enum grpc_status status, const char *message)
{
    grpc_reply(call, &(struct grpc_answer){.status = status, .status_message = str_from(message)});
}

void reply_http_error(struct grpc_call *call, int status)
{
    static const nghttp2_nv not_post[] = {FIELDS_FIXED(":status", "405"),
                                          FIELDS_FIXED("content-type", "text/plain"),
                                          FIELDS_FIXED("allow", "POST")};
    static const nghttp2_nv not_grpc[] = {FIELDS_FIXED(":status", "415"),
                                          FIELDS_FIXED("content-type", "text/plain")};
    call_leave(call);
    tally_fault(&call->edge->server->tally, TALLY_NOT_GRPC);
    call->is_http_error = true;
    const nghttp2_nv *nv = status == 405 ? not_post : not_grpc;
    size_t n = status == 405 ? 3 : 2;
    if (call->head.http_method == HEAD_METHOD_HEAD) {
        session_must(nghttp2_submit_response(call->conn->session, call->stream, nv, n, NULL));
    } else {
        buf_append_str(&call->answer, STR("This is a gRPC server.\n"));
        submit_with_data(call, nv, n);
    }
    conn_touch(call->conn);
}

void reply_cancel(struct grpc_call *call)
{
    session_must(nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE, call->stream,
                                           NGHTTP2_CANCEL));
    call->touched = call->edge->now_s;
    conn_touch(call->conn);
}

void reply_release(struct grpc_call *call)
{
    scrub(&call->answer);
    call->answer_sent = 0;
    call->is_http_error = false;
    free(call->trailers);
    call->trailers = NULL;
}
