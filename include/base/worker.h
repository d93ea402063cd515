/* SPDX-License-Identifier: ISC */
#ifndef BASE_WORKER_H
#define BASE_WORKER_H

/* A thread that does what blocks. It takes items from a queue, up to batch_max at
 * a time and never waiting for more than the first, and hands each list to run. */

#include "base/err.h"
#include "base/queue.h"

struct worker;

struct worker_options {
    const char *name; /* of the thread, at most 15 bytes */
    struct queue *queue;
    size_t batch_max;
    /* Owns the items. Thread: the worker. */
    void (*run)(void *ctx, struct queue_list *items);
    void *ctx;
};

/* Thread: startup. */
MUST_CHECK enum err worker_start(struct worker **out, const struct worker_options *opt,
                                 struct err_text *why);

/* Waits until the queue, which must be closed, is empty and the thread has ended;
 * frees. Fine with NULL. Thread: startup. */
void worker_stop(struct worker *w);

#endif
