/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rpc/trace_internal.h"

#include <string.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"

static void assert_id(const char *value, const char *want)
{
    struct str got = trace_id_in(str_from(value));
    if (!str_equal(got, str_from(want)))
        fail_msg("%s: %.*s", value, (int)got.len, got.p);
}

static void the_trace_id_is_taken_out(void **state)
{
    (void)state;
    assert_id("00-" ID "-00f067aa0ba902b7-01", ID);
    assert_id("00-" ID "-00f067aa0ba902b7-00", ID);
    assert_id("01-" ID "-00f067aa0ba902b7-01", ID);
    assert_id("cc-" ID "-00f067aa0ba902b7-01-what-the-future-brings", ID);
}

static void what_is_no_traceparent_gives_none(void **state)
{
    (void)state;
    static const char *const none[] = {
        "",
        "00",
        ID,
        "00-" ID "-00f067aa0ba902b7",
        "00-" ID "-00f067aa0ba902b7-0",
        "00-" ID "-00f067aa0ba902b7-0g",
        "00-" ID "-00f067aa0ba902b7-01-more",
        "cc-" ID "-00f067aa0ba902b7-01.more",
        "ff-" ID "-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-" ID "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\n-00f067aa0ba902b7-01",
        "00_" ID "-00f067aa0ba902b7-01",
        "00-" ID "_00f067aa0ba902b7-01",
        "00-" ID "-00f067aa0ba902b7_01",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_id(none[i], "");
}

static void only_what_is_there_is_a_field(void **state)
{
    (void)state;
    struct log_field fields[TRACE_FIELDS_MAX];
    struct trace trace = {.id = ""};
    assert_int_equal(trace_fields(&trace, fields), 0);
    memcpy(trace.id, ID, sizeof ID);
    assert_int_equal(trace_fields(&trace, fields), 1);
    assert_string_equal(fields[0].key, "trace_id");
    static const uint8_t uuid[16] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
                                     0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};
    trace_set_request(&trace, uuid);
    assert_int_equal(trace_fields(&trace, fields), 2);
    assert_string_equal(fields[0].key, "request_id");
    assert_true(str_equal(fields[0].s, STR("12345678-9abc-def0-1234-56789abcdef0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trace_id_is_taken_out),
        cmocka_unit_test(what_is_no_traceparent_gives_none),
        cmocka_unit_test(only_what_is_there_is_a_field),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
