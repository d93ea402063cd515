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

/* ERR_INVALID, ERR_DENIED and ERR_CONFLICT are for the operator to mend. */
MUST_CHECK enum err stores_open(struct stores **out, const struct settings *set,
                                struct err_text *why);

/* Fine with NULL. */
void stores_close(struct stores *s);

/* 0 for NULL. */
size_t stores_count(const struct stores *s);
struct store *stores_at(const struct stores *s, size_t i);

/* Was it asked for that the process starts and serves its health while the store is down? */
bool stores_may_be_down(const struct stores *s);

#endif
