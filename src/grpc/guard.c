/* SPDX-License-Identifier: ISC */
#include "grpc/guard_internal.h"

#include <string.h>

#define PREFACE 24 /* bytes before the first frame, RFC 9113 section 3.4 */

#define REFILL  10 /* a second: the allowance through this */
#define EARNED  4  /* by a frame of an answer: two window updates and a PING, and one more */
#define FAULT   10 /* a stream that had to be reset */
#define STRIKES 2  /* PINGs that come too early */

#define SMALL_DATA 16 /* fewer bytes than this are worth no frame, unless the last */

enum frame_type {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    PING = 6,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9
};
enum { END_STREAM = 0x1, END_HEADERS = 0x4 };
enum { PROTOCOL_ERROR = 1, STREAM_CLOSED = 5, ENHANCE_YOUR_CALM = 11 };

/* gRPC's clients know this word and slow down (doc/keepalive.md). */
static const char too_many_pings[] = "too_many_pings";

void guard_init(struct guard *g, uint32_t now, uint32_t allowance)
{
    int32_t most = allowance < INT32_MAX ? (int32_t)allowance : INT32_MAX;
    *g = (struct guard){
        .left = PREFACE, .allowance = most, .most = most, .refilled = now, .begun = now};
}

static void refill(struct guard *g, uint32_t now)
{
    if (now == g->refilled)
        return;
    int32_t a_second = g->most / REFILL > 0 ? g->most / REFILL : 1;
    int64_t allowance = g->allowance + (int64_t)(now - g->refilled) * a_second;
    g->allowance = allowance < g->most ? (int32_t)allowance : g->most;
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

static uint32_t number_at(const uint8_t *p)
{
    return (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t stream_of(const uint8_t *h)
{
    return number_at(h + 5);
}

static uint32_t length_of(const uint8_t *h)
{
    return (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
}

/* Has the frame a number at its beginning that has to be looked at? */
static bool has_number(const uint8_t *h)
{
    return (h[3] == PRIORITY || h[3] == WINDOW_UPDATE) &&
           length_of(h) >= GUARD_PART_MAX - GUARD_FRAME_HEAD;
}

/* So much of a frame has to be there at once, of which n bytes are. */
static size_t needed(const uint8_t *h, size_t n)
{
    return n >= GUARD_FRAME_HEAD && has_number(h) ? GUARD_PART_MAX : GUARD_FRAME_HEAD;
}

/* What breaks the protocol, and nghttp2 does not see. */
static const char *find_fault(struct guard *g, const uint8_t *h)
{
    uint32_t stream = stream_of(h);
    bool of_request = (h[3] == HEADERS || h[3] == DATA) && stream > 0;
    g->code = PROTOCOL_ERROR;
    if (of_request && h[3] == HEADERS && past_is_left_out(&g->past, stream))
        return "a stream out of order";
    if (of_request && past_is_ended(&g->past, stream)) {
        g->code = STREAM_CLOSED;
        return "a frame for a stream that its peer has ended";
    }
    if (h[3] == PRIORITY && stream == 0)
        return "PRIORITY of no stream";
    if (!has_number(h))
        return NULL;
    uint32_t number = number_at(h + GUARD_FRAME_HEAD);
    if (h[3] == PRIORITY)
        return number == stream ? "a stream that depends on itself" : NULL;
    return number == 0 ? "WINDOW_UPDATE of nothing" : NULL;
}

static void remember(struct guard *g, uint8_t type, uint8_t flags, uint32_t stream)
{
    if (type == HEADERS)
        past_opened(&g->past, stream);
    if (type == RST_STREAM || ((type == HEADERS || type == DATA) && flags & END_STREAM))
        past_ended(&g->past, stream);
}

/* Takes the frame header h. */
static const char *enter(struct guard *g, uint32_t now, const uint8_t *h)
{
    uint8_t type = h[3], flags = h[4];
    g->left = length_of(h);
    if (!g->in_block)
        g->begun = now;
    if (type == HEADERS || type == CONTINUATION)
        g->in_block = !(flags & END_HEADERS);
    const char *fault = find_fault(g, h);
    if (fault != NULL)
        return fault;
    g->dropping = type == RST_STREAM && g->past.last > 0 && stream_of(h) > g->past.last;
    remember(g, type, flags, stream_of(h));
    g->allowance -= cost(type, flags, g->left);
    if (g->allowance >= 0)
        return NULL;
    g->code = ENHANCE_YOUR_CALM;
    return type == PING ? too_many_pings : "too many frames that do nothing";
}

/* The beginning of a frame, for the next time. */
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
        } else if (n - at < needed(bytes + at, n - at)) {
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
    g->allowance = g->allowance < g->most - EARNED ? g->allowance + EARNED : g->most;
    g->strikes = 0;
    g->has_pinged = false;
}

const char *guard_ping(struct guard *g, uint32_t now, uint32_t ping_s)
{
    /* A second that is counted is up to one short of the peer's. */
    if (!g->has_pinged || now - g->pinged + 1 >= ping_s) {
        g->has_pinged = true;
        g->pinged = now;
        return NULL;
    }
    if (++g->strikes <= STRIKES)
        return NULL;
    g->code = ENHANCE_YOUR_CALM;
    return too_many_pings;
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
