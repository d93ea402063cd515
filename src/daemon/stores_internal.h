/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_STORES_INTERNAL_H
#define DAEMON_STORES_INTERNAL_H

/* The stores that the settings ask for, one for each worker. Thread: startup. */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct settings;
struct store;
struct stores;

/* Reads what the settings name beside the store itself; set is borrowed. */
MUST_CHECK enum err stores_new(struct stores **out, const struct settings *set,
                               struct err_text *why);

/* ERR_INVALID, ERR_DENIED and ERR_CONFLICT are for the operator to mend. */
MUST_CHECK enum err stores_open(struct stores *s, struct err_text *why);

/* Closes what was opened. Fine with NULL. */
void stores_free(struct stores *s);

/* How many are open; 0 for NULL. */
size_t stores_count(const struct stores *s);
struct store *stores_at(const struct stores *s, size_t i);

/* May the process start while the store is down, and wait for it? */
bool stores_may_be_down(const struct stores *s);

#endif
