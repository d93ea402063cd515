/* SPDX-License-Identifier: ISC */
#include "support/child.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAYS_YES 42
#define SAYS_NO  43

/* In the child: no core file and no words about what is meant to go wrong. */
static void be_quiet(void)
{
    const struct rlimit no_core = {0};
    int null = open("/dev/null", O_WRONLY);
    if (setrlimit(RLIMIT_CORE, &no_core) != 0 || null < 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(SAYS_NO);
}

static bool exited_with(pid_t child, int code)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child)
        abort();
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

bool child_dies(void (*act)(void *ctx), void *ctx)
{
    pid_t child = fork();
    if (child == 0) {
        be_quiet();
        act(ctx);
        _exit(SAYS_NO);
    }
    return !exited_with(child, SAYS_NO);
}

bool child_says(bool (*check)(void *ctx), void *ctx)
{
    pid_t child = fork();
    if (child == 0) {
        be_quiet();
        _exit(check(ctx) ? SAYS_YES : SAYS_NO);
    }
    return exited_with(child, SAYS_YES);
}
