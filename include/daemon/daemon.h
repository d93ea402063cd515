/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

/* twostepd: everything, started in order and stopped in reverse. Thread: main. */

struct clock;
struct settings;

/* Serves until SIGTERM or SIGINT, then drains. Returns the exit status of the process:
 * 0 drained, 78 bad configuration (a file, the keyring, an address), 69 the store cannot be
 * used now, 70 an internal failure. config_file, which may be NULL, is where the settings are from;
 * what they hold is replaced at a reload. clock tells the time to everything inside. */
int daemon_run(const char *config_file, struct settings *settings, struct clock *clock);

/* Reads and checks what the settings name, without the store and without serving:
 * 0, or as daemon_run. */
int daemon_check(struct settings *settings);

#endif
