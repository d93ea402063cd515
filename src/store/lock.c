/* SPDX-License-Identifier: ISC */
#include "lock_internal.h"

static int64_t wait_after(const struct lockout_rule *rule, uint32_t failures)
{
    if (failures == 0 || rule->n_waits == 0)
        return 0;
    return rule->wait_ms[failures < rule->n_waits ? failures : rule->n_waits - 1];
}

struct lock_state lock_look(const struct lockout_rule *rule, uint32_t failures,
                            int64_t last_attempt_ms, int64_t now_ms)
{
    if (failures >= rule->limit)
        return (struct lock_state){.locked = true, .for_good = true};
    int64_t wait = wait_after(rule, failures);
    int64_t rest = last_attempt_ms + wait - now_ms;
    if (wait <= 0 || rest <= 0)
        return (struct lock_state){0};
    return (struct lock_state){.locked = true, .retry_after_ms = rest < wait ? rest : wait};
}
