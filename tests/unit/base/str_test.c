/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"

static void equal_is_by_bytes_and_length(void **state)
{
    (void)state;
    assert_true(str_equal(STR("a\0b"), STR("a\0b")));
    assert_false(str_equal(STR("a\0b"), STR("a\0c")));
    assert_false(str_equal(STR("ab"), STR("abc")));
    assert_true(str_equal(STR(""), (struct str){0}));
}

static void equal_bytes_are_all_compared(void **state)
{
    (void)state;
    static const uint8_t a[] = {1, 0, 2}, b[] = {1, 0, 3};
    assert_true(str_equal_bytes(a, b, 2));
    assert_false(str_equal_bytes(a, b, 3));
    assert_true(str_equal_bytes(NULL, NULL, 0));
}

static void prefix(void **state)
{
    (void)state;
    assert_true(str_has_prefix(STR("Bearer x"), STR("Bearer ")));
    assert_true(str_has_prefix(STR("x"), STR("")));
    assert_false(str_has_prefix(STR("Bear"), STR("Bearer ")));
}

static void utf8_takes_what_rfc_3629_takes(void **state)
{
    (void)state;
    static const struct str good[] = {{"", 0},
                                      {"abc", 3},
                                      {"\0", 1},
                                      {"\xc2\x80", 2},
                                      {"\xdf\xbf", 2},
                                      {"\xe0\xa0\x80", 3},
                                      {"\xed\x9f\xbf", 3},
                                      {"\xef\xbf\xbf", 3},
                                      {"\xf0\x90\x80\x80", 4},
                                      {"\xf4\x8f\xbf\xbf", 4}};
    static const struct str bad[] = {{"\x80", 1},
                                     {"\xc0\x80", 2},         /* overlong NUL */
                                     {"\xc1\xbf", 2},         /* overlong DEL */
                                     {"\xc2", 1},             /* cut short */
                                     {"\xc2\x41", 2},         /* no continuation */
                                     {"\xe0\x9f\xbf", 3},     /* overlong */
                                     {"\xed\xa0\x80", 3},     /* a surrogate */
                                     {"\xf0\x8f\xbf\xbf", 4}, /* overlong */
                                     {"\xf4\x90\x80\x80", 4}, /* past U+10FFFF */
                                     {"\xf5\x80\x80\x80", 4},
                                     {"\xe2\x82", 2},
                                     {"\xff\xfe", 2}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(str_is_utf8(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(str_is_utf8(bad[i]));
        assert_false(str_is_plain(bad[i]));
    }
}

static void plain_refuses_control_characters(void **state)
{
    (void)state;
    assert_true(str_is_plain(STR("J\xc3\xbcrgen \xe2\x98\xba")));
    static const struct str bad[] = {{"\0", 1},       {"\n", 1},           {"a\x1b[0m", 5},
                                     {"\x7f", 1},     {"\xc2\x85", 2},     {"\xc2\x80", 2},
                                     {"\xc2\x9f", 2}, {"\xe2\x80\xa8", 3}, {"\xe2\x80\xa9", 3}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(str_is_plain(bad[i]));
}

static void hex_round_trip(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x7f, 0xa5, 0xff};
    char text[9];
    uint8_t back[4];
    str_hex_encode(text, bytes, 4);
    assert_string_equal(text, "007fa5ff");
    assert_true(str_hex_decode(back, 4, STR("007FA5ff")));
    assert_memory_equal(back, bytes, 4);
    assert_false(str_hex_decode(back, 4, STR("007fa5f")));
    assert_false(str_hex_decode(back, 4, STR("007fa5ff0")));
    assert_false(str_hex_decode(back, 4, STR("007fa5fg")));
}

static void numbers_are_strict(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_true(str_to_u64(STR("0"), 10, &n) && n == 0);
    assert_true(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &n) && n == UINT64_MAX);
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "1x",
                                      "0x1",
                                      "1.0",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(str_to_u64(str_from(bad[i]), UINT64_MAX, &n));
    assert_false(str_to_u64(STR("11"), 10, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_is_by_bytes_and_length),
        cmocka_unit_test(equal_bytes_are_all_compared),
        cmocka_unit_test(prefix),
        cmocka_unit_test(utf8_takes_what_rfc_3629_takes),
        cmocka_unit_test(plain_refuses_control_characters),
        cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(numbers_are_strict),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
