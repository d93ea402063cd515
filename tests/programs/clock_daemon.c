/* SPDX-License-Identifier: ISC */
/* twostepd with clocks that a test moves: the file that TWOSTEP_TEST_CLOCK_FILE names has two
 * numbers of 8 bytes in the machine's byte order, the wall clock in milliseconds since 1970 and
 * the milliseconds by which the monotonic clock is ahead of the machine's (0 where the file ends).
 * Everything else is the program that is installed. */
#include "base/clock.h"
#include "daemon/command.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct file_clock {
    struct clock clock; /* first */
    const _Atomic int64_t *page;
};

enum { WALL, AHEAD, N_CLOCKS };

static int64_t file_wall_ms(struct clock *c)
{
    return atomic_load(&((struct file_clock *)c)->page[WALL]);
}

static int64_t file_mono_ms(struct clock *c)
{
    return clock_mono_ms(clock_system()) + atomic_load(&((struct file_clock *)c)->page[AHEAD]);
}

int main(int argc, char **argv)
{
    const char *path = getenv("TWOSTEP_TEST_CLOCK_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page =
        fd >= 0 ? mmap(NULL, N_CLOCKS * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page == MAP_FAILED) {
        perror("TWOSTEP_TEST_CLOCK_FILE");
        return EXIT_FAILURE;
    }
    struct file_clock clock = {.clock = {.wall_ms = file_wall_ms, .mono_ms = file_mono_ms},
                               .page = page};
    return command_main(argc, argv, &clock.clock);
}
