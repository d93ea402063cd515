/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "grpc/guard_internal.h"

#include <string.h>

#define PREFACE 24
#define BURST   1000

enum {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9
};
enum { END_STREAM = 1, END_HEADERS = 4 };

static void put_on(struct buf *wire, uint8_t type, uint8_t flags, uint8_t stream, size_t length)
{
    const uint8_t head[GUARD_FRAME_HEAD] = {(uint8_t)(length >> 16),
                                            (uint8_t)(length >> 8),
                                            (uint8_t)length,
                                            type,
                                            flags,
                                            0,
                                            0,
                                            0,
                                            stream};
    buf_append(wire, head, sizeof head);
    for (size_t i = 0; i < length; i++)
        buf_append_byte(wire, 0xff);
}

static void put(struct buf *wire, uint8_t type, uint8_t flags, size_t length)
{
    put_on(wire, type, flags,
           type == HEADERS || type == DATA || type == PRIORITY || type == CONTINUATION, length);
}

static void put_preface(struct buf *wire)
{
    for (int i = 0; i < PREFACE; i++)
        buf_append_byte(wire, 'P');
}

/* Walks over the wire in pieces, as a connection does, and gathers what is handed on. */
static const char *walk(struct guard *g, const struct buf *wire, size_t piece, struct buf *out)
{
    for (size_t at = 0; at < wire->len; at += piece) {
        uint8_t bytes[4096];
        size_t held = g->n_head, n = wire->len - at < piece ? wire->len - at : piece;
        memcpy(bytes, g->head, held);
        memcpy(bytes + held, wire->data + at, n);
        size_t whole = 0;
        const char *why = guard_walk(g, 0, bytes, held + n, &whole);
        if (why != NULL)
            return why;
        buf_append(out, bytes, whole);
    }
    return NULL;
}

/* No piece that is handed on ends within a frame header, and nothing is lost. */
static void frame_headers_stay_whole(void **state)
{
    (void)state;
    struct buf wire = BUF_INIT;
    put_preface(&wire);
    put(&wire, SETTINGS, 0, 0);
    put(&wire, HEADERS, 0, 10);
    put(&wire, CONTINUATION, END_HEADERS, 3);
    put(&wire, DATA, END_STREAM, 1);
    for (size_t piece = 1; piece <= wire.len; piece++) {
        struct guard g;
        struct buf out = BUF_INIT;
        guard_init(&g, 0, BURST);
        assert_null(walk(&g, &wire, piece, &out));
        assert_int_equal(out.len, wire.len);
        assert_memory_equal(out.data, wire.data, wire.len);
        assert_int_equal(g.n_head, 0);
        assert_int_equal(guard_unfinished(&g, 99), 0);
        buf_release(&out);
    }
    buf_release(&wire);
}

/* Resets of streams that were never opened vanish, whatever is cut where. */
static void early_resets_are_dropped(void **state)
{
    (void)state;
    struct buf wire = BUF_INIT, expected = BUF_INIT;
    put_preface(&wire);
    put_on(&wire, HEADERS, END_HEADERS, 3, 5);
    put_on(&wire, RST_STREAM, 0, 3, 4);
    buf_append_str(&expected, buf_str(&wire));
    put_on(&wire, RST_STREAM, 0, 5, 4);
    put_on(&wire, HEADERS, END_HEADERS, 7, 2);
    put_on(&expected, HEADERS, END_HEADERS, 7, 2);
    put_on(&wire, RST_STREAM, 0, 9, 4);
    put_on(&wire, RST_STREAM, 0, 5, 4);
    put_on(&expected, RST_STREAM, 0, 5, 4);
    put_on(&wire, RST_STREAM, 0, 11, 4);
    for (size_t piece = 1; piece <= wire.len; piece++) {
        struct guard g;
        struct buf out = BUF_INIT;
        guard_init(&g, 0, BURST);
        assert_null(walk(&g, &wire, piece, &out));
        assert_int_equal(out.len, expected.len);
        assert_memory_equal(out.data, expected.data, expected.len);
        buf_release(&out);
    }
    buf_release(&wire);
    buf_release(&expected);
}

/* The first thing that is said is nghttp2's to judge. */
static void a_reset_before_everything_is_not(void **state)
{
    (void)state;
    struct buf wire = BUF_INIT, out = BUF_INIT;
    struct guard g;
    guard_init(&g, 0, BURST);
    put_preface(&wire);
    put_on(&wire, RST_STREAM, 0, 1, 4);
    assert_null(walk(&g, &wire, wire.len, &out));
    assert_int_equal(out.len, wire.len);
    buf_release(&wire);
    buf_release(&out);
}

/* How many frames pass before the guard says stop; limit when it does not. */
static int frames_until_refused(struct guard *g, uint8_t type, uint8_t flags, size_t length,
                                int limit)
{
    struct buf wire = BUF_INIT, out = BUF_INIT;
    put(&wire, type, flags, length);
    int n = 0;
    while (n < limit && walk(g, &wire, wire.len, &out) == NULL)
        n++;
    buf_release(&wire);
    buf_release(&out);
    return n;
}

static void new_guard(struct guard *g)
{
    guard_init(g, 0, BURST);
    g->left = 0; /* the preface has come */
}

static void what_does_nothing_is_limited(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, flags;
        size_t length;
    } idle[] = {
        {PING, 0, 8},       {SETTINGS, 0, 0},
        {SETTINGS, 1, 0},   {PRIORITY, 0, 5},
        {RST_STREAM, 0, 4}, {DATA, 0, 15},
        {DATA, 0, 0},       {WINDOW_UPDATE, 0, 4},
        {0x42, 0, 0},       {CONTINUATION, END_HEADERS, 0},
    };
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        struct guard g;
        new_guard(&g);
        assert_int_equal(
            frames_until_refused(&g, idle[i].type, idle[i].flags, idle[i].length, 5000), BURST);
    }
}

static void what_does_something_is_not(void **state)
{
    (void)state;
    struct guard g;
    new_guard(&g);
    assert_int_equal(frames_until_refused(&g, HEADERS, END_HEADERS, 10, 5000), 5000);
    assert_int_equal(frames_until_refused(&g, DATA, 0, 16, 5000), 5000);
    for (int i = 0; i < 5000; i++) {
        g.past = (struct past){0}; /* as if of another stream */
        assert_int_equal(frames_until_refused(&g, DATA, END_STREAM, 0, 1), 1);
    }
}

enum { PROTOCOL_ERROR = 1, STREAM_CLOSED = 5 };

/* One frame header, and its first bytes; 0, or the error code that it gets. */
static uint32_t error_of(struct guard *g, uint8_t type, uint8_t flags, uint8_t stream, uint8_t last)
{
    uint8_t frame[] = {0,    0, type == PRIORITY ? 5 : 4, type, flags, 0, 0, 0, stream, 0, 0, 0,
                       last, 0};
    size_t whole;
    bool ok = guard_walk(g, 0, frame, 9u + frame[2], &whole) == NULL;
    return ok ? 0 : g->code;
}

static void what_the_peer_has_ended_stays_so(void **state)
{
    (void)state;
    struct guard g;
    new_guard(&g);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 1, 0), 0);
    assert_int_equal(error_of(&g, DATA, END_STREAM, 1, 0), 0);
    assert_int_equal(error_of(&g, RST_STREAM, 0, 1, 8), 0); /* taken back: that is fine */
    assert_int_equal(error_of(&g, DATA, 0, 1, 0), STREAM_CLOSED);
    new_guard(&g);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 1, 0), 0);
    assert_int_equal(error_of(&g, RST_STREAM, 0, 1, 8), 0);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 1, 0), STREAM_CLOSED);
    new_guard(&g);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS | END_STREAM, 1, 0), 0);
    assert_int_equal(error_of(&g, DATA, 0, 1, 0), STREAM_CLOSED);
}

static void streams_do_not_go_back(void **state)
{
    (void)state;
    struct guard g;
    new_guard(&g);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 5, 0), 0);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 5, 0), 0); /* trailers */
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 9, 0), 0);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 3, 0), PROTOCOL_ERROR);
    new_guard(&g);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 5, 0), 0);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 9, 0), 0);
    assert_int_equal(error_of(&g, HEADERS, END_HEADERS, 7, 0), PROTOCOL_ERROR);
}

/* Also when the frame comes byte by byte. */
static void numbers_are_looked_at(void **state)
{
    (void)state;
    struct guard g;
    new_guard(&g);
    assert_int_equal(error_of(&g, WINDOW_UPDATE, 0, 3, 1), 0);
    assert_int_equal(error_of(&g, PRIORITY, 0, 3, 1), 0);
    assert_int_equal(error_of(&g, WINDOW_UPDATE, 0, 3, 0), PROTOCOL_ERROR);
    new_guard(&g);
    assert_int_equal(error_of(&g, PRIORITY, 0, 0, 1), PROTOCOL_ERROR);
    new_guard(&g);
    assert_int_equal(error_of(&g, PRIORITY, 0, 3, 3), PROTOCOL_ERROR);
    struct buf wire = BUF_INIT, out = BUF_INIT;
    new_guard(&g);
    static const uint8_t itself[] = {0, 0, 5, PRIORITY, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0};
    buf_append(&wire, itself, sizeof itself);
    assert_string_equal(walk(&g, &wire, 1, &out), "a stream that depends on itself");
    buf_release(&wire);
    buf_release(&out);
}

static void pings_are_named(void **state)
{
    (void)state;
    struct guard g;
    struct buf wire = BUF_INIT, out = BUF_INIT;
    new_guard(&g);
    for (int i = 0; i < BURST + 1; i++)
        put(&wire, PING, 0, 0);
    assert_string_equal(walk(&g, &wire, 4000, &out), "too_many_pings");
    buf_release(&wire);
    buf_release(&out);
}

static void time_and_work_refill(void **state)
{
    (void)state;
    struct guard g;
    new_guard(&g);
    assert_int_equal(frames_until_refused(&g, PING, 0, 8, 5000), BURST);
    uint8_t ping[GUARD_FRAME_HEAD + 8] = {0, 0, 8, PING};
    size_t whole;
    int n = 0;
    while (guard_walk(&g, 1, ping, sizeof ping, &whole) == NULL)
        n++;
    assert_in_range(n, 90, 100);
    g.left = 0;
    guard_earn(&g);
    g.allowance = 0;
    for (int i = 0; i < 3; i++)
        guard_earn(&g);
    n = 0;
    while (guard_walk(&g, 1, ping, sizeof ping, &whole) == NULL)
        n++;
    assert_int_equal(n, 12);
    /* Not beyond the burst, however long it is quiet or useful. */
    new_guard(&g);
    for (int i = 0; i < 10000; i++)
        guard_earn(&g);
    assert_int_equal(guard_walk(&g, UINT32_MAX, ping, sizeof ping, &whole) == NULL, true);
    g.refilled = 0;
    assert_int_equal(g.allowance, BURST - 1);
}

static void faults_are_limited(void **state)
{
    (void)state;
    struct guard g;
    new_guard(&g);
    int n = 0;
    while (guard_charge_fault(&g))
        n++;
    assert_int_equal(n, 100);
}

static void what_is_unfinished_gets_older(void **state)
{
    (void)state;
    struct guard g;
    size_t whole;
    guard_init(&g, 5, BURST);
    assert_int_equal(guard_unfinished(&g, 5), 0);
    assert_int_equal(guard_unfinished(&g, 7), 2); /* the preface */
    g.left = 0;
    assert_int_equal(guard_unfinished(&g, 7), 0);

    uint8_t headers[] = {0, 0, 1, HEADERS, 0, 0, 0, 0, 1, 'x'};
    assert_null(guard_walk(&g, 10, headers, 3, &whole)); /* a part of a frame header */
    assert_int_equal(whole, 0);
    assert_int_equal(guard_unfinished(&g, 12), 2);
    assert_null(guard_walk(&g, 13, headers, 9, &whole));
    assert_int_equal(guard_unfinished(&g, 15), 2);
    assert_null(guard_walk(&g, 15, headers + 9, 1, &whole));
    assert_int_equal(guard_unfinished(&g, 16), 3); /* the block is still open */

    /* A CONTINUATION does not make the block younger. */
    uint8_t more[] = {0, 0, 0, CONTINUATION, 0, 0, 0, 0, 1};
    assert_null(guard_walk(&g, 20, more, sizeof more, &whole));
    assert_int_equal(guard_unfinished(&g, 20), 7);
    uint8_t last[] = {0, 0, 0, CONTINUATION, END_HEADERS, 0, 0, 0, 1};
    assert_null(guard_walk(&g, 21, last, sizeof last, &whole));
    assert_int_equal(guard_unfinished(&g, 30), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_headers_stay_whole),
        cmocka_unit_test(early_resets_are_dropped),
        cmocka_unit_test(a_reset_before_everything_is_not),
        cmocka_unit_test(what_does_nothing_is_limited),
        cmocka_unit_test(what_does_something_is_not),
        cmocka_unit_test(what_the_peer_has_ended_stays_so),
        cmocka_unit_test(streams_do_not_go_back),
        cmocka_unit_test(numbers_are_looked_at),
        cmocka_unit_test(pings_are_named),
        cmocka_unit_test(time_and_work_refill),
        cmocka_unit_test(faults_are_limited),
        cmocka_unit_test(what_is_unfinished_gets_older),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
