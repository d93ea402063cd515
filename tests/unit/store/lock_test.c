/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/lock_internal.h"

#define LAST INT64_C(1750000000000)

static const struct lockout_rule rule = {.n_waits = 4, .wait_ms = {0, 0, 1000, 5000}, .limit = 10};

static void assert_lock(struct lock_state got, bool locked, bool for_good, int64_t retry_after_ms)
{
    assert_int_equal(got.locked, locked);
    assert_int_equal(got.for_good, for_good);
    assert_int_equal(got.retry_after_ms, retry_after_ms);
}

static void test_waits_by_failures(void **state)
{
    (void)state;
    assert_lock(lock_look(&rule, 0, LAST, LAST), false, false, 0);
    assert_lock(lock_look(&rule, 1, LAST, LAST), false, false, 0);
    assert_lock(lock_look(&rule, 2, LAST, LAST), true, false, 1000);
    assert_lock(lock_look(&rule, 3, LAST, LAST), true, false, 5000);
    assert_lock(lock_look(&rule, 9, LAST, LAST), true, false, 5000); /* the last one lasts */
    assert_lock(lock_look(&rule, 10, LAST, LAST), true, true, 0);
    assert_lock(lock_look(&rule, UINT32_MAX, LAST, LAST), true, true, 0);
}

static void test_ends_to_the_millisecond(void **state)
{
    (void)state;
    assert_lock(lock_look(&rule, 2, LAST, LAST + 999), true, false, 1);
    assert_lock(lock_look(&rule, 2, LAST, LAST + 1000), false, false, 0);
    assert_lock(lock_look(&rule, 10, LAST, LAST + 1000000000), true, true, 0);
}

static void test_clock_that_stepped_back_never_waits_longer(void **state)
{
    (void)state;
    assert_lock(lock_look(&rule, 2, LAST, LAST - 1), true, false, 1000);
    assert_lock(lock_look(&rule, 2, LAST, LAST - 3600000), true, false, 1000);
    assert_lock(lock_look(&rule, 1, LAST, LAST - 3600000), false, false, 0);
}

/* No failure is no failure, whatever the rule's first entry says; no rule is no wait. */
static void test_odd_rules(void **state)
{
    (void)state;
    const struct lockout_rule always = {.n_waits = 1, .wait_ms = {7}, .limit = 5};
    const struct lockout_rule none = {.limit = 5};
    assert_lock(lock_look(&always, 0, LAST, LAST), false, false, 0);
    assert_lock(lock_look(&always, 1, LAST, LAST), true, false, 7);
    assert_lock(lock_look(&none, 4, LAST, LAST), false, false, 0);
    assert_lock(lock_look(&none, 5, LAST, LAST), true, true, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_by_failures),
        cmocka_unit_test(test_ends_to_the_millisecond),
        cmocka_unit_test(test_clock_that_stepped_back_never_waits_longer),
        cmocka_unit_test(test_odd_rules),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
