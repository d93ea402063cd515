/* SPDX-License-Identifier: ISC */
#ifndef STORE_HOT_MAP_H
#define STORE_HOT_MAP_H

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
};

#define HOT_NONE ((struct hot){.last_step = -1})

struct hot_map {
    struct hot_slot *slots;
    size_t count;
    unsigned bits; /* there are 1 << bits slots */
};
/* Invariants: at least a quarter of the slots is free; between a user's slot and the one
 * that its hash names, no slot is free. A user's number is never 0. */

void hot_map_init(struct hot_map *m);
void hot_map_release(struct hot_map *m);

/* NULL when the user is not there; borrowed until the next change. */
const struct hot *hot_map_get(const struct hot_map *m, int64_t user);
void hot_map_put(struct hot_map *m, int64_t user, const struct hot *hot);
void hot_map_remove(struct hot_map *m, int64_t user);

/* Empties it; the memory is kept. */
void hot_map_clear(struct hot_map *m);

/* The numbers of the m->count users that are there, in no order. */
void hot_map_users(const struct hot_map *m, int64_t *out);

#endif
