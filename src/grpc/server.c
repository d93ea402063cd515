/* SPDX-License-Identifier: ISC */
#include "grpc/server.h"

#include "base/clock.h"
#include "base/mem.h"
#include "grpc/address_internal.h"
#include "grpc/edge_internal.h"
#include "grpc/tls_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct grpc_server *grpc_server_new(const struct grpc_server_options *opt)
{
    struct grpc_server *s = mem_zalloc(1, sizeof *s);
    s->peers = peers_new();
    s->clock = opt->clock;
    s->refused = opt->refused;
    s->refused_ctx = opt->refused_ctx;
    s->paused = opt->paused;
    s->paused_ctx = opt->paused_ctx;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->tls_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->none_open, &attr);
    pthread_condattr_destroy(&attr);
    session_kit_init(&s->kit);
    tally_init(&s->tally, opt);

    s->n_routes = opt->n_methods;
    s->routes = mem_zalloc(s->n_routes, sizeof *s->routes);
    for (size_t i = 0; i < s->n_routes; i++)
        s->routes[i] = (struct server_route){.path = str_from(opt->methods[i].path),
                                             .method = &opt->methods[i]};
    s->n_edges = opt->n_loops;
    s->edges = mem_zalloc(s->n_edges, sizeof *s->edges);
    for (size_t i = 0; i < s->n_edges; i++)
        s->edges[i] = edge_new(s, opt->loops[i], (uint32_t)i, &opt->limits);
    return s;
}

const struct grpc_method *server_route(const struct grpc_server *s, struct str path)
{
    for (size_t i = 0; i < s->n_routes; i++)
        if (path.len == s->routes[i].path.len && str_equal(path, s->routes[i].path))
            return s->routes[i].method;
    return NULL;
}

/* One listening socket and the edge that it is for. */
struct handover {
    struct edge *edge;
    int fd;
};

static void hand_over(void *ctx)
{
    struct handover *h = ctx;
    edge_listen(h->edge, h->fd);
}

static void remember_unix_path(struct grpc_server *s, const char *bound)
{
    static const char prefix[] = "unix:";
    if (!str_has_prefix(str_from(bound), STR("unix:")))
        return;
    s->unix_paths = mem_realloc(s->unix_paths, (s->n_unix_paths + 1) * sizeof *s->unix_paths);
    s->unix_paths[s->n_unix_paths++] = mem_strdup(bound + sizeof prefix - 1);
}

static void hand_over_all(struct grpc_server *s, const int *fds)
{
    for (size_t i = 0; i < s->n_edges; i++) {
        struct handover h = {.edge = s->edges[i], .fd = fds[i]};
        loop_call(s->edges[i]->loop, hand_over, &h);
    }
}

enum err grpc_server_listen(struct grpc_server *s, const char *address,
                            char bound_out[static GRPC_ADDRESS_MAX], struct err_text *why)
{
    struct address found[ADDRESS_MAX_OF_NAME];
    size_t n;
    TRY(address_resolve(address, found, &n, why));
    int *fds = mem_alloc(s->n_edges * sizeof *fds);
    enum err e = address_listen(&found[0], fds, s->n_edges, why);
    if (e == ERR_OK) {
        address_text(&found[0], bound_out, GRPC_ADDRESS_MAX);
        remember_unix_path(s, bound_out);
        hand_over_all(s, fds);
    }
    free(fds);
    return e;
}

enum err grpc_server_listen_on(struct grpc_server *s, int fd,
                               char bound_out[static GRPC_ADDRESS_MAX], struct err_text *why)
{
    struct address bound;
    int *fds = mem_alloc(s->n_edges * sizeof *fds);
    enum err e = address_adopt(fd, &bound, fds, s->n_edges, why);
    if (e == ERR_OK) {
        address_text(&bound, bound_out, GRPC_ADDRESS_MAX);
        hand_over_all(s, fds);
    }
    free(fds);
    return e;
}

void grpc_server_set_tls(struct grpc_server *s, struct grpc_tls *tls)
{
    pthread_mutex_lock(&s->tls_lock);
    struct grpc_tls *old = s->tls;
    if (old != NULL)
        tls_inherit(tls, old);
    s->tls = tls;
    pthread_mutex_unlock(&s->tls_lock);
    grpc_tls_free(old);
}

struct tls_link *server_tls_link(struct grpc_server *s, tls_link_out *out, void *ctx)
{
    pthread_mutex_lock(&s->tls_lock);
    struct tls_link *link = NULL;
    if (s->tls != NULL)
        link = tls_link_new_server(tls_server_context(s->tls), out, ctx);
    pthread_mutex_unlock(&s->tls_lock);
    return link;
}

static void stop_listening(void *edge)
{
    edge_stop_listening(edge);
}

static void tell_draining(void *edge)
{
    edge_tell_draining(edge);
}

static void drain(void *edge)
{
    edge_drain(edge);
}

static void cut(void *edge)
{
    edge_close(edge);
}

static void on_every_loop(struct grpc_server *s, void (*run)(void *edge))
{
    for (size_t i = 0; i < s->n_edges; i++)
        loop_call(s->edges[i]->loop, run, s->edges[i]);
}

/* The limits and the edge that they are for. */
struct new_limits {
    struct edge *edge;
    const struct grpc_limits *limits;
};

static void take_limits(void *ctx)
{
    const struct new_limits *n = ctx;
    n->edge->limits = *n->limits;
}

void grpc_server_set_limits(struct grpc_server *s, const struct grpc_limits *limits)
{
    for (size_t i = 0; i < s->n_edges; i++) {
        struct new_limits n = {.edge = s->edges[i], .limits = limits};
        loop_call(s->edges[i]->loop, take_limits, &n);
    }
}

static struct timespec after_ms(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static bool wait_for_none(struct grpc_server *s, int64_t timeout_ms)
{
    struct timespec end = after_ms(timeout_ms);
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    while (grpc_server_connections(s) > 0 && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->none_open, &s->lock, &end);
    pthread_mutex_unlock(&s->lock);
    return grpc_server_connections(s) == 0;
}

static void unlink_unix_paths(struct grpc_server *s)
{
    while (s->n_unix_paths > 0) {
        char *path = s->unix_paths[--s->n_unix_paths];
        unlink(path);
        free(path);
    }
}

/* A hook that a loop still has to run lies in the edge. It runs at the end of the turn,
 * and a second call comes in a later one. */
static void wait_a_turn(void *edge)
{
    (void)edge;
}

void grpc_server_drain_begin(struct grpc_server *s)
{
    unlink_unix_paths(s);
    /* On all loops before any says so: who is told of the end finds no door open. */
    on_every_loop(s, stop_listening);
    /* What streams say of it leaves before the end of the connection is announced. */
    on_every_loop(s, tell_draining);
    on_every_loop(s, wait_a_turn);
    on_every_loop(s, drain);
}

bool grpc_server_drain_wait(struct grpc_server *s, int64_t ms)
{
    return wait_for_none(s, ms);
}

void grpc_server_drain_cut(struct grpc_server *s)
{
    on_every_loop(s, cut);
}

enum err grpc_server_drain(struct grpc_server *s, int64_t timeout_ms)
{
    grpc_server_drain_begin(s);
    if (wait_for_none(s, timeout_ms))
        return ERR_OK;
    grpc_server_drain_cut(s);
    return ERR_TIMEOUT;
}

void grpc_server_free(struct grpc_server *s)
{
    if (s == NULL)
        return;
    unlink_unix_paths(s);
    on_every_loop(s, cut);
    on_every_loop(s, wait_a_turn);
    for (size_t i = 0; i < s->n_edges; i++)
        edge_free(s->edges[i]);
    free(s->edges);
    free(s->routes);
    peers_free(s->peers);
    free(s->unix_paths);
    session_kit_release(&s->kit);
    pthread_cond_destroy(&s->none_open);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->tls_lock);
    grpc_tls_free(s->tls);
    free(s);
}

void server_connection_opened(struct grpc_server *s)
{
    atomic_fetch_add(&s->connections, 1);
    tally_connection_opened(&s->tally);
}

void server_connection_closed(struct grpc_server *s)
{
    tally_connection_closed(&s->tally);
    if (atomic_fetch_sub(&s->connections, 1) > 1)
        return;
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->none_open);
    pthread_mutex_unlock(&s->lock);
}

size_t grpc_server_connections(const struct grpc_server *s)
{
    return atomic_load(&s->connections);
}
