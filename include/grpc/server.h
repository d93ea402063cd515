/* SPDX-License-Identifier: ISC */
#ifndef GRPC_SERVER_H
#define GRPC_SERVER_H

/* A gRPC server over HTTP/2 (h2c, or TLS with grpc_server_set_tls), on the given loops. It knows
 * transport and framing, nothing of the service it carries: the service is a table of methods.
 *
 * Every loop has its own listening socket (SO_REUSEPORT) and owns what it accepts.
 * A call goes: headers complete -> admit -> message complete -> serve -> grpc_reply,
 * at once or later. Where the client streams, serve is called for each message and
 * half_closed behind the last; where the server streams, grpc_send goes before
 * grpc_reply. What the transport itself finds wrong it answers itself (unknown path,
 * content type, sizes, compression, cardinality, deadline). */

#include "base/err.h"
#include "base/str.h"
#include "grpc/limits.h"
#include "grpc/method.h"

struct clock;
struct grpc_server;
struct grpc_tls;
struct loop;
struct metrics;

struct grpc_server_options {
    struct loop *const *loops; /* borrowed, running or not yet */
    size_t n_loops;
    const struct grpc_method *methods; /* borrowed; paths differ */
    size_t n_methods;
    struct grpc_limits limits;
    struct clock *clock;     /* for deadlines */
    struct metrics *metrics; /* borrowed; what it counts goes there. NULL: it does not count */

    /* A peer was sent away before it spoke HTTP/2: a handshake that failed, TLS where there
     * is none, the reverse, or a peer that kept still for stall_s. why is a constant. NULL:
     * nobody wants to know. Thread: the connection's loop. */
    void (*refused)(void *ctx, const char *peer, const char *why);
    void *refused_ctx;

    /* Accepting pauses, because file descriptors or memory have run out: why; and NULL when it
     * goes on. Once each for every loop. NULL: nobody wants to know. Thread: a loop. */
    void (*paused)(void *ctx, const char *why);
    void *paused_ctx;
};

/* Thread: startup, all of these. */
struct grpc_server *grpc_server_new(const struct grpc_server_options *opt);

/* From now on these are the limits. Open calls keep their message_bytes, and open connections
 * their streams, idle_frames and age_s. */
void grpc_server_set_limits(struct grpc_server *s, const struct grpc_limits *limits);

#define GRPC_ADDRESS_MAX 160

/* Listens on "host:port", "[v6]:port" or "unix:PATH" (a stale socket file is replaced,
 * one that answers is ERR_EXISTS); port 0 picks one. bound_out is the address as it is,
 * in the same form. ERR_INVALID for an address that is none, ERR_UNAVAILABLE when it
 * cannot be bound. Accepting begins at once where the loops run. */
MUST_CHECK enum err grpc_server_listen(struct grpc_server *s, const char *address,
                                       char bound_out[static GRPC_ADDRESS_MAX],
                                       struct err_text *why);

/* Listens on a socket that listens already and was given to this process; copies fd, which
 * stays the caller's. The file of a Unix socket is not removed at the end. ERR_INVALID for
 * what is no listening stream socket. Thread: startup. */
MUST_CHECK enum err grpc_server_listen_on(struct grpc_server *s, int fd,
                                          char bound_out[static GRPC_ADDRESS_MAX],
                                          struct err_text *why);

/* From now on every new connection over TCP speaks TLS with tls, which is the server's now;
 * Unix sockets stay plaintext. Open connections go on as they are, and sessions that began
 * under the last one resume, unless the clients' authorities changed. Thread: any. */
void grpc_server_set_tls(struct grpc_server *s, struct grpc_tls *tls);

/* One listening socket, non-blocking, for a server of another kind; else as
 * grpc_server_listen. Thread: startup. */
MUST_CHECK enum err grpc_address_listen(const char *address, int *fd_out,
                                        char bound_out[static GRPC_ADDRESS_MAX],
                                        struct err_text *why);

/* The address of a listening stream socket, ERR_INVALID for anything else. */
MUST_CHECK enum err grpc_address_of_socket(int fd, char out[static GRPC_ADDRESS_MAX],
                                           struct err_text *why);

/* Has this the form of an address? And is it "host:port" or "[v6]:port" of numbers, which
 * needs no look-up? */
bool grpc_address_is_valid(const char *address);
bool grpc_address_is_numeric(const char *address);

/* Is this an address that only this machine reaches: a loopback address or a Unix
 * socket? False for what is no address. */
bool grpc_address_is_local(const char *address);

/* Stops gracefully (RFC 9113 section 6.8): no new connections, the methods' draining for
 * open calls, then GOAWAY with the highest id and a PING on each connection, the real
 * GOAWAY after its answer or a second, and each connection closes when its calls have
 * been answered. Returns when all are closed, or after timeout_ms with ERR_TIMEOUT, and
 * then the rest are cut. */
MUST_CHECK enum err grpc_server_drain(struct grpc_server *s, int64_t timeout_ms);

/* The same in steps, for who must look at something else meanwhile: begins, once; waits for so
 * long, and says whether all are closed; cuts what is open. */
void grpc_server_drain_begin(struct grpc_server *s);
MUST_CHECK bool grpc_server_drain_wait(struct grpc_server *s, int64_t ms);
void grpc_server_drain_cut(struct grpc_server *s);

/* Closes what is open and frees. The loops must run, or never have run. Fine with NULL. */
void grpc_server_free(struct grpc_server *s);

/* Open connections at this moment. Thread: any. */
size_t grpc_server_connections(const struct grpc_server *s);

#endif
