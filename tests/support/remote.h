/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_REMOTE_H
#define SUPPORT_REMOTE_H

/* A store that is not transactional, as if on another machine: a SQLite store, of which every
 * operation is durable at once, that several workers reach, each through a struct store of its own.
 * A gate may see and spoil each operation. Thread: any. */

#include "store/outbox.h"
#include "store/store.h"

#include <pthread.h>

struct remote {
    pthread_mutex_t lock;
    struct store *under; /* guarded by lock; borrowed */
    /* Called before and after each operation, by its name, outside of the lock. Before: on any but
     * ERR_OK it does not happen; after: it has happened, and fails nevertheless. NULL: none. */
    enum err (*gate)(void *ctx, const char *op, bool after, int64_t budget_ms);
    void *ctx;
};

void remote_init(struct remote *r, struct store *under);
void remote_release(struct remote *r);

/* Closed by its ops->close, which leaves the remote as it is. */
struct store *remote_store(struct remote *r);

#endif
