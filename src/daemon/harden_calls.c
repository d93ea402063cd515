/* SPDX-License-Identifier: ISC */
#include "harden_internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* An unforeseen call in a seldom used corner of a library becomes an error there, not the end of
 * all sign-ins: so EPERM, which the kernel's audit log can tell of, and nobody is killed. */
#define REFUSE SCMP_ACT_ERRNO(EPERM)

/* Threads are made by clone3 with flags that a filter cannot see; without it, by clone. */
#define NOT_THERE SCMP_ACT_ERRNO(ENOSYS)

#define SOCKET_TYPE_MASK 0xf

/* In whatever way they are called. A name that this machine's kernel never had does no harm. */
static const int plain[] = {
    /* files that are open, and SQLite */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fcntl),
    SCMP_SYS(flock),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchown),
    SCMP_SYS(getdents64),
    SCMP_SYS(fadvise64),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    /* files by name: which ones is Landlock's affair */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(umask),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(msync),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(munlock),
    SCMP_SYS(mincore),
    /* threads, signals, time */
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(membarrier),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    /* the process itself */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getresuid),
    SCMP_SYS(getresgid),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(times),
    /* waiting */
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    /* the network; bind is the resolver's, and nothing new can listen */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmmsg),
};

/* The n-th argument, an int, is this; has these of the bits in mask. */
#define IS(n, value)                                                                               \
    {                                                                                              \
        n, SCMP_CMP_MASKED_EQ, UINT32_MAX, value                                                   \
    }
#define HAS(n, mask, value)                                                                        \
    {                                                                                              \
        n, SCMP_CMP_MASKED_EQ, mask, value                                                         \
    }

/* With arguments that are so and so; of several rules for one call any will do. */
static const struct {
    int call;
    unsigned n;
    struct scmp_arg_cmp arg[2];
} conditional[] = {
    /* Streams and datagrams of the usual families; netlink is the resolver's. */
    {SCMP_SYS(socket), 2, {IS(0, AF_INET), HAS(1, SOCKET_TYPE_MASK, SOCK_STREAM)}},
    {SCMP_SYS(socket), 2, {IS(0, AF_INET), HAS(1, SOCKET_TYPE_MASK, SOCK_DGRAM)}},
    {SCMP_SYS(socket), 2, {IS(0, AF_INET6), HAS(1, SOCKET_TYPE_MASK, SOCK_STREAM)}},
    {SCMP_SYS(socket), 2, {IS(0, AF_INET6), HAS(1, SOCKET_TYPE_MASK, SOCK_DGRAM)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_UNIX)}},
    {SCMP_SYS(socket), 2, {IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE)}},
    {SCMP_SYS(socketpair), 1, {IS(0, AF_UNIX)}},
    /* A thread, not a process. */
    {SCMP_SYS(clone), 1, {HAS(0, CLONE_THREAD, CLONE_THREAD)}},
    /* No memory that is written becomes code; libraries are files. */
    {SCMP_SYS(mmap), 1, {HAS(2, PROT_EXEC, 0)}},
    {SCMP_SYS(mmap), 2, {HAS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC), HAS(3, MAP_ANONYMOUS, 0)}},
    {SCMP_SYS(mprotect), 1, {HAS(2, PROT_EXEC, 0)}},
    {SCMP_SYS(prctl), 1, {IS(0, PR_SET_NAME)}},
    {SCMP_SYS(prctl), 1, {IS(0, PR_GET_NAME)}},
    {SCMP_SYS(ioctl), 1, {IS(1, FIONREAD)}},
    {SCMP_SYS(ioctl), 1, {IS(1, FIONBIO)}},
    {SCMP_SYS(ioctl), 1, {IS(1, TCGETS)}},
};

static int add_rules(scmp_filter_ctx filter)
{
    int e = 0;
    for (size_t i = 0; e == 0 && i < sizeof plain / sizeof plain[0]; i++)
        e = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain[i], 0);
    for (size_t i = 0; e == 0 && i < sizeof conditional / sizeof conditional[0]; i++)
        e = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, conditional[i].call, conditional[i].n,
                                   conditional[i].arg);
    /* Its own threads may be told something, abort does it; and its own limits may be read. */
    if (e == 0)
        e = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)getpid()));
    if (e == 0)
        e = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                             SCMP_A0_32(SCMP_CMP_EQ, 0), SCMP_A2_64(SCMP_CMP_EQ, 0));
    if (e == 0)
        e = seccomp_rule_add(filter, NOT_THERE, SCMP_SYS(clone3), 0);
    return e;
}

static int load(scmp_filter_ctx filter)
{
    int e = add_rules(filter);
    if (e == 0)
        e = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* Older kernels cannot tell of it; then they do not. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    /* One look-up in a tree instead of a walk along the list. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return e != 0 ? e : seccomp_load(filter);
}

enum err harden_calls(struct hardened *out, struct err_text *why)
{
    out->seccomp = HARDEN_SANITIZED_TEXT;
    if (HARDEN_SANITIZED)
        return ERR_OK;
    scmp_filter_ctx filter = seccomp_init(REFUSE);
    if (filter == NULL)
        return err_set(why, ERR_INTERNAL, NULL, "libseccomp does not start");
    int e = load(filter);
    seccomp_release(filter);
    out->seccomp = e == 0 ? "on" : "refused by the kernel";
    return ERR_OK;
}
