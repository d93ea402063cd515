/* SPDX-License-Identifier: ISC */
#ifndef GRPC_DIAL_INTERNAL_H
#define GRPC_DIAL_INTERNAL_H

/* Connects a socket to an address as grpc/client.h takes it. Thread: any; blocks. */

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A connected, non-blocking socket in *fd_out. Tries all that a host name stands for, up
 * to deadline_ms on the system's monotonic clock. ERR_INVALID for what is no address,
 * ERR_UNAVAILABLE when nobody takes the connection. */
MUST_CHECK enum err dial_open(int *fd_out, const char *address, int64_t deadline_ms,
                              struct err_text *why);

/* Waits until fd is ready for events (of poll). False at deadline_ms. */
MUST_CHECK bool dial_wait(int fd, short events, int64_t deadline_ms);

#endif
