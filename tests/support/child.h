/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_CHILD_H
#define SUPPORT_CHILD_H

/* Runs something in a child process, without its standard error: what aborts, or
 * what changes the process for good. Thread: any. */

#include <stdbool.h>

/* Did act(ctx) end the child, as by abort, rather than return? */
bool child_dies(void (*act)(void *ctx), void *ctx);

/* Did check(ctx) return true in the child? */
bool child_says(bool (*check)(void *ctx), void *ctx);

#endif
