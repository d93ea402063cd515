/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/enrollment_internal.h"
#include "cli/remote_internal.h"
#include "twostep/v1/twostep.pb-c.h"

struct enroll_args {
    struct enrollment_view view;
    struct enrollment_fields fields;
    char *words[2]; /* tenant, user */
    Twostep__V1__EnrollRequest request;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct enroll_args *a = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = a->view.options;
        return 0;
    }
    error_t e = enrollment_option(&a->view, &a->fields, key, arg, state);
    return e != ARGP_ERR_UNKNOWN ? e : arg_positional(key, arg, state, a->words, 2, 2);
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
        .options = enrollment_options,
        .parser = parse,
        .args_doc = "TENANT USER",
        .doc = "Makes a new secret for a user who has none, and shows it this once. It opens "
               "nothing before its first code came: 'twostepctl verify --enrollment-id'.",
        .children = cli_children,
    };
    struct enroll_args a = {.view.options = options, .fields = ENROLLMENT_FIELDS(a.request)};
    twostep__v1__enroll_request__init(&a.request);
    a.request.qr_format = TWOSTEP__V1__QR_FORMAT__QR_FORMAT_TEXT;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    a.view.tenant = a.request.tenant_id = a.words[0];
    a.view.user = a.request.user_id = a.words[1];
    return enroll(&a);
}

const struct command cmd_enroll = {
    .name = "enroll", .summary = "Make a new secret for a user, with its QR code", .run = run};
