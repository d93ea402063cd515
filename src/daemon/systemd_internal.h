/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_SYSTEMD_INTERNAL_H
#define DAEMON_SYSTEMD_INTERNAL_H

/* What a service manager and a service say to each other: sd_listen_fds(3) and sd_notify(3)
 * without their library. Without a manager nothing happens. Thread: startup. */

#include <stddef.h>

/* The first socket that was passed; the others follow. */
#define SYSTEMD_FIRST_FD 3

/* How many listening sockets were passed to this process. Asked once: what it goes by is
 * taken out of the environment, so that no child takes it for its own. */
int systemd_take_sockets(void);

/* Sends one state, such as "READY=1". */
void systemd_notify(const char *state);

/* "RELOADING=1" and what belongs to it; "READY=1" ends it. */
void systemd_notify_reloading(void);

#endif
