/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/base32.h"
#include "crypto/random.h"

#include <ctype.h>
#include <string.h>

#define BYTES_MAX 128

struct pair {
    const char *plain, *text;
};

/* RFC 4648 section 10, without the padding that we do not write. */
static const struct pair rfc4648[] = {
    {"", ""},
    {"f", "MY"},
    {"fo", "MZXQ"},
    {"foo", "MZXW6"},
    {"foob", "MZXW6YQ"},
    {"fooba", "MZXW6YTB"},
    {"foobar", "MZXW6YTBOI"},
};

static void assert_decodes(const char *text, const char *want)
{
    uint8_t got[BYTES_MAX];
    size_t len = 0;
    assert_int_equal(base32_decode(got, sizeof got, &len, str_from(text)), ERR_OK);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(got, want, len);
}

static void assert_refused(struct str text)
{
    uint8_t got[BYTES_MAX];
    size_t len = 4711;
    assert_int_equal(base32_decode(got, sizeof got, &len, text), ERR_INVALID);
    assert_int_equal(len, 4711);
}

static void test_rfc4648(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rfc4648 / sizeof *rfc4648; i++) {
        char text[32];
        size_t n = strlen(rfc4648[i].plain);
        base32_encode(text, (const uint8_t *)rfc4648[i].plain, n);
        assert_string_equal(text, rfc4648[i].text);
        assert_int_equal(strlen(text), BASE32_LEN(n));
        assert_decodes(rfc4648[i].text, rfc4648[i].plain);
    }
}

static void test_as_people_paste_it(void **state)
{
    (void)state;
    assert_decodes("MZXW6YTBOI======", "foobar");
    assert_decodes("mzxw6ytboi", "foobar");
    assert_decodes("MZXW-6ytb  OI", "foobar");
    assert_decodes(" MZXW6YTBOI= = = = = = ", "foobar");
    assert_decodes("=", "");
}

/* All 256 characters as the first of four: 58 are symbols (or skipped, which makes
 * an impossible length). */
static void test_every_character(void **state)
{
    (void)state;
    size_t accepted = 0;
    for (int c = 0; c < 256; c++) {
        const char text[4] = {(char)c, 'A', 'A', 'A'};
        struct str s = {.p = text, .len = sizeof text};
        uint8_t got[BYTES_MAX];
        size_t len = 0;
        bool symbol = (c < 128 && isalpha(c)) || (c >= '2' && c <= '7');
        assert_int_equal(base32_decode(got, sizeof got, &len, s), symbol ? ERR_OK : ERR_INVALID);
        accepted += symbol;
    }
    assert_int_equal(accepted, 58);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "A",        "AAA",     "AAAAAA",  "AAAAAAAAA", /* no number of bytes has these lengths */
        "MZ",       "MZXR",    "MZXW7",   "MZXW6YR",   /* bits are left over */
        "MZ=XW6==", "=MZXW6",  "MZXW61",  "MZXW60",        "MZXW68",
        "MZXW69",   "MZXW6\t", "MZXW6\n", "MZXW6\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(str_from(texts[i]));
    assert_refused(STR("MZXW6\0"));
    assert_refused(STR("MZ\0W6"));
}

static void test_cap(void **state)
{
    (void)state;
    uint8_t got[BYTES_MAX];
    size_t len = 4711;
    assert_int_equal(base32_decode(got, 6, &len, STR("MZXW6YTBOI")), ERR_OK);
    assert_int_equal(base32_decode(got, 5, &len, STR("MZXW6YTBOI")), ERR_LIMIT);
    assert_int_equal(base32_decode(NULL, 0, &len, STR("")), ERR_OK);
    assert_int_equal(len, 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t n = 0; n <= BYTES_MAX; n++)
        for (int turn = 0; turn < 20; turn++) {
            uint8_t bytes[BYTES_MAX], got[BYTES_MAX];
            char text[BASE32_LEN(BYTES_MAX) + 1];
            size_t len = 0;
            random_bytes(bytes, n);
            base32_encode(text, bytes, n);
            assert_int_equal(strlen(text), BASE32_LEN(n));
            assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), strlen(text));
            assert_int_equal(base32_decode(got, n, &len, str_from(text)), ERR_OK);
            assert_int_equal(len, n);
            assert_memory_equal(got, bytes, n);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4648),
        cmocka_unit_test(test_as_people_paste_it),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_round_trip),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
