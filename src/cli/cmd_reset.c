/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/enrollment_internal.h"
#include "cli/human_internal.h"
#include "cli/names_internal.h"
#include "cli/remote_internal.h"
#include "cli/term_internal.h"
#include "crypto/secret.h"
#include "twostep/v1/twostep.pb-c.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_MAX 256

enum {
    KEY_LOCALE = 0x100,
    KEY_REQUEST_ID,
    KEY_CLIENT_ADDRESS,
};

static void show_state(Twostep__V1__ResetState reset_state)
{
    printf("%s\n", names_short(&twostep__v1__reset_state__descriptor, (int)reset_state));
}

static void show_until(const Google__Protobuf__Timestamp *expire_time)
{
    if (expire_time == NULL)
        return;
    char until[HUMAN_MAX];
    human_time(until, expire_time);
    term_field("good until", "%s", until);
}

/* ---- request */

static const struct argp_option request_options[] = {
    {"password-verified", 'p', 0, 0, "You have checked the user's password just now", 0},
    {"channel", 'c', "CHANNEL", 0, "How the user signs in: web or mobile", 0},
    {"locale", KEY_LOCALE, "LANG", 0, "The language of the mail: en, nl or de", 0},
    {"request-id", KEY_REQUEST_ID, "UUID", 0, "The same id again mails nothing again", 0},
    {"client-address", KEY_CLIENT_ADDRESS, "IP", 0, "The user's address, for the audit log", 0},
    {0},
};

struct request_args {
    struct cli_options *options;
    char *words[3]; /* tenant, user, mail address */
    Twostep__V1__ResetRequestRequest request;
};

static error_t parse_request(int key, char *arg, struct argp_state *state)
{
    struct request_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->options;
        return 0;
    case 'p':
        a->request.password_verified = 1;
        return 0;
    case 'c':
        a->request.channel = arg_channel(state, arg);
        return 0;
    case KEY_LOCALE:
        a->request.locale = arg;
        return 0;
    case KEY_REQUEST_ID:
        a->request.request_id = arg;
        return 0;
    case KEY_CLIENT_ADDRESS:
        a->request.client_address = arg;
        return 0;
    default:
        return arg_positional(key, arg, state, a->words, 3, 3);
    }
}

static enum cli_exit run_request(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = request_options,
        .parser = parse_request,
        .args_doc = "TENANT USER MAIL",
        .doc = "Mails the user a link that shows a new QR code.",
        .children = cli_children,
    };
    struct request_args a = {.options = options};
    twostep__v1__reset_request_request__init(&a.request);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    a.request.tenant_id = a.words[0];
    a.request.user_id = a.words[1];
    a.request.mail_address = a.words[2];

    struct remote_answer answer;
    enum cli_exit exit_code =
        remote_call(&answer, options, &twostep__v1__two_step_service__descriptor, "ResetRequest",
                    &a.request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    const Twostep__V1__ResetRequestResponse *r = (const void *)answer.message;
    if (options->json) {
        exit_code = remote_print_json(&answer);
    } else {
        show_state(r->state);
        term_field("reset", "%s", r->reset_id);
        show_until(r->expire_time);
        term_field("next", "twostepctl reset show '%s' %s", a.words[0], r->reset_id);
    }
    remote_answer_release(&answer);
    return exit_code;
}

/* ---- confirm */

struct confirm_args {
    struct enrollment_view view;
    struct enrollment_fields fields;
    char *words[3]; /* tenant, user, token */
    Twostep__V1__ResetConfirmRequest request;
};

static error_t parse_confirm(int key, char *arg, struct argp_state *state)
{
    struct confirm_args *a = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = a->view.options;
        return 0;
    }
    error_t e = enrollment_option(&a->view, &a->fields, key, arg, state);
    return e != ARGP_ERR_UNKNOWN ? e : arg_positional(key, arg, state, a->words, 3, 3);
}

static enum cli_exit confirm(const struct confirm_args *a)
{
    struct remote_answer answer;
    enum cli_exit exit_code =
        remote_call(&answer, a->view.options, &twostep__v1__two_step_service__descriptor,
                    "ResetConfirm", &a->request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    exit_code = enrollment_show(&a->view, &answer);
    remote_answer_release(&answer);
    return exit_code;
}

static enum cli_exit run_confirm(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = enrollment_options,
        .parser = parse_confirm,
        .args_doc = "TENANT USER TOKEN|-",
        .doc = "Turns the token of a mailed link into a new secret, and shows it this once. The "
               "old one works until the new one's first code came: 'twostepctl verify "
               "--enrollment-id'. With '-' the token is read from standard input, so that it does "
               "not stand in the list of processes.",
        .children = cli_children,
    };
    struct confirm_args a = {.view.options = options, .fields = ENROLLMENT_FIELDS(a.request)};
    twostep__v1__reset_confirm_request__init(&a.request);
    a.request.qr_format = TWOSTEP__V1__QR_FORMAT__QR_FORMAT_TEXT;
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    char token[TOKEN_MAX];
    if (strcmp(a.words[2], "-") == 0) {
        if (isatty(STDIN_FILENO) != 0)
            fputs("Token: ", stderr);
        if (arg_from_stdin(token, sizeof token) != ERR_OK) {
            term_problem("there is no token on standard input");
            return CLI_USAGE;
        }
        a.words[2] = token;
    }
    a.view.tenant = a.request.tenant_id = a.words[0];
    a.view.user = a.request.user_id = a.words[1];
    a.request.token = a.words[2];
    enum cli_exit exit_code = confirm(&a);
    secret_wipe(token, sizeof token);
    return exit_code;
}

/* ---- show */

struct show_args {
    struct cli_options *options;
    char *words[2]; /* tenant, reset */
};

static error_t parse_show(int key, char *arg, struct argp_state *state)
{
    struct show_args *a = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = a->options;
        return 0;
    }
    return arg_positional(key, arg, state, a->words, 2, 2);
}

/* Will no link of this reset ever work (any more)? */
static bool is_dead(Twostep__V1__ResetState state)
{
    return state == TWOSTEP__V1__RESET_STATE__RESET_STATE_FAILED ||
           state == TWOSTEP__V1__RESET_STATE__RESET_STATE_EXPIRED ||
           state == TWOSTEP__V1__RESET_STATE__RESET_STATE_REPLACED;
}

static enum cli_exit run_show(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse_show,
        .args_doc = "TENANT RESET",
        .doc = "Tells where a reset and its mail stand.\v"
               "Exit status 1 when its link does not work (any more): FAILED, EXPIRED, REPLACED.",
        .children = cli_children,
    };
    struct show_args a = {.options = options};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    Twostep__V1__GetResetRequest request;
    twostep__v1__get_reset_request__init(&request);
    request.tenant_id = a.words[0];
    request.reset_id = a.words[1];

    struct remote_answer answer;
    enum cli_exit exit_code = remote_call(
        &answer, options, &twostep__v1__two_step_service__descriptor, "GetReset", &request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    const Twostep__V1__GetResetResponse *r = (const void *)answer.message;
    if (options->json) {
        exit_code = remote_print_json(&answer);
    } else {
        show_state(r->state);
        term_field("tries", "%u", r->attempts);
        if (r->last_error[0] != '\0')
            term_field("mail server", "%s", r->last_error);
        show_until(r->expire_time);
    }
    if (exit_code == CLI_DONE && is_dead(r->state))
        exit_code = CLI_NO;
    remote_answer_release(&answer);
    return exit_code;
}

static const struct command cmd_request = {
    .name = "request", .summary = "Mail a user a link to a new QR code", .run = run_request};
static const struct command cmd_confirm = {
    .name = "confirm", .summary = "Turn a link's token into a new secret", .run = run_confirm};
static const struct command cmd_show = {
    .name = "show", .summary = "Tell where a reset and its mail stand", .run = run_show};
static const struct command *const subs[] = {&cmd_request, &cmd_confirm, &cmd_show, NULL};

const struct command cmd_reset = {
    .name = "reset", .summary = "Replaces a lost phone through a mailed link.", .subs = subs};
