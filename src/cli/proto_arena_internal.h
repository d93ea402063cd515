/* SPDX-License-Identifier: ISC */
#ifndef CLI_PROTO_ARENA_INTERNAL_H
#define CLI_PROTO_ARENA_INTERNAL_H

/* An arena as memory for unpacked messages: it bounds what a message can take, and the
 * messages need no freeing of their own. Thread: any, one at a time. */

#include <protobuf-c/protobuf-c.h>

struct arena;

/* Borrows arena. */
ProtobufCAllocator proto_arena(struct arena *arena);

#endif
