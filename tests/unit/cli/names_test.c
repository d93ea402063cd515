/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/names_internal.h"
#include "grpc/health/v1/health.pb-c.h"
#include "twostep/v1/twostep.pb-c.h"

#define OUTCOME (&twostep__v1__verify_outcome__descriptor)
#define FORMAT  (&twostep__v1__qr_format__descriptor)
#define HEALTH  (&grpc__health__v1__health_check_response__serving_status__descriptor)

static void the_shared_prefix_is_left_out(void **state)
{
    (void)state;
    assert_string_equal(names_short(OUTCOME, 1), "ACCEPTED");
    assert_string_equal(names_short(OUTCOME, 0), "UNSPECIFIED");
    assert_string_equal(names_short(OUTCOME, 99), "UNKNOWN");
    assert_string_equal(names_short(OUTCOME, -1), "UNKNOWN");
    assert_string_equal(names_short(HEALTH, 2), "NOT_SERVING");
}

static void a_short_name_finds_its_value(void **state)
{
    (void)state;
    int value = -1;
    assert_true(names_parse(FORMAT, "svg", &value));
    assert_int_equal(value, TWOSTEP__V1__QR_FORMAT__QR_FORMAT_SVG);
    assert_true(names_parse(FORMAT, "NONE", &value));
    assert_int_equal(value, TWOSTEP__V1__QR_FORMAT__QR_FORMAT_NONE);
}

static void other_words_find_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "sv", "svgg", "unspecified", "QR_FORMAT_SVG", "2"};
    int value = 42;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(names_parse(FORMAT, wrong[i], &value));
    assert_int_equal(value, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shared_prefix_is_left_out),
        cmocka_unit_test(a_short_name_finds_its_value),
        cmocka_unit_test(other_words_find_nothing),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
