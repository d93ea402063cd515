/* SPDX-License-Identifier: ISC */
#include "domain/lockout.h"

struct lockout_rule lockout_rule(const struct lockout_settings *s)
{
    struct lockout_rule rule = {.limit = s->limit};
    uint64_t longest = (uint64_t)s->longest_wait_s * 1000;
    uint64_t wait = (uint64_t)s->first_wait_s * 1000;
    uint32_t n = 0;
    while (n < s->free_tries && n < LOCKOUT_WAITS_MAX - 1)
        rule.wait_ms[n++] = 0;
    while (n < LOCKOUT_WAITS_MAX) {
        rule.wait_ms[n++] = (int64_t)(wait < longest ? wait : longest);
        if (wait >= longest)
            break;
        wait *= 2;
    }
    rule.n_waits = n;
    return rule;
}
