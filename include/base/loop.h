/* SPDX-License-Identifier: ISC */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

/* One thread with an event loop. All network I/O happens on loops; nothing on a
 * loop blocks. Other threads reach it only by loop_post. What was made on a loop
 * stays on it for life. */

#include "base/err.h"
#include "base/queue.h"

#include <stdbool.h>

struct loop;
struct event_base;

/* A loop whose thread does not run yet. Thread: startup. */
MUST_CHECK enum err loop_new(struct loop **out, struct err_text *why);

/* Thread: startup. */
MUST_CHECK enum err loop_start(struct loop *loop, struct err_text *why);

/* Runs what was posted before, ends the thread and waits for it. Fine when it
 * was never started. Thread: startup. */
void loop_stop(struct loop *loop);
void loop_free(struct loop *loop);

/* The libevent base, to put events on. Thread: startup or the loop itself. */
struct event_base *loop_base(struct loop *loop);

/* Aborts unless called on the loop's own thread (or before it started). */
void loop_assert_here(const struct loop *loop);

/* Work for the loop's thread: run(task) is called there once, and owns the task. */
struct loop_task {
    struct queue_item item; /* first */
    void (*run)(struct loop_task *task);
};

/* Hands over one task. Thread: any. */
void loop_post(struct loop *loop, struct loop_task *task);

/* Hands over a list of tasks with one wake-up; the list is empty after.
 * Thread: any. */
void loop_post_all(struct loop *loop, struct queue_list *tasks);

/* Runs run(ctx) on the loop's thread and returns when it has; on the caller's when the
 * loop's thread does not run. Thread: startup, or the loop itself. */
void loop_call(struct loop *loop, void (*run)(void *ctx), void *ctx);

/* A hook runs at the end of a turn of the loop: after everything that was ready
 * has been handled. It gathers a turn's work into one write or one hand-over. */
struct loop_hook {
    struct loop_hook *next;
    void (*run)(void *ctx);
    void *ctx;
    bool armed;
};

/* Run hook once at the end of this turn. Arming it again before is free; a hook
 * may arm another, not itself. It must stay until it ran. Thread: the loop. */
void loop_arm(struct loop *loop, struct loop_hook *hook);

#endif
