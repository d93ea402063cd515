/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/config.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

struct things {
    char *name;
    int64_t number;
    bool flag;
};

static const struct config_key keys[] = {
    {.name = "name",
     .kind = CONFIG_STR,
     .offset = offsetof(struct things, name),
     .default_text = "x"},
    {.name = "number",
     .kind = CONFIG_INT,
     .offset = offsetof(struct things, number),
     .default_text = "3",
     .min = 1,
     .max = 100},
    {.name = "flag",
     .kind = CONFIG_BOOL,
     .offset = offsetof(struct things, flag),
     .default_text = "no"},
};
static const struct config_schema schema = {.env_prefix = "UNITTEST_", .keys = keys, .n_keys = 3};

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
    unsetenv("UNITTEST_NUMBER");
    return 0;
}

static enum err load(struct scratch *s, const char *text, struct things *t, struct err_text *why)
{
    *t = (struct things){0};
    return config_load(&schema, scratch_write(s, "c.conf", text, 0600), t, why);
}

static void defaults_then_file_then_environment(void **state)
{
    struct things t = {0};
    struct err_text why;
    assert_int_equal(config_load(&schema, NULL, &t, &why), ERR_OK);
    assert_string_equal(t.name, "x");
    assert_int_equal(t.number, 3);
    config_release(&schema, &t);

    assert_int_equal(load(*state, "name = \"a b\" # c\nnumber = 7\nflag = yes\n", &t, &why),
                     ERR_OK);
    assert_string_equal(t.name, "a b");
    assert_int_equal(t.number, 7);
    assert_true(t.flag);
    config_release(&schema, &t);

    setenv("UNITTEST_NUMBER", "9", 1);
    assert_int_equal(load(*state, "number = 7\n", &t, &why), ERR_OK);
    assert_int_equal(t.number, 9);
    config_release(&schema, &t);
}

/* Every mistake names file, line and key. */
static void mistakes_name_their_place(void **state)
{
    static const struct {
        const char *text, *place, *key;
    } cases[] = {
        {"name = a\nnumber = 0\n", "c.conf:2:", "number"},
        {"number = 101\n", "c.conf:1:", "number"},
        {"number = 99999999999999999999\n", "c.conf:1:", "number"},
        {"number = seven\n", "c.conf:1:", "number"},
        {"\n\nflag = maybe\n", "c.conf:3:", "flag"},
        {"number = 1\nnumber = 2\n", "c.conf:2:", "number"},
        {"nmae = a\n", "c.conf:1:", "nmae"},
        {"name = \"open\n", "c.conf:", ""},
        {"= 3\n", "c.conf:1:", ""},
        {"# a\n// b\n/* c\n d */ number = 0 # e\n", "c.conf:4:", "number"},
        {"name = \"#\" # \"\nnumber = 0\n", "c.conf:2:", "number"},
        {"name = a//b#c\n/**/number = 0\n", "c.conf:2:", "number"},
        {"name = 'it\\'s #' // '\nnumber = 0\n", "c.conf:2:", "number"},
        {"/* never ends\nnumber = 7\n", "c.conf", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct things t;
        struct err_text why = {0};
        assert_int_equal(load(*state, cases[i].text, &t, &why), ERR_INVALID);
        assert_non_null(strstr(why.text, cases[i].place));
        assert_non_null(strstr(why.text, cases[i].key));
        assert_null(t.name);
    }
}

static void a_bad_variable_is_named(void **state)
{
    (void)state;
    struct things t = {0};
    struct err_text why;
    setenv("UNITTEST_NUMBER", "1e3", 1);
    assert_int_equal(config_load(&schema, NULL, &t, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "UNITTEST_NUMBER"));
}

static void a_file_that_is_not_there(void **state)
{
    struct things t = {0};
    struct err_text why;
    assert_int_equal(config_load(&schema, scratch_path(*state, "none"), &t, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "none"));
}

/* ---- sections
 * ------------------------------------------------------------------------------------- */

static enum err count_section(void *ctx, const struct config_section *s, struct err_text *why)
{
    int *n = ctx;
    if (str_equal(s->title, STR("bad")))
        return err_set(why, ERR_INVALID, NULL, "no such");
    assert_int_equal(s->values[0].n, 1);
    assert_string_equal(s->values[0].values[0], "one");
    assert_int_equal(s->values[1].n, 2);
    assert_string_equal(s->values[1].values[1], "b \" $c");
    (*n)++;
    return ERR_OK;
}

static void sections_are_visited_in_order(void **state)
{
    static const char *const names[] = {"word", "list[]", NULL};
    int n = 0;
    struct err_text why = {0};
    struct config_section_schema sections = {
        .section = "thing", .keys = names, .visit = count_section, .ctx = &n};
    const char *path = scratch_write(*state, "s.conf",
                                     "thing \"t1\" { word = one list = {a, \"b \\\" \\$c\"} }\n"
                                     "thing \"t2\" { word = one list = {a, \"b \\\" \\$c\"} }\n",
                                     0600);
    assert_int_equal(config_read_sections(&sections, path, &why), ERR_OK);
    assert_int_equal(n, 2);
}

static void a_bad_section_names_its_place(void **state)
{
    static const char *const names[] = {"word", "list[]", NULL};
    static const char *const texts[] = {"thing \"bad\" {\n}\n", "thing t1 {\n  wrod = a\n}\n",
                                        "thin t1 {\n}\n", "thing t1 {\n list = {a\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int n = 0;
        struct err_text why = {0};
        struct config_section_schema sections = {
            .section = "thing", .keys = names, .visit = count_section, .ctx = &n};
        const char *path = scratch_write(*state, "s.conf", texts[i], 0600);
        assert_int_equal(config_read_sections(&sections, path, &why), ERR_INVALID);
        assert_non_null(strstr(why.text, "s.conf:"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_then_file_then_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_name_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_variable_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(sections_are_visited_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_section_names_its_place, setup, teardown),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
