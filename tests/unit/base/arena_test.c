/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"

#include <stdalign.h>
#include <string.h>

static void pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena *a = arena_new(1 << 20);
    uint8_t *before = NULL;
    for (size_t n = 1; n < 600; n++) {
        uint8_t *p = arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        memset(p, (int)n, n);
        assert_true(before == NULL || before[0] == (uint8_t)(n - 1));
        before = p;
    }
    arena_free(a);
}

static void the_cap_holds(void **state)
{
    (void)state;
    struct arena *a = arena_new(10000);
    size_t got = 0;
    while (arena_alloc(a, 1) != NULL)
        got++;
    assert_in_range(got, 1, 10000 / alignof(max_align_t));
    assert_null(arena_alloc(a, 10001));
    assert_null(arena_alloc(a, SIZE_MAX));
    arena_free(a);
    arena_free(NULL);
}

static void a_piece_may_be_larger_than_a_chunk(void **state)
{
    (void)state;
    struct arena *a = arena_new(1 << 20);
    assert_non_null(arena_alloc(a, 10));
    memset(arena_alloc(a, 100000), 1, 100000);
    assert_non_null(arena_alloc(a, 10));
    arena_free(a);
}

static void buffers_grow_and_give_from_the_front(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%03d", i);
    assert_int_equal(b.len, 3000);
    buf_consume(&b, 2997);
    assert_true(str_equal(buf_str(&b), STR("999")));
    buf_clear(&b);
    assert_int_equal(buf_str(&b).len, 0);
    buf_release(&b);
    assert_int_equal(buf_str(&b).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(a_piece_may_be_larger_than_a_chunk),
        cmocka_unit_test(buffers_grow_and_give_from_the_front),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
