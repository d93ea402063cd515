/* SPDX-License-Identifier: ISC */
#ifndef RPC_QUOTA_INTERNAL_H
#define RPC_QUOTA_INTERNAL_H

/* How much of the service one caller and one tenant may take: requests a second, each with a
 * bucket of its own, and places in the queue of the store.
 *
 * The tables have a fixed size. A bucket is forgotten when its place is needed, the fullest
 * first: who asks much is the last to be forgotten, and one that is full is forgotten at no
 * loss. Thread: any, unless it says otherwise. */

#include "base/str.h"
#include "rpc/rpc.h"

#include <stdint.h>

struct quota;

/* Thread: startup, both. */
struct quota *quota_new(const struct rpc_limits *limits);
void quota_free(struct quota *q);

void quota_set_limits(struct quota *q, const struct rpc_limits *limits);

enum quota_kind { QUOTA_CALLER, QUOTA_TENANT, QUOTA_KINDS };

/* One request of name at now_ms: 0, or after how many milliseconds it may be tried again. */
int64_t quota_take(struct quota *q, enum quota_kind kind, struct str name, int64_t now_ms);

/* One job of the caller more in the queue; false when it has its share of it. *place_out is for
 * quota_leave, once. Callers may share a place, by their names. */
bool quota_enter(struct quota *q, struct str caller, uint32_t *place_out);
void quota_leave(struct quota *q, uint32_t place);

#endif
