/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/smtp_reply_internal.h"

#include <stdio.h>
#include <string.h>

static int say(struct smtp_replies *r, const char *line)
{
    return smtp_reply_line(r, str_from(line));
}

static void assert_refusal(const struct smtp_replies *r, int code, const char *text)
{
    assert_int_equal(r->refusal, code);
    assert_int_equal(r->len, strlen(text));
    assert_memory_equal(r->text, text, r->len);
}

static void test_a_reply_of_one_line(void **state)
{
    (void)state;
    struct smtp_replies r = {0};
    assert_int_equal(say(&r, "220 mx.example ESMTP\r\n"), 220);
    assert_refusal(&r, 0, "");
    assert_int_equal(say(&r, "550 5.1.1 No such user\r\n"), 550);
    assert_refusal(&r, 550, "5.1.1 No such user");
    assert_int_equal(say(&r, "221 bye"), 221);
    assert_refusal(&r, 550, "5.1.1 No such user");
    assert_int_equal(say(&r, "451"), 451);
    assert_refusal(&r, 451, "");
}

static void test_a_reply_of_several_lines(void **state)
{
    (void)state;
    struct smtp_replies r = {0};
    assert_int_equal(say(&r, "550-5.7.1 not\n"), 0);
    assert_int_equal(r.refusal, 0);
    assert_int_equal(say(&r, "550 5.7.1 today"), 550);
    assert_refusal(&r, 550, "5.7.1 not 5.7.1 today");
}

static void test_text_is_bounded(void **state)
{
    (void)state;
    struct smtp_replies r = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(say(&r, "550-something that goes on"), 0);
    assert_int_equal(say(&r, "550 x"), 550);
    assert_int_equal(r.len, SMTP_REPLY_TEXT_MAX);
}

static void test_what_is_no_reply_changes_nothing(void **state)
{
    (void)state;
    struct smtp_replies r = {0};
    say(&r, "451 later");
    static const char *const noise[] = {"", "\r\n", "25", "2x0 hm", "abc def", "-1 x"};
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        assert_int_equal(say(&r, noise[i]), 0);
    assert_refusal(&r, 451, "later");
}

static void test_a_mail_is_taken_by_the_reply_after_354(void **state)
{
    (void)state;
    struct smtp_replies r = {0};
    say(&r, "250 ok");
    assert_false(r.taken);
    say(&r, "354-go");
    assert_false(r.data_begun);
    say(&r, "354 on");
    assert_true(r.data_begun && !r.decided);
    say(&r, "250-wait");
    assert_false(r.decided);
    say(&r, "250 queued as 1");
    assert_true(r.decided && r.taken);
    say(&r, "421 bye");
    assert_true(r.taken);
    assert_int_equal(r.refusal, 0);
}

/* And not by what is said after that. */
static void test_a_mail_is_not_taken_by_a_refusal(void **state)
{
    (void)state;
    struct smtp_replies r = {0};
    say(&r, "502 no EHLO here");
    say(&r, "354 go on");
    say(&r, "554 no");
    say(&r, "221 bye");
    say(&r, "250 ok");
    assert_true(r.decided && !r.taken);
    assert_refusal(&r, 554, "no");
    r = (struct smtp_replies){0};
    say(&r, "502 no EHLO here");
    say(&r, "354 go on");
    say(&r, "354 go on");
    assert_true(r.decided && !r.taken);
    assert_int_equal(r.refusal, 0);
}

static void assert_clean(const char *text, const char *want)
{
    char out[64];
    smtp_reply_clean(out, sizeof out, str_from(text), STR("jane.doe@example.org"));
    assert_string_equal(out, want);
}

static void test_addresses_and_links_are_left_out(void **state)
{
    (void)state;
    assert_clean("5.1.1 <jane.doe@example.org>: unknown", "5.1.1 (...) unknown");
    assert_clean("mailbox JANE.DOE is full", "mailbox (...) is full");
    assert_clean("sender crm@crm.example rejected", "sender (...) rejected");
    assert_clean("bad link https://crm.example/r?token=abc in mail", "bad link (...) in mail");
    assert_clean("saw 0123456789012345678901234567890123456789012 there", "saw (...) there");
    assert_clean("User unknown", "User unknown");
}

static void test_short_left_parts(void **state)
{
    (void)state;
    char out[64];
    smtp_reply_clean(out, sizeof out, STR("no mailbox jo or (jo"), STR("jo@x.y"));
    assert_string_equal(out, "no mailbox (...) or (...)");
    smtp_reply_clean(out, sizeof out, STR("no joy"), STR("jo@x.y"));
    assert_string_equal(out, "no (...)");
    smtp_reply_clean(out, sizeof out, STR("major trouble"), STR("jo@x.y"));
    assert_string_equal(out, "major trouble");
    smtp_reply_clean(out, sizeof out, STR("no address"), STR(""));
    assert_string_equal(out, "no address");
}

static void test_only_printable_ascii_on_one_line(void **state)
{
    (void)state;
    assert_clean("a\r\nb\tc\x1b[31m \x7f", "a b c [31m ?");
    assert_clean("f\xc3\xbcr \xff", "f??r ?");
    assert_clean("", "");
    assert_clean("   ", "");
}

static void test_words_that_do_not_fit_are_cut(void **state)
{
    (void)state;
    char out[12];
    smtp_reply_clean(out, sizeof out, STR("one two three four"), STR(""));
    assert_string_equal(out, "one two");
    smtp_reply_clean(out, 1, STR("one"), STR(""));
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reply_of_one_line),
        cmocka_unit_test(test_a_reply_of_several_lines),
        cmocka_unit_test(test_text_is_bounded),
        cmocka_unit_test(test_what_is_no_reply_changes_nothing),
        cmocka_unit_test(test_a_mail_is_taken_by_the_reply_after_354),
        cmocka_unit_test(test_a_mail_is_not_taken_by_a_refusal),
        cmocka_unit_test(test_addresses_and_links_are_left_out),
        cmocka_unit_test(test_short_left_parts),
        cmocka_unit_test(test_only_printable_ascii_on_one_line),
        cmocka_unit_test(test_words_that_do_not_fit_are_cut),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
