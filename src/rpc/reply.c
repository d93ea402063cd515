/* SPDX-License-Identifier: ISC */
#include "reply_internal.h"

#include "base/buf.h"

void reply_pack(struct buf *out, const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    out->len += protobuf_c_message_pack(message, buf_reserve(out, n));
}

Google__Protobuf__Timestamp reply_timestamp(int64_t unix_ms)
{
    Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t ms = unix_ms % 1000 + (unix_ms % 1000 < 0 ? 1000 : 0);
    t.seconds = (unix_ms - ms) / 1000;
    t.nanos = (int32_t)ms * 1000000;
    return t;
}

Google__Protobuf__Duration reply_duration(int64_t ms)
{
    Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
    d.seconds = ms / 1000;
    d.nanos = (int32_t)(ms % 1000) * 1000000;
    return d;
}

char *reply_lend(const char *s)
{
    union {
        const char *in;
        char *out;
    } u = {.in = s};
    return u.out;
}
