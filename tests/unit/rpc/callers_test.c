/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rpc/callers.h"
#include "support/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

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

static enum err add(struct scratch *s, const char *name, uint32_t permissions,
                    const char *const *tenants, size_t n, char token[CALLER_TOKEN_MAX])
{
    struct caller c = {
        .name = name, .permissions = permissions, .tenants = tenants, .n_tenants = n};
    return callers_add(scratch_path(s, "callers"), &c, token, NULL);
}

/* With before and after put around the token. */
static const struct caller *authenticate(const struct callers *c, const char *before,
                                         const char *token, const char *after)
{
    char value[CALLER_TOKEN_MAX + 32];
    snprintf(value, sizeof value, "%s%s%s", before, token, after);
    return callers_authenticate(c, str_from(value));
}

static void who_was_added_may_call(void **state)
{
    static const char *const all[] = {"*"}, *const odd[] = {"a \"b\" $c\\", "d,e", "\xc3\xa9"};
    char web[CALLER_TOKEN_MAX], ops[CALLER_TOKEN_MAX];
    struct callers *c;
    struct err_text why;
    assert_int_equal(add(*state, "crm-web", PERMISSION_LOGIN_WEB, all, 1, web), ERR_OK);
    assert_int_equal(add(*state, "ops", PERMISSION_POLICY | PERMISSION_ADMIN, odd, 3, ops), ERR_OK);
    assert_int_equal(add(*state, "ops", PERMISSION_POLICY, all, 1, ops), ERR_EXISTS);
    assert_int_equal(callers_load(&c, scratch_path(*state, "callers"), &why), ERR_OK);
    assert_int_equal(callers_count(c), 2);

    const struct caller *caller = authenticate(c, "Bearer ", web, "");
    assert_non_null(caller);
    assert_string_equal(caller->name, "crm-web");
    assert_int_equal(caller->permissions, PERMISSION_LOGIN_WEB);
    assert_true(caller_may_reach(caller, STR("anything")));

    caller = authenticate(c, "Bearer ", ops, "");
    assert_non_null(caller);
    for (size_t i = 0; i < 3; i++)
        assert_true(caller_may_reach(caller, str_from(odd[i])));
    assert_false(caller_may_reach(caller, STR("d")));
    assert_false(caller_may_reach(caller, STR("*")));
    callers_free(c);
}

static void nobody_else_may(void **state)
{
    static const char *const all[] = {"*"};
    char token[CALLER_TOKEN_MAX];
    struct callers *c;
    assert_int_equal(add(*state, "crm-web", PERMISSION_LOGIN_WEB, all, 1, token), ERR_OK);
    assert_int_equal(callers_load(&c, scratch_path(*state, "callers"), NULL), ERR_OK);
    static const char *const around[][2] = {{"", ""},         {"bearer ", ""},  {"Bearer  ", ""},
                                            {"Bearer ", " "}, {"Bearer x", ""}, {"Bearer ", "0"},
                                            {"Basic ", ""},   {"Bearer .", ""}};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++)
        assert_null(authenticate(c, around[i][0], token, around[i][1]));
    static const char *const values[] = {"", "Bearer ", "Bearer .", "Bearer x", "Bearer x.y"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_null(callers_authenticate(c, str_from(values[i])));
    size_t last = strlen(token) - 1;
    token[last] = token[last] == '0' ? '1' : '0';
    assert_null(authenticate(c, "Bearer ", token, ""));
    *strchr(token, '.') = '\0';
    assert_null(authenticate(c, "Bearer ", token, "")); /* the id alone */
    callers_free(c);
}

static void a_removed_caller_is_gone(void **state)
{
    static const char *const all[] = {"*"};
    char token[CALLER_TOKEN_MAX], other[CALLER_TOKEN_MAX];
    struct callers *c;
    const char *path = scratch_path(*state, "callers");
    assert_int_equal(add(*state, "a", PERMISSION_POLICY, all, 1, token), ERR_OK);
    assert_int_equal(add(*state, "b", PERMISSION_POLICY, all, 1, other), ERR_OK);
    assert_int_equal(callers_remove(path, "a", NULL), ERR_OK);
    assert_int_equal(callers_remove(path, "a", NULL), ERR_NOT_FOUND);
    assert_int_equal(callers_load(&c, path, NULL), ERR_OK);
    assert_null(authenticate(c, "Bearer ", token, ""));
    assert_non_null(authenticate(c, "Bearer ", other, ""));
    callers_free(c);
}

/* The file holds no secret, only its hash. */
static void the_token_is_not_in_the_file(void **state)
{
    static const char *const all[] = {"*"};
    char token[CALLER_TOKEN_MAX], content[4096];
    assert_int_equal(add(*state, "a", PERMISSION_POLICY, all, 1, token), ERR_OK);
    FILE *f = fopen(scratch_path(*state, "callers"), "r");
    content[fread(content, 1, sizeof content - 1, f)] = '\0';
    fclose(f);
    assert_null(strstr(content, strchr(token, '.') + 1));
}

static void mistakes_name_file_line_and_key(void **state)
{
    static const struct {
        const char *text, *place, *what;
    } cases[] = {
        {"caller \"a\" {\n id = x\n secret_hash = 12\n permissions = {policy}\n tenants = {t}\n}\n",
         "callers:6:", "secret_hash"},
        {"caller \"a\" {\n id = x\n secret_hash = \"" HASH "\"\n permissions = {fly}\n tenants = "
         "{t}\n}\n",
         "callers:6:", "permissions"},
        {"caller \"a\" {\n id = x\n secret_hash = \"" HASH "\"\n tenants = {t}\n}\n",
         "callers:5:", "permissions"},
        {"caller \"a\" {\n id = x\n secret_hash = \"" HASH "\"\n permissions = {policy}\n}\n",
         "callers:5:", "tenants"},
        {"caller \"a\" {\n secret_hash = \"" HASH
         "\"\n permissions = {policy}\n tenants = {t}\n}\n",
         "callers:5:", "id"},
        {"caller \"a b\" {\n id = x\n secret_hash = \"" HASH
         "\"\n permissions = {policy}\n tenants = {t}\n}\n",
         "callers:6:", "name"},
        {"caller \"a\" {\n id = x\n secret_hash = \"" HASH
         "\"\n permissions = {policy}\n tenants = {\"*\", t}\n}\n",
         "callers:6:", "tenants"},
        {"caller \"a\" {\n colour = red\n}\n", "callers:2:", "colour"},
        {"caller \"a\" {\n permissions = {policy}\n tenants = {t}\n}\n", "callers:4:", "id"},
        {"caller \"a\" {\n san = \"a b\"\n permissions = {policy}\n tenants = {t}\n}\n",
         "callers:5:", "san"},
        {"caller \"a\" {\n san = b\n id = x\n permissions = {policy}\n tenants = {t}\n}\n",
         "callers:6:", "secret_hash"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct callers *c;
        struct err_text why = {0};
        const char *path = scratch_write(*state, "callers", cases[i].text, 0600);
        assert_int_equal(callers_load(&c, path, &why), ERR_INVALID);
        assert_non_null(strstr(why.text, cases[i].place));
        assert_non_null(strstr(why.text, cases[i].what));
    }
}

static void two_callers_do_not_share_an_id(void **state)
{
    struct callers *c;
    struct err_text why = {0};
#define ENTRY(name)                                                                                \
    "caller \"" name "\" {\n id = x\n secret_hash = \"" HASH                                       \
    "\"\n permissions = {policy}\n tenants = {t}\n}\n"
    const char *path = scratch_write(*state, "callers", ENTRY("a") ENTRY("b"), 0600);
    assert_int_equal(callers_load(&c, path, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "id"));
    path = scratch_write(*state, "callers", ENTRY("a"), 0644);
    assert_int_equal(callers_load(&c, path, &why), ERR_DENIED);
}

static void a_certificate_names_a_caller(void **state)
{
    static const char *const all[] = {"*"};
    static const char web_san[] = "spiffe://crm.example/web";
    char token[CALLER_TOKEN_MAX];
    struct callers *c;
    const char *path = scratch_path(*state, "callers");
    struct caller web = {.name = "web",
                         .san = web_san,
                         .permissions = PERMISSION_LOGIN_WEB,
                         .tenants = all,
                         .n_tenants = 1};
    struct caller ops = web;
    ops.name = "ops";
    assert_int_equal(callers_add(path, &web, token, NULL), ERR_OK);
    assert_string_equal(token, "");
    assert_int_equal(callers_add(path, &ops, token, NULL), ERR_EXISTS);
    ops.san = "OPS.crm.Example";
    assert_int_equal(callers_add(path, &ops, token, NULL), ERR_OK);
    assert_int_equal(add(*state, "third", PERMISSION_POLICY, all, 1, token), ERR_OK);
    ops.name = "fourth";
    ops.san = "ops.CRM.example";
    assert_int_equal(callers_add(path, &ops, token, NULL), ERR_EXISTS);
    ops.san = "with space";
    assert_int_equal(callers_add(path, &ops, token, NULL), ERR_INVALID);
    ops.san = "";
    assert_int_equal(callers_add(path, &ops, token, NULL), ERR_INVALID);
    assert_int_equal(callers_load(&c, scratch_path(*state, "callers"), NULL), ERR_OK);

    static const struct {
        const char *names[2];
        const char *caller;
    } cases[] = {{{web_san, "ops.crm.example"}, "web"},
                 {{"ops.crm.example", web_san}, "ops"},
                 {{"other", "ops.crm.example"}, "ops"},
                 {{"other", "spiffe://crm.example/WEB"}, NULL},
                 {{"", "OPS.crm.Example"}, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct caller *caller = callers_by_certificate(c, cases[i].names, 2);
        assert_int_equal(caller != NULL, cases[i].caller != NULL);
        if (caller != NULL)
            assert_string_equal(caller->name, cases[i].caller);
    }
    assert_null(callers_by_certificate(c, NULL, 0));
    assert_null(callers_authenticate(c, STR("Bearer .x"))); /* its id is no id */
    callers_free(c);
    c = callers_local();
    assert_string_equal(callers_by_certificate(c, NULL, 0)->name, "local");
    callers_free(c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_was_added_may_call),          TEST(nobody_else_may),
        TEST(a_removed_caller_is_gone),        TEST(the_token_is_not_in_the_file),
        TEST(mistakes_name_file_line_and_key), TEST(two_callers_do_not_share_an_id),
        TEST(a_certificate_names_a_caller),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
