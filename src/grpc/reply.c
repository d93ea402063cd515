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
    size_t left = call->answer.len - call->answer_sent;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left > room)
        return (ssize_t)room;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!call->is_http_error) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(call);
    }
    return (ssize_t)left;
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

/* The message with its head into call->answer; is it compressed? */
static bool pack(struct grpc_call *call, const struct grpc_answer *a)
{
    struct buf *out = &call->answer;
    buf_reserve(out, FRAME_HEAD + a->message.len);
    out->len = FRAME_HEAD;
    bool wanted = call->head.takes_gzip &&
                  (a->compress == GRPC_COMPRESS_ALWAYS ||
                   (a->compress == GRPC_COMPRESS_AUTO && a->message.len >= COMPRESS_MIN));
    bool packed = wanted && gzip_deflate(&call->edge->gzip, a->message, out);
    if (!packed)
        buf_append_str(out, a->message);
    frame_write_head(out->data, packed, (uint32_t)(out->len - FRAME_HEAD));
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
    size_t end = pack(call, a) ? HEAD_FIELDS : HEAD_ENCODING;
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

void grpc_reply(struct grpc_call *call, const struct grpc_answer *answer)
{
    loop_assert_here(call->edge->loop);
    if (call->conn == NULL || call->state == CALL_ANSWERED)
        abort();
    call_leave(call);
    tally_ended(call, answer->status);
    if (answer->status == GRPC_OK)
        reply_message(call, answer);
    else if (answer->n_initial > 0)
        reply_headers_and_status(call, answer);
    else
        reply_status_only(call, answer);
    conn_touch(call->conn);
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
