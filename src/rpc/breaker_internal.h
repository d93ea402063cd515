/* SPDX-License-Identifier: ISC */
#ifndef RPC_BREAKER_INTERNAL_H
#define RPC_BREAKER_INTERNAL_H

/* Does the store count as failed? Opens after so many failures in a row, with one line in the log,
 * and closes when an attempt to write something, begun after the last failure, went well.
 * Thread: any. */

#include "base/err.h"

#include <stdbool.h>

struct breaker;
struct executor_counts;

struct breaker *breaker_new(uint32_t break_after, bool open);
void breaker_free(struct breaker *b);

/* changed(ctx) is called when it has opened or closed; it must not block, nor come back here.
 * Thread: startup. */
void breaker_on_change(struct breaker *b, void (*changed)(void *ctx), void *ctx);

/* Open: the store counts as failed. */
bool breaker_is_open(const struct breaker *b);

/* Taken before something is tried, and given back when it worked: what began before a failure says
 * nothing about the time after it. */
uint64_t breaker_mark(const struct breaker *b);

void breaker_failed(struct breaker *b, enum err e, const struct err_text *why);
/* proves: something was written only to find out whether that is possible. */
void breaker_worked(struct breaker *b, uint64_t mark, bool proves);
void breaker_refused(struct breaker *b);

void breaker_counts(struct breaker *b, struct executor_counts *out);

#endif
