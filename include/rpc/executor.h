/* SPDX-License-Identifier: ISC */
#ifndef RPC_EXECUTOR_H
#define RPC_EXECUTOR_H

/* Runs decisions on the workers, a batch of them as one durable step, and sends each home to
 * its loop when the batch has committed, and not before.
 *
 * A store that fails break_after times in a row counts as failed until an attempt to write
 * something, which the tick submits, has succeeded. While it counts as failed, works for a store
 * that is not transactional are answered ERR_UNAVAILABLE at once: it is another machine, and
 * everybody would wait for it. A transactional one is tried nevertheless. */

#include "base/loop.h"

#include <stdint.h>

struct clock;
struct domain;
struct executor;
struct metrics;

/* One decision on its way. Owned by one thread at a time: the loop that made it, the queue, the
 * worker, and the loop again. */
struct work {
    struct loop_task task; /* first; task.run is called at home and owns the work */
    struct loop *home;     /* one of the executor's */
    /* On the executor's clock (mono): no step of it waits for the store for long after this; 0 or
     * INT64_MAX: there is none, and 0: it is no caller's. In any case a step waits
     * EXECUTOR_BUDGET_MS at most. */
    int64_t deadline_ms;
    /* ERR_OK: what it did counts when the batch does. Thread: worker. */
    enum err (*decide)(struct work *w, struct domain *d, struct err_text *why);
    /* How it ended; on any but ERR_OK nothing of it is in a transactional store. */
    enum err result;
    struct err_text why;
    bool refused;      /* ERR_UNAVAILABLE without an attempt: the store counts as failed */
    int64_t queued_us; /* the executor's */
};
#define EXECUTOR_BUDGET_MS 5000

/* A tick's: what it does not get done goes on with the next one, for on a store that hangs they
 * would take all workers. Preparing the store may take as long as a call. */
#define EXECUTOR_TICK_MS 1000

/* A store that did not answer in less than this has not failed: the caller was in a hurry. */
#define EXECUTOR_FAIR_MS 500

struct executor_options {
    struct domain *const *domains; /* borrowed; one for each worker, used there only */
    size_t n_workers;
    uint32_t break_after;      /* failures in a row after which the store counts as failed */
    struct clock *clock;       /* borrowed */
    struct queue *queue;       /* borrowed; to the workers */
    struct loop *const *loops; /* borrowed */
    size_t n_loops;            /* at most EXECUTOR_LOOPS_MAX */
    struct metrics *metrics;   /* borrowed; what it counts goes there. NULL: it does not count */
};
#define EXECUTOR_LOOPS_MAX 64

/* Where no domain is prepared yet, the store counts as failed. Thread: startup, both. Fine with
 * NULL. */
struct executor *executor_new(const struct executor_options *opt);
void executor_free(struct executor *e);

/* Hands over a list of works; what the queue has no room for stays in it. Thread: any. */
void executor_submit(struct executor *e, struct queue_list *works);

/* From now on works with a deadline are answered ERR_UNAVAILABLE without an attempt: nobody waits
 * for them any more. Others are decided as before. Thread: any. */
void executor_abandon(struct executor *e);

/* For worker i: the ctx of executor_run_batch. Thread: startup. */
void *executor_worker(struct executor *e, size_t i);

/* What a worker does with a list of works. Thread: that worker. */
void executor_run_batch(void *ctx, struct queue_list *works);

/* False while the store counts as failed. Thread: any. */
bool executor_store_works(const struct executor *e);

/* changed(ctx) is called whenever that has changed, on a worker, and must not block.
 * Thread: startup, before the workers. */
void executor_on_change(struct executor *e, void (*changed)(void *ctx), void *ctx);

/* Since the start. Thread: any. */
struct executor_counts {
    uint64_t failures; /* of the store, one by one */
    uint64_t breaks;   /* so often it came to count as failed */
    uint64_t refused;  /* works meanwhile */
};
void executor_counts(struct executor *e, struct executor_counts *out);

/* Submits one round of deleting what has expired, or, while the store counts as failed, an
 * attempt to write something. Thread: any. */
void executor_tick(struct executor *e);

#endif
