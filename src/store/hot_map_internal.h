/* SPDX-License-Identifier: ISC */
#ifndef STORE_HOT_MAP_INTERNAL_H
#define STORE_HOT_MAP_INTERNAL_H

/* What a sign-in changes, for the users whose newest state is not in its table yet: a
 * hash table by user number. Grows by doubling and keeps its size.
 * Thread: any, one at a time. */

#include <stddef.h>
#include <stdint.h>

struct hot {
    int64_t last_step;       /* the newest accepted of the confirmed secret; -1: none */
    int64_t last_attempt_ms; /* 0: none */
    int64_t time_ms;         /* of the user's newest row in the log; 0: none */
    int64_t request_seq;     /* the user's newest row that has a request id; 0: none */
    uint32_t failures;       /* since the last success */
    uint32_t user;           /* whose it is: 1 or more */
};

#define HOT_NONE(number) ((struct hot){.last_step = -1, .user = (number)})

struct hot_map {
    struct hot *slots; /* free: user is 0 */
    size_t count;
    unsigned bits; /* there are 1 << bits slots */
    uint32_t max;  /* no user in it has a larger number */
};
/* Invariants: at least a quarter of the slots is free; between a user's slot and the one
 * that its hash names, no slot is free. */

void hot_map_init(struct hot_map *m);
void hot_map_release(struct hot_map *m);

/* NULL when the user is not there; borrowed until the next change. */
const struct hot *hot_map_get(const struct hot_map *m, uint32_t user);
void hot_map_put(struct hot_map *m, const struct hot *hot);
void hot_map_remove(struct hot_map *m, uint32_t user);

/* Empties it; the memory is kept. */
void hot_map_clear(struct hot_map *m);

/* Sets bit u % 64 of set[u / 64] for each user u that is there. set has m->max / 64 + 1
 * words. */
void hot_map_mark(const struct hot_map *m, uint64_t *set);

#endif
