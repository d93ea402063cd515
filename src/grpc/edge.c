/* SPDX-License-Identifier: ISC */
#include "grpc/edge_internal.h"

#include "base/mem.h"
#include "grpc/address_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_SLOTS 64

static const struct timeval one_second = {.tv_sec = 1};
static const struct timeval accept_pause = {.tv_usec = EDGE_ACCEPT_PAUSE_MS * 1000};
static const struct timeval notice_time = {.tv_sec = EDGE_NOTICE_MS / 1000,
                                           .tv_usec = EDGE_NOTICE_MS % 1000 * 1000};

static void flush_dirty(void *ctx)
{
    struct edge *edge = ctx;
    for (struct conn *c; (c = TAILQ_FIRST(&edge->dirty)) != NULL;) {
        TAILQ_REMOVE(&edge->dirty, c, dirty_link);
        c->dirty = false;
        conn_flush(c);
    }
}

static void forget_time(void *ctx)
{
    struct edge *edge = ctx;
    edge->turn_us = 0;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct edge *edge = arg;
    edge->now_s++;
    struct conn *next;
    for (struct conn *c = TAILQ_FIRST(&edge->conns); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        conn_sweep(c, edge->now_s);
    }
    if (TAILQ_EMPTY(&edge->conns))
        event_del(&edge->second);
}

static void tell_paused(struct edge *edge, const char *why)
{
    const struct grpc_server *server = edge->server;
    edge->paused = why != NULL;
    if (server->paused != NULL)
        server->paused(server->paused_ctx, why);
}

static void pause_accepting(struct edge *edge, int error)
{
    if (!edge->paused) {
        tell_paused(edge, strerror(error));
        tally_fault(&edge->server->tally, TALLY_ACCEPT_PAUSED);
    }
    struct listener *l;
    SLIST_FOREACH (l, &edge->listeners, link)
        event_del(&l->acceptable);
    event_add(&edge->accept_again, &accept_pause);
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct edge *edge = arg;
    struct listener *l;
    SLIST_FOREACH (l, &edge->listeners, link)
        event_add(&l->acceptable, NULL);
}

static void take_connection(struct edge *edge, int fd, const struct address *from)
{
    if (edge->paused)
        tell_paused(edge, NULL);
    struct peer_key key = peers_key(&from->sa);
    bool full = edge->n_conns >= edge->limits.connections;
    if (full || !peers_take(edge->server->peers, key, edge->limits.peer_connections)) {
        tally_connection_refused(&edge->server->tally, full ? TALLY_ALL : TALLY_OF_PEER);
        close(fd);
        return;
    }
    char peer[CONN_PEER_MAX];
    address_text(from, peer, sizeof peer);
    if (TAILQ_EMPTY(&edge->conns))
        event_add(&edge->second, &one_second);
    conn_open(edge, fd, peer, key);
}

static void on_acceptable(evutil_socket_t listener_fd, short what, void *arg)
{
    (void)what;
    struct listener *l = arg;
    for (int i = 0; i < EDGE_ACCEPT_BURST; i++) {
        struct address from = {.len = sizeof from.sa};
        int fd = accept4(listener_fd, (struct sockaddr *)&from.sa, &from.len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take_connection(l->edge, fd, &from);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The connection stays in the queue and the socket readable: without a
             * pause this would spin. */
            pause_accepting(l->edge, errno);
            return;
        }
        /* What remains is the fault of that one connection (accept(2)). */
    }
}

/* The peers that have not answered the PING after the notice. */
static void on_notice_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct edge *edge = arg;
    struct conn *c;
    TAILQ_FOREACH (c, &edge->conns, link)
        conn_last_calls(c);
}

/* Those that are due now; who becomes due by that waits for the turn after. */
static void on_next_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct edge *edge = arg;
    struct grpc_call *call, *last = TAILQ_LAST(&edge->due, call_list);
    do {
        call = TAILQ_FIRST(&edge->due);
        if (call == NULL)
            return;
        TAILQ_REMOVE(&edge->due, call, flow.link);
        call->flow.is_due = false;
        stream_continue(call);
    } while (call != last);
}

void edge_call_again(struct grpc_call *call)
{
    static const struct timeval at_once = {0};
    struct edge *edge = call->edge;
    if (call->flow.is_due)
        return;
    call->flow.is_due = true;
    TAILQ_INSERT_TAIL(&edge->due, call, flow.link);
    event_add(&edge->next_turn, &at_once);
}

struct edge *edge_new(struct grpc_server *server, struct loop *loop, uint32_t index,
                      const struct grpc_limits *limits)
{
    struct edge *edge = mem_zalloc(1, sizeof *edge);
    edge->server = server;
    edge->loop = loop;
    edge->index = index;
    edge->limits = *limits;
    SLIST_INIT(&edge->listeners);
    TAILQ_INIT(&edge->conns);
    TAILQ_INIT(&edge->dirty);
    TAILQ_INIT(&edge->unused);
    TAILQ_INIT(&edge->due);
    edge->flush = (struct loop_hook){.run = flush_dirty, .ctx = edge};
    edge->turn_over = (struct loop_hook){.run = forget_time, .ctx = edge};
    struct event_base *base = loop_base(loop);
    event_assign(&edge->second, base, -1, EV_PERSIST, on_second, edge);
    event_assign(&edge->accept_again, base, -1, 0, on_accept_again, edge);
    event_assign(&edge->notice_over, base, -1, 0, on_notice_over, edge);
    event_assign(&edge->next_turn, base, -1, 0, on_next_turn, edge);
    return edge;
}

void edge_free(struct edge *edge)
{
    for (uint32_t i = 0; i < edge->n_slots; i++)
        call_free(edge->slots[i]);
    free(edge->slots);
    gzip_release(&edge->gzip);
    free(edge);
}

void edge_listen(struct edge *edge, int fd)
{
    struct listener *l = mem_zalloc(1, sizeof *l);
    l->edge = edge;
    l->fd = fd;
    SLIST_INSERT_HEAD(&edge->listeners, l, link);
    event_assign(&l->acceptable, loop_base(edge->loop), fd, EV_READ | EV_PERSIST, on_acceptable, l);
    event_add(&l->acceptable, NULL);
}

void edge_stop_listening(struct edge *edge)
{
    event_del(&edge->accept_again);
    for (struct listener *l; (l = SLIST_FIRST(&edge->listeners)) != NULL;) {
        SLIST_REMOVE_HEAD(&edge->listeners, link);
        event_del(&l->acceptable);
        close(l->fd);
        free(l);
    }
}

void edge_tell_draining(struct edge *edge)
{
    edge->draining = true;
    struct conn *c;
    struct grpc_call *call;
    TAILQ_FOREACH (c, &edge->conns, link)
        TAILQ_FOREACH (call, &c->calls, link)
            call_tell_draining(call);
}

void edge_drain(struct edge *edge)
{
    struct conn *next;
    for (struct conn *c = TAILQ_FIRST(&edge->conns); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        conn_drain(c);
    }
    event_add(&edge->notice_over, &notice_time);
}

void edge_close(struct edge *edge)
{
    edge_stop_listening(edge);
    for (struct conn *c; (c = TAILQ_FIRST(&edge->conns)) != NULL;)
        conn_free(c);
    event_del(&edge->second);
    event_del(&edge->notice_over);
    event_del(&edge->next_turn);
}

static struct grpc_call *new_call(struct edge *edge)
{
    if (edge->n_slots == edge->cap_slots) {
        edge->cap_slots = edge->cap_slots > 0 ? edge->cap_slots * 2 : FIRST_SLOTS;
        edge->slots = mem_realloc(edge->slots, edge->cap_slots * sizeof(struct grpc_call *));
    }
    struct grpc_call *call = call_new(edge, edge->n_slots);
    edge->slots[edge->n_slots++] = call;
    return call;
}

struct grpc_call *edge_call_take(struct edge *edge)
{
    struct grpc_call *call = TAILQ_FIRST(&edge->unused);
    if (call != NULL)
        TAILQ_REMOVE(&edge->unused, call, link);
    else
        call = new_call(edge);
    call->serial = ++edge->last_serial;
    edge->n_calls++;
    return call;
}

void edge_call_give(struct edge *edge, struct grpc_call *call)
{
    TAILQ_INSERT_HEAD(&edge->unused, call, link);
    edge->n_calls--;
}
