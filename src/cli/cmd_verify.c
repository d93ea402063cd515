/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/human_internal.h"
#include "cli/names_internal.h"
#include "cli/remote_internal.h"
#include "cli/term_internal.h"
#include "crypto/secret.h"
#include "twostep/v1/twostep.pb-c.h"

#include <unistd.h>

#define CODE_MAX 128

enum { KEY_REQUEST_ID = 0x100, KEY_CLIENT_ADDRESS };

static const struct argp_option options_table[] = {
    {"password-verified", 'p', 0, 0, "You have checked the user's password just now", 0},
    {"enrollment-id", 'e', "ID", 0, "Confirm this enrolment with its first code", 0},
    {"recovery-code", 'r', 0, 0, "CODE is a recovery code", 0},
    {"channel", 'c', "CHANNEL", 0, "How the user signs in: web or mobile", 0},
    {"request-id", KEY_REQUEST_ID, "UUID", 0,
     "The same id again gets the first answer again and counts nothing", 0},
    {"client-address", KEY_CLIENT_ADDRESS, "IP", 0, "The user's address, for the audit log", 0},
    {0},
};

struct verify_args {
    struct cli_options *options;
    char *words[3]; /* tenant, user, code */
    bool is_recovery_code;
    Twostep__V1__VerifyRequest request;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct verify_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->options;
        return 0;
    case 'p':
        a->request.password_verified = 1;
        return 0;
    case 'e':
        a->request.enrollment_id = arg;
        return 0;
    case 'r':
        a->is_recovery_code = true;
        return 0;
    case 'c':
        a->request.channel = arg_channel(state, arg);
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

static bool lets_in(Twostep__V1__VerifyOutcome outcome)
{
    return outcome == TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_ACCEPTED ||
           outcome == TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_NOT_REQUIRED;
}

static const char *meaning(Twostep__V1__VerifyOutcome outcome)
{
    static const char *const meanings[] = {
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_ACCEPTED] =
            "the right code; it is used up now",
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_WRONG_CODE] = "not a code of this time",
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_REPLAYED_CODE] =
            "this code, or a newer one, was used before: wait for the next",
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_LOCKED] =
            "too many attempts: no code is looked at now",
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_NOT_ENROLLED] =
            "the user has no confirmed secret: enroll comes first",
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_NOT_REQUIRED] =
            "no code is asked of this user now: the user may come in without one",
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_SUPERSEDED_SECRET] =
            "a code of the old entry in the app: the newer secret waits for its first code",
        [TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_ENROLLMENT_EXPIRED] =
            "no such enrolment is waiting (any more): enroll again",
    };
    size_t i = (size_t)outcome;
    bool known = i < sizeof meanings / sizeof meanings[0] && meanings[i] != NULL;
    return known ? meanings[i] : "an answer that this twostepctl does not know: take it as a no";
}

static void show(const Twostep__V1__VerifyResponse *r)
{
    printf("%s: %s\n", names_short(&twostep__v1__verify_outcome__descriptor, (int)r->outcome),
           meaning(r->outcome));
    if (r->reason != TWOSTEP__V1__REASON__REASON_UNSPECIFIED)
        term_field("because", "%s", names_short(&twostep__v1__reason__descriptor, (int)r->reason));
    if (r->retry_after != NULL) {
        char wait[HUMAN_MAX];
        human_duration(wait, r->retry_after);
        term_field("try again in", "%s", wait);
    }
    if (r->enrollment_id != NULL && *r->enrollment_id != '\0')
        term_field("enrolment", "%s", r->enrollment_id);
}

static enum cli_exit verify(struct verify_args *a)
{
    struct remote_answer answer;
    enum cli_exit exit_code =
        remote_call(&answer, a->options, &twostep__v1__two_step_service__descriptor, "Verify",
                    &a->request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    const Twostep__V1__VerifyResponse *r = (const Twostep__V1__VerifyResponse *)answer.message;
    if (a->options->json)
        exit_code = remote_print_json(&answer);
    else
        show(r);
    if (exit_code == CLI_DONE && !lets_in(r->outcome))
        exit_code = CLI_NO;
    remote_answer_release(&answer);
    return exit_code;
}

static enum cli_exit run(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = options_table,
        .parser = parse,
        .args_doc = "TENANT USER CODE|-",
        .doc = "Asks whether a code is right. With '-' the code is read from standard input, so "
               "that it does not stand in the list of processes.\v"
               "Exit status 0 for ACCEPTED and NOT_REQUIRED, which let the user in; 1 for every "
               "other outcome.",
        .children = cli_children,
    };
    struct verify_args a = {.options = options};
    twostep__v1__verify_request__init(&a.request);
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    char code[CODE_MAX];
    char *word = a.words[2];
    if (strcmp(word, "-") == 0) {
        if (isatty(STDIN_FILENO) != 0)
            fputs("Code: ", stderr);
        if (arg_from_stdin(code, sizeof code) != ERR_OK) {
            term_problem("there is no code on standard input");
            return CLI_USAGE;
        }
        word = code;
    }
    a.request.tenant_id = a.words[0];
    a.request.user_id = a.words[1];
    *(a.is_recovery_code ? &a.request.recovery_code : &a.request.code) = word;
    enum cli_exit exit_code = verify(&a);
    secret_wipe(code, sizeof code);
    return exit_code;
}

const struct command cmd_verify = {
    .name = "verify", .summary = "Ask whether a code is right", .run = run};
