/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/loop.h"
#include "base/queue.h"
#include "base/worker.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

struct number {
    struct loop_task task; /* first */
    int n;
    struct harness *home;
};

static void push(struct queue *q, struct number *numbers, int from, int to, struct queue_list *left)
{
    *left = QUEUE_LIST_INIT(*left);
    for (int i = from; i < to; i++) {
        numbers[i].n = i;
        queue_list_append(left, &numbers[i].task.item);
    }
    queue_push(q, left);
}

static void keeps_order_and_bound(void **state)
{
    (void)state;
    struct number numbers[5];
    struct queue *q = queue_new(3);
    struct queue_list left, out = QUEUE_LIST_INIT(out);
    push(q, numbers, 0, 5, &left);
    assert_int_equal(left.count, 2);
    assert_int_equal(((struct number *)left.first)->n, 3);

    assert_true(queue_take(q, 2, &out));
    assert_int_equal(out.count, 2);
    assert_int_equal(((struct number *)queue_list_pop(&out))->n, 0);
    assert_int_equal(((struct number *)queue_list_pop(&out))->n, 1);
    queue_push(q, &left);
    assert_int_equal(left.count, 0);
    assert_true(queue_take(q, 10, &out));
    assert_int_equal(out.count, 3);
    queue_free(q);
}

static void closed_queue_drains_and_takes_no_more(void **state)
{
    (void)state;
    struct number numbers[2];
    struct queue *q = queue_new(3);
    struct queue_list left, out = QUEUE_LIST_INIT(out);
    push(q, numbers, 0, 1, &left);
    queue_close(q);
    push(q, numbers, 1, 2, &left);
    assert_int_equal(left.count, 1);
    assert_true(queue_take(q, 10, &out));
    assert_false(queue_take(q, 10, &out));
    queue_free(q);
}

/* ---- loop -> queue -> worker -> loop, as calls go -------------------------------------------- */

#define ROUND_TRIPS 20000

struct harness {
    struct loop *loop;
    struct queue *queue;
    struct loop_hook hook;
    struct queue_list turn;
    int hook_runs, done;
    bool in_order;
    pthread_mutex_t lock;
    pthread_cond_t finished;
};

static void hand_over(void *ctx)
{
    struct harness *h = ctx;
    h->hook_runs++;
    queue_push(h->queue, &h->turn);
    assert_int_equal(h->turn.count, 0);
}

static void start_one(struct loop_task *task)
{
    struct number *n = (struct number *)task;
    loop_assert_here(n->home->loop);
    queue_list_append(&n->home->turn, &n->task.item);
    loop_arm(n->home->loop, &n->home->hook);
}

static void finish_one(struct loop_task *task)
{
    struct number *n = (struct number *)task;
    struct harness *h = n->home;
    h->in_order &= n->n == h->done;
    if (++h->done < ROUND_TRIPS)
        return;
    pthread_mutex_lock(&h->lock);
    pthread_cond_signal(&h->finished);
    pthread_mutex_unlock(&h->lock);
}

static void work(void *ctx, struct queue_list *items)
{
    struct harness *h = ctx;
    for (struct queue_item *i = items->first; i != NULL; i = i->next)
        ((struct number *)i)->task.run = finish_one;
    loop_post_all(h->loop, items);
}

static void every_item_comes_back_once_and_in_order(void **state)
{
    (void)state;
    static struct number numbers[ROUND_TRIPS];
    struct harness h = {
        .in_order = true, .lock = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};
    struct worker *w;
    h.turn = QUEUE_LIST_INIT(h.turn);
    h.hook = (struct loop_hook){.run = hand_over, .ctx = &h};
    h.queue = queue_new(ROUND_TRIPS);
    assert_int_equal(loop_new(&h.loop, NULL), ERR_OK);
    assert_int_equal(loop_start(h.loop, NULL), ERR_OK);
    struct worker_options opt = {
        .name = "test", .queue = h.queue, .batch_max = 64, .run = work, .ctx = &h};
    assert_int_equal(worker_start(&w, &opt, NULL), ERR_OK);

    pthread_mutex_lock(&h.lock);
    for (int i = 0; i < ROUND_TRIPS; i++) {
        numbers[i] = (struct number){.task.run = start_one, .n = i, .home = &h};
        loop_post(h.loop, &numbers[i].task);
    }
    pthread_cond_wait(&h.finished, &h.lock);
    pthread_mutex_unlock(&h.lock);

    queue_close(h.queue);
    worker_stop(w);
    loop_stop(h.loop);
    assert_int_equal(h.done, ROUND_TRIPS);
    assert_true(h.in_order);
    assert_in_range(h.hook_runs, 1, ROUND_TRIPS);
    loop_free(h.loop);
    queue_free(h.queue);
}

/* Everything that is ready is handled before the hook runs: a pipe and a posted task. */
struct turn_order {
    struct loop *loop;
    struct loop_hook hook;
    int events, events_at_hook;
};

static void note_hook(void *ctx)
{
    struct turn_order *t = ctx;
    t->events_at_hook = t->events;
}

static void note_event(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct turn_order *t = ctx;
    t->events++;
    loop_arm(t->loop, &t->hook);
}

static void the_hook_runs_after_all_that_was_ready(void **state)
{
    (void)state;
    struct turn_order t = {.events = 0};
    t.hook = (struct loop_hook){.run = note_hook, .ctx = &t};
    assert_int_equal(loop_new(&t.loop, NULL), ERR_OK);
    struct event *ready[10];
    for (int i = 0; i < 10; i++) {
        ready[i] = event_new(loop_base(t.loop), -1, 0, note_event, &t);
        event_active(ready[i], EV_READ, 0);
    }
    event_base_loop(loop_base(t.loop), EVLOOP_NONBLOCK);
    assert_int_equal(t.events_at_hook, 10);
    for (int i = 0; i < 10; i++)
        event_free(ready[i]);
    loop_free(t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_bound),
        cmocka_unit_test(closed_queue_drains_and_takes_no_more),
        cmocka_unit_test(every_item_comes_back_once_and_in_order),
        cmocka_unit_test(the_hook_runs_after_all_that_was_ready),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
