/* SPDX-License-Identifier: ISC */
#include "cli/proto_json_internal.h"

#include "base/buf.h"
#include "base/mem.h"
#include "cli/rfc3339_internal.h"
#include "crypto/secret.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

#include <inttypes.h>
#include <malloc.h>

#define INDENT           2
#define DURATION_MAX_S   INT64_C(315576000000)
#define NANOS_PER_SECOND 1000000000
#define PRINTED_MAX      40

/* ---- texts ------------------------------------------------------------------------- */

static void append_camel(struct buf *out, const char *snake)
{
    bool up = false;
    for (const char *p = snake; *p != '\0'; p++) {
        if (*p != '_')
            buf_append_byte(out, (uint8_t)(up && *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p));
        up = *p == '_';
    }
}

/* Takes what is in b. */
static json_t *string_of(struct buf *b)
{
    struct str s = buf_str(b);
    json_t *string = json_stringn(s.len == 0 ? "" : s.p, s.len);
    if (b->data != NULL)
        secret_wipe(b->data, b->cap);
    buf_release(b);
    return string;
}

/* RFC 4648 section 4, with padding. */
static json_t *base64(const ProtobufCBinaryData *bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf out = BUF_INIT;
    buf_reserve(&out, bytes->len / 3 * 4 + 4);
    for (size_t i = 0; i < bytes->len; i += 3) {
        size_t n = bytes->len - i < 3 ? bytes->len - i : 3;
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < n ? bytes->data[i + j] : 0u);
        for (size_t j = 0; j < 4; j++)
            buf_append_byte(&out, (uint8_t)(j <= n ? alphabet[bits >> (18 - 6 * j) & 63] : '='));
    }
    return string_of(&out);
}

static json_t *print(const char *fmt, ...) PRINTF_LIKE(1, 2);
static json_t *print(const char *fmt, ...)
{
    char text[PRINTED_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return json_string(text);
}

/* ---- messages with a form of their own --------------------------------------------- */

static json_t *from_timestamp(const ProtobufCMessage *message)
{
    const Google__Protobuf__Timestamp *t = (const Google__Protobuf__Timestamp *)message;
    char text[RFC3339_MAX];
    return rfc3339_format(text, t->seconds, t->nanos) ? json_string(text) : NULL;
}

static json_t *from_duration(const ProtobufCMessage *message)
{
    const Google__Protobuf__Duration *d = (const Google__Protobuf__Duration *)message;
    bool in_range = d->seconds >= -DURATION_MAX_S && d->seconds <= DURATION_MAX_S &&
                    d->nanos > -NANOS_PER_SECOND && d->nanos < NANOS_PER_SECOND;
    bool mixed = (d->seconds < 0 && d->nanos > 0) || (d->seconds > 0 && d->nanos < 0);
    if (!in_range || mixed)
        return NULL;
    const char *sign = d->seconds < 0 || d->nanos < 0 ? "-" : "";
    char fraction[RFC3339_FRACTION_MAX];
    rfc3339_fraction(fraction, abs(d->nanos));
    return print("%s%lld%ss", sign, llabs(d->seconds), fraction);
}

static json_t *from_field_mask(const ProtobufCMessage *message)
{
    const Google__Protobuf__FieldMask *mask = (const Google__Protobuf__FieldMask *)message;
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < mask->n_paths; i++) {
        if (i > 0)
            buf_append_byte(&out, ',');
        append_camel(&out, mask->paths[i]);
    }
    return string_of(&out);
}

static const struct {
    const ProtobufCMessageDescriptor *type;
    json_t *(*from)(const ProtobufCMessage *message);
} own_forms[] = {
    {&google__protobuf__timestamp__descriptor, from_timestamp},
    {&google__protobuf__duration__descriptor, from_duration},
    {&google__protobuf__field_mask__descriptor, from_field_mask},
};

/* ---- values -------------------------------------------------------------------------- */

static json_t *from_enum(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);
    return v == NULL ? json_integer(value) : json_string(v->name);
}

static json_t *from_string(const char *s)
{
    return json_string(s == NULL ? "" : s);
}

/* The value at p, of the field's type. */
static json_t *value_of(const ProtobufCFieldDescriptor *f, const void *p)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)p);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)p);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return print("%" PRId64, *(const int64_t *)p);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return print("%" PRIu64, *(const uint64_t *)p);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real((double)*(const float *)p);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)p);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)p);
    case PROTOBUF_C_TYPE_ENUM:
        return from_enum(f->descriptor, *(const int *)p);
    case PROTOBUF_C_TYPE_STRING:
        return from_string(*(char *const *)p);
    case PROTOBUF_C_TYPE_BYTES:
        return base64(p);
    case PROTOBUF_C_TYPE_MESSAGE:
        return proto_json_from(*(ProtobufCMessage *const *)p);
    }
    return NULL;
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    return 0;
}

/* ---- fields -------------------------------------------------------------------------- */

static const void *at(const ProtobufCMessage *message, unsigned offset)
{
    return (const char *)message + offset;
}

static json_t *from_repeated(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
    size_t n = *(const size_t *)at(message, f->quantifier_offset);
    const char *items = *(const char *const *)at(message, f->offset);
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        if (json_array_append_new(array, value_of(f, items + i * size_of(f->type))) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* Is there a value other than the default? */
static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
    static const uint8_t zero[sizeof(ProtobufCBinaryData)];
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)at(message, f->quantifier_offset) > 0;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)at(message, f->quantifier_offset) == f->id;
    const void *p = at(message, f->offset);
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        const char *s = *(const char *const *)p;
        return s != NULL && *s != '\0';
    }
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)p)->len > 0;
    size_t n = size_of(f->type);
    return !str_equal((struct str){.p = p, .len = n},
                      (struct str){.p = (const char *)zero, .len = n});
}

static bool add_field(json_t *object, const ProtobufCMessage *message,
                      const ProtobufCFieldDescriptor *f)
{
    json_t *value = f->label == PROTOBUF_C_LABEL_REPEATED ? from_repeated(message, f)
                                                          : value_of(f, at(message, f->offset));
    struct buf name = BUF_INIT;
    append_camel(&name, f->name);
    buf_append_byte(&name, '\0');
    bool added = json_object_set_new(object, (const char *)name.data, value) == 0;
    buf_release(&name);
    return added;
}

json_t *proto_json_from(const ProtobufCMessage *message)
{
    for (size_t i = 0; i < sizeof own_forms / sizeof own_forms[0]; i++)
        if (own_forms[i].type == message->descriptor)
            return own_forms[i].from(message);

    json_t *object = json_object();
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
        if (is_set(message, f) && !add_field(object, message, f)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* ---- output -------------------------------------------------------------------------- */

static void wipe_and_free(void *p)
{
    if (p != NULL)
        secret_wipe(p, malloc_usable_size(p));
    free(p);
}

void proto_json_init(void)
{
    json_set_alloc_funcs(mem_alloc, wipe_and_free);
}

void proto_json_print(json_t *value)
{
    /* A failed write stays with the stream; term_finish tells. */
    (void)json_dumpf(value, stdout, JSON_INDENT(INDENT) | JSON_ENCODE_ANY);
    putchar('\n');
    json_decref(value);
}
