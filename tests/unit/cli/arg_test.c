/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/arg_internal.h"

#include <string.h>
#include <unistd.h>

#define NOW_MS INT64_C(1772355600000) /* 2026-03-01T09:00:00Z */

static void bools_have_six_words(void **state)
{
    (void)state;
    bool on = false;
    assert_true(arg_bool("yes", &on) && on);
    assert_true(arg_bool("Off", &on) && !on);
    assert_true(arg_bool("TRUE", &on) && on);
    assert_true(arg_bool("no", &on) && !on);
    static const char *const wrong[] = {"", "1", "y", "yes ", "nope", "enabled"};
    on = true;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(arg_bool(wrong[i], &on));
    assert_true(on);
}

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0", 0},        {"90", 90000},   {"90s", 90000},    {"1500ms", 1500},
        {"10m", 600000}, {"2h", 7200000}, {"7d", 604800000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        assert_true(arg_duration(cases[i].text, &ms));
        assert_int_equal(ms, cases[i].ms);
    }
    static const char *const wrong[] = {"",
                                        "s",
                                        "-1s",
                                        "+1s",
                                        "1.5s",
                                        "1 s",
                                        "1w",
                                        "10S",
                                        "1s2m",
                                        "0x10",
                                        "010s",
                                        "99999999999999999999s",
                                        "31622400000d"};
    int64_t ms = 42;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(arg_duration(wrong[i], &ms));
    assert_int_equal(ms, 42);
}

static void times_are_absolute_or_from_now_on(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"+30s", NOW_MS + 30000},
        {"-1m", NOW_MS - 60000},
        {"@59", 59000},
        {"2026-03-01T09:00:00Z", NOW_MS},
        {"2026-03-01t09:00:00z", NOW_MS},
        {"2026-03-01 09:00:00Z", NOW_MS},
        {"2026-03-01T10:30:00+01:30", NOW_MS},
        {"2026-02-28T23:00:00-10:00", NOW_MS},
        {"2026-03-01T09:00:00.25Z", NOW_MS + 250},
        {"2026-03-01T09:00:00.1239Z", NOW_MS + 123},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {"1969-12-31T23:59:59Z", -1000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        assert_true(arg_time(cases[i].text, NOW_MS, &ms));
        assert_int_equal(ms, cases[i].ms);
    }
    static const char *const wrong[] = {
        "",
        "now",
        "+",
        "@",
        "@-1",
        "@x",
        "12",
        "2026-03-01",
        "2026-03-01T09:00Z",
        "2026-03-01T09:00:00",
        "2026-03-01T09:00:00.Z",
        "2026-03-01T09:00:00Zx",
        "2026-03-01T09:00:00+1:00",
        "2026-03-01T09:00:00+24:00",
        "2026-03-01T09:00:00+01:00x",
        "2026-13-01T09:00:00Z",
        "2026-00-01T09:00:00Z",
        "2026-02-29T09:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T09:60:00Z",
        "2026-03-01T09:00:60Z",
        "26-03-01T09:00:00Z",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int64_t ms = 42;
        assert_false(arg_time(wrong[i], NOW_MS, &ms));
        assert_int_equal(ms, 42);
    }
}

/* Standard input is text from a pipe for one call. */
static enum err read_from(const char *text, char *out, size_t cap)
{
    int ends[2];
    int saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    enum err e = arg_from_stdin(out, cap);
    dup2(saved, STDIN_FILENO);
    close(saved);
    return e;
}

static void a_word_comes_from_standard_input(void **state)
{
    (void)state;
    char out[8];
    assert_int_equal(read_from("123456\n", out, sizeof out), ERR_OK);
    assert_string_equal(out, "123456");
    assert_int_equal(read_from("  123 56 \t\r\nmore\n", out, sizeof out), ERR_LIMIT);
    assert_int_equal(read_from(" 12 34 \r\nmore\n", out, sizeof out), ERR_OK);
    assert_string_equal(out, "12 34");
    assert_int_equal(read_from("1234567", out, sizeof out), ERR_OK);
    assert_string_equal(out, "1234567");
    assert_int_equal(read_from("12345678", out, sizeof out), ERR_LIMIT);
    assert_int_equal(read_from("", out, sizeof out), ERR_NOT_FOUND);
    assert_int_equal(read_from(" \nx\n", out, sizeof out), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bools_have_six_words),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(times_are_absolute_or_from_now_on),
        cmocka_unit_test(a_word_comes_from_standard_input),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
