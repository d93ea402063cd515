/* SPDX-License-Identifier: ISC */
#ifndef STORE_LOCK_INTERNAL_H
#define STORE_LOCK_INTERNAL_H

/* Is a user locked? It follows from three things that are kept (how many failures, when
 * the last attempt was, the rule), so there is no lock to set, to forget or to expire.
 * Pure. Thread: any. */

#include "store/attempt.h"

struct lock_state {
    bool locked;
    bool for_good;          /* until an administrator unlocks */
    int64_t retry_after_ms; /* the rest of the wait; 0 with for_good */
};

/* After `failures` attempts in a row, the last of them at last_attempt_ms. A clock that
 * stepped back makes the lock last longer, the wait that is told never. */
struct lock_state lock_look(const struct lockout_rule *rule, uint32_t failures,
                            int64_t last_attempt_ms, int64_t now_ms);

#endif
