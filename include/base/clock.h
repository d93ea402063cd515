/* SPDX-License-Identifier: ISC */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/* The time, injected: whoever needs to know it is given a clock, so that tests
 * move it by hand. Two times that never mix: the wall clock (for codes, expiry
 * and records) and the monotonic one (for deadlines and waits in the process).
 * Thread: any. */

#include <stdint.h>

struct clock {
    int64_t (*wall_ms)(struct clock *c); /* milliseconds since 1970-01-01 UTC */
    int64_t (*mono_ms)(struct clock *c); /* milliseconds since some start, never back */
};

/* The system's clocks. Never freed. */
struct clock *clock_system(void);

static inline int64_t clock_wall_ms(struct clock *c)
{
    return c->wall_ms(c);
}

static inline int64_t clock_mono_ms(struct clock *c)
{
    return c->mono_ms(c);
}

#endif
