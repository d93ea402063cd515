/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_PROCESS_INTERNAL_H
#define DAEMON_PROCESS_INTERNAL_H

/* What the process itself is and uses, as metrics with the names that Prometheus' own clients
 * have. Thread: startup. */

struct metrics;

void process_count_into(struct metrics *m);

#endif
