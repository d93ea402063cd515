/* SPDX-License-Identifier: ISC */
#include "cli/cli_internal.h"

#include "base/buf.h"
#include "cli/arg_internal.h"
#include "cli/proto_json_internal.h"
#include "cli/term_internal.h"
#include "crypto/secret.h"

#define DEFAULT_SERVER     "127.0.0.1:7443"
#define DEFAULT_TIMEOUT_MS 10000
#define COMMAND_COLUMN     20
#define HELP_WORDS_MAX     8

static enum cli_exit run_help(struct cli_options *options, int argc, char **argv);

static const struct command cmd_help = {
    .name = "help", .summary = "Tell how a command is used", .run = run_help};
static const struct command *const commands[] = {
    &cmd_policy, &cmd_login_requirement, &cmd_enroll,  &cmd_verify, &cmd_reset, &cmd_health,
    &cmd_code,   &cmd_keyring,           &cmd_callers, &cmd_help,   NULL,
};
static const struct command top = {
    .name = "twostepctl",
    .summary = "Asks twostepd, the two-step verification service, and looks after its files.",
    .subs = commands,
};

/* ---- the options that every command takes -------------------------------------------- */

/* Without a short form. */
enum { OPTION_TLS = 0x100, OPTION_TLS_CA, OPTION_TLS_CERT, OPTION_TLS_KEY };

static const struct argp_option options_table[] = {
    {0, 0, 0, 0, "Options of every command:", 0},
    {"server", 's', "ADDR", 0,
     "Where twostepd listens: host:port, [v6]:port or unix:PATH (default " DEFAULT_SERVER ")", 0},
    {"token-file", 't', "FILE", 0, "A private file (mode 0600) with this caller's token", 0},
    {"tls", OPTION_TLS, 0, 0, "Speak TLS; the system's authorities vouch for the server", 0},
    {"tls-ca", OPTION_TLS_CA, "FILE", 0, "Speak TLS; these authorities vouch for it (PEM)", 0},
    {"tls-cert", OPTION_TLS_CERT, "FILE", 0, "Speak TLS, and show this certificate (PEM)", 0},
    {"tls-key", OPTION_TLS_KEY, "FILE", 0, "Its key (PEM, mode 0600)", 0},
    {"timeout", 'T', "TIME", 0, "How long to wait for an answer (default 10s)", 0},
    {"json", 'j', 0, 0, "Print the answer as JSON", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct cli_options *options = state->input;
    switch (key) {
    case 's':
        options->server = arg;
        return 0;
    case 't':
        options->token_file = arg;
        return 0;
    case OPTION_TLS:
        options->tls = true;
        return 0;
    case OPTION_TLS_CA:
        options->tls = true;
        options->tls_ca = arg;
        return 0;
    case OPTION_TLS_CERT:
        options->tls = true;
        options->tls_cert = arg;
        return 0;
    case OPTION_TLS_KEY:
        options->tls_key = arg;
        return 0;
    case ARGP_KEY_SUCCESS:
        if ((options->tls_cert == NULL) != (options->tls_key == NULL) && state->next == state->argc)
            argp_error(state, "--tls-cert and --tls-key go together");
        return 0;
    case 'T':
        if (!arg_duration(arg, &options->timeout_ms) || options->timeout_ms == 0)
            argp_error(state, "--timeout: '%s' is no time; 10s is one", arg);
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp options_argp = {.options = options_table, .parser = parse_option};
const struct argp_child cli_children[] = {{&options_argp, 0, NULL, 3}, {0}};

/* ---- finding the command ----------------------------------------------------------------- */

/* The options before the word that names a command; that word's index is the result. */
struct group_words {
    struct cli_options *options;
    int next;
};

static error_t parse_group(int key, char *arg, struct argp_state *state)
{
    struct group_words *words = state->input;
    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = words->options;
        return 0;
    case ARGP_KEY_ARG:
        words->next = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no command given");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void describe_commands(struct buf *out, const struct command *group, const char *prefix)
{
    for (const struct command *const *sub = group->subs; *sub != NULL; sub++) {
        const struct command *c = *sub;
        if (c->subs != NULL)
            describe_commands(out, c, c->name);
        else
            buf_printf(out, "  %s%s%-*s%s\n", prefix, *prefix == '\0' ? "" : " ",
                       COMMAND_COLUMN - (int)strlen(prefix) - (*prefix != '\0'), c->name,
                       c->summary);
    }
}

static const struct command *find(const struct command *group, const char *name)
{
    for (const struct command *const *sub = group->subs; *sub != NULL; sub++)
        if (strcmp((*sub)->name, name) == 0)
            return *sub;
    return NULL;
}

static enum cli_exit run_group(const struct command *group, struct cli_options *options, int argc,
                               char **argv);

static enum cli_exit run_named(const struct command *c, struct cli_options *options, int argc,
                               char **argv)
{
    return c->run != NULL ? c->run(options, argc, argv) : run_group(c, options, argc, argv);
}

/* argv[0] is the group's whole name. */
static enum cli_exit run_group(const struct command *group, struct cli_options *options, int argc,
                               char **argv)
{
    struct buf doc = BUF_INIT;
    buf_printf(&doc, "%s\n\n", group->summary);
    describe_commands(&doc, group, "");
    buf_printf(&doc, "\vEach command tells more with --help.\n\nExit status: 0 done or accepted, "
                     "1 the answer is no, 2 could not be decided, 64 wrong usage.");
    buf_append_byte(&doc, '\0');
    const struct argp argp = {.parser = parse_group,
                              .args_doc = "COMMAND [ARG...]",
                              .doc = (const char *)doc.data,
                              .children = cli_children};
    struct group_words words = {.options = options};
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &words);
    buf_release(&doc);

    const struct command *c = find(group, argv[words.next]);
    if (c == NULL) {
        term_problem("there is no command '%s'; '%s --help' lists them", argv[words.next], argv[0]);
        return CLI_USAGE;
    }
    char *name = NULL;
    if (asprintf(&name, "%s %s", argv[0], c->name) < 0)
        abort();
    argv[words.next] = name;
    enum cli_exit exit_code = run_named(c, options, argc - words.next, argv + words.next);
    free(name);
    return exit_code;
}

/* "help policy set" is "policy set --help". */
static enum cli_exit run_help(struct cli_options *options, int argc, char **argv)
{
    static char program[] = "twostepctl";
    static char option[] = "--help";
    char *words[HELP_WORDS_MAX] = {program};
    int n = 1;
    for (int i = 1; i < argc && n < HELP_WORDS_MAX - 1; i++)
        words[n++] = argv[i];
    words[n++] = option;
    return run_group(&top, options, n, words);
}

int main(int argc, char **argv)
{
    static char program[] = "twostepctl";
    struct cli_options options = {.server = DEFAULT_SERVER, .timeout_ms = DEFAULT_TIMEOUT_MS};
    struct err_text why = {0};
    argp_program_version = "twostepctl " TWOSTEP_VERSION;
    term_init();
    proto_json_init();
    argv[0] = program;
    enum cli_exit exit_code = CLI_UNDECIDED;
    if (secret_init(&why) != ERR_OK || secret_protect_process(&why) != ERR_OK)
        term_problem("%s", why.text);
    else
        exit_code = run_group(&top, &options, argc, argv);
    if (!term_finish() && exit_code != CLI_USAGE) {
        term_problem("standard output did not take the answer");
        exit_code = CLI_UNDECIDED;
    }
    return (int)exit_code;
}
