/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_STORE_LOAD_H
#define SUPPORT_STORE_LOAD_H

/* Numbered batches of all kinds of work, always the same, so that from a store one can tell
 * which was the last that counted, and that nothing of the next did. Thread: the test's. */

#include "store/store.h"

/* Runs batch n (1 is the first; those before have counted). On failure it was abandoned. */
enum err store_load_batch(struct store *s, unsigned n, struct err_text *why);

/* How many batches count in the store; -1 when its content is that of no number of batches
 * or cannot be read, and *why says what is odd. */
int store_load_count(struct store *s, struct err_text *why);

#endif
