/* SPDX-License-Identifier: ISC */
#include "base/mem.h"
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/proto_json_internal.h"
#include "cli/term_internal.h"
#include "crypto/secret.h"
#include "rpc/callers.h"

static const enum permission all_permissions[] = {PERMISSION_LOGIN_WEB, PERMISSION_LOGIN_MOBILE,
                                                  PERMISSION_POLICY, PERMISSION_ADMIN};
#define N_PERMISSIONS (sizeof all_permissions / sizeof all_permissions[0])

struct callers_args {
    struct cli_options *options;
    char *words[2]; /* file, name */
    unsigned n_words;
    uint32_t permissions;
    char *tenants[CALLER_TENANTS_MAX]; /* pieces of what was given */
    size_t n_tenants;
    const char *san;
};

static enum cli_exit failed(enum err e, const struct err_text *why)
{
    term_problem("%s", why->text);
    return e == ERR_INVALID ? CLI_USAGE : CLI_UNDECIDED;
}

/* ---- the command line ----------------------------------------------------------------- */

static const struct argp_option add_options[] = {
    {"permissions", 'P', "LIST", 0,
     "What the caller may do: login:web, login:mobile, policy, admin", 0},
    {"tenants", 'n', "LIST", 0, "Which tenants it may reach, or '*' for all", 0},
    {"san", 'S', "NAME", 0,
     "No token: it is known by this URI or DNS name in its client certificate", 0},
    {0},
};

static void add_permissions(struct callers_args *a, char *list, const struct argp_state *state)
{
    char *rest = list;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        uint32_t p;
        if (!caller_permission_parse(str_from(name), &p))
            argp_error(state, "--permissions: '%s' is none of login:web login:mobile policy admin",
                       name);
        else
            a->permissions |= p;
    }
}

static void add_tenants(struct callers_args *a, char *list, const struct argp_state *state)
{
    char *rest = list;
    for (char *tenant; (tenant = strsep(&rest, ",")) != NULL;) {
        if (a->n_tenants == CALLER_TENANTS_MAX)
            argp_error(state, "--tenants: at most %d", CALLER_TENANTS_MAX);
        else
            a->tenants[a->n_tenants++] = tenant;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct callers_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->options;
        return 0;
    case 'P':
        add_permissions(a, arg, state);
        return 0;
    case 'n':
        add_tenants(a, arg, state);
        return 0;
    case 'S':
        a->san = arg;
        return 0;
    default:
        return arg_positional(key, arg, state, a->words, a->n_words, a->n_words);
    }
}

static error_t parse_add(int key, char *arg, struct argp_state *state)
{
    const struct callers_args *a = state->input;
    if (key == ARGP_KEY_SUCCESS && a->permissions == 0)
        argp_error(state, "say what it may do: --permissions=login:web");
    else if (key == ARGP_KEY_SUCCESS && a->n_tenants == 0)
        argp_error(state, "say which tenants it may reach: --tenants=acme,globex or --tenants='*'");
    return parse(key, arg, state);
}

/* ---- add ----------------------------------------------------------------------------------- */

static void print_added(const struct callers_args *a)
{
    if (a->options->json)
        proto_json_print(json_pack("{s:s,s:s}", "name", a->words[1], "san", a->san));
    else
        term_field("added", "%s; twostepd knows it after SIGHUP or a restart", a->words[1]);
}

static void print_token(const struct callers_args *a, const char *token)
{
    if (a->options->json) {
        proto_json_print(json_pack("{s:s,s:s}", "name", a->words[1], "token", token));
        return;
    }
    puts(token);
    term_problem("that is the token of '%s'; it is shown this once", a->words[1]);
    term_detail("twostepd knows it after SIGHUP or a restart");
}

static enum cli_exit run_add(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = add_options,
        .parser = parse_add,
        .args_doc = "FILE NAME",
        .doc = "Adds a caller and prints its token, which is in no file; with --san it has none. "
               "Makes the file, mode 0600, when there is none.",
        .children = cli_children,
    };
    struct callers_args a = {.options = options, .n_words = 2};
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    const struct caller caller = {
        .name = a.words[1],
        .san = a.san,
        .permissions = a.permissions,
        .tenants = (const char *const *)a.tenants,
        .n_tenants = a.n_tenants,
    };
    struct err_text why = {0};
    char token[CALLER_TOKEN_MAX];
    enum err e = callers_add(a.words[0], &caller, token, &why);
    if (e != ERR_OK)
        return failed(e, &why);
    if (a.san != NULL)
        print_added(&a);
    else
        print_token(&a, token);
    secret_wipe(token, sizeof token);
    return CLI_DONE;
}

/* ---- list ---------------------------------------------------------------------------------- */

static json_t *caller_json(const struct caller *c)
{
    json_t *permissions = json_array();
    for (size_t i = 0; i < N_PERMISSIONS; i++)
        if ((c->permissions & (uint32_t)all_permissions[i]) != 0)
            json_array_append_new(permissions,
                                  json_string(caller_permission_name(all_permissions[i])));
    json_t *tenants = json_array();
    for (size_t i = 0; i < c->n_tenants; i++)
        json_array_append_new(tenants, json_string(c->tenants[i]));
    return json_pack("{s:s,s:s,s:s*,s:o,s:o}", "name", c->name, "id", c->id, "san", c->san,
                     "permissions", permissions, "tenants", tenants);
}

static void show_caller(const struct caller *c)
{
    printf("%s\n", c->name);
    if (c->id[0] != '\0')
        printf("  id           %s\n", c->id);
    if (c->san != NULL)
        printf("  san          %s\n", c->san);
    printf("  permissions ");
    for (size_t i = 0; i < N_PERMISSIONS; i++)
        if ((c->permissions & (uint32_t)all_permissions[i]) != 0)
            printf(" %s", caller_permission_name(all_permissions[i]));
    printf("\n  tenants     ");
    for (size_t i = 0; i < c->n_tenants; i++) {
        putchar(' ');
        term_text(stdout, c->tenants[i]);
    }
    putchar('\n');
}

static enum cli_exit run_list(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "FILE",
        .doc = "Lists the callers and what they may do.",
        .children = cli_children,
    };
    struct callers_args a = {.options = options, .n_words = 1};
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    struct err_text why = {0};
    struct callers *callers;
    enum err e = callers_load(&callers, a.words[0], &why);
    if (e != ERR_OK)
        return failed(ERR_UNAVAILABLE, &why);
    json_t *list = json_array();
    for (size_t i = 0; i < callers_count(callers); i++) {
        if (options->json)
            json_array_append_new(list, caller_json(callers_at(callers, i)));
        else
            show_caller(callers_at(callers, i));
    }
    if (options->json)
        proto_json_print(json_pack("{s:O}", "callers", list));
    json_decref(list);
    callers_free(callers);
    return CLI_DONE;
}

/* ---- remove -------------------------------------------------------------------------------- */

static enum cli_exit run_remove(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "FILE NAME",
        .doc = "Removes a caller: its token or certificate is nobody's once twostepd has "
               "reloaded (SIGHUP) or restarted.",
        .children = cli_children,
    };
    struct callers_args a = {.options = options, .n_words = 2};
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    struct err_text why = {0};
    enum err e = callers_remove(a.words[0], a.words[1], &why);
    if (e != ERR_OK)
        return failed(e, &why);
    if (options->json)
        proto_json_print(json_pack("{s:s}", "name", a.words[1]));
    else
        term_field("removed", "%s; twostepd refuses it after SIGHUP or a restart", a.words[1]);
    return CLI_DONE;
}

static const struct command add = {
    .name = "add", .summary = "Add a caller and print its token once", .run = run_add};
static const struct command list = {.name = "list", .summary = "List the callers", .run = run_list};
static const struct command removal = {
    .name = "remove", .summary = "Remove a caller", .run = run_remove};

const struct command cmd_callers = {
    .name = "callers",
    .summary = "Looks after the file that says who may call.",
    .subs = (const struct command *const[]){&add, &list, &removal, NULL},
};
