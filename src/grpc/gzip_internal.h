/* SPDX-License-Identifier: ISC */
#ifndef GRPC_GZIP_INTERNAL_H
#define GRPC_GZIP_INTERNAL_H

/* gzip (RFC 1952) of one message at a time. The library's state is large (some
 * 300 KiB), so a loop keeps one and makes each half when it is first needed.
 * Embedded: zero bytes is an unused one. Thread: any, one at a time. */

#include "base/err.h"
#include "base/str.h"

#include <zlib.h>

struct buf;

struct gzip {
    z_stream inflater;
    z_stream deflater;
    bool can_inflate;
    bool can_deflate;
};

void gzip_release(struct gzip *g);

/* Appends what the one gzip member in packed holds. ERR_LIMIT when that is more than
 * limit bytes, of which no more than that are ever made; ERR_INVALID when packed is
 * damaged, cut off or followed by more. *out then holds a part. */
MUST_CHECK enum err gzip_inflate(struct gzip *g, struct str packed, size_t limit, struct buf *out);

/* Appends bytes as one gzip member; false, and nothing appended, when that would not
 * be smaller. */
bool gzip_deflate(struct gzip *g, struct str bytes, struct buf *out);

#endif
