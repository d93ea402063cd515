/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rpc/quota_internal.h"

#include <stdio.h>

static const struct rpc_limits limits = {.caller_rate = 10,
                                         .caller_burst = 5,
                                         .tenant_rate = 100,
                                         .tenant_burst = 50,
                                         .caller_queue = 2};

static int taken(struct quota *q, enum quota_kind kind, const char *name, int64_t now_ms)
{
    int n = 0;
    while (n < 1000 && quota_take(q, kind, str_from(name), now_ms) == 0)
        n++;
    return n;
}

static void a_burst_and_then_the_rate(void **state)
{
    (void)state;
    struct quota *q = quota_new(&limits);
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 0), 5);
    assert_int_equal(quota_take(q, QUOTA_CALLER, STR("a"), 0), 100);
    assert_int_equal(quota_take(q, QUOTA_CALLER, STR("a"), 40), 60);
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 100), 1);
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 400), 3);
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 1000000), 5); /* no more, however long it waits */
    quota_free(q);
}

static void each_name_has_its_own(void **state)
{
    (void)state;
    struct quota *q = quota_new(&limits);
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 0), 5);
    assert_int_equal(taken(q, QUOTA_CALLER, "b", 0), 5);
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 0), 0);
    assert_int_equal(taken(q, QUOTA_TENANT, "a", 0), 50);
    quota_free(q);
}

/* Names without end push out nobody who has used up what is his. */
static void the_one_that_asks_much_is_remembered(void **state)
{
    (void)state;
    struct quota *q = quota_new(&limits);
    assert_int_equal(taken(q, QUOTA_TENANT, "noisy", 0), 50);
    for (int i = 0; i < 20000; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(quota_take(q, QUOTA_TENANT, str_from(name), 0), 0);
    }
    assert_int_equal(taken(q, QUOTA_TENANT, "noisy", 0), 0);
    quota_free(q);
}

static void limits_change(void **state)
{
    (void)state;
    struct quota *q = quota_new(&(struct rpc_limits){0});
    uint32_t place;
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 0), 1000);
    for (int i = 0; i < 100; i++)
        assert_true(quota_enter(q, STR("a"), &place));
    quota_set_limits(q, &limits);
    assert_int_equal(taken(q, QUOTA_CALLER, "a", 0), 5);
    assert_false(quota_enter(q, STR("a"), &place));
    quota_free(q);
}

static void the_queue_is_shared(void **state)
{
    (void)state;
    struct quota *q = quota_new(&limits);
    uint32_t place, other;
    assert_true(quota_enter(q, STR("a"), &place));
    assert_true(quota_enter(q, STR("a"), &place));
    assert_false(quota_enter(q, STR("a"), &other));
    assert_true(quota_enter(q, STR("b"), &other));
    quota_leave(q, place);
    assert_true(quota_enter(q, STR("a"), &place));
    assert_false(quota_enter(q, STR("a"), &place));
    quota_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_and_then_the_rate),
        cmocka_unit_test(each_name_has_its_own),
        cmocka_unit_test(the_one_that_asks_much_is_remembered),
        cmocka_unit_test(limits_change),
        cmocka_unit_test(the_queue_is_shared),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
