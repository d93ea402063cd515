/* SPDX-License-Identifier: ISC */
#include "base/file.h"
#include "base/str.h"
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/human_internal.h"
#include "cli/names_internal.h"
#include "cli/remote_internal.h"
#include "cli/term_internal.h"
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
    char *words[2]; /* tenant, user */
    const char *qr_file;
    Twostep__V1__EnrollRequest request;
};

static bool is_image(Twostep__V1__QrFormat format)
{
    return format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_PNG ||
           format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_SVG;
}

static void check(const struct enroll_args *a, const struct argp_state *state)
{
    if (is_image(a->request.qr_format) && a->qr_file == NULL && !a->options->json)
        argp_error(state, "an image does not go to a terminal: add --qr-file=FILE");
    if (a->request.qr_format == TWOSTEP__V1__QR_FORMAT__QR_FORMAT_NONE && a->qr_file != NULL)
        argp_error(state, "--qr=none leaves nothing for --qr-file");
}

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
        a->request.channel = (Twostep__V1__Channel)arg_enum(state, "channel",
                                                            &twostep__v1__channel__descriptor, arg);
        return 0;
    case 'q':
        a->request.qr_format =
            (Twostep__V1__QrFormat)arg_enum(state, "qr", &twostep__v1__qr_format__descriptor, arg);
        return 0;
    case KEY_QR_FILE:
        a->qr_file = arg;
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
        check(a, state);
        return 0;
    default:
        return arg_positional(key, arg, state, a->words, 2, 2);
    }
}

static struct str drawn(const Twostep__V1__EnrollResponse *r)
{
    if (r->qr_png.len > 0)
        return (struct str){.p = (const char *)r->qr_png.data, .len = r->qr_png.len};
    return str_from(*r->qr_svg != '\0' ? r->qr_svg : r->qr_text);
}

static void show(const struct enroll_args *a, const Twostep__V1__EnrollResponse *r)
{
    if (a->qr_file == NULL && *r->qr_text != '\0')
        term_qr(r->qr_text);
    term_field("secret", "%s", r->secret_base32);
    term_field("uri", "%s", r->otpauth_uri);
    term_field("enrolment", "%s", r->enrollment_id);
    if (r->expire_time != NULL) {
        char until[HUMAN_MAX];
        human_time(until, r->expire_time);
        term_field("good until", "%s", until);
    }
    for (size_t i = 0; i < r->n_app_hints; i++)
        term_field("mind", "%s", r->app_hints[i]);
    term_field("next", "twostepctl verify '%s' '%s' CODE --enrollment-id=%s --password-verified",
               a->words[0], a->words[1], r->enrollment_id);
}

static enum cli_exit enroll(const struct enroll_args *a)
{
    struct remote_answer answer;
    enum cli_exit exit_code =
        remote_call(&answer, a->options, &twostep__v1__two_step_service__descriptor, "Enroll",
                    &a->request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    const Twostep__V1__EnrollResponse *r = (const Twostep__V1__EnrollResponse *)answer.message;
    if (a->options->json)
        exit_code = remote_print_json(&answer);
    else
        show(a, r);
    struct err_text why = {0};
    struct str qr = drawn(r);
    if (a->qr_file != NULL &&
        file_write_private(a->qr_file, (const uint8_t *)qr.p, qr.len, false, &why) != ERR_OK) {
        term_problem("%s", why.text);
        term_detail("the enrolment was made: show its uri as a QR code, or enroll again");
        exit_code = CLI_UNDECIDED;
    }
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
    struct enroll_args a = {.options = options};
    twostep__v1__enroll_request__init(&a.request);
    a.request.qr_format = TWOSTEP__V1__QR_FORMAT__QR_FORMAT_TEXT;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    a.request.tenant_id = a.words[0];
    a.request.user_id = a.words[1];
    return enroll(&a);
}

const struct command cmd_enroll = {
    .name = "enroll", .summary = "Make a new secret for a user, with its QR code", .run = run};
