/* SPDX-License-Identifier: ISC */
/* Hardens itself as twostepd does, for the settings in the environment, and then tries what must
 * not work and what must: one line each, "refused NAME" or "allowed NAME". */
#include "daemon/harden_internal.h"
#include "daemon/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *outside; /* a file that the settings do not name */
static const char *inside;  /* a folder that is the daemon's */

static bool closed(int fd)
{
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static bool no_exec(void)
{
    char name[] = "true";
    char *const argv[] = {name, NULL};
    execv("/bin/true", argv);
    return true;
}

static bool no_exec_of_an_open_file(void)
{
    char name[] = "true";
    char *const argv[] = {name, NULL};
    int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    return fd < 0 || (fexecve(fd, argv, argv + 1), closed(fd) || true);
}

static bool no_fork(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid(child, NULL, 0);
    return child < 0;
}

static bool no_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0;
}

static bool no_kill(void)
{
    return kill(getppid(), 0) < 0;
}

static bool no_raw_socket(void)
{
    return closed(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static bool no_packet_socket(void)
{
    return closed(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static bool no_audit_socket(void)
{
    return closed(socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT));
}

static bool no_listening(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool refused = fd >= 0 && listen(fd, 1) < 0 && errno == EPERM;
    close(fd);
    return refused;
}

static bool no_written_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED;
}

static bool no_memory_becomes_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0;
}

static bool no_mount(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL) < 0;
}

static bool no_chmod(void)
{
    return syscall(SYS_fchmodat, AT_FDCWD, outside, 0777) < 0;
}

static bool no_new_limit(void)
{
    return syscall(SYS_bpf, 0, NULL, 0) < 0 && errno == EPERM;
}

static bool no_file_outside(void)
{
    return closed(open(outside, O_RDONLY | O_CLOEXEC));
}

static bool no_write_in_system_folders(void)
{
    return closed(open("/etc/twostep-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static bool file_inside(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tried", inside);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool refused = fd < 0 || write(fd, "x", 1) != 1 || unlink(path) != 0;
    close(fd);
    return refused;
}

static bool resolving(void)
{
    struct addrinfo *found = NULL;
    bool refused = getaddrinfo("localhost", "25", NULL, &found) != 0;
    if (found != NULL)
        freeaddrinfo(found);
    return refused;
}

static void *nothing(void *arg)
{
    return arg;
}

static bool threads(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, nothing, NULL) != 0 || pthread_join(t, NULL) != 0;
}

static const struct {
    const char *name;
    bool (*is_refused)(void);
} tries[] = {
    {"exec", no_exec},
    {"exec of an open file", no_exec_of_an_open_file},
    {"fork", no_fork},
    {"ptrace", no_ptrace},
    {"kill", no_kill},
    {"raw socket", no_raw_socket},
    {"packet socket", no_packet_socket},
    {"audit socket", no_audit_socket},
    {"listening", no_listening},
    {"written code", no_written_code},
    {"memory becomes code", no_memory_becomes_code},
    {"mount", no_mount},
    {"chmod", no_chmod},
    {"bpf", no_new_limit},
    {"a file outside", no_file_outside},
    {"a file in /etc", no_write_in_system_folders},
    {"a file inside", file_inside},
    {"resolving", resolving},
    {"threads", threads},
};

int main(int argc, char **argv)
{
    struct settings set;
    struct hardened hardened;
    struct err_text why;
    if (argc != 2 || settings_load(NULL, &set, &why) != ERR_OK)
        return EXIT_FAILURE;
    outside = argv[1];
    inside = set.state_dir;
    if (harden_files(NULL, &set, &hardened, &why) != ERR_OK ||
        harden_drop_capabilities(&why) != ERR_OK || harden_calls(&hardened, &why) != ERR_OK)
        return EXIT_FAILURE;
    printf("landlock %s\nseccomp %s\n", hardened.landlock, hardened.seccomp);
    fflush(stdout); /* a child would say it again */
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        printf("%s %s\n", tries[i].is_refused() ? "refused" : "allowed", tries[i].name);
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}
