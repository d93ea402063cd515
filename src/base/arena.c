/* SPDX-License-Identifier: ISC */
#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK 4096

struct chunk {
    struct chunk *next;
    size_t used, size;
    alignas(max_align_t) uint8_t bytes[];
};

struct arena {
    size_t left; /* of the cap */
    struct chunk *chunks;
};

struct arena *arena_new(size_t cap)
{
    struct arena *a = mem_alloc(sizeof *a);
    *a = (struct arena){.left = cap};
    return a;
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    for (struct chunk *c = a->chunks, *next; c != NULL; c = next) {
        next = c->next;
        explicit_bzero(c->bytes, c->used);
        free(c);
    }
    free(a);
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > a->left)
        return NULL;
    size_t aligned = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (aligned > a->left)
        return NULL;
    struct chunk *c = a->chunks;
    if (c == NULL || aligned > c->size - c->used) {
        size_t room = ARENA_CHUNK - sizeof *c;
        size_t size = aligned > room ? aligned : room;
        c = mem_alloc(sizeof *c + size);
        c->next = a->chunks;
        c->used = 0;
        c->size = size;
        a->chunks = c;
    }
    void *p = c->bytes + c->used;
    c->used += aligned;
    a->left -= aligned;
    return p;
}
