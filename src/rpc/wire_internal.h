/* SPDX-License-Identifier: ISC */
#ifndef RPC_WIRE_INTERNAL_H
#define RPC_WIRE_INTERNAL_H

/* From bytes to a protobuf-c message, closing what protobuf-c leaves open: it cuts strings
 * at a NUL, takes bytes that are not UTF-8, and expands hostile input fifty times.
 * Thread: any. */

#include "base/err.h"
#include "base/str.h"

#include <protobuf-c/protobuf-c.h>

struct arena;
struct violations;

/* Unpacks bytes into memory of the arena, where the message lives. ERR_CORRUPT when they are
 * not a message of this type, ERR_LIMIT when the arena is too small, ERR_INVALID when a string
 * is not UTF-8 or holds a NUL: *v says which. */
MUST_CHECK enum err wire_unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                                struct str bytes, struct arena *arena, struct violations *v);

/* One field of a message; bytes is what a string, a message or a packed list holds. */
struct wire_field {
    uint32_t number;
    bool is_bytes;
    struct str bytes;
};

/* Takes a field off the front of a message; false when there is none, or nothing that a
 * field can be. */
bool wire_next(struct str *message, struct wire_field *out);

#endif
