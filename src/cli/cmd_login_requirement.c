/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/human_internal.h"
#include "cli/names_internal.h"
#include "cli/remote_internal.h"
#include "cli/term_internal.h"
#include "twostep/v1/twostep.pb-c.h"

static const struct argp_option options_table[] = {
    {"channel", 'c', "CHANNEL", 0, "How the user signs in: web or mobile", 0},
    {0},
};

struct requirement_args {
    struct cli_options *options;
    char *words[2]; /* tenant, user */
    Twostep__V1__Channel channel;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct requirement_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->options;
        return 0;
    case 'c':
        a->channel = arg_channel(state, arg);
        return 0;
    default:
        return arg_positional(key, arg, state, a->words, 2, 2);
    }
}

static const char *meaning(Twostep__V1__LoginRequirement requirement)
{
    static const char *const meanings[] = {
        [TWOSTEP__V1__LOGIN_REQUIREMENT__LOGIN_REQUIREMENT_NOTHING] = "no code is asked",
        [TWOSTEP__V1__LOGIN_REQUIREMENT__LOGIN_REQUIREMENT_CODE] = "ask for a code",
        [TWOSTEP__V1__LOGIN_REQUIREMENT__LOGIN_REQUIREMENT_ENROLL] =
            "show a QR code: the user has no secret yet",
    };
    size_t i = (size_t)requirement;
    bool known = i < sizeof meanings / sizeof meanings[0] && meanings[i] != NULL;
    return known ? meanings[i] : "an answer that this twostepctl does not know";
}

static void show(const Twostep__V1__GetLoginRequirementResponse *r)
{
    term_field("next screen", "%s (%s)",
               names_short(&twostep__v1__login_requirement__descriptor, (int)r->requirement),
               meaning(r->requirement));
    if (r->reason != TWOSTEP__V1__REASON__REASON_UNSPECIFIED)
        term_field("because", "%s", names_short(&twostep__v1__reason__descriptor, (int)r->reason));
    term_field("remember password", "%s", r->may_remember_password ? "may be offered" : "no");
    if (r->retry_after != NULL) {
        char wait[HUMAN_MAX];
        human_duration(wait, r->retry_after);
        term_field("locked", "no code is looked at for %s", wait);
    }
    if (r->reset_by_mail_available)
        term_field("reset by mail", "may be offered");
}

static enum cli_exit run(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = options_table,
        .parser = parse,
        .args_doc = "TENANT USER",
        .doc = "Asks which screen comes after the password of this user. Changes nothing.",
        .children = cli_children,
    };
    struct requirement_args a = {.options = options};
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    Twostep__V1__GetLoginRequirementRequest request;
    twostep__v1__get_login_requirement_request__init(&request);
    request.tenant_id = a.words[0];
    request.user_id = a.words[1];
    request.channel = a.channel;
    struct remote_answer answer;
    enum cli_exit exit_code =
        remote_call(&answer, options, &twostep__v1__two_step_service__descriptor,
                    "GetLoginRequirement", &request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (options->json)
        exit_code = remote_print_json(&answer);
    else
        show((const Twostep__V1__GetLoginRequirementResponse *)answer.message);
    remote_answer_release(&answer);
    return exit_code;
}

const struct command cmd_login_requirement = {
    .name = "login-requirement", .summary = "Ask what comes after the password", .run = run};
