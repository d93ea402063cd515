/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "mail/header_internal.h"

#include <stdio.h>
#include <string.h>

static void assert_field(struct buf *out, const char *want)
{
    assert_true(out->len > 0);
    assert_int_equal(out->data[out->len - 1], '\0');
    assert_string_equal((const char *)out->data, want);
    assert_int_equal(strlen(want) + 1, out->len);
    buf_release(out);
}

static void assert_subject(const char *value, const char *want)
{
    struct buf out = BUF_INIT;
    header_text(&out, "Subject", str_from(value));
    assert_field(&out, want);
}

static void test_short_ascii_stays(void **state)
{
    (void)state;
    assert_subject("Your new QR code for X", "Subject: Your new QR code for X");
    assert_subject("", "Subject: ");
    assert_subject("a = b? {c}", "Subject: a = b? {c}");
}

static void test_the_rest_is_encoded(void **state)
{
    (void)state;
    assert_subject("für Café", "Subject: =?utf-8?Q?f=C3=BCr_Caf=C3=A9?=");
    /* What would be decoded as something else. */
    assert_subject("=?utf-8?Q?=0D=0ABcc:_x@y?=",
                   "Subject: =?utf-8?Q?=3D=3Futf-8=3FQ=3F=3D0D=3D0ABcc=3A=5Fx=40y=3F=3D?=");
    assert_subject("a?=\n", "Subject: =?utf-8?Q?a=3F=3D=0A?=");
}

/* Every line is short enough, every word is whole, and together they are the value. */
static void assert_folded_well(const char *header, size_t name_len)
{
    size_t at = name_len;
    for (const char *line = header; line != NULL;) {
        const char *end = strstr(line, "\r\n");
        size_t len = end != NULL ? (size_t)(end - line) : strlen(line);
        assert_in_range(len, 1, 76);
        assert_int_equal(strncmp(line + at, "=?utf-8?Q?", 10), 0);
        assert_int_equal(strncmp(line + len - 2, "?=", 2), 0);
        /* A character of three bytes is never cut. */
        size_t encoded = len - at - 12;
        assert_int_equal(encoded % 9, 0);
        line = end != NULL ? end + 2 : NULL;
        at = 1;
        if (line != NULL)
            assert_int_equal(line[0], ' ');
    }
}

static void test_long_ones_are_folded_between_characters(void **state)
{
    (void)state;
    struct buf value = BUF_INIT, out = BUF_INIT;
    for (int i = 0; i < 60; i++)
        buf_append_str(&value, STR("€"));
    header_text(&out, "Subject", buf_str(&value));
    assert_folded_well((const char *)out.data, strlen("Subject: "));
    buf_clear(&out);
    buf_clear(&value);
    for (int i = 0; i < 67; i++)
        buf_append_byte(&value, 'x');
    header_text(&out, "Subject", buf_str(&value));
    assert_int_equal(out.len, 76 + 1);
    buf_clear(&out);
    buf_append_byte(&value, 'x');
    header_text(&out, "Subject", buf_str(&value));
    assert_non_null(strstr((const char *)out.data, "=?utf-8?Q?xxx"));
    assert_non_null(strstr((const char *)out.data, "x?=\r\n =?utf-8?Q?x"));
    buf_release(&out);
    buf_release(&value);
}

static void test_a_second_field_folds_from_its_own_beginning(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    header_raw(&out, "To", STR("someone.with.a.long.name@some.very.long.domain.example"));
    size_t first = out.len;
    header_text(&out, "Subject", STR("Ihr neuer QR-Code für die Anmeldung"));
    assert_null(strstr((const char *)out.data + first, "\r\n"));
    buf_release(&out);
}

static void assert_from(const char *display, const char *want)
{
    struct buf out = BUF_INIT;
    header_mailbox(&out, "From", str_from(display), STR("crm@crm.example"));
    assert_field(&out, want);
}

static void test_mailboxes(void **state)
{
    (void)state;
    assert_from("", "From: crm@crm.example");
    assert_from("Acme, Inc.", "From: \"Acme, Inc.\" <crm@crm.example>");
    assert_from("A \"b\" \\ c", "From: \"A \\\"b\\\" \\\\ c\" <crm@crm.example>");
    assert_from("x\" <evil@x.y>, \"", "From: \"x\\\" <evil@x.y>, \\\"\" <crm@crm.example>");
    assert_from("Söhne", "From: =?utf-8?Q?S=C3=B6hne?= <crm@crm.example>");
    assert_from("=?utf-8?Q?a?=", "From: =?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3F=3D?= <crm@crm.example>");
    /* 76 characters to the closing quote, or one more. */
    assert_from("A name of many words that does not fit beside the address, but so so",
                "From: \"A name of many words that does not fit beside the address, but so so\"\r\n"
                " <crm@crm.example>");
    assert_from("A name of many words that does not fit beside the address, but \"so\"",
                "From: =?utf-8?Q?A_name_of_many_words_that_does_not_fit_beside_the_address?=\r\n"
                " =?utf-8?Q?=2C_but_=22so=22?= <crm@crm.example>");
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "a.b+c@d-e.example", "!#$%&'*+-/=?^_`{|}~@x.y",
                                       "USER@EXAMPLE.ORG", "a@xn--mnchen-3ya.example"};
    static const char *const bad[] = {"",
                                      "a",
                                      "@",
                                      "a@",
                                      "@b",
                                      "a@b@c",
                                      "a b@c",
                                      "a@b c",
                                      "<a@b>",
                                      "a@b>",
                                      "a@b\r\n",
                                      "a\n@b",
                                      "a@b\r\nRCPT",
                                      "a@b,c@d",
                                      "a@b;c",
                                      "a:b@c",
                                      "a\"b@c",
                                      "a\\@b",
                                      "a@[1.2.3.4]",
                                      ".a@b",
                                      "a.@b",
                                      "a..b@c",
                                      "a@.b",
                                      "a@b.",
                                      "a@b..c",
                                      "m\xc3\xbc@b",
                                      "a@b\xe2\x80\xa8",
                                      "a@b\x7f",
                                      "a@b\t",
                                      "(c)a@b",
                                      " a@b",
                                      "a@b ",
                                      "a@m\xfcnchen"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(header_is_address(str_from(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(header_is_address(str_from(bad[i])));
    assert_false(header_is_address(STR("a@b\0.c")));
    assert_false(header_is_address(STR("a\0@b.c")));
}

static void test_lengths_of_addresses(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof text);
    text[64] = '@';
    assert_true(header_is_address((struct str){text, 254}));
    assert_false(header_is_address((struct str){text, 255}));
    text[64] = 'a';
    text[65] = '@';
    assert_false(header_is_address((struct str){text, 100}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_ascii_stays),
        cmocka_unit_test(test_the_rest_is_encoded),
        cmocka_unit_test(test_long_ones_are_folded_between_characters),
        cmocka_unit_test(test_a_second_field_folds_from_its_own_beginning),
        cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_lengths_of_addresses),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
