/* SPDX-License-Identifier: ISC */
#include "grpc/guard_internal.h"

#include <string.h>

#define PREFACE 24 /* bytes before the first frame, RFC 9113 section 3.4 */

#define ALLOWANCE 1000 /* frames that do nothing, or take a call back, in a burst */
#define REFILL    100  /* a second */
#define EARNED    4    /* by a frame of an answer: two window updates and a PING, and one more */
#define FAULT     10   /* a stream that had to be reset: a hundred in a burst */

#define SMALL_DATA 16 /* fewer bytes than this are worth no frame, unless the last */

enum frame_type { DATA = 0, HEADERS = 1, RST_STREAM = 3, PING = 6, CONTINUATION = 9 };
enum { END_STREAM = 0x1, END_HEADERS = 0x4 };

void guard_init(struct guard *g, uint32_t now)
{
    *g = (struct guard){.left = PREFACE, .allowance = ALLOWANCE, .refilled = now, .begun = now};
}

static void refill(struct guard *g, uint32_t now)
{
    if (now == g->refilled)
        return;
    int64_t allowance = g->allowance + (int64_t)(now - g->refilled) * REFILL;
    g->allowance = allowance < ALLOWANCE ? (int32_t)allowance : ALLOWANCE;
    g->refilled = now;
}

/* What a frame takes from the allowance. */
static int32_t cost(uint8_t type, uint8_t flags, uint32_t length)
{
    switch (type) {
    case HEADERS:
        return 0;
    case DATA:
        return length < SMALL_DATA && !(flags & END_STREAM);
    default:
        return 1;
    }
}

static uint32_t stream_of(const uint8_t *h)
{
    return (uint32_t)(h[5] & 0x7f) << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
}

/* Takes the frame header h. */
static const char *enter(struct guard *g, uint32_t now, const uint8_t *h)
{
    uint8_t type = h[3], flags = h[4];
    g->left = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    if (!g->in_block)
        g->begun = now;
    if (type == HEADERS || type == CONTINUATION)
        g->in_block = !(flags & END_HEADERS);
    if (type == HEADERS && stream_of(h) > g->last_open)
        g->last_open = stream_of(h);
    g->dropping = type == RST_STREAM && g->last_open > 0 && stream_of(h) > g->last_open;
    g->allowance -= cost(type, flags, g->left);
    if (g->allowance >= 0)
        return NULL;
    /* gRPC's clients know this word and slow down (doc/keepalive.md). */
    return type == PING ? "too_many_pings" : "too many frames that do nothing";
}

/* The beginning of a frame header, for the next time. */
static void keep_part(struct guard *g, const uint8_t *bytes, size_t n)
{
    g->n_head = (uint8_t)n;
    memcpy(g->head, bytes, n);
}

const char *guard_walk(struct guard *g, uint32_t now, uint8_t *bytes, size_t n, size_t *whole_out)
{
    refill(g, now);
    bool had_part = g->n_head > 0;
    g->n_head = 0;
    size_t at = 0, kept = 0;
    while (at < n) {
        size_t step = GUARD_FRAME_HEAD;
        if (g->left > 0) {
            step = g->left < n - at ? g->left : n - at;
            g->left -= (uint32_t)step;
        } else if (n - at < GUARD_FRAME_HEAD) {
            keep_part(g, bytes + at, n - at);
            if (!g->in_block && !had_part)
                g->begun = now;
            break;
        } else {
            const char *why = enter(g, now, bytes + at);
            if (why != NULL)
                return why;
        }
        if (!g->dropping) {
            if (kept != at)
                memmove(bytes + kept, bytes + at, step);
            kept += step;
        }
        at += step;
    }
    *whole_out = kept;
    return NULL;
}

void guard_earn(struct guard *g)
{
    g->allowance = g->allowance < ALLOWANCE - EARNED ? g->allowance + EARNED : ALLOWANCE;
}

bool guard_charge_fault(struct guard *g)
{
    g->allowance -= FAULT;
    return g->allowance >= 0;
}

uint32_t guard_unfinished(const struct guard *g, uint32_t now)
{
    return g->left > 0 || g->n_head > 0 || g->in_block ? now - g->begun : 0;
}
