/* SPDX-License-Identifier: ISC */
#include "wire_internal.h"

#include "base/arena.h"
#include "rpc_internal.h"

#include <stdio.h>
#include <string.h>

#define WIRE_NUMBER_MAX ((1 << 29) - 1)
/* No request nests deeper than SetPolicy's timestamps; types do not recurse. */
#define WIRE_DEPTH_MAX      8
#define WIRE_FIELD_NAME_MAX 128

/* The protobuf wire types that exist in proto3. */
enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

struct scan {
    struct arena *arena;
    struct violations *v;
    char path[WIRE_FIELD_NAME_MAX]; /* of the message that is being read: "policy." */
};

/* Takes a varint off the front of s; false when there is none. */
static bool take_varint(struct str *s, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && s->len > 0; shift += 7) {
        uint8_t byte = (uint8_t)s->p[0];
        s->p++;
        s->len--;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool take_bytes(struct str *s, uint64_t n, struct str *out)
{
    if (n > s->len)
        return false;
    *out = (struct str){.p = s->p, .len = (size_t)n};
    s->p += n;
    s->len -= (size_t)n;
    return true;
}

/* Takes a field's value; a string or a message is in *out. */
static bool take_value(struct str *s, uint32_t type, struct str *out)
{
    uint64_t n;
    *out = (struct str){0};
    switch (type) {
    case WIRE_VARINT:
        return take_varint(s, &n);
    case WIRE_64BIT:
        return take_bytes(s, 8, out);
    case WIRE_BYTES:
        return take_varint(s, &n) && take_bytes(s, n, out);
    case WIRE_32BIT:
        return take_bytes(s, 4, out);
    }
    return false; /* a group, or nothing that exists */
}

bool wire_next(struct str *message, struct wire_field *out)
{
    uint64_t tag;
    struct str value;
    if (!take_varint(message, &tag) || tag >> 3 == 0 || tag >> 3 > WIRE_NUMBER_MAX ||
        !take_value(message, tag & 7, &value))
        return false;
    *out = (struct wire_field){
        .number = (uint32_t)(tag >> 3), .is_bytes = (tag & 7) == WIRE_BYTES, .bytes = value};
    return true;
}

static void complain(struct scan *scan, const char *field)
{
    size_t n = strlen(scan->path) + strlen(field) + 1;
    char *name = arena_alloc(scan->arena, n);
    if (name == NULL || scan->v->n == VIOLATIONS_MAX)
        return;
    snprintf(name, n, "%s%s", scan->path, field);
    scan->v->list[scan->v->n++] =
        (struct violation){.field = name, .text = "not UTF-8, or holds a NUL"};
}

static bool scan_message(struct scan *scan, const ProtobufCMessageDescriptor *type, struct str s,
                         int depth);

static bool scan_field(struct scan *scan, const ProtobufCFieldDescriptor *field, struct str value,
                       int depth)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        if (!str_is_utf8(value) || (value.len > 0 && memchr(value.p, '\0', value.len) != NULL))
            complain(scan, field->name);
        return true;
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return true;
    size_t before = strlen(scan->path);
    snprintf(scan->path + before, sizeof scan->path - before, "%s.", field->name);
    bool ok = scan_message(scan, field->descriptor, value, depth + 1);
    scan->path[before] = '\0';
    return ok;
}

/* Reads every field as protobuf-c will; false when it will not. */
static bool scan_message(struct scan *scan, const ProtobufCMessageDescriptor *type, struct str s,
                         int depth)
{
    if (depth > WIRE_DEPTH_MAX)
        return false;
    while (s.len > 0) {
        struct wire_field f;
        if (!wire_next(&s, &f))
            return false;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, f.number);
        if (field != NULL && f.is_bytes && !scan_field(scan, field, f.bytes, depth))
            return false;
    }
    return true;
}

struct allocator_state {
    struct arena *arena;
    bool full;
};

static void *allocate(void *data, size_t n)
{
    struct allocator_state *state = data;
    void *p = arena_alloc(state->arena, n);
    if (p == NULL)
        state->full = true;
    return p;
}

static void release_nothing(void *data, void *p)
{
    (void)data;
    (void)p;
}

enum err wire_unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                     struct str bytes, struct arena *arena, struct violations *v)
{
    struct scan scan = {.arena = arena, .v = v};
    if (!scan_message(&scan, type, bytes, 0))
        return ERR_CORRUPT;
    if (v->n > 0)
        return ERR_INVALID;
    struct allocator_state state = {.arena = arena};
    ProtobufCAllocator allocator = {
        .alloc = allocate, .free = release_nothing, .allocator_data = &state};
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, &allocator, bytes.len, (const uint8_t *)bytes.p);
    if (message == NULL)
        return state.full ? ERR_LIMIT : ERR_CORRUPT;
    *out = message;
    return ERR_OK;
}
