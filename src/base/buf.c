/* SPDX-License-Identifier: ISC */
#include "base/buf.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_CAP 64

/* No copy stays behind, neither when a buffer grows nor when it goes. */
static void buf_wipe_memory(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    free(b->data);
}

void buf_wipe(struct buf *b)
{
    buf_wipe_memory(b);
    *b = BUF_INIT;
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (b->data == NULL || n > b->cap - b->len) {
        size_t need;
        if (__builtin_add_overflow(b->len, n, &need) || need > SIZE_MAX / 2)
            abort();
        size_t cap = b->cap > 0 ? b->cap : BUF_FIRST_CAP;
        while (cap < need)
            cap *= 2;
        uint8_t *larger = mem_alloc(cap);
        if (b->len > 0)
            memcpy(larger, b->data, b->len);
        buf_wipe_memory(b);
        b->data = larger;
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), bytes, n);
    b->len += n;
}

void buf_append_str(struct buf *b, struct str s)
{
    buf_append(b, s.p, s.len);
}

void buf_append_byte(struct buf *b, uint8_t byte)
{
    *buf_reserve(b, 1) = byte;
    b->len++;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        abort();
    vsnprintf((char *)buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){.p = b->len > 0 ? (const char *)b->data : "", .len = b->len};
}
