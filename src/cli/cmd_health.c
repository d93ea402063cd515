/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/names_internal.h"
#include "cli/remote_internal.h"
#include "cli/term_internal.h"
#include "grpc/health/v1/health.pb-c.h"

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING

struct health_args {
    struct cli_options *options;
    char *service;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct health_args *a = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = a->options;
        return 0;
    }
    return arg_positional(key, arg, state, &a->service, 0, 1);
}

static enum cli_exit run(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "[SERVICE]",
        .doc = "Asks whether twostepd, or one of its services, is serving.\v"
               "Exit status 1 when it answers and is not serving, 2 when there is no answer.",
        .children = cli_children,
    };
    struct health_args a = {.options = options};
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    Grpc__Health__V1__HealthCheckRequest request;
    grpc__health__v1__health_check_request__init(&request);
    if (a.service != NULL)
        request.service = a.service;
    struct remote_answer answer;
    enum cli_exit exit_code = remote_call(&answer, options, &grpc__health__v1__health__descriptor,
                                          "Check", &request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    const Grpc__Health__V1__HealthCheckResponse *health =
        (const Grpc__Health__V1__HealthCheckResponse *)answer.message;
    if (options->json)
        exit_code = remote_print_json(&answer);
    else
        printf("%s\n",
               names_short(&grpc__health__v1__health_check_response__serving_status__descriptor,
                           (int)health->status));
    if (exit_code == CLI_DONE && health->status != SERVING)
        exit_code = CLI_NO;
    remote_answer_release(&answer);
    return exit_code;
}

const struct command cmd_health = {
    .name = "health", .summary = "Ask whether the service is serving", .run = run};
