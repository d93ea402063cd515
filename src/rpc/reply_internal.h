/* SPDX-License-Identifier: ISC */
#ifndef RPC_REPLY_INTERNAL_H
#define RPC_REPLY_INTERNAL_H

/* Small pieces of responses. Thread: any. */

#include "base/str.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

struct buf;

/* Appends the message. */
void reply_pack(struct buf *out, const ProtobufCMessage *message);

Google__Protobuf__Timestamp reply_timestamp(int64_t unix_ms);
Google__Protobuf__Duration reply_duration(int64_t ms);

/* s for a field of a message that is only packed: protobuf-c's structs take char *. */
char *reply_lend(const char *s);

#endif
