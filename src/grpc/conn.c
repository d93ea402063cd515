/* SPDX-License-Identifier: ISC */
#include "grpc/conn_internal.h"

#include "base/mem.h"
#include "grpc/edge_internal.h"
#include "grpc/tls_link_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_transient(int error)
{
    return error == EAGAIN || error == EINTR;
}

void conn_touch(struct conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    TAILQ_INSERT_TAIL(&c->edge->dirty, c, dirty_link);
    loop_arm(c->edge->loop, &c->edge->flush);
}

static void release_waiting(struct conn *c)
{
    if (c->waiting.cap > 0)
        explicit_bzero(c->waiting.data, c->waiting.cap);
    buf_release(&c->waiting);
}

static void release_session(struct conn *c)
{
    for (struct grpc_call *call; (call = TAILQ_FIRST(&c->calls)) != NULL;)
        call_close(call);
    nghttp2_session_del(c->session);
    c->session = NULL;
}

void conn_free(struct conn *c)
{
    struct edge *edge = c->edge;
    release_session(c);
    event_del(&c->readable);
    event_del(&c->writable);
    close(c->fd);
    tls_link_free(c->tls);
    release_waiting(c);
    if (c->dirty)
        TAILQ_REMOVE(&edge->dirty, c, dirty_link);
    TAILQ_REMOVE(&edge->conns, c, link);
    edge->n_conns--;
    peers_give(edge->server->peers, c->key);
    server_connection_closed(edge->server);
    free(c);
}

/* Tells the owner of the server that a peer was sent away before its first SETTINGS. */
static void report(const struct conn *c, const char *why)
{
    const struct grpc_server *server = c->edge->server;
    if (server->refused != NULL && !c->greeted)
        server->refused(server->refused_ctx, c->peer, why);
}

/* Queues the GOAWAY that says why, and reads no more. */
static void end(struct conn *c, uint32_t code, const char *why)
{
    report(c, why);
    c->state = CONN_ENDING;
    session_must(nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                                       nghttp2_session_get_last_proc_stream_id(c->session), code,
                                       (const uint8_t *)why, strlen(why)));
}

void conn_blame(struct conn *c, uint32_t code, const char *why)
{
    if (c->fault != NULL)
        return;
    c->fault = why;
    c->fault_code = code;
}

static void feed(struct conn *c, const uint8_t *bytes, size_t n)
{
    ssize_t rv = nghttp2_session_mem_recv(c->session, bytes, n);
    if (rv == NGHTTP2_ERR_BAD_CLIENT_MAGIC && bytes[0] == TLS_LINK_FIRST_BYTE)
        conn_blame(c, NGHTTP2_ENHANCE_YOUR_CALM, "it speaks TLS, and here is none");
    else if (rv < 0)
        conn_blame(c, NGHTTP2_ENHANCE_YOUR_CALM, nghttp2_strerror((int)rv));
}

/* Hands what has been read, n bytes behind a part of a frame header, to nghttp2. */
static void take(struct conn *c, size_t n)
{
    struct edge *edge = c->edge;
    size_t held = c->guard.n_head;
    uint8_t *bytes = edge->in + GUARD_PART_MAX - held;
    memcpy(bytes, c->guard.head, held);
    size_t whole = 0;
    c->fault = guard_walk(&c->guard, edge->now_s, bytes, held + n, &whole);
    c->fault_code = c->guard.code;
    /* Even no bytes would count as a CONTINUATION to nghttp2 1.52. */
    if (c->fault == NULL && whole > 0)
        feed(c, bytes, whole);
    conn_touch(c);
}

/* The peer may speak HTTP/2 from here on. */
static void begin(struct conn *c)
{
    c->state = CONN_OPEN;
    c->session = session_new(&c->edge->server->kit, &c->edge->limits, c);
    conn_touch(c);
}

static void shut(struct conn *c);

static void shake(struct conn *c)
{
    switch (tls_link_shake(c->tls)) {
    case TLS_LINK_SHAKING:
        break;
    case TLS_LINK_READY:
        begin(c);
        break;
    case TLS_LINK_BROKEN:
        report(c, tls_link_problem(c->tls));
        tally_fault(&c->edge->server->tally, TALLY_HANDSHAKE);
        shut(c);
        break;
    }
}

/* n bytes of the wire are in edge->sealed. */
static void take_sealed(struct conn *c, size_t n)
{
    struct edge *edge = c->edge;
    uint8_t *in = edge->in + GUARD_PART_MAX;
    tls_link_give(c->tls, edge->sealed, n);
    if (c->state == CONN_SHAKING)
        shake(c);
    while (c->state == CONN_OPEN && c->fault == NULL) {
        ssize_t opened = tls_link_read(c->tls, in, EDGE_IN_SIZE);
        if (opened < 0) {
            conn_free(c);
            return;
        }
        if (opened == 0)
            break;
        take(c, (size_t)opened);
        explicit_bzero(in, (size_t)opened);
    }
    if (c->waiting.len > 0) /* TLS itself has answered, and the socket did not take all of it */
        conn_touch(c);
    if (c->tls == NULL || !tls_link_is_amid(c->tls))
        c->amid_record = false;
    else if (!c->amid_record) {
        c->amid_record = true;
        c->record_begun = edge->now_s;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct conn *c = arg;
    uint8_t *in = c->tls != NULL ? c->edge->sealed : c->edge->in + GUARD_PART_MAX;
    ssize_t n = read(fd, in, EDGE_IN_SIZE);
    if (n < 0 && is_transient(errno))
        return;
    if (n <= 0) {
        conn_free(c);
        return;
    }
    if (c->tls != NULL) {
        take_sealed(c, (size_t)n);
        return;
    }
    if (c->state == CONN_OPEN)
        take(c, (size_t)n);
    explicit_bzero(in, (size_t)n);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct conn *c = arg;
    ssize_t n = send(fd, c->waiting.data, c->waiting.len, MSG_NOSIGNAL);
    if (n < 0 && !is_transient(errno)) {
        conn_free(c);
        return;
    }
    if (n > 0) {
        buf_consume(&c->waiting, (size_t)n);
        c->touched = c->edge->now_s;
    }
    conn_touch(c);
}

/* Into the socket, or behind what waits for it already. */
static bool send_wire(void *ctx, const void *bytes, size_t n)
{
    struct conn *c = ctx;
    size_t written = 0;
    if (c->waiting.len == 0) {
        ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && !is_transient(errno))
            return false;
        written = sent > 0 ? (size_t)sent : 0;
        if (written < n)
            c->touched = c->edge->now_s;
    }
    buf_append(&c->waiting, (const uint8_t *)bytes + written, n - written);
    return true;
}

/* Empties the loop's buffer towards the peer. */
static bool push_out(struct conn *c)
{
    struct edge *edge = c->edge;
    size_t len = edge->out_len;
    edge->out_len = 0;
    if (len == 0)
        return true;
    bool sent =
        c->tls != NULL ? tls_link_write(c->tls, edge->out, len) : send_wire(c, edge->out, len);
    explicit_bzero(edge->out, len);
    return sent;
}

bool conn_put(struct conn *c, const void *bytes, size_t n)
{
    struct edge *edge = c->edge;
    if (n > EDGE_OUT_SIZE - edge->out_len && !push_out(c))
        return false;
    memcpy(edge->out + edge->out_len, bytes, n);
    edge->out_len += n;
    return true;
}

/* Moves all that nghttp2 has ready towards the socket, unless too much waits already. */
static bool send_ready(struct conn *c)
{
    size_t limit = c->edge->limits.output_bytes;
    while (c->waiting.len <= limit) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
        if (n == 0)
            break;
        if (n < 0 || !conn_put(c, bytes, (size_t)n))
            return false;
    }
    return push_out(c);
}

/* Everything is written. Closing at once would make the kernel answer what the peer
 * still sends with a reset, and a reset can overtake our last bytes. */
static void shut(struct conn *c)
{
    release_session(c);
    if (c->tls != NULL)
        tls_link_end(c->tls);
    tls_link_free(c->tls);
    c->tls = NULL;
    release_waiting(c);
    shutdown(c->fd, SHUT_WR);
    c->state = CONN_CLOSED;
    c->touched = c->edge->now_s;
}

static void set_reading(struct conn *c, bool reading)
{
    if (reading == c->reading)
        return;
    c->reading = reading;
    if (reading)
        event_add(&c->readable, NULL);
    else
        event_del(&c->readable);
}

static bool is_over(const struct conn *c)
{
    return c->state == CONN_ENDING ||
           (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session));
}

static bool send_all(struct conn *c)
{
    if (c->drain == CONN_LAST_CALLS_DUE && c->state == CONN_OPEN) {
        /* Only now is it known which stream is the last: none can open between here
         * and the GOAWAY's way out, because nothing is read meanwhile. */
        session_must(nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                                           nghttp2_session_get_last_proc_stream_id(c->session),
                                           NGHTTP2_NO_ERROR, NULL, 0));
        c->drain = CONN_LAST_CALLS;
    }
    bool sent = send_ready(c);
    if (sent && c->fault != NULL && c->state == CONN_OPEN) {
        end(c, c->fault_code, c->fault);
        sent = send_ready(c);
    }
    return sent;
}

void conn_flush(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    if (c->state == CONN_SHAKING) {
        if (c->waiting.len > 0)
            event_add(&c->writable, NULL);
        return;
    }
    if (!send_all(c)) {
        c->edge->out_len = 0;
        conn_free(c);
        return;
    }
    if (c->waiting.len > 0)
        event_add(&c->writable, NULL);
    else if (is_over(c))
        shut(c);
    else
        release_waiting(c);
    set_reading(c, c->waiting.len <= c->edge->limits.output_bytes);
}

/* A tenth more or less, so that connections that began together do not end together. */
static uint32_t ends_at(uint32_t now, uint32_t age)
{
    if (age == 0)
        return 0;
    uint16_t chance = UINT16_MAX / 2;
    (void)!getrandom(&chance, sizeof chance, GRND_NONBLOCK);
    uint32_t span = age / 5;
    uint32_t at = now + age - span / 2 + (uint32_t)((uint64_t)span * chance / UINT16_MAX);
    return at > 0 ? at : 1;
}

void conn_open(struct edge *edge, int fd, const char *peer, struct peer_key key)
{
    struct conn *c = mem_zalloc(1, sizeof *c);
    c->edge = edge;
    c->fd = fd;
    TAILQ_INIT(&c->calls);
    c->touched = c->idle_since = edge->now_s;
    c->ends_at = ends_at(edge->now_s, edge->limits.age_s);
    c->key = key;
    guard_init(&c->guard, edge->now_s, edge->limits.idle_frames);
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    struct event_base *base = loop_base(edge->loop);
    event_assign(&c->readable, base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, base, fd, EV_WRITE, on_writable, c);
    TAILQ_INSERT_TAIL(&edge->conns, c, link);
    edge->n_conns++;
    server_connection_opened(edge->server);
    if (key.family != AF_UNSPEC)
        c->tls = server_tls_link(edge->server, send_wire, c);
    if (c->tls != NULL)
        c->state = CONN_SHAKING;
    else
        begin(c);
    set_reading(c, true);
}

void conn_drain(struct conn *c)
{
    /* It has no calls yet, and its peer takes the time that it likes. */
    if (c->state == CONN_SHAKING) {
        conn_free(c);
        return;
    }
    if (c->state != CONN_OPEN || c->drain != CONN_SERVING)
        return;
    c->drain = CONN_NOTICED;
    c->noticed = c->edge->now_s;
    session_submit_notice(c->session);
    conn_touch(c);
}

void conn_last_calls(struct conn *c)
{
    if (c->state != CONN_OPEN || c->drain != CONN_NOTICED)
        return;
    c->drain = CONN_LAST_CALLS_DUE;
    conn_touch(c);
}

/* Is the connection itself waiting for its peer for too long? */
static bool is_stalled(const struct conn *c, uint32_t now, uint32_t limit)
{
    uint32_t age = now - c->touched;
    switch (c->state) {
    case CONN_CLOSED:
        return age > EDGE_LINGER_S;
    case CONN_SHAKING:
    case CONN_OPEN:
    case CONN_ENDING:
        break;
    }
    if (limit == 0)
        return false;
    if (c->amid_record && now - c->record_begun > limit)
        return true;
    return ((c->waiting.len > 0 || !c->greeted) && age > limit) ||
           guard_unfinished(&c->guard, now) > limit;
}

/* Begins the graceful end of this connection alone, and goes on with it when the peer does not
 * answer the notice. */
static void retire(struct conn *c, enum tally_fault why)
{
    tally_fault(&c->edge->server->tally, why);
    struct grpc_call *call, *next;
    for (call = TAILQ_FIRST(&c->calls); call != NULL; call = next) {
        next = TAILQ_NEXT(call, link);
        call_tell_draining(call);
    }
    conn_drain(c);
}

static void sweep_age(struct conn *c, uint32_t now)
{
    uint32_t idle_s = c->edge->limits.idle_s;
    if (c->state != CONN_OPEN)
        return;
    if (c->drain == CONN_NOTICED && now - c->noticed > EDGE_NOTICE_MS / 1000)
        conn_last_calls(c);
    if (c->drain != CONN_SERVING)
        return;
    if (c->ends_at != 0 && (int32_t)(now - c->ends_at) >= 0)
        retire(c, TALLY_AGE);
    else if (idle_s != 0 && TAILQ_EMPTY(&c->calls) && now - c->idle_since > idle_s)
        retire(c, TALLY_IDLE);
}

void conn_sweep(struct conn *c, uint32_t now)
{
    uint32_t limit = c->edge->limits.stall_s;
    if (is_stalled(c, now, limit)) {
        if (c->state != CONN_CLOSED) {
            report(c, "it did not say enough in time");
            tally_fault(&c->edge->server->tally, TALLY_STALLED);
        }
        conn_free(c);
        return;
    }
    sweep_age(c, now);
    if (limit == 0)
        return;
    struct grpc_call *next;
    for (struct grpc_call *call = TAILQ_FIRST(&c->calls); call != NULL; call = next) {
        next = TAILQ_NEXT(call, link);
        if (now - call->opened <= limit)
            break; /* the younger ones follow */
        call_check(call, now, limit);
    }
}
