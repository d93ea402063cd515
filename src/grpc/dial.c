/* SPDX-License-Identifier: ISC */
#include "grpc/dial_internal.h"

#include "base/clock.h"
#include "grpc/address_internal.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

bool dial_wait(int fd, short events, int64_t deadline_ms)
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
    if (!dial_wait(fd, POLLOUT, deadline_ms))
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

enum err dial_open(int *fd_out, const char *address, int64_t deadline_ms, struct err_text *why)
{
    struct address found[ADDRESS_MAX_OF_NAME];
    size_t n;
    TRY(address_resolve(address, found, &n, why));
    int error = EADDRNOTAVAIL;
    for (size_t i = 0; i < n && error != 0; i++)
        error = try_one(fd_out, &found[i], deadline_ms);
    return error == 0 ? ERR_OK : err_set(why, ERR_UNAVAILABLE, NULL, "%s", strerror(error));
}
