/* SPDX-License-Identifier: ISC */
#ifndef RPC_EXECUTOR_H
#define RPC_EXECUTOR_H

/* Runs decisions on the worker, a batch of them as one durable step, and sends each home to
 * its loop when the batch has committed, and not before. */

#include "base/loop.h"

struct domain;
struct executor;

/* One decision on its way. Owned by one thread at a time: the loop that made it, the queue, the
 * worker, and the loop again. */
struct work {
    struct loop_task task; /* first; task.run is called at home and owns the work */
    struct loop *home;     /* one of the executor's */
    /* ERR_OK: what it did counts when the batch does. Thread: worker. */
    enum err (*decide)(struct work *w, struct domain *d, struct err_text *why);
    /* How it ended; on any but ERR_OK nothing of it is in the store. */
    enum err result;
    struct err_text why;
};

struct executor_options {
    struct domain *domain;     /* borrowed; used on the worker only */
    struct queue *queue;       /* borrowed; to the worker */
    struct loop *const *loops; /* borrowed */
    size_t n_loops;            /* at most EXECUTOR_LOOPS_MAX */
};
#define EXECUTOR_LOOPS_MAX 64

/* Thread: startup, both. Fine with NULL. */
struct executor *executor_new(const struct executor_options *opt);
void executor_free(struct executor *e);

/* Hands over a list of works; what the queue has no room for stays in it. Thread: any. */
void executor_submit(struct executor *e, struct queue_list *works);

/* What the worker does with a list of works; ctx is the struct executor. Thread: worker. */
void executor_run_batch(void *ctx, struct queue_list *works);

/* False from a batch that could not be committed until the store has taken a write again.
 * Thread: any. */
bool executor_store_works(const struct executor *e);

/* changed(ctx) is called whenever that has changed, on the worker, and must not block.
 * Thread: startup, before the worker. */
void executor_on_change(struct executor *e, void (*changed)(void *ctx), void *ctx);

/* Submits one round of deleting what has expired, or, while the store does not work, an attempt
 * to write something. Thread: any. */
void executor_tick(struct executor *e);

#endif
