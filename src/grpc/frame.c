/* SPDX-License-Identifier: ISC */
#include "grpc/frame_internal.h"

#include "grpc/gzip_internal.h"
#include "grpc/scrub_internal.h"

/* A declared length is only a claim: no more than this is reserved on the strength of it. */
#define FRAME_TRUST 16384

void frame_release(struct frame *f)
{
    buf_release(&f->body);
    *f = (struct frame){0};
}

void frame_reset(struct frame *f)
{
    scrub(&f->body);
    *f = (struct frame){.body = f->body};
}

static struct refusal refuse_compressed(enum frame_encoding encoding)
{
    switch (encoding) {
    case FRAME_NO_ENCODING:
    case FRAME_IDENTITY:
        return (struct refusal){GRPC_INTERNAL, "compressed message without a compression"};
    case FRAME_FOREIGN:
        return (struct refusal){GRPC_UNIMPLEMENTED, "unknown compression"};
    case FRAME_GZIP:
        break;
    }
    return REFUSAL_NONE;
}

static struct refusal begin(struct frame *f, struct frame_rules rules)
{
    if (f->head[0] > 1)
        return (struct refusal){GRPC_INTERNAL, "unknown flag before a message"};
    f->compressed = f->head[0] == 1;
    if (f->compressed) {
        struct refusal refusal = refuse_compressed(rules.encoding);
        if (refusal.status != GRPC_OK)
            return refusal;
    }
    f->length = (uint32_t)f->head[1] << 24 | (uint32_t)f->head[2] << 16 |
                (uint32_t)f->head[3] << 8 | f->head[4];
    if (f->length > rules.limit)
        return (struct refusal){GRPC_RESOURCE_EXHAUSTED, "message too large"};
    if (f->length > 0)
        buf_reserve(&f->body, f->length < FRAME_TRUST ? f->length : FRAME_TRUST);
    return REFUSAL_NONE;
}

struct refusal frame_fill(struct frame *f, struct frame_rules rules, const uint8_t *bytes, size_t n,
                          size_t *used_out)
{
    size_t left = n;
    while (left > 0 && f->n_head < FRAME_HEAD) {
        f->head[f->n_head++] = *bytes++;
        left--;
        if (f->n_head == FRAME_HEAD) {
            struct refusal refusal = begin(f, rules);
            if (refusal.status != GRPC_OK)
                return refusal;
        }
    }
    size_t missing = f->length - f->body.len;
    size_t take = left < missing ? left : missing;
    buf_append(&f->body, bytes, take);
    *used_out = n - left + take;
    return REFUSAL_NONE;
}

bool frame_is_complete(const struct frame *f)
{
    return f->n_head == FRAME_HEAD && f->body.len >= f->length;
}

bool frame_is_begun(const struct frame *f)
{
    return f->n_head > 0;
}

struct refusal frame_push(struct frame *f, struct frame_rules rules, const uint8_t *bytes, size_t n)
{
    size_t used;
    struct refusal refusal = frame_fill(f, rules, bytes, n, &used);
    if (refusal.status != GRPC_OK)
        return refusal;
    size_t extra = n - used + f->n_extra;
    if (extra >= FRAME_HEAD)
        return (struct refusal){GRPC_UNIMPLEMENTED, "more than one message"};
    f->n_extra = (uint8_t)extra;
    return REFUSAL_NONE;
}

static struct refusal decompress(struct frame *f, size_t limit, struct gzip *gzip)
{
    struct buf message = BUF_INIT;
    enum err e = gzip_inflate(gzip, buf_str(&f->body), limit, &message);
    scrub(&f->body);
    buf_release(&f->body);
    f->body = message;
    if (e == ERR_OK)
        return REFUSAL_NONE;
    scrub(&f->body);
    if (e == ERR_LIMIT)
        return (struct refusal){GRPC_RESOURCE_EXHAUSTED, "message too large when decompressed"};
    return (struct refusal){GRPC_INTERNAL, "damaged compressed message"};
}

struct refusal frame_open(struct frame *f, struct frame_rules rules, struct gzip *gzip)
{
    return f->compressed ? decompress(f, rules.limit, gzip) : REFUSAL_NONE;
}

struct refusal frame_end(struct frame *f, struct frame_rules rules, struct gzip *gzip)
{
    if (f->n_head == 0)
        return (struct refusal){GRPC_UNIMPLEMENTED, "no message"};
    if (!frame_is_complete(f))
        return (struct refusal){GRPC_INTERNAL, "message cut off"};
    if (f->n_extra > 0)
        return (struct refusal){GRPC_INTERNAL, "bytes after the message"};
    return frame_open(f, rules, gzip);
}

void frame_write_head(uint8_t out[static FRAME_HEAD], bool compressed, uint32_t length)
{
    out[0] = compressed;
    out[1] = (uint8_t)(length >> 24);
    out[2] = (uint8_t)(length >> 16);
    out[3] = (uint8_t)(length >> 8);
    out[4] = (uint8_t)length;
}
