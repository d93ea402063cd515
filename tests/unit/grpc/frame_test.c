/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "grpc/frame_internal.h"
#include "grpc/gzip_internal.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT 1000

static const struct frame_rules plain = {.limit = LIMIT, .encoding = FRAME_NO_ENCODING};
static const struct frame_rules packed = {.limit = LIMIT, .encoding = FRAME_GZIP};

struct fixture {
    struct gzip gzip;
    struct frame frame;
    struct buf wire;
};

static int setup(void **state)
{
    *state = mem_zalloc(1, sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gzip_release(&f->gzip);
    frame_release(&f->frame);
    buf_release(&f->wire);
    free(f);
    return 0;
}

/* Puts a message of n bytes, counting up, on the wire. */
static void put(struct fixture *f, uint8_t flag, uint32_t length, size_t n)
{
    uint8_t head[FRAME_HEAD];
    frame_write_head(head, false, length);
    head[0] = flag;
    buf_append(&f->wire, head, FRAME_HEAD);
    for (size_t i = 0; i < n; i++)
        buf_append_byte(&f->wire, (uint8_t)i);
}

static void put_packed(struct fixture *f, const void *bytes, size_t n)
{
    struct buf z = BUF_INIT;
    assert_true(gzip_deflate(&f->gzip, (struct str){.p = bytes, .len = n}, &z));
    uint8_t head[FRAME_HEAD];
    frame_write_head(head, true, (uint32_t)z.len);
    buf_append(&f->wire, head, FRAME_HEAD);
    buf_append_str(&f->wire, buf_str(&z));
    buf_release(&z);
}

/* Pushes the wire, cut at one place, and ends. The first refusal of the three steps. */
static struct refusal feed(struct fixture *f, struct frame_rules rules, size_t cut)
{
    frame_reset(&f->frame);
    struct refusal r = frame_push(&f->frame, rules, f->wire.data, cut);
    if (r.status == GRPC_OK)
        r = frame_push(&f->frame, rules, f->wire.data + cut, f->wire.len - cut);
    if (r.status == GRPC_OK)
        r = frame_end(&f->frame, rules, &f->gzip);
    return r;
}

/* The same wherever it is cut, and byte by byte. */
static void assert_all_cuts(struct fixture *f, struct frame_rules rules, enum grpc_status status)
{
    for (size_t cut = 0; cut <= f->wire.len; cut++)
        assert_int_equal(feed(f, rules, cut).status, status);
    frame_reset(&f->frame);
    struct refusal r = REFUSAL_NONE;
    for (size_t i = 0; i < f->wire.len && r.status == GRPC_OK; i++)
        r = frame_push(&f->frame, rules, f->wire.data + i, 1);
    if (r.status == GRPC_OK)
        r = frame_end(&f->frame, rules, &f->gzip);
    assert_int_equal(r.status, status);
}

static void a_message(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 100, 100);
    for (size_t cut = 0; cut <= f->wire.len; cut++) {
        assert_int_equal(feed(f, plain, cut).status, GRPC_OK);
        assert_int_equal(f->frame.body.len, 100);
        assert_memory_equal(f->frame.body.data, f->wire.data + FRAME_HEAD, 100);
        assert_false(f->frame.compressed);
    }
}

static void an_empty_message(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 0, 0);
    assert_all_cuts(f, plain, GRPC_OK);
    assert_int_equal(f->frame.body.len, 0);
}

static void no_message(void **state)
{
    struct fixture *f = *state;
    assert_all_cuts(f, plain, GRPC_UNIMPLEMENTED);
}

static void half_a_message(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 10, 10);
    for (size_t n = 1; n < FRAME_HEAD + 10; n++) {
        f->wire.len = n;
        assert_all_cuts(f, plain, GRPC_INTERNAL);
    }
}

static void two_messages(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 10, 10);
    put(f, 0, 0, 0);
    assert_all_cuts(f, plain, GRPC_UNIMPLEMENTED);
    put(f, 0, 10, 10);
    assert_all_cuts(f, plain, GRPC_UNIMPLEMENTED);
}

static void bytes_behind_the_message(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 3, 3);
    for (int n = 1; n < FRAME_HEAD; n++) {
        buf_append_byte(&f->wire, 0xff);
        assert_all_cuts(f, plain, GRPC_INTERNAL);
    }
}

static void lengths(void **state)
{
    struct fixture *f = *state;
    static const uint32_t too_large[] = {LIMIT + 1, LIMIT + 10, 0x7fffffff, 0x80000000, 0xffffffff};
    put(f, 0, LIMIT, LIMIT);
    assert_int_equal(feed(f, plain, 7).status, GRPC_OK);
    for (size_t i = 0; i < sizeof too_large / sizeof too_large[0]; i++) {
        buf_clear(&f->wire);
        put(f, 0, too_large[i], 0);
        frame_release(&f->frame);
        assert_int_equal(frame_push(&f->frame, plain, f->wire.data, FRAME_HEAD).status,
                         GRPC_RESOURCE_EXHAUSTED);
        assert_int_equal(f->frame.body.cap, 0);
    }
}

/* The claim of a length does not make memory. */
static void memory_follows_what_comes(void **state)
{
    struct fixture *f = *state;
    const struct frame_rules large = {.limit = UINT32_MAX, .encoding = FRAME_NO_ENCODING};
    put(f, 0, 0xffffffff, 10);
    assert_int_equal(frame_push(&f->frame, large, f->wire.data, f->wire.len).status, GRPC_OK);
    assert_in_range(f->frame.body.cap, 10, 32768);
}

static void flags(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum frame_encoding encoding;
        uint8_t flag;
        enum grpc_status status;
    } cases[] = {
        {FRAME_NO_ENCODING, 0, GRPC_OK},
        {FRAME_IDENTITY, 0, GRPC_OK},
        {FRAME_GZIP, 0, GRPC_OK},
        {FRAME_FOREIGN, 0, GRPC_OK},
        {FRAME_NO_ENCODING, 1, GRPC_INTERNAL},
        {FRAME_IDENTITY, 1, GRPC_INTERNAL},
        {FRAME_FOREIGN, 1, GRPC_UNIMPLEMENTED},
        {FRAME_GZIP, 1, GRPC_INTERNAL},
        {FRAME_NO_ENCODING, 2, GRPC_INTERNAL},
        {FRAME_GZIP, 3, GRPC_INTERNAL},
        {FRAME_GZIP, 255, GRPC_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&f->wire);
        put(f, cases[i].flag, 5, 5);
        struct frame_rules rules = {.limit = LIMIT, .encoding = cases[i].encoding};
        assert_all_cuts(f, rules, cases[i].status);
    }
}

static void compressed(void **state)
{
    struct fixture *f = *state;
    char text[LIMIT];
    memset(text, 'x', sizeof text);
    put_packed(f, text, sizeof text);
    assert_all_cuts(f, packed, GRPC_OK);
    assert_true(f->frame.compressed);
    assert_int_equal(f->frame.body.len, LIMIT);
    assert_memory_equal(f->frame.body.data, text, LIMIT);
}

static void the_limit_holds_for_what_comes_out(void **state)
{
    struct fixture *f = *state;
    char text[LIMIT + 1] = {0};
    put_packed(f, text, sizeof text);
    assert_all_cuts(f, packed, GRPC_RESOURCE_EXHAUSTED);
}

static void a_bomb_takes_no_memory(void **state)
{
    struct fixture *f = *state;
    size_t size = 900 * 1000;
    char *zeros = mem_zalloc(size, 1);
    struct buf z = BUF_INIT, out = BUF_INIT;
    assert_true(gzip_deflate(&f->gzip, (struct str){.p = zeros, .len = size}, &z));
    assert_int_equal(gzip_inflate(&f->gzip, buf_str(&z), LIMIT, &out), ERR_LIMIT);
    assert_in_range(out.cap, LIMIT, 4 * LIMIT);
    buf_release(&out);
    assert_int_equal(gzip_inflate(&f->gzip, buf_str(&z), size, &out), ERR_OK);
    assert_int_equal(out.len, size);
    buf_release(&out);
    buf_release(&z);
    free(zeros);
}

static void every_damage_is_seen(void **state)
{
    struct fixture *f = *state;
    const char text[] = "some text some text some text some text";
    put_packed(f, text, sizeof text);
    size_t whole = f->wire.len;
    for (size_t n = 0; n < whole - FRAME_HEAD; n++) {
        struct buf out = BUF_INIT;
        struct str cut = {.p = (const char *)f->wire.data + FRAME_HEAD, .len = n};
        assert_int_equal(gzip_inflate(&f->gzip, cut, LIMIT, &out), ERR_INVALID);
        buf_release(&out);
    }
    /* The last eight bytes are the checksum and the length. */
    f->wire.data[whole - 8] ^= 1;
    assert_int_equal(feed(f, packed, 0).status, GRPC_INTERNAL);
    f->wire.data[whole - 8] ^= 1;
    assert_int_equal(feed(f, packed, 0).status, GRPC_OK);
}

static void more_behind_the_compressed_message(void **state)
{
    struct fixture *f = *state;
    const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct buf z = BUF_INIT, out = BUF_INIT;
    assert_true(gzip_deflate(&f->gzip, STR(text), &z));
    buf_append_byte(&z, 0);
    assert_int_equal(gzip_inflate(&f->gzip, buf_str(&z), LIMIT, &out), ERR_INVALID);
    buf_release(&out);
    buf_release(&z);
}

static void not_worth_compressing(void **state)
{
    struct fixture *f = *state;
    struct buf z = BUF_INIT;
    assert_false(gzip_deflate(&f->gzip, STR(""), &z));
    assert_false(gzip_deflate(&f->gzip, STR("x"), &z));
    assert_false(gzip_deflate(&f->gzip, STR("no two letters repeat"), &z));
    assert_int_equal(z.len, 0);
    buf_release(&z);
}

static void a_frame_is_wiped(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 20, 20);
    assert_int_equal(feed(f, plain, 0).status, GRPC_OK);
    const uint8_t *memory = f->frame.body.data;
    frame_reset(&f->frame);
    static const uint8_t zeros[20];
    assert_memory_equal(memory, zeros, sizeof zeros);
}

/* Fills with pieces of the given size; how many messages of 3 bytes came out. */
static size_t fill_in_pieces(struct fixture *f, size_t piece)
{
    size_t messages = 0, at = 0;
    while (at < f->wire.len) {
        size_t n = piece < f->wire.len - at ? piece : f->wire.len - at, used = 0;
        assert_int_equal(frame_fill(&f->frame, plain, f->wire.data + at, n, &used).status, GRPC_OK);
        assert_true(used > 0 && used <= n);
        at += used;
        assert_true(frame_is_begun(&f->frame));
        if (!frame_is_complete(&f->frame))
            continue;
        assert_int_equal(frame_open(&f->frame, plain, &f->gzip).status, GRPC_OK);
        assert_int_equal(f->frame.body.len, messages % 2 ? 0 : 3);
        frame_reset(&f->frame);
        assert_false(frame_is_begun(&f->frame));
        messages++;
    }
    return messages;
}

static void many_messages_come_one_by_one(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        put(f, 0, 3, 3);
        put(f, 0, 0, 0);
    }
    for (size_t piece = 1; piece <= f->wire.len; piece++)
        assert_int_equal(fill_in_pieces(f, piece), 6);
}

static void a_cut_off_message_is_not_complete(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 3, 2);
    size_t used;
    assert_int_equal(frame_fill(&f->frame, plain, f->wire.data, f->wire.len, &used).status,
                     GRPC_OK);
    assert_int_equal(used, f->wire.len);
    assert_true(frame_is_begun(&f->frame) && !frame_is_complete(&f->frame));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_message, setup, teardown),
        cmocka_unit_test_setup_teardown(no_message, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_message, setup, teardown),
        cmocka_unit_test_setup_teardown(two_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_behind_the_message, setup, teardown),
        cmocka_unit_test_setup_teardown(lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_follows_what_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(flags, setup, teardown),
        cmocka_unit_test_setup_teardown(compressed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limit_holds_for_what_comes_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bomb_takes_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(every_damage_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(more_behind_the_compressed_message, setup, teardown),
        cmocka_unit_test_setup_teardown(not_worth_compressing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frame_is_wiped, setup, teardown),
        cmocka_unit_test_setup_teardown(many_messages_come_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_off_message_is_not_complete, setup, teardown),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
