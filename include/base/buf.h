/* SPDX-License-Identifier: ISC */
#ifndef BASE_BUF_H
#define BASE_BUF_H

/* A growing byte buffer. Embedded: BUF_INIT or zero bytes is an empty one.
 * It owns its memory; data moves when it grows, and leaves no copy behind.
 * Thread: any, one at a time. */

#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};
/* Invariant: len <= cap; data is NULL only when cap is 0. */

#define BUF_INIT ((struct buf){0})

/* Frees the memory; the buffer is empty and usable again. */
void buf_release(struct buf *b);

/* buf_release for a buffer that held a secret: its memory is wiped before. */
void buf_wipe(struct buf *b);

/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);

/* Room for n more bytes at the returned place; add to b->len what was used. */
uint8_t *buf_reserve(struct buf *b, size_t n);

void buf_append(struct buf *b, const void *bytes, size_t n);
void buf_append_str(struct buf *b, struct str s);
void buf_append_byte(struct buf *b, uint8_t byte);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Drops the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

/* The content, borrowed until the next change. */
struct str buf_str(const struct buf *b);

#endif
