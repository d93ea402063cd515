/* SPDX-License-Identifier: ISC */
#include "grpc/gzip_internal.h"

#include "base/buf.h"

#include <stdlib.h>

#define GZIP_WINDOW  (MAX_WBITS + 16) /* 16 more: a gzip header and trailer */
#define GZIP_MEMORY  8                /* zlib's default */
#define INFLATE_STEP 4096

void gzip_release(struct gzip *g)
{
    if (g->can_inflate)
        inflateEnd(&g->inflater);
    if (g->can_deflate)
        deflateEnd(&g->deflater);
    *g = (struct gzip){0};
}

/* zlib has no pointers to constants unless ZLIB_CONST is set, and only reads them. */
static Bytef *input(struct str s)
{
    return (Bytef *)(uintptr_t)s.p;
}

static void begin_inflate(struct gzip *g, struct str packed)
{
    int rc = g->can_inflate ? inflateReset(&g->inflater) : inflateInit2(&g->inflater, GZIP_WINDOW);
    if (rc != Z_OK)
        abort();
    g->can_inflate = true;
    g->inflater.next_in = input(packed);
    g->inflater.avail_in = (uInt)packed.len;
}

enum err gzip_inflate(struct gzip *g, struct str packed, size_t limit, struct buf *out)
{
    if (packed.len > UINT32_MAX)
        return ERR_LIMIT;
    begin_inflate(g, packed);
    size_t made = 0;
    for (;;) {
        /* One byte over the limit is enough to know. */
        size_t room = limit - made + 1 < INFLATE_STEP ? limit - made + 1 : INFLATE_STEP;
        g->inflater.next_out = buf_reserve(out, room);
        g->inflater.avail_out = (uInt)room;
        int rc = inflate(&g->inflater, Z_NO_FLUSH);
        size_t n = room - g->inflater.avail_out;
        out->len += n;
        made += n;
        if (made > limit)
            return ERR_LIMIT;
        if (rc == Z_STREAM_END)
            return g->inflater.avail_in == 0 ? ERR_OK : ERR_INVALID;
        if (rc != Z_OK || (g->inflater.avail_in == 0 && n < room))
            return ERR_INVALID;
    }
}

static void begin_deflate(struct gzip *g, struct str bytes)
{
    int rc = g->can_deflate ? deflateReset(&g->deflater)
                            : deflateInit2(&g->deflater, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW,
                                           GZIP_MEMORY, Z_DEFAULT_STRATEGY);
    if (rc != Z_OK)
        abort();
    g->can_deflate = true;
    g->deflater.next_in = input(bytes);
    g->deflater.avail_in = (uInt)bytes.len;
}

bool gzip_deflate(struct gzip *g, struct str bytes, struct buf *out)
{
    if (bytes.len == 0 || bytes.len > UINT32_MAX)
        return false;
    begin_deflate(g, bytes);
    g->deflater.next_out = buf_reserve(out, bytes.len);
    g->deflater.avail_out = (uInt)bytes.len;
    if (deflate(&g->deflater, Z_FINISH) != Z_STREAM_END || g->deflater.avail_out == 0)
        return false;
    out->len += bytes.len - g->deflater.avail_out;
    return true;
}
