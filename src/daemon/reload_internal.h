/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_RELOAD_INTERNAL_H
#define DAEMON_RELOAD_INTERNAL_H

/* Reads settings, certificates, callers, keyring and mail templates again and puts them in place
 * of those in effect: all of them or none. Thread: main. */

#include "base/err.h"
#include "domain/domain.h"

struct callers;
struct grpc_server;
struct keyring;
struct listeners;
struct mailroom;
struct rpc;
struct settings;

/* What runs, where a reload can change it. */
struct reload {
    const char *config_file;       /* NULL: the environment alone */
    struct settings *set;          /* in effect; what it holds is replaced */
    struct keyring *keyring;       /* as set */
    const struct callers *callers; /* the rpc's */
    struct listeners *listeners;
    struct domain_shared *shared;
    struct rpc *rpc;
    struct grpc_server *server;
    struct mailroom *mailroom; /* NULL: no mail is sent */
};

/* Logs one line: `reloaded` and what changed, or `reload_failed` and what is wrong, and then
 * nothing has changed. */
void reload_run(struct reload *r);

/* As the settings say. */
struct domain_rules reload_rules(const struct settings *set);

/* Reads the callers file, or lets everybody in who comes when there is none. */
MUST_CHECK enum err reload_read_callers(struct callers **out, const struct settings *set,
                                        struct err_text *why);

#endif
