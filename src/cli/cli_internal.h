/* SPDX-License-Identifier: ISC */
#ifndef CLI_CLI_INTERNAL_H
#define CLI_CLI_INTERNAL_H

/* What the commands of twostepctl share: the options that every one of them takes,
 * the exit codes, and how a command describes itself. One thread. */

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

enum cli_exit {
    CLI_DONE = 0,
    CLI_NO = 1,        /* decided, and the answer is no */
    CLI_UNDECIDED = 2, /* no answer: an error of the service, no connection, no file */
    CLI_USAGE = 64,
};

struct cli_options {
    const char *server;
    const char *token_file; /* NULL: no credential is sent */
    bool tls;
    const char *tls_ca, *tls_cert, *tls_key; /* files; NULL: none */
    int64_t timeout_ms;
    bool json;
};

/* The options above, for the children of a command's argp. Their parser takes the
 * struct cli_options as input. */
extern const struct argp_child cli_children[];

/* A command, or a group of commands that has no work of its own. */
struct command {
    const char *name;
    const char *summary;
    const struct command *const *subs; /* of a group, ends in NULL */

    /* argv[0] is the whole name ("twostepctl policy get"). Parses with argp, which
     * exits on bad usage; whatever else goes wrong is told and returned. */
    enum cli_exit (*run)(struct cli_options *options, int argc, char **argv);
};

extern const struct command cmd_callers, cmd_code, cmd_enroll, cmd_health, cmd_keyring,
    cmd_login_requirement, cmd_policy, cmd_reset, cmd_verify;

#endif
