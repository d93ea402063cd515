/* SPDX-License-Identifier: ISC */
#ifndef STORE_STORE_MONGO_H
#define STORE_STORE_MONGO_H

/* MongoDB: the store of many processes. A process has one struct mongo, and from it a store for
 * each of its workers. Thread: any, unless it says otherwise. */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct mongo; /* what the stores of one process share */
struct store;

struct mongo_options {
    const char *uri;      /* borrowed for the call */
    const char *password; /* in place of one in the uri; NULL: none */
    bool development;     /* takes a uri with weaker promises than ours, and servers without a
                           * replica set */
    bool may_be_down;     /* open succeeds though nobody answers; the first probe does the rest */
    uint32_t n_stores;    /* so many may be made */
};

/* ERR_INVALID, ERR_DENIED, ERR_CONFLICT: the configuration is wrong; ERR_UNAVAILABLE, ERR_CORRUPT:
 * the store cannot be used now. Thread: startup. */
MUST_CHECK enum err store_mongo_open(struct mongo **out, const struct mongo_options *opt,
                                     struct err_text *why);

/* After its stores were closed. Fine with NULL. Thread: startup. */
void store_mongo_close(struct mongo *m);

/* The files that a URI names, which each new connection reads: the authorities, our certificate.
 * Free what is returned; NULL: there is none. */
#define STORE_MONGO_FILES 2
char *store_mongo_file(const char *uri, size_t n);

/* Closed by its ops->close. */
struct store *store_mongo_new(struct mongo *m);

#endif
