/* SPDX-License-Identifier: ISC */
#include "hot_map_internal.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BITS_MIN 10

static size_t size_of(const struct hot_map *m)
{
    return (size_t)1 << m->bits;
}

/* Numbers count up from 1, so multiplying by 2^64 / phi spreads them evenly. */
static size_t home(const struct hot_map *m, uint32_t user)
{
    return (size_t)((user * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - m->bits));
}

static size_t after(const struct hot_map *m, size_t i)
{
    return (i + 1) & (size_of(m) - 1);
}

/* The user's slot, or the free one where it would be. */
static size_t find(const struct hot_map *m, uint32_t user)
{
    size_t i = home(m, user);
    while (m->slots[i].user != 0 && m->slots[i].user != user)
        i = after(m, i);
    return i;
}

static void allocate(struct hot_map *m, unsigned bits)
{
    m->bits = bits;
    m->slots = mem_zalloc(size_of(m), sizeof *m->slots);
}

void hot_map_init(struct hot_map *m)
{
    *m = (struct hot_map){0};
    allocate(m, BITS_MIN);
}

void hot_map_release(struct hot_map *m)
{
    free(m->slots);
    *m = (struct hot_map){0};
}

const struct hot *hot_map_get(const struct hot_map *m, uint32_t user)
{
    size_t i = find(m, user);
    return m->slots[i].user == user ? &m->slots[i] : NULL;
}

static void grow(struct hot_map *m)
{
    struct hot_map old = *m;
    allocate(m, old.bits + 1);
    for (size_t i = 0; i < size_of(&old); i++)
        if (old.slots[i].user != 0)
            m->slots[find(m, old.slots[i].user)] = old.slots[i];
    free(old.slots);
}

void hot_map_put(struct hot_map *m, const struct hot *hot)
{
    size_t i = find(m, hot->user);
    if (m->slots[i].user == 0) {
        if ((m->count + 1) * 4 > size_of(m) * 3) {
            grow(m);
            i = find(m, hot->user);
        }
        m->count++;
    }
    m->slots[i] = *hot;
    if (hot->user > m->max)
        m->max = hot->user;
}

/* Is the slot `from` to stay where it is when `hole` becomes free: is its home after the
 * hole, going round? */
static bool may_stay(const struct hot_map *m, size_t hole, size_t from)
{
    size_t mask = size_of(m) - 1;
    size_t distance = (from - home(m, m->slots[from].user)) & mask;
    return distance < ((from - hole) & mask);
}

void hot_map_remove(struct hot_map *m, uint32_t user)
{
    size_t hole = find(m, user);
    if (m->slots[hole].user == 0)
        return;
    for (size_t i = after(m, hole); m->slots[i].user != 0; i = after(m, i)) {
        if (may_stay(m, hole, i))
            continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole].user = 0;
    m->count--;
}

void hot_map_clear(struct hot_map *m)
{
    memset(m->slots, 0, size_of(m) * sizeof *m->slots);
    m->count = 0;
    m->max = 0;
}

void hot_map_mark(const struct hot_map *m, uint64_t *set)
{
    for (size_t i = 0; i < size_of(m); i++) {
        uint32_t user = m->slots[i].user;
        if (user != 0)
            set[user / 64] |= UINT64_C(1) << user % 64;
    }
}
