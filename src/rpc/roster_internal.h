/* SPDX-License-Identifier: ISC */
#ifndef RPC_ROSTER_INTERNAL_H
#define RPC_ROSTER_INTERNAL_H

/* Who may call, as the loops know it, while that may change. A call keeps the caller that it was
 * admitted as to its end; the callers are freed when the last such call has ended and no loop
 * admits by them. A call costs no lock and nothing that loops share: each loop counts its own.
 * Thread: startup, unless it says otherwise. */

#include <stddef.h>

struct callers;
struct loop;
struct roll;
struct roster;

/* callers is the roster's now. */
struct roster *roster_new(struct loop *const *loops, size_t n_loops, struct callers *callers);

/* Nothing may be held. */
void roster_free(struct roster *r);

/* When this returns no loop admits by the last ones. The loops run. */
void roster_replace(struct roster *r, struct callers *fresh);

/* By whom the loop with this number admits now. Thread: that loop, and so for the others. */
const struct callers *roster_callers(const struct roster *r, size_t loop);

/* One more call was admitted by them. */
struct roll *roster_hold(struct roster *r, size_t loop);

/* It has ended. */
void roster_let_go(struct roll *roll);

#endif
