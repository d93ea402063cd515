/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "mail/words_internal.h"

#include <stdio.h>
#include <string.h>

#define MINUTE 60000LL
#define HOUR   (60 * MINUTE)
#define T      1795616700000LL /* Wed 2026-11-25 14:25:00 */

static void assert_text(struct buf *out, const char *want)
{
    buf_append_byte(out, '\0');
    assert_string_equal((const char *)out->data, want);
    buf_release(out);
}

static void test_languages(void **state)
{
    (void)state;
    assert_int_equal(words_language(STR("en")), LANGUAGE_EN);
    assert_int_equal(words_language(STR("nl")), LANGUAGE_NL);
    assert_int_equal(words_language(STR("de")), LANGUAGE_DE);
    assert_int_equal(words_language(STR("fr")), LANGUAGE_EN);
    assert_int_equal(words_language(STR("")), LANGUAGE_EN);
    assert_int_equal(words_language(STR("DE")), LANGUAGE_EN);
    for (enum language l = 0; l < N_LANGUAGES; l++)
        assert_int_equal(words_language(words_tag(l)), l);
}

static void test_times(void **state)
{
    (void)state;
    static const char *const want[] = {"25 November 2026 at 14:25 UTC",
                                       "25 november 2026 om 14.25 uur UTC",
                                       "25. November 2026 um 14:25 Uhr UTC"};
    for (enum language l = 0; l < N_LANGUAGES; l++) {
        struct buf out = BUF_INIT;
        words_time(&out, l, T);
        assert_text(&out, want[l]);
    }
    struct buf out = BUF_INIT;
    words_time(&out, LANGUAGE_DE, 951868799999LL);
    assert_text(&out, "29. Februar 2000 um 23:59 Uhr UTC");
    words_time(&out, LANGUAGE_NL, 0);
    assert_text(&out, "1 januari 1970 om 00.00 uur UTC");
}

static void assert_expiry(enum language l, int64_t length_ms, const char *want)
{
    struct buf out = BUF_INIT;
    words_expiry(&out, l, T - length_ms, T);
    buf_append_byte(&out, '\0');
    const char *open = strchr((const char *)out.data, '(');
    assert_non_null(open);
    assert_string_equal(open, want);
    buf_release(&out);
}

static void test_lengths(void **state)
{
    (void)state;
    assert_expiry(LANGUAGE_EN, HOUR, "(1 hour after you asked for it)");
    assert_expiry(LANGUAGE_EN, MINUTE, "(1 minute after you asked for it)");
    assert_expiry(LANGUAGE_EN, 90 * MINUTE + 59999, "(90 minutes after you asked for it)");
    assert_expiry(LANGUAGE_EN, 59999, "(0 minutes after you asked for it)");
    assert_expiry(LANGUAGE_EN, 24 * HOUR, "(1 day after you asked for it)");
    assert_expiry(LANGUAGE_EN, 25 * HOUR, "(25 hours after you asked for it)");
    assert_expiry(LANGUAGE_NL, HOUR, "(1 uur na uw aanvraag)");
    assert_expiry(LANGUAGE_NL, 2 * HOUR, "(2 uur na uw aanvraag)");
    assert_expiry(LANGUAGE_NL, 48 * HOUR, "(2 dagen na uw aanvraag)");
    assert_expiry(LANGUAGE_DE, HOUR, "(1 Stunde nach Ihrer Anforderung)");
    assert_expiry(LANGUAGE_DE, 2 * HOUR, "(2 Stunden nach Ihrer Anforderung)");
    assert_expiry(LANGUAGE_DE, 30 * MINUTE, "(30 Minuten nach Ihrer Anforderung)");
}

static void test_header_date(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    words_header_date(&out, T);
    assert_text(&out, "Wed, 25 Nov 2026 14:25:00 +0000");
    words_header_date(&out, 0);
    assert_text(&out, "Thu, 01 Jan 1970 00:00:00 +0000");
    words_header_date(&out, 253402300799999LL);
    assert_text(&out, "Fri, 31 Dec 9999 23:59:59 +0000");
}

static void test_times_that_cannot_be_told(void **state)
{
    (void)state;
    assert_true(words_can_tell(0));
    assert_true(words_can_tell(253402300799999LL));
    assert_false(words_can_tell(253402300800000LL));
    assert_false(words_can_tell(-1));
    assert_false(words_can_tell(INT64_MAX));
    assert_false(words_can_tell(INT64_MIN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_languages),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_header_date),
        cmocka_unit_test(test_times_that_cannot_be_told),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
