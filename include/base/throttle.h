/* SPDX-License-Identifier: ISC */
#ifndef BASE_THROTTLE_H
#define BASE_THROTTLE_H

/* Lets at most so many events of one kind through in a second, and counts the others. Times are
 * the caller's. Embedded: {.per_second = n} lets n through. Thread: any, one at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds beyond are not held back. */
#define THROTTLE_KINDS 64

struct throttle_kind {
    const char *name; /* a constant */
    int64_t second;
    uint32_t passed;   /* in that second */
    uint64_t left_out; /* in that second */
    uint64_t due;      /* in seconds before, and not told by throttle_settle yet */
};

struct throttle {
    uint32_t per_second;
    size_t n;
    struct throttle_kind kinds[THROTTLE_KINDS];
};

/* May this one pass? Kinds are told apart by their names' bytes. */
bool throttle_take(struct throttle *t, const char *kind, int64_t now_ms);

/* A kind of which some were left out in seconds that are over, and how many; they count as told
 * then. False: there is none. */
bool throttle_settle(struct throttle *t, int64_t now_ms, const char **kind_out,
                     uint64_t *left_out_out);

#endif
