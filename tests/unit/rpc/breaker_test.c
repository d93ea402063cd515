/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "rpc/breaker_internal.h"
#include "rpc/executor.h"

#include <stdio.h>
#include <unistd.h>

static void fail_times(struct breaker *b, int times)
{
    struct err_text why = {.text = "as the test wants it"};
    for (int i = 0; i < times; i++)
        breaker_failed(b, ERR_UNAVAILABLE, &why);
}

static void work(struct breaker *b, bool proves)
{
    breaker_worked(b, breaker_mark(b), proves);
}

static struct executor_counts counts(struct breaker *b)
{
    struct executor_counts c;
    breaker_counts(b, &c);
    return c;
}

static void it_opens_after_so_many_failures_in_a_row(void **state)
{
    (void)state;
    struct breaker *b = breaker_new(3, false);
    fail_times(b, 2);
    assert_false(breaker_is_open(b));
    work(b, false);
    fail_times(b, 2);
    assert_false(breaker_is_open(b));
    fail_times(b, 1);
    assert_true(breaker_is_open(b));
    fail_times(b, 10);
    assert_int_equal(counts(b).failures, 15);
    assert_int_equal(counts(b).breaks, 1);
    breaker_free(b);
}

static void only_what_proves_that_writes_work_closes_it(void **state)
{
    (void)state;
    struct breaker *b = breaker_new(1, false);
    fail_times(b, 1);
    work(b, false);
    assert_true(breaker_is_open(b));
    work(b, true);
    assert_false(breaker_is_open(b));
    fail_times(b, 1);
    assert_true(breaker_is_open(b));
    assert_int_equal(counts(b).breaks, 2);
    breaker_free(b);
}

static void what_began_before_a_failure_proves_nothing(void **state)
{
    (void)state;
    struct breaker *b = breaker_new(2, false);
    uint64_t early = breaker_mark(b);
    fail_times(b, 1);
    breaker_worked(b, early, true); /* does not break the row either */
    fail_times(b, 1);
    assert_true(breaker_is_open(b));
    breaker_worked(b, early, true);
    assert_true(breaker_is_open(b));
    uint64_t between = breaker_mark(b);
    fail_times(b, 1);
    breaker_worked(b, between, true);
    assert_true(breaker_is_open(b));
    work(b, true);
    assert_false(breaker_is_open(b));
    breaker_free(b);
}

static void it_may_begin_open(void **state)
{
    (void)state;
    struct breaker *b = breaker_new(5, true);
    assert_true(breaker_is_open(b));
    work(b, true);
    assert_false(breaker_is_open(b));
    fail_times(b, 4);
    assert_false(breaker_is_open(b));
    breaker_refused(b);
    assert_int_equal(counts(b).refused, 1);
    assert_int_equal(counts(b).breaks, 0);
    breaker_free(b);
}

/* How many lines an action logs. */
static int lines(struct breaker *b, void (*act)(struct breaker *b))
{
    int at[2], before = dup(STDERR_FILENO), n = 0;
    char text[4096];
    assert_int_equal(pipe(at), 0);
    dup2(at[1], STDERR_FILENO);
    act(b);
    dup2(before, STDERR_FILENO);
    close(before);
    close(at[1]);
    ssize_t got = read(at[0], text, sizeof text);
    close(at[0]);
    for (ssize_t i = 0; i < got; i++)
        n += text[i] == '\n';
    return n;
}

static void fail_often(struct breaker *b)
{
    fail_times(b, 10);
}

static void deny_often(struct breaker *b)
{
    struct err_text why = {.text = "the keyring does not fit"};
    for (int i = 0; i < 3; i++) {
        breaker_failed(b, ERR_DENIED, &why);
        fail_times(b, 1);
    }
}

static void recover(struct breaker *b)
{
    work(b, false);
    work(b, true);
    work(b, true);
}

static void it_is_logged_once(void **state)
{
    (void)state;
    struct breaker *b = breaker_new(5, false);
    assert_int_equal(lines(b, fail_often), 1);
    assert_int_equal(lines(b, fail_often), 0);
    assert_int_equal(lines(b, deny_often), 1); /* another trouble than being down */
    assert_int_equal(lines(b, recover), 1);
    breaker_free(b);
}

static void count(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void whoever_wants_to_know_is_told_of_each_change_once(void **state)
{
    (void)state;
    unsigned told = 0;
    struct breaker *b = breaker_new(2, false);
    breaker_on_change(b, count, &told);
    work(b, true);
    fail_times(b, 1);
    assert_int_equal(told, 0);
    fail_times(b, 3);
    assert_int_equal(told, 1);
    work(b, false);
    assert_int_equal(told, 1);
    work(b, true);
    work(b, true);
    assert_int_equal(told, 2);
    breaker_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_opens_after_so_many_failures_in_a_row),
        cmocka_unit_test(only_what_proves_that_writes_work_closes_it),
        cmocka_unit_test(what_began_before_a_failure_proves_nothing),
        cmocka_unit_test(it_may_begin_open),
        cmocka_unit_test(it_is_logged_once),
        cmocka_unit_test(whoever_wants_to_know_is_told_of_each_change_once),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
