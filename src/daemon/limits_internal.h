/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_LIMITS_INTERNAL_H
#define DAEMON_LIMITS_INTERNAL_H

/* What the settings say of limits, for the parts that keep them. Thread: any. */

#include "grpc/limits.h"
#include "rpc/rpc.h"

struct settings;

struct grpc_limits limits_of_edge(const struct settings *s);

/* n_callers: a caller that is alone may fill the queue. */
struct rpc_limits limits_of_rpc(const struct settings *s, size_t n_callers);

#endif
