/* SPDX-License-Identifier: ISC */
#ifndef GRPC_SERVER_INTERNAL_H
#define GRPC_SERVER_INTERNAL_H

/* What all loops of a server read, and the count of connections that they share. */

#include "grpc/peers_internal.h"
#include "grpc/server.h"
#include "grpc/session_internal.h"
#include "grpc/tally_internal.h"
#include "grpc/tls_link_internal.h"

#include <pthread.h>
#include <stdatomic.h>

struct edge;

struct server_route {
    struct str path;
    const struct grpc_method *method;
};

struct grpc_server {
    struct peers *peers;
    struct clock *clock;
    struct session_kit kit;
    struct tally tally;
    struct server_route *routes;
    size_t n_routes;
    struct edge **edges;
    size_t n_edges;
    char **unix_paths; /* socket files to remove at the end */
    size_t n_unix_paths;
    void (*refused)(void *ctx, const char *peer, const char *why);
    void *refused_ctx;
    void (*paused)(void *ctx, const char *why);
    void *paused_ctx;

    pthread_mutex_t tls_lock;
    struct grpc_tls *tls; /* under tls_lock; NULL: none */

    atomic_size_t connections;
    pthread_mutex_t lock; /* for the wait on none_open */
    pthread_cond_t none_open;
};

/* The method of the path, or NULL. Thread: any. */
const struct grpc_method *server_route(const struct grpc_server *s, struct str path);

/* The server's side of TLS for a new connection, or NULL when there is none to be had.
 * Thread: any. */
struct tls_link *server_tls_link(struct grpc_server *s, tls_link_out *out, void *ctx);

/* Thread: any. */
void server_connection_opened(struct grpc_server *s);
void server_connection_closed(struct grpc_server *s);

#endif
