/* SPDX-License-Identifier: ISC */
#include "cli/names_internal.h"

#define ZERO_SUFFIX "UNSPECIFIED"

/* How long the shared prefix is: the zero value is the prefix and UNSPECIFIED. */
static size_t prefix_len(const ProtobufCEnumDescriptor *type)
{
    const char *zero = type->values[0].name;
    const char *suffix = strstr(zero, ZERO_SUFFIX);
    return suffix == NULL ? 0 : (size_t)(suffix - zero);
}

const char *names_short(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);
    return v == NULL ? "UNKNOWN" : v->name + prefix_len(type);
}

bool names_parse(const ProtobufCEnumDescriptor *type, const char *text, int *out)
{
    size_t skip = prefix_len(type);
    for (unsigned i = 1; i < type->n_values; i++) {
        if (strcasecmp(type->values[i].name + skip, text) == 0) {
            *out = type->values[i].value;
            return true;
        }
    }
    return false;
}
