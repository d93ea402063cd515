/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/catalog_internal.h"
#include "mail/message.h"
#include "support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int setup(void **state)
{
    struct scratch *s = malloc(sizeof *s);
    scratch_init(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scratch_release(*state);
    free(*state);
    return 0;
}

static bool has(const struct template *t, const char *text)
{
    return memmem(t->literals.data, t->literals.len, text, strlen(text)) != NULL;
}

static void test_all_are_built_in(void **state)
{
    (void)state;
    struct mail_templates *t;
    assert_int_equal(mail_templates_load(&t, NULL, NULL), ERR_OK);
    size_t n = 0;
    for (const struct mail_builtin *b = mail_builtins; b->name != NULL; b++)
        n++;
    assert_int_equal(n, 3 * N_LANGUAGES * 2 + 1);
    for (enum mail_kind kind = MAIL_RESET; kind <= MAIL_REPLACED; kind++) {
        for (enum language l = 0; l < N_LANGUAGES; l++) {
            const struct catalog_entry *e = catalog_entry(t, kind, l);
            assert_true(e->subject.n > 0 && e->text.n > 0 && e->html.n > 0);
        }
    }
    assert_true(has(&catalog_entry(t, MAIL_RESET, LANGUAGE_NL)->text, "nieuwe QR-code"));
    assert_true(has(&catalog_entry(t, MAIL_REPLACED, LANGUAGE_DE)->subject, "ersetzt"));
    assert_true(has(catalog_frame(t), "<!DOCTYPE html>"));
    mail_templates_free(t);
    mail_templates_free(NULL);
}

/* Nothing that is fetched when the mail is opened, or that runs. */
static void test_built_in_html_fetches_nothing(void **state)
{
    (void)state;
    static const char *const refused[] = {"<img",  "src=",  "url(",   "@import", "<script",
                                          "<form", "http:", "https:", "<link",   "onclick"};
    for (const struct mail_builtin *b = mail_builtins; b->name != NULL; b++)
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
            assert_null(strstr(b->text, refused[i]));
}

static void test_a_file_takes_the_place_of_a_built_in_one(void **state)
{
    struct scratch *s = *state;
    scratch_write(s, "reset.en.txt", "\xef\xbb\xbfSubject: Hi {issuer}\r\n\r\nGo to {link}\r\n",
                  0644);
    scratch_write(s, "enrolled.nl.html", "<p>Welkom</p>", 0644);
    scratch_write(s, "README", "not a template {", 0644);
    scratch_write(s, ".reset.en.txt", "an editor's {", 0644);
    scratch_write(s, "reset.en.txt~", "another's {", 0644);
    struct mail_templates *t;
    struct err_text why = {0};
    assert_int_equal(mail_templates_load(&t, s->folder, &why), ERR_OK);
    assert_true(has(&catalog_entry(t, MAIL_RESET, LANGUAGE_EN)->text, "Go to"));
    assert_true(has(&catalog_entry(t, MAIL_RESET, LANGUAGE_EN)->subject, "Hi "));
    assert_true(has(&catalog_entry(t, MAIL_ENROLLED, LANGUAGE_NL)->html, "Welkom"));
    assert_true(has(&catalog_entry(t, MAIL_RESET, LANGUAGE_DE)->text, "QR-Code"));
    mail_templates_free(t);
}

static void assert_refused(struct scratch *s, const char *name, const char *text, const char *want)
{
    struct mail_templates *t;
    struct err_text why = {0};
    scratch_write(s, name, text, 0644);
    assert_int_equal(mail_templates_load(&t, s->folder, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, name));
    assert_non_null(strstr(why.text, want));
    assert_int_equal(remove(scratch_path(s, name)), 0);
}

static void test_what_does_not_parse_is_named(void **state)
{
    struct scratch *s = *state;
    assert_refused(s, "reset.en.txt", "", ":1: not \"Subject: \"");
    assert_refused(s, "reset.en.txt", "Hello\n\n{link}", ":1: not \"Subject: \"");
    assert_refused(s, "reset.en.txt", "Subject: \n\n{link}", ":1: not \"Subject: \"");
    assert_refused(s, "reset.en.txt", "Subject: a\n{link}", ":2: not an empty line");
    assert_refused(s, "reset.en.txt", "Subject: a\n\nhello", ":3: {link} is missing");
    assert_refused(s, "reset.en.txt", "Subject: a\n\nhello\n{link}\n\n{user}", ":6: unknown");
    assert_refused(s, "reset.en.txt", "Subject: {link}\n\n{link}",
                   ":1: {link} has no place in the");
    assert_refused(s, "reset.en.txt", "Subject: \xff\n\n{link}", ":1: not UTF-8");
    assert_refused(s, "reset.en.html", "<p>", ":1: {link} is missing");
    assert_refused(s, "reset.en.html", "{link}\n{body}", ":2: {body} has no place");
    assert_refused(s, "enrolled.en.html", "{link}", ":1: {link} has no place");
    assert_refused(s, "replaced.de.txt", "Subject: a\n\n{expires}", ":3: {expires} has no place");
    assert_refused(s, "frame.html", "<html>", ":1: {body} is missing in the frame");
    assert_refused(s, "frame.html", "{body}{link}", ":1: {link} has no place in the frame");
    assert_refused(s, "frame.html", "{body}\np { color: red }", ":2: a brace without its other");
}

static void test_a_misspelt_name_is_an_error(void **state)
{
    struct scratch *s = *state;
    assert_refused(s, "reset.fr.txt", "Subject: a\n\n{link}", "no template has this name");
    assert_refused(s, "rest.en.html", "{link}", "no template has this name");
    assert_refused(s, "reset.en.body.txt", "{link}", "no template has this name");
}

static void test_sizes_and_folders(void **state)
{
    struct scratch *s = *state;
    struct mail_templates *t;
    struct err_text why = {0};
    assert_int_equal(mail_templates_load(&t, scratch_path(s, "none"), &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "none: No such file"));
    size_t n = 64 * 1024 + 1;
    char *big = malloc(n + 1);
    memset(big, 'a', n);
    memcpy(big, "{body}", 6);
    big[n] = '\0';
    assert_refused(s, "frame.html", big, "longer than 64 KiB");
    big[n - 1] = '\0';
    scratch_write(s, "frame.html", big, 0644);
    assert_int_equal(mail_templates_load(&t, s->folder, &why), ERR_OK);
    mail_templates_free(t);
    free(big);
    assert_int_equal(remove(scratch_path(s, "frame.html")), 0);
    assert_int_equal(mkdir(scratch_path(s, "frame.html"), 0755), 0);
    assert_int_equal(mail_templates_load(&t, s->folder, &why), ERR_INVALID);
    assert_int_equal(remove(scratch_path(s, "frame.html")), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_all_are_built_in),
        CASE(test_built_in_html_fetches_nothing),
        CASE(test_a_file_takes_the_place_of_a_built_in_one),
        CASE(test_what_does_not_parse_is_named),
        CASE(test_a_misspelt_name_is_an_error),
        CASE(test_sizes_and_folders),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
