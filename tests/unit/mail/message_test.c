/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/message.h"
#include "mail/message_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINK "https://crm.example/reset?token=0123456789abcdef&from=mail"

static const struct mail_message good = {
    .kind = MAIL_RESET,
    .to = {"user@example.org", 16},
    .from = {"crm@crm.example", 15},
    .from_name = {"Acme", 4},
    .issuer = {"Acme <b>", 8},
    .locale = {"en", 2},
    .message_id = {"1795616700000.17", 16},
    .link = {LINK, sizeof LINK - 1},
    .date_ms = 1795616700000,
    .expire_ms = 1795616700000 + 3600000,
};

static struct mail_templates *templates;

static int load(void **state)
{
    (void)state;
    return mail_templates_load(&templates, NULL, NULL) == ERR_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    mail_templates_free(templates);
    return 0;
}

/* The value of a field; NULL: there is none. Fails when there are two. */
static const char *field(const struct message *m, const char *name)
{
    const char *found = NULL;
    size_t n = strlen(name);
    for (size_t at = 0; at < m->headers.len;) {
        const char *one = (const char *)m->headers.data + at;
        if (strncmp(one, name, n) == 0 && strncmp(one + n, ": ", 2) == 0) {
            assert_null(found);
            found = one + n + 2;
        }
        at += strlen(one) + 1;
    }
    return found;
}

static bool has(const struct buf *b, const char *text)
{
    return memmem(b->data, b->len, text, strlen(text)) != NULL;
}

static void compose(struct message *out, const struct mail_message *m)
{
    struct err_text why = {0};
    assert_int_equal(message_compose(out, templates, m, &why), ERR_OK);
}

static void test_headers(void **state)
{
    (void)state;
    struct message m;
    compose(&m, &good);
    assert_string_equal(field(&m, "Date"), "Wed, 25 Nov 2026 14:25:00 +0000");
    assert_string_equal(field(&m, "From"), "\"Acme\" <crm@crm.example>");
    assert_string_equal(field(&m, "To"), "user@example.org");
    assert_string_equal(field(&m, "Subject"), "Your new QR code for Acme <b>");
    assert_string_equal(field(&m, "Message-ID"), "<1795616700000.17@crm.example>");
    assert_string_equal(field(&m, "Auto-Submitted"), "auto-generated");
    assert_string_equal(field(&m, "Content-Language"), "en");
    assert_string_equal(field(&m, "MIME-Version"), "1.0");
    assert_string_equal(m.from, "<crm@crm.example>");
    assert_string_equal(m.to, "<user@example.org>");
    message_release(&m);
}

static void test_text_and_html(void **state)
{
    (void)state;
    struct message m;
    compose(&m, &good);
    assert_true(has(&m.text, "\r\n" LINK "\r\n"));
    assert_true(has(&m.text, "25 November 2026 at 15:25 UTC (1 hour after you asked for it)"));
    assert_true(has(&m.text, "at Acme <b>,"));
    assert_true(has(&m.html, "<html lang=\"en\">"));
    assert_true(has(&m.html, "Acme &lt;b&gt;"));
    assert_false(has(&m.html, "<b>"));
    static const char link[] = "https://crm.example/reset?token=0123456789abcdef&amp;from=mail";
    char visible[200], clickable[200];
    snprintf(visible, sizeof visible, ">%s</a>", link);
    snprintf(clickable, sizeof clickable, "href=\"%s\"", link);
    assert_true(has(&m.html, visible));
    assert_true(has(&m.html, clickable));
    assert_false(has(&m.html, "{" LINK));
    message_release(&m);
}

static void assert_lines(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++) {
        assert_true(b->data[i] != '\0');
        if (b->data[i] == '\n')
            assert_true(i > 0 && b->data[i - 1] == '\r');
        if (b->data[i] == '\r')
            assert_true(i + 1 < b->len && b->data[i + 1] == '\n');
    }
}

static void test_every_kind_in_every_language(void **state)
{
    (void)state;
    static const char *const locales[] = {"en", "nl", "de"};
    for (enum mail_kind kind = MAIL_RESET; kind <= MAIL_REPLACED; kind++) {
        for (size_t l = 0; l < 3; l++) {
            struct mail_message what = good;
            struct message m;
            what.kind = kind;
            what.locale = str_from(locales[l]);
            compose(&m, &what);
            assert_string_equal(field(&m, "Content-Language"), locales[l]);
            assert_lines(&m.text);
            assert_lines(&m.html);
            /* Only the reset has the link; no text is left with a placeholder. */
            assert_int_equal(has(&m.text, "token="), kind == MAIL_RESET);
            assert_int_equal(has(&m.html, "token="), kind == MAIL_RESET);
            assert_null(memchr(m.text.data, '{', m.text.len));
            message_release(&m);
        }
    }
}

static void test_a_notice_needs_no_link(void **state)
{
    (void)state;
    struct mail_message what = good;
    struct message m;
    what.kind = MAIL_ENROLLED;
    what.link = STR("");
    what.expire_ms = 0;
    what.locale = STR("xx");
    what.from_name = STR("");
    compose(&m, &what);
    assert_string_equal(field(&m, "From"), "crm@crm.example");
    assert_string_equal(field(&m, "Content-Language"), "en");
    assert_true(has(&m.text, "On 25 November 2026 at 14:25 UTC,"));
    message_release(&m);
}

static void assert_refused(const struct mail_message *what)
{
    struct message m;
    struct err_text why = {0};
    assert_int_equal(message_compose(&m, templates, what, &why), ERR_INVALID);
    assert_int_equal(m.headers.len + m.text.len + m.html.len, 0);
    assert_true(why.text[0] != '\0');
    assert_null(strchr(why.text, '@'));
    message_release(&m);
}

/* Each of these in each of the fields that reach a header, the envelope or a part. */
static void test_injections_are_refused(void **state)
{
    (void)state;
#define BYTES(lit)                                                                                 \
    {                                                                                              \
        lit, sizeof(lit) - 1                                                                       \
    }
    static const struct str corpus[] = {BYTES("\r\nBcc: evil@x.y"),
                                        BYTES("\nBcc: evil@x.y"),
                                        BYTES("\rBcc: evil@x.y"),
                                        BYTES("\0"),
                                        BYTES("\n.\nMAIL FROM:<>"),
                                        BYTES("\x7f"),
                                        BYTES("\x1b[2J"),
                                        BYTES("\xe2\x80\xa8"),
                                        BYTES("\xe2\x80\xa9"),
                                        BYTES("\xc2\x85"),
                                        BYTES("\xff"),
                                        BYTES("\xc0\x8d"),
                                        BYTES("\t")};
#undef BYTES
    for (size_t i = 0; i < sizeof corpus / sizeof corpus[0]; i++) {
        struct str *fields[] = {NULL, NULL, NULL, NULL, NULL, NULL};
        for (size_t f = 0; f < 6; f++) {
            struct mail_message what = good;
            fields[0] = &what.to, fields[1] = &what.from, fields[2] = &what.from_name;
            fields[3] = &what.issuer, fields[4] = &what.message_id, fields[5] = &what.link;
            char joined[200];
            struct str before = *fields[f];
            memcpy(joined, before.p, before.len);
            memcpy(joined + before.len, corpus[i].p, corpus[i].len);
            *fields[f] = (struct str){joined, before.len + corpus[i].len};
            assert_refused(&what);
        }
    }
}

static void test_links_are_only_links(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "javascript:alert(1)",
                                      "//crm.example/x",
                                      "ftp://x/y",
                                      "https://x/\"onclick=\"",
                                      "https://x/ y",
                                      "https://x/<y>",
                                      "HTTPS://x",
                                      "https://x/\xc3\xbc",
                                      "https://x/{token}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mail_message what = good;
        what.link = str_from(bad[i]);
        assert_refused(&what);
    }
    char longest[2049 + 1];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "https://", 8);
    struct mail_message what = good;
    struct message m;
    what.link = (struct str){longest, 2048};
    compose(&m, &what);
    message_release(&m);
    what.link.len++;
    assert_refused(&what);
}

static void test_other_nonsense_is_refused(void **state)
{
    (void)state;
    struct mail_message what = good;
    what.kind = (enum mail_kind)0;
    assert_refused(&what);
    what.kind = (enum mail_kind)4;
    assert_refused(&what);
    what = good;
    what.date_ms = -1;
    assert_refused(&what);
    what = good;
    what.expire_ms = what.date_ms;
    assert_refused(&what);
    what.expire_ms = INT64_MAX;
    assert_refused(&what);
    what = good;
    what.to = STR("");
    assert_refused(&what);
    what = good;
    what.message_id = STR("");
    assert_refused(&what);
    what.message_id = STR("a>b");
    assert_refused(&what);
    char name[257];
    memset(name, 'n', sizeof name);
    what = good;
    what.from_name = (struct str){name, sizeof name};
    assert_refused(&what);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_text_and_html),
        cmocka_unit_test(test_every_kind_in_every_language),
        cmocka_unit_test(test_a_notice_needs_no_link),
        cmocka_unit_test(test_injections_are_refused),
        cmocka_unit_test(test_links_are_only_links),
        cmocka_unit_test(test_other_nonsense_is_refused),
    };
    return !!cmocka_run_group_tests(tests, load, unload);
}
