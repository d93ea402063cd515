/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/hot_map_internal.h"

#include <stdlib.h>
#include <string.h>

#define USERS 20000

static struct hot_map map;

static int setup(void **state)
{
    (void)state;
    hot_map_init(&map);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hot_map_release(&map);
    return 0;
}

static void put(uint32_t user, int64_t step)
{
    hot_map_put(&map, &(struct hot){.user = user, .last_step = step});
}

static void test_finds_what_was_put(void **state)
{
    (void)state;
    assert_null(hot_map_get(&map, 1));
    put(1, 10);
    put(UINT32_MAX, 20);
    put(1, 11);
    assert_int_equal(map.count, 2);
    assert_int_equal(hot_map_get(&map, 1)->last_step, 11);
    assert_int_equal(hot_map_get(&map, UINT32_MAX)->last_step, 20);
    assert_null(hot_map_get(&map, 2));
    hot_map_clear(&map);
    assert_int_equal(map.count, 0);
    assert_null(hot_map_get(&map, 1));
}

static void test_removing_what_is_not_there(void **state)
{
    (void)state;
    put(1, 10);
    hot_map_remove(&map, 2);
    assert_int_equal(map.count, 1);
    hot_map_remove(&map, 1);
    hot_map_remove(&map, 1);
    assert_int_equal(map.count, 0);
}

/* Against a plain array, while it grows and while holes are filled. */
static void test_many_users_come_and_go(void **state)
{
    (void)state;
    int64_t *want = calloc(USERS + 1, sizeof *want);
    uint32_t random = 1;
    size_t count = 0;
    for (int64_t i = 1; i <= 400000; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t user = 1 + (random >> 8) % USERS;
        /* First more come, then more go. */
        if (random >> 29 < (i < 200000 ? 5u : 3u)) {
            count += want[user] == 0;
            want[user] = i;
            put(user, i);
        } else {
            count -= want[user] != 0;
            want[user] = 0;
            hot_map_remove(&map, user);
        }
        assert_int_equal(map.count, count);
        const struct hot *got = hot_map_get(&map, user);
        assert_int_equal(got != NULL ? got->last_step : 0, want[user]);
    }
    for (uint32_t user = 1; user <= USERS; user++) {
        const struct hot *got = hot_map_get(&map, user);
        assert_int_equal(got != NULL ? got->last_step : 0, want[user]);
    }
    free(want);
}

/* Two users whose slots are the last and the first, so that their run goes round. */
static void test_runs_go_round_the_end(void **state)
{
    (void)state;
    uint32_t last[3], n = 0;
    for (uint32_t user = 1; n < 3; user++)
        if ((user * UINT64_C(0x9e3779b97f4a7c15)) >> 54 == 1023)
            last[n++] = user;
    for (uint32_t gone = 0; gone < 3; gone++) {
        for (uint32_t i = 0; i < 3; i++)
            put(last[i], i);
        hot_map_remove(&map, last[gone]);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(hot_map_get(&map, last[i]) != NULL, i != gone);
    }
}

static void test_marks_everybody(void **state)
{
    (void)state;
    const uint32_t users[] = {1, 63, 64, 65, 1000, 4096};
    uint64_t set[4096 / 64 + 1] = {0};
    size_t bits = 0;
    put(4096, 0);
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++)
        put(users[i], 0);
    put(500, 0);
    hot_map_remove(&map, 500);
    assert_int_equal(map.max, 4096);
    hot_map_mark(&map, set);
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++)
        assert_true(set[users[i] / 64] >> users[i] % 64 & 1);
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        bits += (size_t)__builtin_popcountll(set[i]);
    assert_int_equal(bits, map.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finds_what_was_put, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removing_what_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_users_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_runs_go_round_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks_everybody, setup, teardown),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
