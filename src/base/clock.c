/* SPDX-License-Identifier: ISC */
#include "base/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t system_wall_ms(struct clock *c)
{
    (void)c;
    return read_ms(CLOCK_REALTIME);
}

static int64_t system_mono_ms(struct clock *c)
{
    (void)c;
    return read_ms(CLOCK_MONOTONIC);
}

struct clock *clock_system(void)
{
    static struct clock clock = {.wall_ms = system_wall_ms, .mono_ms = system_mono_ms};
    return &clock;
}
