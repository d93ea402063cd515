/* SPDX-License-Identifier: ISC */
/* The baseline of the edge's bench: the least that nghttp2 and libevent need to answer a
 * gRPC call over h2c. It reads no header and no message, keeps nothing of a stream, checks
 * nothing and answers every request alike: a response of 32 bytes, status 0.
 * What a real server does more shows in the ratio to this one.
 *
 *     minimal_h2 ADDRESS-AS-IPv4 PORT      prints the port that it listens on
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CAP   (64 * 1024)
#define WRITE_CAP  (64 * 1024)
#define STREAMS    1000
#define WINDOW     (1024 * 1024)
#define ANSWER_LEN (5 + 32)

#define HEADER(n, v)                                                                               \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, sizeof(v) - 1,        \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                           \
    }

struct conn {
    nghttp2_session *session;
    struct event *readable, *writable;
    int fd;
    size_t n_out;
    uint8_t out[WRITE_CAP];
};

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void close_conn(struct conn *c)
{
    nghttp2_session_del(c->session);
    event_free(c->readable);
    event_free(c->writable);
    close(c->fd);
    free(c);
}

/* ---- a request is answered when its end has come ------------------------------------------------
 */

static ssize_t read_answer(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t cap,
                           uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    static const char answer[] = "\0\0\0\0\x20\n\036xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    static const nghttp2_nv trailer = HEADER("grpc-status", "0");
    (void)source, (void)ctx;
    if (cap < ANSWER_LEN)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(buf, answer, ANSWER_LEN);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(session, stream, &trailer, 1);
    return ANSWER_LEN;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    static const nghttp2_nv headers[] = {HEADER(":status", "200"),
                                         HEADER("content-type", "application/grpc")};
    static const nghttp2_data_provider body = {.read_callback = read_answer};
    (void)ctx;
    bool is_request = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!is_request || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    return nghttp2_submit_response(session, frame->hd.stream_id, headers, 2, &body);
}

/* ---- bytes in, bytes out: one write for all that one read brought
 * -------------------------------- */

/* False when the connection is over. */
static bool flush(struct conn *c)
{
    for (;;) {
        const uint8_t *bytes = NULL;
        ssize_t n = 0;
        while (c->n_out < WRITE_CAP / 2 && (n = nghttp2_session_mem_send(c->session, &bytes)) > 0) {
            memcpy(c->out + c->n_out, bytes, (size_t)n);
            c->n_out += (size_t)n;
        }
        if (n < 0)
            return false;
        if (c->n_out == 0)
            return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session);
        ssize_t sent = write(c->fd, c->out, c->n_out);
        if (sent < 0 && errno != EAGAIN)
            return false;
        size_t done = sent < 0 ? 0 : (size_t)sent;
        memmove(c->out, c->out + done, c->n_out - done);
        c->n_out -= done;
        if (c->n_out > 0)
            return event_add(c->writable, NULL) == 0;
    }
}

static void on_writable(int fd, short what, void *ctx)
{
    (void)fd, (void)what;
    if (!flush(ctx))
        close_conn(ctx);
}

static void on_readable(int fd, short what, void *ctx)
{
    static uint8_t bytes[READ_CAP];
    struct conn *c = ctx;
    (void)what;
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || nghttp2_session_mem_recv(c->session, bytes, (size_t)n) < 0 || !flush(c))
        close_conn(c);
}

static void on_connection(int listener, short what, void *ctx)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS}};
    static nghttp2_session_callbacks *callbacks;
    (void)what;
    if (callbacks == NULL) {
        if (nghttp2_session_callbacks_new(&callbacks) != 0)
            die("nghttp2");
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    }
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct conn *c = calloc(1, sizeof *c);
    if (fd < 0 || c == NULL)
        die("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->fd = fd;
    c->readable = event_new(ctx, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(ctx, fd, EV_WRITE, on_writable, c);
    if (nghttp2_session_server_new(&c->session, callbacks, c) != 0 ||
        nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 1) != 0 ||
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0 ||
        event_add(c->readable, NULL) != 0)
        die("connection");
    if (!flush(c))
        close_conn(c);
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    if (argc != 3 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1) {
        fputs("usage: minimal_h2 ADDRESS PORT\n", stderr);
        return 64;
    }
    at.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("listen");
    struct event_base *base = event_base_new();
    struct event *listener = event_new(base, fd, EV_READ | EV_PERSIST, on_connection, base);
    if (base == NULL || listener == NULL || event_add(listener, NULL) != 0)
        die("libevent");
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    return event_base_dispatch(base) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
