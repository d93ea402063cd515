/* SPDX-License-Identifier: ISC */
#include "cli/proto_arena_internal.h"

#include "base/arena.h"

static void *take(void *arena, size_t n)
{
    return arena_alloc(arena, n);
}

static void keep(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

ProtobufCAllocator proto_arena(struct arena *arena)
{
    return (ProtobufCAllocator){.alloc = take, .free = keep, .allocator_data = arena};
}
