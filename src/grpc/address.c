/* SPDX-License-Identifier: ISC */
#include "grpc/address_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096 /* the kernel cuts it to its own limit */

/* A peer that is silently gone is noticed by the kernel. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES     4
#define UNACKNOWLEDGED_MS    60000

#define PORT_MAX 65535

static const char unix_prefix[] = "unix:";

struct host_port {
    char host[GRPC_ADDRESS_MAX];
    uint16_t port;
};

static bool split(const char *text, struct host_port *out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    struct str host = {.p = text, .len = (size_t)(colon - text)};
    bool bracketed = host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    if (bracketed)
        host = (struct str){.p = host.p + 1, .len = host.len - 2};
    uint64_t port;
    if (host.len == 0 || host.len >= sizeof out->host ||
        !str_to_u64(str_from(colon + 1), PORT_MAX, &port))
        return false;
    if (bracketed != (memchr(host.p, ':', host.len) != NULL))
        return false;
    memcpy(out->host, host.p, host.len);
    out->host[host.len] = '\0';
    out->port = (uint16_t)port;
    return true;
}

static bool is_unix(const char *text)
{
    return str_has_prefix(str_from(text), STR("unix:"));
}

static enum err resolve_unix(const char *path, struct address *out, struct err_text *why)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof sun.sun_path)
        return err_set(why, ERR_INVALID, NULL, "the path of a Unix socket has 1 to %zu bytes",
                       sizeof sun.sun_path - 1);
    memcpy(sun.sun_path, path, len);
    memcpy(&out->sa, &sun, sizeof sun);
    out->len = sizeof sun;
    return ERR_OK;
}

enum err address_resolve(const char *text, struct address out[ADDRESS_MAX_OF_NAME], size_t *n_out,
                         struct err_text *why)
{
    *n_out = 1;
    if (is_unix(text))
        return resolve_unix(text + sizeof unix_prefix - 1, &out[0], why);
    struct host_port hp;
    if (!split(text, &hp))
        return err_set(why, ERR_INVALID, NULL, "an address is host:port, [v6]:port or unix:PATH");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", hp.port);
    int rc = getaddrinfo(hp.host, port, &hints, &found);
    if (rc != 0)
        return err_set(why, ERR_UNAVAILABLE, NULL, "%s: %s", hp.host, gai_strerror(rc));
    size_t n = 0;
    for (const struct addrinfo *i = found; i != NULL && n < ADDRESS_MAX_OF_NAME; i = i->ai_next) {
        memcpy(&out[n].sa, i->ai_addr, i->ai_addrlen);
        out[n++].len = i->ai_addrlen;
    }
    freeaddrinfo(found);
    *n_out = n;
    return ERR_OK;
}

void address_text(const struct address *a, char *out, size_t room)
{
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&a->sa;
    if (a->sa.ss_family == AF_INET) {
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(out, room, "%s:%u", host, ntohs(in->sin_port));
    } else if (a->sa.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(out, room, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else if (a->len > offsetof(struct sockaddr_un, sun_path) && sun->sun_path[0] != '\0') {
        snprintf(out, room, "%s%s", unix_prefix, sun->sun_path);
    } else {
        snprintf(out, room, "unix");
    }
}

bool address_host(const char *text, char out[static GRPC_ADDRESS_MAX])
{
    struct host_port hp;
    if (is_unix(text) || !split(text, &hp))
        return false;
    memcpy(out, hp.host, GRPC_ADDRESS_MAX);
    return true;
}

static bool host_is_local(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) ||
               (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
    return false;
}

bool grpc_address_is_valid(const char *address)
{
    struct host_port hp;
    return is_unix(address) ? address[sizeof unix_prefix - 1] != '\0' : split(address, &hp);
}

bool grpc_address_is_numeric(const char *address)
{
    struct host_port hp;
    uint8_t room[sizeof(struct in6_addr)];
    if (is_unix(address) || !split(address, &hp))
        return false;
    return inet_pton(strchr(hp.host, ':') != NULL ? AF_INET6 : AF_INET, hp.host, room) == 1;
}

bool grpc_address_is_local(const char *address)
{
    struct host_port hp;
    if (is_unix(address))
        return address[sizeof unix_prefix - 1] != '\0';
    return split(address, &hp) && host_is_local(hp.host);
}

static enum err fail(const struct address *a, struct err_text *why, int fd)
{
    int error = errno;
    char text[GRPC_ADDRESS_MAX];
    address_text(a, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return err_set(why, ERR_UNAVAILABLE, NULL, "%s: %s", text, strerror(error));
}

static int new_socket(const struct address *a)
{
    return socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

/* Accepted sockets inherit all of these. */
static void set_tcp_options(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS);
}

static enum err listen_tcp(struct address *a, int *fd_out, struct err_text *why)
{
    int fd = new_socket(a);
    if (fd < 0)
        return fail(a, why, fd);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    set_tcp_options(fd);
    socklen_t len = sizeof a->sa;
    if (bind(fd, (const struct sockaddr *)&a->sa, a->len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&a->sa, &len) != 0)
        return fail(a, why, fd);
    *fd_out = fd;
    return ERR_OK;
}

/* SO_REUSEPORT would let two daemons share a port without a word: a socket without it
 * finds out whether somebody listens there already. */
static enum err check_port_free(const struct address *a, struct err_text *why)
{
    int fd = new_socket(a);
    if (fd < 0)
        return fail(a, why, fd);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, (const struct sockaddr *)&a->sa, a->len) != 0)
        return fail(a, why, fd);
    close(fd);
    return ERR_OK;
}

static enum err listen_all_tcp(struct address *a, int *fds_out, size_t n, struct err_text *why)
{
    TRY(check_port_free(a, why));
    for (size_t i = 0; i < n; i++) {
        enum err e = listen_tcp(a, &fds_out[i], why);
        if (e != ERR_OK) {
            while (i > 0)
                close(fds_out[--i]);
            return e;
        }
    }
    return ERR_OK;
}

/* Removes the socket file of a server that is gone. */
static enum err remove_stale(const struct address *a, const char *path, struct err_text *why)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return ERR_OK; /* bind will say what is wrong, if anything is */
    if (!S_ISSOCK(st.st_mode))
        return err_set(why, ERR_EXISTS, NULL, "%s exists and is no socket", path);
    int fd = new_socket(a);
    if (fd < 0)
        return fail(a, why, fd);
    bool answers = connect(fd, (const struct sockaddr *)&a->sa, a->len) == 0 || errno == EAGAIN;
    close(fd);
    if (answers)
        return err_set(why, ERR_EXISTS, NULL, "another server listens on %s", path);
    unlink(path);
    return ERR_OK;
}

/* One socket n times. The first fds_out is taken, the rest are copies; all or none. */
static bool duplicate(int *fds_out, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        fds_out[i] = fcntl(fds_out[0], F_DUPFD_CLOEXEC, 0);
        if (fds_out[i] < 0) {
            while (i > 1)
                close(fds_out[--i]);
            return false;
        }
    }
    return true;
}

static enum err listen_unix(const struct address *a, int *fds_out, size_t n, struct err_text *why)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&a->sa;
    TRY(remove_stale(a, sun->sun_path, why));
    int fd = new_socket(a);
    if (fd < 0)
        return fail(a, why, fd);
    if (bind(fd, (const struct sockaddr *)&a->sa, a->len) != 0 || listen(fd, BACKLOG) != 0)
        return fail(a, why, fd);
    fds_out[0] = fd;
    return duplicate(fds_out, n) ? ERR_OK : fail(a, why, fd);
}

static bool listens(int fd)
{
    int type = 0, accepting = 0;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len) == 0 && accepting != 0;
}

static enum err address_of(int fd, struct address *out, struct err_text *why)
{
    out->len = sizeof out->sa;
    if (!listens(fd) || getsockname(fd, (struct sockaddr *)&out->sa, &out->len) != 0 ||
        (out->sa.ss_family != AF_INET && out->sa.ss_family != AF_INET6 &&
         out->sa.ss_family != AF_UNIX))
        return err_set(why, ERR_INVALID, NULL, "file descriptor %d is no socket that listens", fd);
    return ERR_OK;
}

enum err grpc_address_of_socket(int fd, char out[static GRPC_ADDRESS_MAX], struct err_text *why)
{
    struct address bound;
    TRY(address_of(fd, &bound, why));
    address_text(&bound, out, GRPC_ADDRESS_MAX);
    return ERR_OK;
}

enum err address_adopt(int fd, struct address *bound_out, int *fds_out, size_t n,
                       struct err_text *why)
{
    TRY(address_of(fd, bound_out, why));
    fds_out[0] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fds_out[0] < 0)
        return fail(bound_out, why, -1);
    if (fcntl(fds_out[0], F_SETFL, O_NONBLOCK) != 0 || !duplicate(fds_out, n))
        return fail(bound_out, why, fds_out[0]);
    if (bound_out->sa.ss_family != AF_UNIX)
        set_tcp_options(fds_out[0]);
    return ERR_OK;
}

enum err address_listen(struct address *a, int *fds_out, size_t n, struct err_text *why)
{
    if (a->sa.ss_family == AF_UNIX)
        return listen_unix(a, fds_out, n, why);
    return listen_all_tcp(a, fds_out, n, why);
}

enum err grpc_address_listen(const char *address, int *fd_out,
                             char bound_out[static GRPC_ADDRESS_MAX], struct err_text *why)
{
    struct address found[ADDRESS_MAX_OF_NAME];
    size_t n;
    TRY(address_resolve(address, found, &n, why));
    TRY(address_listen(&found[0], fd_out, 1, why));
    address_text(&found[0], bound_out, GRPC_ADDRESS_MAX);
    return ERR_OK;
}
