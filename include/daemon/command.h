/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_COMMAND_H
#define DAEMON_COMMAND_H

/* The command line of twostepd. Thread: main. */

struct clock;

/* Reads the arguments and does what they say; returns the exit status of the process.
 * Bad usage ends the process with 64. */
int command_main(int argc, char **argv, struct clock *clock);

#endif
