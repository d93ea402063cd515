/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/enrollment_internal.h"
#include "cli/remote_internal.h"
#include "twostep/v1/twostep.pb-c.h"

enum { KEY_QR_FILE = 0x100, KEY_NOTIFY, KEY_LOCALE, KEY_CLIENT_ADDRESS };

static const struct argp_option options_table[] = {
    {"password-verified", 'p', 0, 0, "You have checked the user's password just now", 0},
    {"account-name", 'a', "NAME", 0, "The name beside the issuer in the app", 0},
    {"channel", 'c', "CHANNEL", 0, "How the user signs in: web or mobile", 0},
    {"qr", 'q', "FORMAT", 0, "How to draw the QR code: text (default), png, svg or none", 0},
    {"qr-file", KEY_QR_FILE, "FILE", 0, "Write the QR code to this file, mode 0600", 0},
    {"notify-address", KEY_NOTIFY, "MAIL", 0, "Where a notice of the change is mailed", 0},
    {"locale", KEY_LOCALE, "LANG", 0, "The language of that notice", 0},
    {"client-address", KEY_CLIENT_ADDRESS, "IP", 0, "The user's address, for the audit log", 0},
    {0},
};

struct enroll_args {
    struct cli_options *options;
    struct enrollment_view view;
    char *words[2]; /* tenant, user */
    Twostep__V1__EnrollRequest request;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct enroll_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->options;
        return 0;
    case 'p':
        a->request.password_verified = 1;
        return 0;
    case 'a':
        a->request.account_name = arg;
        return 0;
    case 'c':
        a->view.channel = arg;
        a->request.channel = (Twostep__V1__Channel)arg_enum(state, "channel",
                                                            &twostep__v1__channel__descriptor, arg);
        return 0;
    case 'q':
        a->request.qr_format =
            (Twostep__V1__QrFormat)arg_enum(state, "qr", &twostep__v1__qr_format__descriptor, arg);
        return 0;
    case KEY_QR_FILE:
        a->view.qr_file = arg;
        return 0;
    case KEY_NOTIFY:
        a->request.notify_address = arg;
        return 0;
    case KEY_LOCALE:
        a->request.locale = arg;
        return 0;
    case KEY_CLIENT_ADDRESS:
        a->request.client_address = arg;
        return 0;
    case ARGP_KEY_SUCCESS:
        enrollment_check(&a->view, a->request.qr_format, state);
        return 0;
    default:
        return arg_positional(key, arg, state, a->words, 2, 2);
    }
}

static enum cli_exit enroll(const struct enroll_args *a)
{
    struct remote_answer answer;
    enum cli_exit exit_code =
        remote_call(&answer, a->view.options, &twostep__v1__two_step_service__descriptor, "Enroll",
                    &a->request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    exit_code = enrollment_show(&a->view, &answer);
    remote_answer_release(&answer);
    return exit_code;
}

static enum cli_exit run(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = options_table,
        .parser = parse,
        .args_doc = "TENANT USER",
        .doc = "Makes a new secret for a user who has none, and shows it this once. It opens "
               "nothing before its first code came: 'twostepctl verify --enrollment-id'.",
        .children = cli_children,
    };
    struct enroll_args a = {.options = options, .view.options = options};
    twostep__v1__enroll_request__init(&a.request);
    a.request.qr_format = TWOSTEP__V1__QR_FORMAT__QR_FORMAT_TEXT;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    a.view.tenant = a.request.tenant_id = a.words[0];
    a.view.user = a.request.user_id = a.words[1];
    return enroll(&a);
}

const struct command cmd_enroll = {
    .name = "enroll", .summary = "Make a new secret for a user, with its QR code", .run = run};
