/* SPDX-License-Identifier: ISC */
#ifndef STORE_SQLITE_FOLD_INTERNAL_H
#define STORE_SQLITE_FOLD_INTERNAL_H

/* Keeps the log of sign-ins short, a little with every batch.
 *
 * Folding: when enough rows are not folded, the users in the map are written to the table
 * hot, sorted by number, so that a page of it is written once for many users; each leaves
 * the map as it is written. When all are, the rows before the beginning are folded.
 * Trimming: folded rows that are too old for the memory of requests are deleted from the
 * front. Thread: worker. */

#include "base/err.h"

#include <stdint.h>

struct sqlite_store;

/* Folding begins at so many rows. So many, and half as many again, are at most read at
 * start, and have their users in memory. */
#define FOLD_AFTER 131072
#define FOLD_SHARE 64

/* The map and the ends of the log, from the tables. */
MUST_CHECK enum err sqlite_fold_load(struct sqlite_store *s, struct err_text *why);

/* One batch's share of both, before it commits. Nothing when it has added nothing. */
MUST_CHECK enum err sqlite_fold_step(struct sqlite_store *s, struct err_text *why);

/* Deletes up to limit rows that nobody needs at now_ms; *n_out is how many. */
MUST_CHECK enum err sqlite_fold_trim(struct sqlite_store *s, int64_t now_ms, uint32_t limit,
                                     uint32_t *n_out, struct err_text *why);

#endif
