/* SPDX-License-Identifier: ISC */
#ifndef GRPC_SCRUB_INTERNAL_H
#define GRPC_SCRUB_INTERNAL_H

/* Requests carry codes and tokens, answers carry secrets: what held one is wiped
 * before it is used for the next. */

#include "base/buf.h"

#include <string.h>

/* A buffer that is larger is given back instead of being kept for the next call. */
#define SCRUB_KEEP 4096

static inline void scrub(struct buf *b)
{
    if (b->len > 0)
        explicit_bzero(b->data, b->len);
    if (b->cap > SCRUB_KEEP)
        buf_release(b);
    else
        buf_clear(b);
}

/* Drops the first n bytes (n <= len), and leaves no copy of the last ones. */
static inline void scrub_front(struct buf *b, size_t n)
{
    buf_consume(b, n);
    explicit_bzero(b->data + b->len, n);
}

#endif
