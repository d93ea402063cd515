/* SPDX-License-Identifier: ISC */
#include "grpc/client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "grpc/codec_internal.h"
#include "grpc/dial_internal.h"
#include "grpc/frame_internal.h"
#include "grpc/scrub_internal.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define ANSWER_MAX      (4u * 1024 * 1024) /* bytes of a response's message */
#define FIXED_HEADERS   8
#define NO_STATUS       (-1)
#define HTTP_OK         200
#define HTTP_STATUS_MAX 999

/* The call that is under way. */
struct exchange {
    int32_t stream; /* 0: none */
    struct buf request;
    size_t sent;

    uint64_t http_status;
    bool grpc_type; /* the content type is gRPC's */
    int status;     /* of the trailers, or NO_STATUS */
    struct frame answer;
    struct refusal refusal;
    struct grpc_client_reply reply;

    bool over;
    uint32_t reset_code;
};

struct grpc_client {
    struct dial *dial;
    nghttp2_session *session;
    char *authority;
    bool greeted; /* the peer's SETTINGS came: it speaks HTTP/2 */
    struct exchange x;
};

static const struct frame_rules answer_rules = {.limit = ANSWER_MAX, .encoding = FRAME_IDENTITY};

/* ---- what nghttp2 tells ------------------------------------------------------------- */

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    (void)session;
    struct grpc_client *c = ctx;
    if (frame->hd.type == NGHTTP2_SETTINGS)
        c->greeted = true;
    return 0;
}

static void set_text(struct buf *out, struct str encoded)
{
    buf_clear(out);
    uint8_t *room = buf_reserve(out, encoded.len);
    out->len = codec_percent_decode((char *)room, encoded);
}

static void set_details(struct buf *out, struct str encoded)
{
    buf_clear(out);
    size_t n = 0;
    uint8_t *room = buf_reserve(out, CODEC_BASE64_DECODED_MAX(encoded.len));
    out->len = codec_base64_decode((char *)room, &n, encoded) ? n : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    (void)session;
    (void)flags;
    struct exchange *x = &((struct grpc_client *)ctx)->x;
    struct str n = {.p = (const char *)name, .len = name_len};
    struct str v = {.p = (const char *)value, .len = value_len};
    uint64_t number;
    if (frame->hd.stream_id != x->stream)
        return 0;
    if (str_equal(n, STR(":status")) && str_to_u64(v, HTTP_STATUS_MAX, &number))
        x->http_status = number;
    else if (str_equal(n, STR("content-type")))
        x->grpc_type = str_has_prefix(v, STR("application/grpc"));
    else if (str_equal(n, STR("grpc-status")))
        x->status = str_to_u64(v, GRPC_UNAUTHENTICATED, &number) ? (int)number : GRPC_UNKNOWN;
    else if (str_equal(n, STR("grpc-message")))
        set_text(&x->reply.status_message, v);
    else if (str_equal(n, STR("grpc-status-details-bin")))
        set_details(&x->reply.status_details, v);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes,
                   size_t n, void *ctx)
{
    (void)session;
    (void)flags;
    struct exchange *x = &((struct grpc_client *)ctx)->x;
    if (stream == x->stream && x->refusal.status == GRPC_OK)
        x->refusal = frame_push(&x->answer, answer_rules, bytes, n);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *ctx)
{
    (void)session;
    struct exchange *x = &((struct grpc_client *)ctx)->x;
    if (stream == x->stream) {
        x->over = true;
        x->reset_code = code;
    }
    return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t stream, uint8_t *out, size_t cap,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    (void)session;
    (void)source;
    struct exchange *x = &((struct grpc_client *)ctx)->x;
    if (stream != x->stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t left = x->request.len - x->sent;
    size_t n = left < cap ? left : cap;
    memcpy(out, x->request.data + x->sent, n);
    x->sent += n;
    if (n == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* ---- the wire -------------------------------------------------------------------------- */

static enum err flush(struct grpc_client *c, struct err_text *why)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(c->session, &bytes)) > 0)
        TRY(dial_send(c->dial, bytes, (size_t)n, why));
    if (n < 0)
        return err_set(why, ERR_INTERNAL, NULL, "nghttp2: %s", nghttp2_strerror((int)n));
    return ERR_OK;
}

static enum err take(void *ctx, uint8_t *bytes, size_t n, struct err_text *why)
{
    struct grpc_client *c = ctx;
    ssize_t taken = nghttp2_session_mem_recv(c->session, bytes, n);
    explicit_bzero(bytes, n);
    if (taken < 0)
        return err_set(why, ERR_UNAVAILABLE, NULL, "it broke the rules of HTTP/2: %s",
                       nghttp2_strerror((int)taken));
    return ERR_OK;
}

/* Sends and receives until *goal is true. */
static enum err run_until(struct grpc_client *c, const bool *goal, struct err_text *why)
{
    TRY(flush(c, why));
    while (!*goal) {
        TRY(dial_receive(c->dial, take, c, why));
        TRY(flush(c, why));
        if (!*goal && nghttp2_session_want_read(c->session) == 0)
            return err_set(why, ERR_UNAVAILABLE, NULL, "it does not speak HTTP/2 as gRPC does");
    }
    return ERR_OK;
}

/* ---- opening and closing ------------------------------------------------------------- */

static nghttp2_session *session_new(struct grpc_client *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    if (nghttp2_session_client_new(&session, callbacks, c) != 0)
        abort();
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry no_push = {NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, &no_push, 1) != 0)
        abort();
    return session;
}

/* Somebody who takes the connection and keeps silent is nobody. */
static enum err as_nobody(enum err e)
{
    return e == ERR_TIMEOUT ? ERR_UNAVAILABLE : e;
}

enum err grpc_client_open_tls(struct grpc_client **out, const char *address,
                              const struct grpc_client_tls *tls, int64_t timeout_ms,
                              struct err_text *why)
{
    struct dial *dial;
    enum err e = dial_open(&dial, address, tls, clock_mono_ms(clock_system()) + timeout_ms, why);
    if (e != ERR_OK)
        return as_nobody(e);
    struct grpc_client *c = mem_zalloc(1, sizeof *c);
    c->dial = dial;
    c->authority =
        mem_strdup(str_has_prefix(str_from(address), STR("unix:")) ? "localhost" : address);
    c->session = session_new(c);
    e = run_until(c, &c->greeted, why);
    if (e != ERR_OK) {
        grpc_client_close(c);
        return as_nobody(e);
    }
    *out = c;
    return ERR_OK;
}

enum err grpc_client_open(struct grpc_client **out, const char *address, int64_t timeout_ms,
                          struct err_text *why)
{
    return grpc_client_open_tls(out, address, NULL, timeout_ms, why);
}

void grpc_client_close(struct grpc_client *c)
{
    if (c == NULL)
        return;
    /* A GOAWAY if the socket takes it at once; the peer gets along without. */
    const uint8_t *bytes;
    dial_set_deadline(c->dial, 0);
    if (nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR) == 0) {
        ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
        enum err e = n > 0 ? dial_send(c->dial, bytes, (size_t)n, NULL) : ERR_OK;
        (void)e;
    }
    nghttp2_session_del(c->session);
    dial_close(c->dial);
    free(c->authority);
    free(c);
}

/* ---- a call ------------------------------------------------------------------------------ */

static nghttp2_nv header(struct str name, struct str value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                        .namelen = name.len,
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .valuelen = value.len,
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

static bool is_binary(struct str name)
{
    return name.len > 4 &&
           str_equal((struct str){.p = name.p + name.len - 4, .len = 4}, STR("-bin"));
}

/* The call's own entries behind the fixed ones; encoded holds what "-bin" values become. */
static size_t add_metadata(nghttp2_nv *headers, const struct grpc_client_call *call,
                           struct buf *encoded)
{
    size_t room = 0;
    for (size_t i = 0; i < call->n_metadata; i++)
        room += CODEC_BASE64_MAX(call->metadata[i].value.len);
    buf_reserve(encoded, room); /* all of it first: what is in there must not move */
    for (size_t i = 0; i < call->n_metadata; i++) {
        struct str value = call->metadata[i].value;
        if (is_binary(call->metadata[i].name)) {
            char *place = (char *)encoded->data + encoded->len;
            value = (struct str){.p = place, .len = codec_base64_encode(place, value)};
            encoded->len += value.len;
        }
        headers[i] = header(call->metadata[i].name, value);
        /* Secrets: not into the table of header compression. */
        headers[i].flags = NGHTTP2_NV_FLAG_NO_INDEX;
    }
    return call->n_metadata;
}

static enum err submit(struct grpc_client *c, const struct grpc_client_call *call,
                       struct err_text *why)
{
    char timeout[CODEC_TIMEOUT_MAX];
    struct str wait = {.p = timeout, .len = codec_timeout_format(timeout, call->timeout_ms)};
    nghttp2_nv *headers = mem_zalloc(FIXED_HEADERS + call->n_metadata, sizeof *headers);
    size_t n = 0;
    headers[n++] = header(STR(":method"), STR("POST"));
    headers[n++] = header(STR(":scheme"), dial_is_tls(c->dial) ? STR("https") : STR("http"));
    headers[n++] = header(STR(":path"), str_from(call->path));
    headers[n++] = header(STR(":authority"), str_from(c->authority));
    headers[n++] = header(STR("te"), STR("trailers"));
    headers[n++] = header(STR("content-type"), STR("application/grpc"));
    headers[n++] = header(STR("grpc-timeout"), wait);
    struct buf encoded = BUF_INIT;
    n += add_metadata(headers + n, call, &encoded);
    const nghttp2_data_provider body = {.read_callback = read_request};
    int32_t stream = nghttp2_submit_request(c->session, NULL, headers, n, &body, NULL);
    buf_release(&encoded);
    free(headers);
    if (stream < 0)
        return err_set(why, ERR_UNAVAILABLE, NULL, "cannot begin a call: %s",
                       nghttp2_strerror(stream));
    c->x.stream = stream;
    return ERR_OK;
}

static void exchange_release(struct exchange *x)
{
    scrub(&x->request);
    buf_release(&x->request);
    frame_reset(&x->answer);
    frame_release(&x->answer);
    grpc_client_reply_release(&x->reply);
    *x = (struct exchange){0};
}

/* The stream is closed: is there a status, and with OK a message? */
static enum err settle(struct exchange *x, struct err_text *why)
{
    if (x->status == NO_STATUS && x->reset_code != NGHTTP2_NO_ERROR)
        return err_set(why, ERR_UNAVAILABLE, NULL, "it cut the call: %s",
                       nghttp2_http2_strerror(x->reset_code));
    if (x->http_status != HTTP_OK || !x->grpc_type)
        return err_set(why, ERR_UNAVAILABLE, NULL,
                       "it is no gRPC server: HTTP status %u without a gRPC answer",
                       (unsigned)x->http_status);
    if (x->status == NO_STATUS)
        return err_set(why, ERR_UNAVAILABLE, NULL, "its answer ends without a status");
    if (x->status == GRPC_OK) {
        if (x->refusal.status == GRPC_OK)
            x->refusal = frame_end(&x->answer, answer_rules, NULL);
        if (x->refusal.status != GRPC_OK)
            return err_set(why, ERR_UNAVAILABLE, NULL, "its answer is damaged: %s",
                           x->refusal.text);
        x->reply.message = x->answer.body;
        x->answer.body = BUF_INIT;
    }
    x->reply.status = (enum grpc_status)x->status;
    return ERR_OK;
}

enum err grpc_client_call(struct grpc_client *c, const struct grpc_client_call *call,
                          struct grpc_client_reply *out, struct err_text *why)
{
    struct exchange *x = &c->x;
    x->status = NO_STATUS;
    dial_set_deadline(c->dial, clock_mono_ms(clock_system()) + call->timeout_ms);
    frame_write_head(buf_reserve(&x->request, FRAME_HEAD + call->message.len), false,
                     (uint32_t)call->message.len);
    x->request.len = FRAME_HEAD;
    buf_append_str(&x->request, call->message);

    enum err e = submit(c, call, why);
    if (e == ERR_OK)
        e = run_until(c, &x->over, why);
    if (e == ERR_OK)
        e = settle(x, why);
    if (e == ERR_OK) {
        *out = x->reply;
        x->reply = (struct grpc_client_reply){0};
    }
    exchange_release(x);
    return e;
}

void grpc_client_reply_release(struct grpc_client_reply *r)
{
    struct buf *const all[] = {&r->status_message, &r->status_details, &r->message};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        scrub(all[i]);
        buf_release(all[i]);
    }
    r->status = GRPC_OK;
}
