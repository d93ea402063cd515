/* SPDX-License-Identifier: ISC */
#include "daemon/command.h"

#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/settings.h"

#include <argp.h>
#include <stdio.h>
#include <sysexits.h>

enum { OPTION_CHECK = 256, OPTION_PRINT };

struct command {
    const char *config_file;
    bool check, print;
};

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct command *c = state->input;
    switch (key) {
    case 'c':
        c->config_file = arg;
        return 0;
    case OPTION_CHECK:
        c->check = true;
        return 0;
    case OPTION_PRINT:
        c->print = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: not an option; twostepd takes no arguments", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "read settings from FILE; TWOSTEP_… variables win over it", 0},
    {"check-config", OPTION_CHECK, NULL, 0, "check the settings and the files they name, and exit",
     0},
    {"print-config", OPTION_PRINT, NULL, 0, "print the settings as they are in effect, and exit",
     0},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = on_option,
    .doc =
        "Two-step verification as a service: enrols users with a QR code and checks their "
        "one-time codes, over gRPC."
        "\vExit status: 0 after a drained SIGTERM or SIGINT, 64 bad usage, 78 bad configuration, "
        "69 the store cannot be used, 70 an internal failure."};

static void print_version(FILE *out, struct argp_state *state)
{
    (void)state;
    fputs("twostepd " TWOSTEP_VERSION "\n", out);
}

int command_main(int argc, char **argv, struct clock *clock)
{
    struct command command = {0};
    argp_program_version_hook = print_version;
    argp_parse(&argp, argc, argv, 0, NULL, &command);

    struct settings settings;
    struct err_text why;
    if (settings_load(command.config_file, &settings, &why) != ERR_OK) {
        log_event(LOG_ERROR, "start_failed", log_c("part", "settings"), log_c("detail", why.text),
                  log_i("exit", EX_CONFIG));
        return EX_CONFIG;
    }
    enum log_level level;
    if (log_level_parse(str_from(settings.log_level), &level))
        log_set_level(level);
    int status = 0;
    if (command.print)
        settings_print(&settings);
    if (command.check)
        status = daemon_check(&settings);
    else if (!command.print)
        status = daemon_run(command.config_file, &settings, clock);
    settings_release(&settings);
    return status;
}
