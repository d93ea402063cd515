/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_LOCKOUT_H
#define DOMAIN_LOCKOUT_H

/* Growing waits between wrong codes (RFC 4226 section 7.3, NIST SP 800-63B section
 * 5.2.2): some free tries, then a wait that doubles up to a longest one, and an end
 * after so many failures in a row. Pure. Thread: any. */

#include "store/attempt.h"

struct lockout_settings {
    uint32_t free_tries; /* 1 or more */
    uint32_t first_wait_s;
    uint32_t longest_wait_s; /* at least first_wait_s */
    uint32_t limit;          /* at most 100 (NIST), at least free_tries */
};

/* The rule for the store. With 5, 30, 3600 and 100: none for failures 1 to 4, 30 s after
 * the 5th, 60 s after the 6th, …, 1 h from the 12th on, and no more after the 100th. */
struct lockout_rule lockout_rule(const struct lockout_settings *s);

#endif
