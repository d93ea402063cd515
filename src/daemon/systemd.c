/* SPDX-License-Identifier: ISC */
#include "systemd_internal.h"

#include "base/str.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS_MAX 64
#define STATE_MAX   64
#define US_PER_S    1000000
#define NS_PER_US   1000

static bool number_in(const char *variable, uint64_t max, uint64_t *out)
{
    const char *text = getenv(variable);
    return text != NULL && str_to_u64(str_from(text), max, out);
}

int systemd_take_sockets(void)
{
    static const char *const variables[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
    uint64_t pid, n = 0;
    if (!number_in(variables[0], INT32_MAX, &pid) || pid != (uint64_t)getpid() ||
        !number_in(variables[1], SOCKETS_MAX, &n))
        n = 0;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    for (int i = 0; i < (int)n; i++)
        fcntl(SYSTEMD_FIRST_FD + i, F_SETFD, FD_CLOEXEC);
    return (int)n;
}

/* The manager's address: a path, or "@" and an abstract name. */
static bool manager(struct sockaddr_un *to, socklen_t *len_out)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path != NULL ? strlen(path) : 0;
    if (len < 2 || len >= sizeof to->sun_path || (path[0] != '/' && path[0] != '@'))
        return false;
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(to->sun_path, path, len);
    if (path[0] == '@')
        to->sun_path[0] = '\0';
    *len_out = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

void systemd_notify(const char *state)
{
    struct sockaddr_un to;
    socklen_t len;
    if (!manager(&to, &len))
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* A manager that does not take it will say so itself. */
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, len);
    close(fd);
}

void systemd_notify_reloading(void)
{
    struct timespec now;
    char state[STATE_MAX];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * US_PER_S + now.tv_nsec / NS_PER_US);
    systemd_notify(state);
}
