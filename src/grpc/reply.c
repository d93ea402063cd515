/* SPDX-License-Identifier: ISC */
#include "grpc/reply_internal.h"

#include "base/mem.h"
#include "grpc/codec_internal.h"
#include "grpc/edge_internal.h"
#include "grpc/scrub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* GRPC_COMPRESS_AUTO leaves smaller messages alone: they fit into one packet as they are. */
#define COMPRESS_MIN 1024

#define STATUS_TEXT_MAX 12

#define FIXED (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
#define FIELD(n, v)                                                                                \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),                     \
        .namelen = sizeof(n) - 1, .valuelen = sizeof(v) - 1, .flags = FIXED                        \
    }

enum { HEAD_STATUS, HEAD_TYPE, HEAD_ENCODING, HEAD_FIELDS };
static const nghttp2_nv head_fields[HEAD_FIELDS] = {
    [HEAD_STATUS] = FIELD(":status", "200"),
    [HEAD_TYPE] = FIELD("content-type", "application/grpc"),
    [HEAD_ENCODING] = FIELD("grpc-encoding", "gzip"),
};
static const nghttp2_nv status_ok = FIELD("grpc-status", "0");
static const nghttp2_nv accepts = FIELD("grpc-accept-encoding", "identity,gzip");

/* Header fields and, behind them in the same memory, the bytes that they point to. */
struct reply_trailers {
    size_t n;
    char *free_at; /* where the next bytes go */
    nghttp2_nv nv[];
};

/* ---- putting header fields together ---- */

static bool is_binary(struct str name)
{
    return name.len > 4 &&
           str_equal((struct str){.p = name.p + name.len - 4, .len = 4}, STR("-bin"));
}

/* The transport's own names, and what HTTP/2 cannot carry, are left out. */
static bool is_sendable(const struct grpc_metadata *m)
{
    static const char *const reserved[] = {"te", "content-type", "content-length", "connection"};
    if (m->name.len == 0 || m->name.p[0] == ':' || str_has_prefix(m->name, STR("grpc-")))
        return false;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (str_equal(m->name, str_from(reserved[i])))
            return false;
    return nghttp2_check_header_name((const uint8_t *)m->name.p, m->name.len) &&
           (is_binary(m->name) ||
            nghttp2_check_header_value_rfc9113((const uint8_t *)m->value.p, m->value.len));
}

static size_t room_for_metadata(const struct grpc_metadata *m, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += m[i].name.len + CODEC_BASE64_MAX(m[i].value.len);
    return room;
}

static struct reply_trailers *new_block(size_t n_fields, size_t room)
{
    size_t fields = n_fields * sizeof(nghttp2_nv);
    struct reply_trailers *b = mem_alloc(sizeof *b + fields + room);
    b->n = 0;
    b->free_at = (char *)b->nv + fields;
    return b;
}

static void add_fixed(struct reply_trailers *b, const nghttp2_nv *field)
{
    b->nv[b->n++] = *field;
}

/* value lies at free_at already and is taken from there. */
static void add(struct reply_trailers *b, struct str name, size_t value_len)
{
    b->nv[b->n++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                                 .namelen = name.len,
                                 .value = (uint8_t *)b->free_at,
                                 .valuelen = value_len};
    b->free_at += value_len;
}

static void add_metadata(struct reply_trailers *b, const struct grpc_metadata *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_sendable(&m[i]))
            continue;
        struct str name = {.p = b->free_at, .len = m[i].name.len};
        memcpy(b->free_at, m[i].name.p, m[i].name.len);
        b->free_at += m[i].name.len;
        size_t len = m[i].value.len;
        if (is_binary(name))
            len = codec_base64_encode(b->free_at, m[i].value);
        else if (len > 0)
            memcpy(b->free_at, m[i].value.p, len);
        add(b, name, len);
    }
}

static void add_status(struct reply_trailers *b, const struct grpc_answer *a)
{
    if (a->status == GRPC_OK)
        add_fixed(b, &status_ok);
    else
        add(b, STR("grpc-status"),
            (size_t)snprintf(b->free_at, STATUS_TEXT_MAX, "%d", (int)a->status));
    if (a->status_message.len > 0)
        add(b, STR("grpc-message"), codec_percent_encode(b->free_at, a->status_message));
    if (a->status_details.len > 0)
        add(b, STR("grpc-status-details-bin"), codec_base64_encode(b->free_at, a->status_details));
}

#define STATUS_FIELDS 3 /* grpc-status, grpc-message, grpc-status-details-bin */

static size_t room_for_status(const struct grpc_answer *a)
{
    return STATUS_TEXT_MAX + CODEC_PERCENT_MAX(a->status_message.len) +
           CODEC_BASE64_MAX(a->status_details.len);
}

static struct reply_trailers *make_trailers(const struct grpc_answer *a)
{
    struct reply_trailers *b =
        new_block(STATUS_FIELDS + a->n_trailing,
                  room_for_status(a) + room_for_metadata(a->trailing, a->n_trailing));
    add_status(b, a);
    add_metadata(b, a->trailing, a->n_trailing);
    return b;
}

/* ---- handing them to nghttp2 ---- */

static void submit_trailers(struct grpc_call *call)
{
    const struct reply_trailers *t = call->trailers;
    session_must(nghttp2_submit_trailer(call->conn->session, call->stream,
                                        t != NULL ? t->nv : &status_ok, t != NULL ? t->n : 1));
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
    uint8_t *head = buf_reserve(out, FRAME_HEAD);
    out->len = FRAME_HEAD;
    bool wanted = call->head.takes_gzip &&
                  (a->compress == GRPC_COMPRESS_ALWAYS ||
                   (a->compress == GRPC_COMPRESS_AUTO && a->message.len >= COMPRESS_MIN));
    bool packed = wanted && gzip_deflate(&call->edge->gzip, a->message, out);
    if (!packed)
        buf_append_str(out, a->message);
    head = out->data;
    frame_write_head(head, packed, (uint32_t)(out->len - FRAME_HEAD));
    return packed;
}

static void reply_message(struct grpc_call *call, const struct grpc_answer *a)
{
    bool packed = pack(call, a);
    if (a->n_trailing > 0 || a->status_message.len > 0)
        call->trailers = make_trailers(a);
    size_t n_head = packed ? HEAD_FIELDS : HEAD_ENCODING;
    if (a->n_initial == 0) {
        submit_with_data(call, head_fields, n_head);
        return;
    }
    struct reply_trailers *head =
        new_block(HEAD_FIELDS + a->n_initial, room_for_metadata(a->initial, a->n_initial));
    for (size_t i = 0; i < n_head; i++)
        add_fixed(head, &head_fields[i]);
    add_metadata(head, a->initial, a->n_initial);
    submit_with_data(call, head->nv, head->n);
    free(head);
}

/* One HEADERS frame that ends the stream ("Trailers-Only"). */
static void reply_status_only(struct grpc_call *call, const struct grpc_answer *a)
{
    struct reply_trailers *b =
        new_block(HEAD_FIELDS + STATUS_FIELDS + 1 + a->n_trailing,
                  room_for_status(a) + room_for_metadata(a->trailing, a->n_trailing));
    add_fixed(b, &head_fields[HEAD_STATUS]);
    add_fixed(b, &head_fields[HEAD_TYPE]);
    add_fixed(b, &accepts);
    add_status(b, a);
    add_metadata(b, a->trailing, a->n_trailing);
    session_must(nghttp2_submit_response(call->conn->session, call->stream, b->nv, b->n, NULL));
    free(b);
}

/* Headers of their own have to come before the status: two HEADERS frames. */
static void reply_headers_and_status(struct grpc_call *call, const struct grpc_answer *a)
{
    struct reply_trailers *head =
        new_block(HEAD_FIELDS + a->n_initial, room_for_metadata(a->initial, a->n_initial));
    add_fixed(head, &head_fields[HEAD_STATUS]);
    add_fixed(head, &head_fields[HEAD_TYPE]);
    add_metadata(head, a->initial, a->n_initial);
    nghttp2_session *session = call->conn->session;
    session_must(nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, call->stream, NULL, head->nv,
                                        head->n, NULL));
    free(head);
    call->trailers = make_trailers(a);
    submit_trailers(call);
}

void grpc_reply(struct grpc_call *call, const struct grpc_answer *answer)
{
    loop_assert_here(call->edge->loop);
    call_leave(call);
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
    static const nghttp2_nv not_post[] = {
        FIELD(":status", "405"), FIELD("content-type", "text/plain"), FIELD("allow", "POST")};
    static const nghttp2_nv not_grpc[] = {FIELD(":status", "415"),
                                          FIELD("content-type", "text/plain")};
    call_leave(call);
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
