/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grpc/codec_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 1024

static struct str str_n(const char *p, size_t n)
{
    return (struct str){.p = p, .len = n};
}

static void assert_str(const char *p, size_t n, const char *expected)
{
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(p, expected, n);
}

/* ---- percent-encoding ---- */

static void percent_encodes_every_byte(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char text[] = {'a', (char)byte, 'z'};
        char out[CODEC_PERCENT_MAX(sizeof text)];
        char expected[8];
        bool plain = byte >= 0x20 && byte <= 0x7e && byte != '%';
        if (plain)
            snprintf(expected, sizeof expected, "a%cz", byte);
        else
            snprintf(expected, sizeof expected, "a%%%02Xz", (unsigned)byte);
        assert_str(out, codec_percent_encode(out, str_n(text, sizeof text)), expected);
    }
}

static void percent_encodes_spaces_at_the_ends(void **state)
{
    (void)state;
    char out[ROOM];
    assert_str(out, codec_percent_encode(out, STR(" a b ")), "%20a b%20");
    assert_str(out, codec_percent_encode(out, STR(" ")), "%20");
    assert_str(out, codec_percent_encode(out, STR("")), "");
}

static void percent_round_trip(void **state)
{
    (void)state;
    char bytes[256], coded[CODEC_PERCENT_MAX(sizeof bytes)], back[sizeof coded];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    size_t n = codec_percent_encode(coded, str_n(bytes, sizeof bytes));
    assert_int_equal(codec_percent_decode(back, str_n(coded, n)), sizeof bytes);
    assert_memory_equal(back, bytes, sizeof bytes);
}

static void percent_decodes_what_is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *meant;
    } cases[] = {
        {"", ""},       {"%", "%"},       {"%4", "%4"},
        {"%zz", "%zz"}, {"%%41", "%A"},   {"a%41", "aA"},
        {"%4g", "%4g"}, {"100%", "100%"}, {"%e2%98%BA", "\xe2\x98\xba"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[ROOM];
        assert_str(out, codec_percent_decode(out, str_from(cases[i].text)), cases[i].meant);
    }
}

/* ---- base64 ---- */

static void base64_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *bare, *padded;
    } cases[] = {
        /* RFC 4648 section 10 */
        {"", "", ""},
        {"f", "Zg", "Zg=="},
        {"fo", "Zm8", "Zm8="},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg", "Zm9vYg=="},
        {"fooba", "Zm9vYmE", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "+/+/"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[ROOM];
        size_t n;
        assert_str(out, codec_base64_encode(out, str_from(cases[i].bytes)), cases[i].bare);
        assert_true(codec_base64_decode(out, &n, str_from(cases[i].bare)));
        assert_str(out, n, cases[i].bytes);
        assert_true(codec_base64_decode(out, &n, str_from(cases[i].padded)));
        assert_str(out, n, cases[i].bytes);
    }
}

/* Exactly the room that is promised, so that a sanitizer sees one byte more. */
static void base64_round_trip_in_the_promised_room(void **state)
{
    (void)state;
    for (size_t len = 0; len < 70; len++) {
        char *bytes = malloc(len + 1), *coded = malloc(CODEC_BASE64_MAX(len) + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(i * 37 + len);
        size_t n = codec_base64_encode(coded, str_n(bytes, len)), back_len;
        assert_in_range(n, 0, CODEC_BASE64_MAX(len));
        char *back = malloc(CODEC_BASE64_DECODED_MAX(n));
        assert_true(codec_base64_decode(back, &back_len, str_n(coded, n)));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        free(back);
        free(coded);
        free(bytes);
    }
}

static void base64_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",    "A=",   "A==", "A===", "AA=",   "AAA==", "AA===", "====", "=",
        "AA A", "AA\n", "-_-", "AA=A", "AAAAA", "A=AA",  "AAAA=", "AA,A", "\xff\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char out[ROOM];
        size_t n;
        assert_false(codec_base64_decode(out, &n, str_from(bad[i])));
    }
}

/* ---- grpc-timeout ---- */

static void timeouts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1H", 3600000},     {"2M", 120000},     {"3S", 3000},
        {"4m", 4},           {"5u", 1},          {"6n", 1},
        {"1000u", 1},        {"1001u", 2},       {"1000000n", 1},
        {"1000001n", 2},     {"0S", 0},          {"0n", 0},
        {"00000001S", 1000}, {"99999999n", 100}, {"99999999H", INT64_C(359999996400000)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        assert_true(codec_timeout_parse(str_from(cases[i].text), &ms));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void timeouts_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "S",   "1",   "1s",    "1h",   "-1S",
                                      "+1S",        "1 S", " 1",  "1S ",   "1.0S", "0x1S",
                                      "123456789S", "SS",  "1SS", "1\xffS"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms = -1;
        assert_false(codec_timeout_parse(str_from(bad[i]), &ms));
        assert_int_equal(ms, -1);
    }
}

static void timeouts_are_formatted(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "0m"},
        {1, "1m"},
        {99999999, "99999999m"},
        {100000000, "100000S"},
        {INT64_C(99999999999), "99999999S"},
        {INT64_C(100000000000), "1666666M"},
        {INT64_MAX, "99999999H"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[CODEC_TIMEOUT_MAX];
        assert_str(out, codec_timeout_format(out, cases[i].ms), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent_encodes_every_byte),
        cmocka_unit_test(percent_encodes_spaces_at_the_ends),
        cmocka_unit_test(percent_round_trip),
        cmocka_unit_test(percent_decodes_what_is_malformed),
        cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_round_trip_in_the_promised_room),
        cmocka_unit_test(base64_refuses),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(timeouts_that_are_none),
        cmocka_unit_test(timeouts_are_formatted),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
