/* SPDX-License-Identifier: ISC */
#include "grpc/dial_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "grpc/address_internal.h"
#include "grpc/tls_internal.h"
#include "grpc/tls_link_internal.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_CHUNK 16384

struct dial {
    int fd;
    struct tls_link *tls; /* NULL: plaintext */
    int64_t deadline_ms;
    enum err sent; /* how the last send of tls ended */
    struct err_text sent_why;
    uint8_t input[INPUT_CHUNK]; /* from the wire; tls may not have read all of it */
};

static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - clock_mono_ms(clock_system());
        if (left <= 0)
            return false;
        struct pollfd p = {.fd = fd, .events = events};
        if (poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left) > 0)
            return true;
    }
}

/* 0 or an errno. */
static int connect_by(int fd, const struct address *to, int64_t deadline_ms)
{
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    if (!wait_for(fd, POLLOUT, deadline_ms))
        return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/* 0 and the socket in *fd_out, or an errno. */
static int try_one(int *fd_out, const struct address *to, int64_t deadline_ms)
{
    int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int error = connect_by(fd, to, deadline_ms);
    if (error != 0) {
        close(fd);
        return error;
    }
    const int on = 1;
    if (to->sa.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *fd_out = fd;
    return 0;
}

static enum err connect_to(int *fd_out, const char *address, int64_t deadline_ms,
                           struct err_text *why)
{
    struct address found[ADDRESS_MAX_OF_NAME];
    size_t n;
    TRY(address_resolve(address, found, &n, why));
    int error = EADDRNOTAVAIL;
    for (size_t i = 0; i < n && error != 0; i++)
        error = try_one(fd_out, &found[i], deadline_ms);
    return error == 0 ? ERR_OK : err_set(why, ERR_UNAVAILABLE, NULL, "%s", strerror(error));
}

/* ---- bytes on the wire ---- */

static enum err send_all(struct dial *d, const uint8_t *bytes, size_t n, struct err_text *why)
{
    while (n > 0) {
        ssize_t sent = send(d->fd, bytes, n, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            n -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            return err_set(why, ERR_UNAVAILABLE, NULL, "cannot send: %s", strerror(errno));
        } else if (!wait_for(d->fd, POLLOUT, d->deadline_ms)) {
            return err_set(why, ERR_TIMEOUT, NULL, "it did not take the request in time");
        }
    }
    return ERR_OK;
}

static enum err receive_some(struct dial *d, size_t *n_out, struct err_text *why)
{
    if (!wait_for(d->fd, POLLIN, d->deadline_ms))
        return err_set(why, ERR_TIMEOUT, NULL, "it did not answer in time");
    ssize_t n = recv(d->fd, d->input, sizeof d->input, 0);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return err_set(why, ERR_UNAVAILABLE, NULL, "cannot receive: %s", strerror(errno));
    if (n == 0)
        return err_set(why, ERR_UNAVAILABLE, NULL, "it closed the connection before an answer");
    *n_out = n > 0 ? (size_t)n : 0;
    return ERR_OK;
}

/* ---- TLS ---- */

static bool send_sealed(void *ctx, const void *bytes, size_t n)
{
    struct dial *d = ctx;
    d->sent = send_all(d, bytes, n, &d->sent_why);
    return d->sent == ERR_OK;
}

static enum err broken(const struct dial *d, enum err e, struct err_text *why)
{
    if (d->sent != ERR_OK)
        return err_set(why, d->sent, NULL, "%s", d->sent_why.text);
    return err_set(why, e, NULL, "TLS: %s", tls_link_problem(d->tls));
}

static enum err shake(struct dial *d, struct err_text *why)
{
    for (;;) {
        switch (tls_link_shake(d->tls)) {
        case TLS_LINK_READY:
            return ERR_OK;
        case TLS_LINK_BROKEN:
            return broken(d, ERR_DENIED, why);
        case TLS_LINK_SHAKING:
            break;
        }
        size_t n;
        TRY(receive_some(d, &n, why));
        tls_link_give(d->tls, d->input, n);
    }
}

static enum err seal(struct dial *d, const char *address, const struct grpc_client_tls *tls,
                     struct err_text *why)
{
    char host[GRPC_ADDRESS_MAX];
    SSL_CTX *context = NULL;
    if (!address_host(address, host))
        return err_set(why, ERR_INVALID, NULL, "TLS goes to host:port or [v6]:port");
    TRY(tls_client_context(&context, tls, why));
    d->tls = tls_link_new_client(context, host, send_sealed, d);
    SSL_CTX_free(context); /* the link has its own hold on it */
    return shake(d, why);
}

/* ---- the whole ---- */

enum err dial_open(struct dial **out, const char *address, const struct grpc_client_tls *tls,
                   int64_t deadline_ms, struct err_text *why)
{
    int fd;
    TRY(connect_to(&fd, address, deadline_ms, why));
    struct dial *d = mem_zalloc(1, sizeof *d);
    d->fd = fd;
    d->deadline_ms = deadline_ms;
    enum err e = tls != NULL ? seal(d, address, tls, why) : ERR_OK;
    if (e == ERR_OK)
        *out = d;
    else
        dial_close(d);
    return e;
}

void dial_close(struct dial *d)
{
    if (d == NULL)
        return;
    tls_link_free(d->tls);
    close(d->fd);
    free(d);
}

void dial_set_deadline(struct dial *d, int64_t deadline_ms)
{
    d->deadline_ms = deadline_ms;
}

bool dial_is_tls(const struct dial *d)
{
    return d->tls != NULL;
}

enum err dial_send(struct dial *d, const uint8_t *bytes, size_t n, struct err_text *why)
{
    if (d->tls == NULL)
        return send_all(d, bytes, n, why);
    return tls_link_write(d->tls, bytes, n) ? ERR_OK : broken(d, ERR_UNAVAILABLE, why);
}

/* Hands over what is in the input. */
static enum err open_all(struct dial *d, dial_take *take, void *ctx, bool *any_out,
                         struct err_text *why)
{
    uint8_t opened[INPUT_CHUNK];
    *any_out = false;
    for (ssize_t n; (n = tls_link_read(d->tls, opened, sizeof opened)) != 0;) {
        if (n < 0)
            return broken(d, ERR_UNAVAILABLE, why);
        *any_out = true;
        TRY(take(ctx, opened, (size_t)n, why));
    }
    return ERR_OK;
}

enum err dial_receive(struct dial *d, dial_take *take, void *ctx, struct err_text *why)
{
    size_t n;
    bool any = false;
    /* The end of the handshake may have brought more than itself. */
    if (d->tls != NULL)
        TRY(open_all(d, take, ctx, &any, why));
    if (any)
        return ERR_OK;
    TRY(receive_some(d, &n, why));
    if (d->tls == NULL)
        return n > 0 ? take(ctx, d->input, n, why) : ERR_OK;
    tls_link_give(d->tls, d->input, n);
    return open_all(d, take, ctx, &any, why);
}
