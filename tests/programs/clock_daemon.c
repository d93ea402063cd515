/* SPDX-License-Identifier: ISC */
/* twostepd with a wall clock that a test sets: the first 8 bytes of the file that
 * TWOSTEP_TEST_CLOCK_FILE names are milliseconds since 1970 in the machine's byte order.
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
    const _Atomic int64_t *wall_ms;
};

static int64_t file_wall_ms(struct clock *c)
{
    return atomic_load(((struct file_clock *)c)->wall_ms);
}

static int64_t real_mono_ms(struct clock *c)
{
    (void)c;
    return clock_mono_ms(clock_system());
}

int main(int argc, char **argv)
{
    const char *path = getenv("TWOSTEP_TEST_CLOCK_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page == MAP_FAILED) {
        perror("TWOSTEP_TEST_CLOCK_FILE");
        return EXIT_FAILURE;
    }
    struct file_clock clock = {.clock = {.wall_ms = file_wall_ms, .mono_ms = real_mono_ms},
                               .wall_ms = page};
    return command_main(argc, argv, &clock.clock);
}
