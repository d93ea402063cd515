/* SPDX-License-Identifier: ISC */
#include "base/clock.h"
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/proto_json_internal.h"
#include "cli/term_internal.h"
#include "crypto/base32.h"
#include "crypto/secret.h"
#include "crypto/totp.h"
#include "twostep/v1/twostep.pb-c.h"

#include <unistd.h>

/* Base32 with room for the spaces and dashes that people paste. */
#define SECRET_TEXT_MAX 512
#define PERIOD_MAX_MS   (INT64_C(24) * 3600 * 1000)

static const struct argp_option options_table[] = {
    {"algorithm", 'a', "NAME", 0, "SHA1 (default), SHA256 or SHA512", 0},
    {"digits", 'd', "N", 0, "6 (default) to 8", 0},
    {"period", 'P', "TIME", 0, "The time step (default 30s)", 0},
    {"time", 'w', "WHEN", 0, "Another time than now: RFC 3339, @SECONDS, +30s or -1m", 0},
    {0},
};

struct code_args {
    struct cli_options *options;
    char *secret; /* NULL: from standard input */
    int algorithm;
    uint64_t digits;
    int64_t period_ms;
    int64_t unix_ms;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct code_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->options;
        return 0;
    case 'a':
        a->algorithm = arg_enum(state, "algorithm", &twostep__v1__algorithm__descriptor, arg);
        return 0;
    case 'd':
        if (!arg_number(arg, TOTP_DIGITS_MAX, &a->digits) || a->digits < TOTP_DIGITS_MIN)
            argp_error(state, "--digits: 6 to 8");
        return 0;
    case 'P':
        if (!arg_duration(arg, &a->period_ms) || a->period_ms == 0 || a->period_ms % 1000 != 0 ||
            a->period_ms > PERIOD_MAX_MS)
            argp_error(state, "--period: whole seconds, at most a day");
        return 0;
    case 'w':
        if (!arg_time(arg, clock_wall_ms(clock_system()), &a->unix_ms))
            argp_error(state, "--time: '%s' is no time", arg);
        return 0;
    default:
        return arg_positional(key, arg, state, &a->secret, 0, 1);
    }
}

/* The key from the argument or, for "-", from standard input. */
static bool read_key(struct secret *key, const char *argument)
{
    char text[SECRET_TEXT_MAX];
    uint8_t bytes[SECRET_MAX];
    size_t n = 0;
    enum err e = ERR_OK;
    if (argument == NULL || strcmp(argument, "-") == 0) {
        if (isatty(STDIN_FILENO) != 0)
            fputs("Secret: ", stderr);
        e = arg_from_stdin(text, sizeof text);
        argument = text;
    }
    if (e == ERR_OK)
        e = base32_decode(bytes, sizeof bytes, &n, str_from(argument));
    if (e == ERR_OK)
        secret_set(key, bytes, n);
    secret_wipe(text, sizeof text);
    secret_wipe(bytes, sizeof bytes);
    return e == ERR_OK && n > 0;
}

static enum cli_exit print_code(const struct code_args *a, const struct secret *key)
{
    struct err_text why = {0};
    char code[TOTP_DIGITS_MAX + 1];
    int64_t step = totp_step(a->unix_ms, (uint32_t)(a->period_ms / 1000));
    enum err e = totp_init(&why);
    if (e == ERR_OK)
        e = totp_code(code, key, (enum totp_hash)a->algorithm, (uint32_t)a->digits, step);
    if (e != ERR_OK) {
        term_problem("cannot compute a code: %s", *why.text == '\0' ? err_name(e) : why.text);
        return CLI_UNDECIDED;
    }
    if (a->options->json)
        proto_json_print(json_pack("{s:s}", "code", code));
    else
        puts(code);
    secret_wipe(code, sizeof code);
    return CLI_DONE;
}

static enum cli_exit run(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = options_table,
        .parser = parse,
        .args_doc = "[SECRET|-]",
        .doc = "Computes the one-time code of a base32 secret, as an authenticator app would. "
               "Without SECRET, or with '-', it is read from standard input, so that it does not "
               "stand in the list of processes. Asks no server.",
        .children = cli_children,
    };
    struct code_args a = {
        .options = options,
        .algorithm = TOTP_SHA1,
        .digits = TOTP_DIGITS_MIN,
        .period_ms = 30000,
        .unix_ms = clock_wall_ms(clock_system()),
    };
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    struct secret *key = secret_new();
    enum cli_exit exit_code = CLI_USAGE;
    if (read_key(key, a.secret))
        exit_code = print_code(&a, key);
    else
        term_problem("that is not a secret: base32 has the letters A to Z and the digits 2 to 7");
    secret_free(key);
    return exit_code;
}

const struct command cmd_code = {
    .name = "code", .summary = "Compute the code of a secret", .run = run};
