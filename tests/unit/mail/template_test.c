/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/template_internal.h"

#include <stdio.h>
#include <string.h>

#define ALL_SLOTS (SLOT_BIT(N_SLOTS) - 1)

static const struct template_values values = {.of = {[SLOT_ISSUER] = {"A<b>&\"'c", 8},
                                                     [SLOT_LINK] = {"https://x/?a=1&b=2", 18},
                                                     [SLOT_BODY] = {"<p>hi</p>", 9}}};

static enum err parse(struct template *out, const char *text, unsigned allowed, unsigned required,
                      struct err_text *why)
{
    struct template_rules rules = {.name = "dir/x.en.txt",
                                   .first_line = 3,
                                   .allowed = allowed,
                                   .required = required,
                                   .of_what = "this mail"};
    return template_parse(out, str_from(text), &rules, why);
}

static void assert_filled(const char *text, enum template_style style, const char *want)
{
    struct template t;
    struct err_text why = {0};
    struct buf out = BUF_INIT;
    assert_int_equal(parse(&t, text, ALL_SLOTS, 0, &why), ERR_OK);
    template_fill(&out, &t, &values, style);
    assert_int_equal(out.len, strlen(want));
    if (out.len > 0)
        assert_memory_equal(out.data, want, out.len);
    buf_release(&out);
    template_release(&t);
}

static void test_values_take_the_place_of_their_names(void **state)
{
    (void)state;
    assert_filled("", TEMPLATE_PLAIN, "");
    assert_filled("no placeholder", TEMPLATE_PLAIN, "no placeholder");
    assert_filled("{issuer}", TEMPLATE_PLAIN, "A<b>&\"'c");
    assert_filled("{link}{link}", TEMPLATE_PLAIN, "https://x/?a=1&b=2https://x/?a=1&b=2");
    assert_filled("to {link}.", TEMPLATE_PLAIN, "to https://x/?a=1&b=2.");
    assert_filled("empty: {date}", TEMPLATE_PLAIN, "empty: ");
}

static void test_a_doubled_brace_is_a_brace(void **state)
{
    (void)state;
    assert_filled("a {{ color: red; }} {{link}}", TEMPLATE_PLAIN, "a { color: red; } {link}");
    assert_filled("{{{link}}}", TEMPLATE_PLAIN, "{https://x/?a=1&b=2}");
}

static void test_lines_end_in_crlf(void **state)
{
    (void)state;
    assert_filled("a\nb\r\n\n{date}\n", TEMPLATE_PLAIN, "a\r\nb\r\n\r\n\r\n");
}

static void test_html_is_escaped_and_the_body_is_not(void **state)
{
    (void)state;
    assert_filled("<b>{issuer}</b>{body}", TEMPLATE_HTML,
                  "<b>A&lt;b&gt;&amp;&quot;&#39;c</b><p>hi</p>");
    assert_filled("<a href=\"{link}\">", TEMPLATE_HTML, "<a href=\"https://x/?a=1&amp;b=2\">");
}

static void assert_refused(const char *text, const char *want)
{
    struct template t;
    struct err_text why = {0};
    unsigned allowed = SLOT_BIT(SLOT_LINK) | SLOT_BIT(SLOT_ISSUER);
    assert_int_equal(parse(&t, text, allowed, SLOT_BIT(SLOT_LINK), &why), ERR_INVALID);
    assert_non_null(strstr(why.text, want));
    assert_int_equal(strncmp(why.text, "dir/x.en.txt:", 13), 0);
    assert_null(t.literals.data);
}

static void test_what_does_not_parse_is_named_with_its_line(void **state)
{
    (void)state;
    assert_refused("{link}\n{lnik}", ":4: unknown placeholder {lnik}");
    assert_refused("{link} {}", ":3: unknown placeholder {}");
    assert_refused("{aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee}",
                   "{aaaaaaaaaabbbbbbbbbbccccccccccdd}");
    assert_refused("{link}\n\n{date}", ":5: {date} has no place in this mail");
    assert_refused("{link}\n{body}", ":4: {body} has no place");
    assert_refused("one\ntwo", ":4: {link} is missing in this mail");
    assert_refused("", ":3: {link} is missing");
    assert_refused("{{link}}", ":3: {link} is missing");
    static const char *const unbalanced[] = {"{link",   "link}",     "{link} {",      "{link} }",
                                             "{ link}", "{link }",   "{LINK}",        "{link\n}",
                                             "{li nk}", "{link}} }", "{link} {issuer"};
    for (size_t i = 0; i < sizeof unbalanced / sizeof unbalanced[0]; i++)
        assert_refused(unbalanced[i], ":3: a brace without its other");
}

static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    assert_refused("{link}\nb\xff", ":4: not UTF-8");
    assert_refused("{link}\n\n\xc3\n", ":5: not UTF-8");
    assert_refused("{link}\xed\xa0\x80", ":3: not UTF-8");
    assert_refused("{link}\a", ":3: a control character");
    assert_refused("{link}\rmore", ":3: a control character");
    assert_refused("{link}\x7f", ":3: a control character");
    struct template t;
    struct err_text why;
    struct template_rules rules = {.name = "x", .first_line = 1, .allowed = ALL_SLOTS};
    assert_int_equal(template_parse(&t, STR("a\0b"), &rules, &why), ERR_INVALID);
    assert_string_equal(why.text, "x:1: a control character");
}

static void test_placeholders_are_bounded(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct template t;
    for (size_t i = 0; i < TEMPLATE_PIECES_MAX - 1; i++)
        buf_append_str(&text, STR("{link}"));
    buf_append_byte(&text, '\0');
    assert_int_equal(parse(&t, (const char *)text.data, ALL_SLOTS, 0, NULL), ERR_OK);
    template_release(&t);
    text.len--;
    buf_append(&text, "{link}", sizeof "{link}");
    assert_refused((const char *)text.data, "too many placeholders");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_take_the_place_of_their_names),
        cmocka_unit_test(test_a_doubled_brace_is_a_brace),
        cmocka_unit_test(test_lines_end_in_crlf),
        cmocka_unit_test(test_html_is_escaped_and_the_body_is_not),
        cmocka_unit_test(test_what_does_not_parse_is_named_with_its_line),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_placeholders_are_bounded),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
