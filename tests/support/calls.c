/* SPDX-License-Identifier: ISC */
#include "support/calls.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_HEAD_LEN 5
#define IO_CAP         (64 * 1024)
#define EVENTS_MAX     64
#define NS_PER_S       1000000000
#define NS_PER_US      1000

struct call {
    size_t tag;
    int64_t start_ns;
    int status;
    size_t request_len, request_sent, response_len;
    uint8_t request[CALLS_MESSAGE_MAX];
    uint8_t response[CALLS_MESSAGE_MAX];
};

struct conn {
    struct calls *all;
    nghttp2_session *session;
    int fd;
    size_t in_flight, started;
};

struct calls {
    const char *address;
    size_t n_conns, in_flight_max, in_flight;
    struct conn *conns;
    int poll;
    const struct calls_work *work;
    uint32_t *latency_us;
    size_t n_latency, latency_cap;
    uint8_t in[IO_CAP], out[IO_CAP];
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "calls: %s: %s\n", what, detail);
    exit(EXIT_FAILURE);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* ---- a request
 * ------------------------------------------------------------------------------------ */

static ssize_t read_request(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t cap,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct call *call = source->ptr;
    size_t n = call->request_len - call->request_sent;
    (void)session, (void)stream, (void)ctx;
    n = n < cap ? n : cap;
    memcpy(buf, call->request + call->request_sent, n);
    call->request_sent += n;
    if (call->request_sent == call->request_len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static void submit(struct conn *c, struct call *call)
{
    nghttp2_nv headers[] = {header(":method", "POST"),
                            header(":scheme", "http"),
                            header(":path", c->all->work->path),
                            header(":authority", c->all->address),
                            header("content-type", "application/grpc"),
                            header("te", "trailers")};
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_request};
    call->start_ns = now_ns();
    if (nghttp2_submit_request(c->session, NULL, headers, sizeof headers / sizeof headers[0], &body,
                               call) < 0)
        die("nghttp2", "request");
    c->in_flight++;
    c->started++;
    c->all->in_flight++;
}

/* False when there is nothing more to call on this connection. */
static bool start_one(struct conn *c)
{
    const struct calls_work *work = c->all->work;
    size_t tag = 0;
    if (work->per_connection > 0 && c->started == work->per_connection)
        return false;
    const ProtobufCMessage *m = work->next(&tag);
    if (m == NULL)
        return false;
    size_t len = protobuf_c_message_get_packed_size(m);
    if (len > CALLS_MESSAGE_MAX - FRAME_HEAD_LEN)
        die("request", "too long");
    struct call *call = mem_alloc(sizeof *call);
    uint32_t be = htonl((uint32_t)len);
    call->request[0] = 0;
    memcpy(call->request + 1, &be, sizeof be);
    protobuf_c_message_pack(m, call->request + FRAME_HEAD_LEN);
    call->tag = tag;
    call->status = -1;
    call->request_len = FRAME_HEAD_LEN + len;
    call->request_sent = call->response_len = 0;
    submit(c, call);
    return true;
}

/* ---- its answer
 * ------------------------------------------------------------------------------------ */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    static const char grpc_status[] = "grpc-status";
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)value_len, (void)flags, (void)ctx;
    if (call != NULL && name_len == sizeof grpc_status - 1 &&
        memcmp(name, grpc_status, name_len) == 0)
        call->status = (int)strtol((const char *)value, NULL, 10);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *ctx)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    (void)flags, (void)ctx;
    if (call == NULL || len > CALLS_MESSAGE_MAX - call->response_len)
        die("response", "too long");
    memcpy(call->response + call->response_len, data, len);
    call->response_len += len;
    return 0;
}

static void note_latency(struct calls *all, int64_t ns)
{
    if (all->n_latency == all->latency_cap) {
        all->latency_cap = all->latency_cap > 0 ? 2 * all->latency_cap : EVENTS_MAX;
        all->latency_us = mem_realloc(all->latency_us, all->latency_cap * sizeof *all->latency_us);
    }
    all->latency_us[all->n_latency++] = (uint32_t)(ns / NS_PER_US);
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *ctx)
{
    struct conn *c = ctx;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL)
        return 0;
    note_latency(c->all, now_ns() - call->start_ns);
    if (code == NGHTTP2_NO_ERROR && call->status == 0 && call->response_len >= FRAME_HEAD_LEN)
        c->all->work->done(call->tag, 0, call->response + FRAME_HEAD_LEN,
                           call->response_len - FRAME_HEAD_LEN);
    else
        c->all->work->done(call->tag, call->status == 0 ? -1 : call->status, NULL, 0);
    free(call);
    c->in_flight--;
    c->all->in_flight--;
    return 0;
}

/* ---- connections
 * ----------------------------------------------------------------------------------- */

/* Blocks, and need not fear to: the requests in flight fit into the sockets' buffers. */
static void write_all(int fd, const uint8_t *bytes, size_t n)
{
    for (ssize_t done; n > 0; bytes += done, n -= (size_t)done)
        if ((done = write(fd, bytes, n)) <= 0)
            die("write", "the connection is gone");
}

static void flush(struct conn *c)
{
    uint8_t *out = c->all->out;
    const uint8_t *bytes;
    size_t n_out = 0;
    for (ssize_t n; (n = nghttp2_session_mem_send(c->session, &bytes)) != 0;) {
        if (n < 0)
            die("nghttp2", nghttp2_strerror((int)n));
        if ((size_t)n > IO_CAP - n_out) {
            write_all(c->fd, out, n_out);
            n_out = 0;
        }
        memcpy(out + n_out, bytes, (size_t)n);
        n_out += (size_t)n;
    }
    write_all(c->fd, out, n_out);
}

static void fill(struct conn *c)
{
    while (c->in_flight < c->all->in_flight_max && start_one(c)) {
    }
    flush(c);
}

static void receive(struct conn *c)
{
    ssize_t n = read(c->fd, c->all->in, IO_CAP);
    if (n <= 0)
        die("read", "the connection is gone");
    if (nghttp2_session_mem_recv(c->session, c->all->in, (size_t)n) < 0)
        die("nghttp2", "not HTTP/2");
    fill(c);
}

static int connect_to(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN] = {0};
    const char *colon = strchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof host)
        die(address, "not IPv4:PORT");
    memcpy(host, address, (size_t)(colon - address));
    at.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &at.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die(address, "nobody answers");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void open_one(struct calls *all, struct conn *c, const nghttp2_session_callbacks *callbacks)
{
    *c = (struct conn){.all = all, .fd = connect_to(all->address)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (nghttp2_session_client_new(&c->session, callbacks, c) != 0 ||
        nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0) != 0 ||
        epoll_ctl(all->poll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("start", "no memory");
}

struct calls *calls_open(const char *address, size_t connections, size_t in_flight)
{
    nghttp2_session_callbacks *callbacks;
    struct calls *all = mem_zalloc(1, sizeof *all);
    all->address = address;
    all->in_flight_max = in_flight;
    all->n_conns = connections;
    all->conns = mem_zalloc(connections, sizeof *all->conns);
    all->poll = epoll_create1(EPOLL_CLOEXEC);
    if (all->poll < 0 || nghttp2_session_callbacks_new(&callbacks) != 0)
        die("start", "no memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    for (size_t i = 0; i < connections; i++)
        open_one(all, &all->conns[i], callbacks);
    nghttp2_session_callbacks_del(callbacks);
    return all;
}

/* ---- a run
 * ------------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(const struct calls *all, size_t percent)
{
    return all->n_latency > 0 ? all->latency_us[(all->n_latency - 1) * percent / 100] : 0;
}

struct calls_times calls_run(struct calls *all, const struct calls_work *work)
{
    int64_t start = now_ns();
    all->work = work;
    all->n_latency = 0;
    for (size_t i = 0; i < all->n_conns; i++) {
        all->conns[i].started = 0;
        fill(&all->conns[i]);
    }
    while (all->in_flight > 0) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(all->poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++)
            receive(events[i].data.ptr);
    }
    struct calls_times times = {.seconds = (double)(now_ns() - start) / NS_PER_S};
    if (all->n_latency > 0)
        qsort(all->latency_us, all->n_latency, sizeof *all->latency_us, by_value);
    times.p50_us = percentile(all, 50);
    times.p99_us = percentile(all, 99);
    return times;
}
