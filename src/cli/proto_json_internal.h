/* SPDX-License-Identifier: ISC */
#ifndef CLI_PROTO_JSON_INTERNAL_H
#define CLI_PROTO_JSON_INTERNAL_H

/* Protocol Buffers messages in their JSON form (the "ProtoJSON format" of proto3), for
 * any message whose descriptor is linked in: names in lowerCamelCase, enums by name,
 * 64-bit integers as strings, bytes in base64, Timestamp, Duration and FieldMask as
 * their texts. Fields come in the order of their numbers; one with its default value is
 * left out unless it has presence (a member of a oneof, a message). Thread: any. */

#include "base/err.h"

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

/* Lets jansson wipe what it frees. Once, before the first object is made. */
void proto_json_init(void);

/* A new object, or string where that is the message's form; NULL for a message that has no
 * JSON form: a text that is not UTF-8, a time or duration out of its range. */
json_t *proto_json_from(const ProtobufCMessage *message);

/* Takes value, prints it and a new line on standard output. */
void proto_json_print(json_t *value);

#endif
