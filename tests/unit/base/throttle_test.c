/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/throttle.h"

#include <stdio.h>
#include <string.h>

static void a_kind_has_so_many_a_second(void **state)
{
    (void)state;
    struct throttle t = {.per_second = 3};
    for (int64_t second = 5; second < 8; second++) {
        for (int i = 0; i < 3; i++)
            assert_true(throttle_take(&t, "a", second * 1000 + i));
        assert_false(throttle_take(&t, "a", second * 1000 + 999));
    }
    assert_true(throttle_take(&t, "a", 8000));
}

static void kinds_do_not_share(void **state)
{
    (void)state;
    struct throttle t = {.per_second = 1};
    assert_true(throttle_take(&t, "a", 1000));
    assert_true(throttle_take(&t, "b", 1000));
    char same_bytes[] = "a";
    assert_false(throttle_take(&t, same_bytes, 1000));
    assert_false(throttle_take(&t, "b", 1000));
}

static void what_was_left_out_is_told_once_when_the_second_is_over(void **state)
{
    (void)state;
    struct throttle t = {.per_second = 1};
    const char *kind = NULL;
    uint64_t n = 0;
    assert_false(throttle_settle(&t, 9000, &kind, &n));
    for (int i = 0; i < 5; i++)
        (void)throttle_take(&t, "a", 1000);
    for (int i = 0; i < 2; i++)
        (void)throttle_take(&t, "b", 1000);
    (void)throttle_take(&t, "c", 1000);
    assert_false(throttle_settle(&t, 1999, &kind, &n));
    assert_true(throttle_settle(&t, 2000, &kind, &n));
    assert_string_equal(kind, "a");
    assert_int_equal(n, 4);
    assert_true(throttle_settle(&t, 2000, &kind, &n));
    assert_string_equal(kind, "b");
    assert_int_equal(n, 1);
    assert_false(throttle_settle(&t, 2000, &kind, &n));
}

static void a_flood_that_goes_on_is_told_of_each_second(void **state)
{
    (void)state;
    struct throttle t = {.per_second = 1};
    const char *kind;
    uint64_t n;
    for (int i = 0; i < 3; i++)
        (void)throttle_take(&t, "a", 1000);
    for (int i = 0; i < 4; i++)
        (void)throttle_take(&t, "a", 2000);
    assert_true(throttle_settle(&t, 2500, &kind, &n));
    assert_int_equal(n, 2);
    assert_false(throttle_settle(&t, 2500, &kind, &n));
    assert_true(throttle_settle(&t, 3000, &kind, &n));
    assert_int_equal(n, 3);
    assert_true(throttle_take(&t, "a", 3000));
}

static void a_kind_beyond_the_table_is_not_held_back(void **state)
{
    (void)state;
    static char names[THROTTLE_KINDS + 1][16];
    struct throttle t = {.per_second = 1};
    for (int i = 0; i <= THROTTLE_KINDS; i++) {
        snprintf(names[i], sizeof names[i], "kind%d", i);
        assert_true(throttle_take(&t, names[i], 1000));
    }
    assert_true(throttle_take(&t, names[THROTTLE_KINDS], 1000));
    assert_false(throttle_take(&t, names[THROTTLE_KINDS - 1], 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kind_has_so_many_a_second),
        cmocka_unit_test(kinds_do_not_share),
        cmocka_unit_test(what_was_left_out_is_told_once_when_the_second_is_over),
        cmocka_unit_test(a_flood_that_goes_on_is_told_of_each_second),
        cmocka_unit_test(a_kind_beyond_the_table_is_not_held_back),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
