/* SPDX-License-Identifier: ISC */
#include "grpc/dial_internal.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_MAX 256
#define PORT_MAX 6

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
static int connect_by(int fd, const struct sockaddr *to, socklen_t len, int64_t deadline_ms)
{
    if (connect(fd, to, len) == 0)
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
static int try_one(int *fd_out, const struct sockaddr *to, socklen_t len, int64_t deadline_ms)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int error = connect_by(fd, to, len, deadline_ms);
    if (error == 0) {
        const int on = 1;
        if (to->sa_family != AF_UNIX)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        *fd_out = fd;
    } else {
        close(fd);
    }
    return error;
}

static enum err dial_unix(int *fd_out, const char *path, int64_t deadline_ms, struct err_text *why)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof sun.sun_path)
        return err_set(why, ERR_INVALID, NULL, "a socket's path has 1 to %zu bytes",
                       sizeof sun.sun_path - 1);
    memcpy(sun.sun_path, path, len);
    int error = try_one(fd_out, (const struct sockaddr *)&sun, sizeof sun, deadline_ms);
    return error == 0 ? ERR_OK : err_set(why, ERR_UNAVAILABLE, NULL, "%s", strerror(error));
}

/* "host:port" or "[v6]:port" into its parts. */
static bool split(const char *address, char host[static HOST_MAX], char port[static PORT_MAX])
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address)
        return false;
    const char *begin = address;
    const char *end = colon;
    if (*begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    } else if (strchr(address, ':') != colon) {
        return false;
    }
    uint64_t number;
    if (!str_to_u64(str_from(colon + 1), UINT16_MAX, &number) || number == 0)
        return false;
    snprintf(port, PORT_MAX, "%u", (unsigned)number);
    return end > begin && snprintf(host, HOST_MAX, "%.*s", (int)(end - begin), begin) < HOST_MAX;
}

static enum err dial_tcp(int *fd_out, const char *address, int64_t deadline_ms,
                         struct err_text *why)
{
    char host[HOST_MAX];
    char port[PORT_MAX];
    if (!split(address, host, port))
        return err_set(why, ERR_INVALID, NULL,
                       "not an address: host:port, [v6]:port or unix:PATH is one");
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return err_set(why, ERR_UNAVAILABLE, NULL, "%s", gai_strerror(rc));
    int error = EADDRNOTAVAIL;
    for (const struct addrinfo *a = found; a != NULL && error != 0; a = a->ai_next)
        error = try_one(fd_out, a->ai_addr, a->ai_addrlen, deadline_ms);
    freeaddrinfo(found);
    return error == 0 ? ERR_OK : err_set(why, ERR_UNAVAILABLE, NULL, "%s", strerror(error));
}

enum err dial_open(int *fd_out, const char *address, int64_t deadline_ms, struct err_text *why)
{
    static const struct str scheme = {.p = "unix:", .len = sizeof "unix:" - 1};
    if (str_has_prefix(str_from(address), scheme))
        return dial_unix(fd_out, address + scheme.len, deadline_ms, why);
    return dial_tcp(fd_out, address, deadline_ms, why);
}
