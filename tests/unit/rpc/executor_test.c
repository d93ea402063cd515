/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/queue.h"
#include "base/worker.h"
#include "rpc/executor.h"
#include "support/house.h"
#include "support/remote.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS     4
#define BREAK_AFTER 5
#define QUEUE_LIMIT 100000

struct office {
    struct house house;
    struct remote remote;
    struct domain_shared *shared;
    struct store_ops ops; /* of stores[0], as the test wants them */
    struct store *stores[WORKERS];
    struct domain *domains[WORKERS];
    struct loop *loop;
    struct queue *queue;
    struct executor *executor;

    _Atomic bool down;                   /* the store */
    _Atomic int asked;                   /* operations of the store */
    _Atomic int64_t budget;              /* of the last */
    void (*meanwhile)(struct office *o); /* during the next probe */

    pthread_mutex_t lock;
    pthread_cond_t came_home;
    int home;     /* guarded by lock */
    int expected; /* guarded by lock */
    unsigned tenants;
};

static enum err gate(void *ctx, const char *op, bool after, int64_t budget_ms)
{
    struct office *o = ctx;
    if (after)
        return ERR_OK;
    o->asked++;
    o->budget = budget_ms;
    void (*meanwhile)(struct office *) = strcmp(op, "probe") == 0 ? o->meanwhile : NULL;
    if (meanwhile != NULL) {
        o->meanwhile = NULL;
        meanwhile(o);
    }
    return o->down ? ERR_UNAVAILABLE : ERR_OK;
}

/* ---- works -------------------------------------------------------------------------------------
 */

struct question {
    struct work work; /* first */
    struct office *office;
    char tenant[16]; /* of its own, so that no cache answers */
    enum err answer; /* ERR_OK: what the store says */
    bool was_decided;
};

static enum err decide(struct work *w, struct domain *d, struct err_text *why)
{
    struct question *q = (struct question *)w;
    struct login_answer out;
    q->was_decided = true;
    if (q->answer != ERR_OK)
        return err_set(why, q->answer, NULL, "as the test wants it");
    return login_requirement(d, (struct tenant_id){str_from(q->tenant)},
                             (struct user_id){STR("alice")}, CHANNEL_WEB, &out, why);
}

static void come_home(struct loop_task *task)
{
    struct office *o = ((struct question *)task)->office;
    pthread_mutex_lock(&o->lock);
    o->home++;
    pthread_cond_signal(&o->came_home);
    pthread_mutex_unlock(&o->lock);
}

static struct question question(struct office *o)
{
    struct question q = {.work = {.task.run = come_home, .home = o->loop, .decide = decide},
                         .office = o};
    snprintf(q.tenant, sizeof q.tenant, "t%u", o->tenants++);
    return q;
}

static void wait_for_all(struct office *o, int n)
{
    pthread_mutex_lock(&o->lock);
    o->expected += n;
    while (o->home < o->expected)
        pthread_cond_wait(&o->came_home, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

/* On a worker, here and now. */
static void run(struct office *o, int worker, struct question *q)
{
    struct queue_list one = QUEUE_LIST_INIT(one);
    queue_list_append(&one, &q->work.task.item);
    executor_run_batch(executor_worker(o->executor, (size_t)worker), &one);
    wait_for_all(o, 1);
}

static enum err ask(struct office *o, int worker)
{
    struct question q = question(o);
    run(o, worker, &q);
    return q.work.result;
}

static void tick(struct office *o, int worker)
{
    struct queue_list one = QUEUE_LIST_INIT(one);
    executor_tick(o->executor);
    assert_true(queue_take(o->queue, 1, &one));
    executor_run_batch(executor_worker(o->executor, (size_t)worker), &one);
}

static bool works(const struct office *o)
{
    return executor_store_works(o->executor);
}

/* ---- the office --------------------------------------------------------------------------------
 */

static void open_executor(struct office *o, uint32_t break_after)
{
    struct executor_options opt = {.domains = o->domains,
                                   .n_workers = WORKERS,
                                   .break_after = break_after,
                                   .clock = &o->house.clock,
                                   .queue = o->queue,
                                   .loops = &o->loop,
                                   .n_loops = 1};
    executor_free(o->executor);
    o->executor = executor_new(&opt);
}

static int setup(void **state)
{
    struct office *o = calloc(1, sizeof *o);
    house_init(&o->house);
    o->house.mono_ms = 1000000;
    remote_init(&o->remote, o->house.store);
    o->remote.gate = gate;
    o->remote.ctx = o;
    o->shared = domain_shared_new(o->house.keyring);
    for (int i = 0; i < WORKERS; i++) {
        struct domain_options opt = house_options(&o->house);
        opt.shared = o->shared;
        opt.store = o->stores[i] = remote_store(&o->remote);
        o->domains[i] = domain_new(&opt);
    }
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->came_home, NULL);
    o->queue = queue_new(QUEUE_LIMIT);
    assert_int_equal(loop_new(&o->loop, NULL), ERR_OK);
    assert_int_equal(loop_start(o->loop, NULL), ERR_OK);
    *state = o;
    return 0;
}

static int setup_prepared(void **state)
{
    setup(state);
    struct office *o = *state;
    assert_int_equal(domain_prepare(o->domains[0], 1000, NULL), ERR_OK);
    open_executor(o, BREAK_AFTER);
    return 0;
}

static int teardown(void **state)
{
    struct office *o = *state;
    loop_stop(o->loop);
    loop_free(o->loop);
    executor_free(o->executor);
    queue_free(o->queue);
    for (int i = 0; i < WORKERS; i++) {
        domain_free(o->domains[i]);
        o->stores[i]->ops->close(o->stores[i]);
    }
    domain_shared_free(o->shared);
    remote_release(&o->remote);
    pthread_cond_destroy(&o->came_home);
    pthread_mutex_destroy(&o->lock);
    house_release(&o->house);
    free(o);
    return 0;
}

/* ---- budgets -----------------------------------------------------------------------------------
 */

static void a_job_has_what_is_left_of_its_deadline(void **state)
{
    struct office *o = *state;
    int64_t now = o->house.mono_ms;
    static const int64_t far = 3600000;
    const struct {
        int64_t deadline_ms, budget_ms;
    } cases[] = {{0, EXECUTOR_BUDGET_MS},
                 {INT64_MAX, EXECUTOR_BUDGET_MS},
                 {now + far, EXECUTOR_BUDGET_MS},
                 {now + 300, 300},
                 {now + 1, 1},
                 {now, 1}, /* 0 is no limit in many a library */
                 {now - 300, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct question q = question(o);
        q.work.deadline_ms = cases[i].deadline_ms;
        run(o, 0, &q);
        assert_int_equal(q.work.result, ERR_OK);
        assert_int_equal(o->budget, cases[i].budget_ms);
    }
    tick(o, 0);
    assert_int_equal(o->budget, EXECUTOR_TICK_MS);
}

/* ---- a store of several workers that fails -----------------------------------------------------
 */

static void break_it(struct office *o)
{
    o->down = true;
    for (int i = 0; i < BREAK_AFTER; i++) {
        assert_true(works(o));
        assert_int_equal(ask(o, i % WORKERS), ERR_UNAVAILABLE);
    }
    assert_false(works(o));
}

static void a_failed_store_is_left_alone_until_a_tick_finds_it_well(void **state)
{
    struct office *o = *state;
    break_it(o);
    int before = o->asked;
    for (int i = 0; i < WORKERS; i++) {
        struct question q = question(o);
        run(o, i, &q);
        assert_int_equal(q.work.result, ERR_UNAVAILABLE);
        assert_true(q.work.refused);
        assert_false(q.was_decided);
        assert_non_null(strstr(q.work.why.text, "does not answer"));
    }
    assert_int_equal(o->asked, before);

    tick(o, 1);
    assert_int_equal(o->asked, before + 1);
    assert_false(works(o));

    o->down = false;
    assert_int_equal(ask(o, 0), ERR_UNAVAILABLE); /* nobody has looked yet */
    tick(o, 2);
    assert_true(works(o));
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(ask(o, i), ERR_OK);

    struct executor_counts c;
    executor_counts(o->executor, &c);
    assert_int_equal(c.failures, BREAK_AFTER + 1);
    assert_int_equal(c.breaks, 1);
    assert_int_equal(c.refused, WORKERS + 1);
}

/* Mails are reported all the same. */
static void what_callers_no_longer_wait_for_is_not_decided(void **state)
{
    struct office *o = *state;
    executor_abandon(o->executor);
    struct question late = question(o), own = question(o);
    late.work.deadline_ms = INT64_MAX;
    own.work.deadline_ms = 0;
    run(o, 0, &late);
    run(o, 0, &own);
    assert_int_equal(late.work.result, ERR_UNAVAILABLE);
    assert_false(late.was_decided);
    assert_int_equal(own.work.result, ERR_OK);
    assert_true(own.was_decided);
}

static void failures_that_are_not_in_a_row_do_not_count(void **state)
{
    struct office *o = *state;
    for (int round = 0; round < 3; round++) {
        o->down = true;
        for (int i = 0; i < BREAK_AFTER - 1; i++)
            assert_int_equal(ask(o, i % WORKERS), ERR_UNAVAILABLE);
        o->down = false;
        assert_int_equal(ask(o, round), ERR_OK);
    }
    assert_true(works(o));
}

/* A caller that is refused for reasons of its own says nothing of the store. */
static void a_refusal_is_no_sign_of_life(void **state)
{
    struct office *o = *state;
    o->down = true;
    for (int i = 0; i < BREAK_AFTER; i++) {
        struct question q = question(o);
        q.answer = ERR_PRECONDITION;
        run(o, 0, &q);
        assert_int_equal(q.work.result, ERR_PRECONDITION);
        assert_int_equal(ask(o, 1), ERR_UNAVAILABLE);
    }
    assert_false(works(o));
}

/* Or else one caller with deadlines that are too short could shut the service to all. */
static void the_haste_of_a_caller_is_no_failure(void **state)
{
    struct office *o = *state;
    o->down = true;
    for (int i = 0; i < 2 * BREAK_AFTER; i++) {
        struct question q = question(o);
        q.work.deadline_ms = o->house.mono_ms + EXECUTOR_FAIR_MS - 1;
        run(o, i % WORKERS, &q);
        assert_int_equal(q.work.result, ERR_UNAVAILABLE);
        assert_false(q.work.refused);
    }
    assert_true(works(o));
    for (int i = 0; i < BREAK_AFTER; i++) {
        struct question q = question(o);
        q.work.deadline_ms = o->house.mono_ms + EXECUTOR_FAIR_MS;
        run(o, i % WORKERS, &q);
    }
    assert_false(works(o));
}

static void nor_is_it_a_failure(void **state)
{
    struct office *o = *state;
    static const enum err answers[] = {ERR_TIMEOUT, ERR_CORRUPT, ERR_CONFLICT, ERR_INTERNAL};
    for (int i = 0; i < 4 * BREAK_AFTER; i++) {
        struct question q = question(o);
        q.answer = answers[i % 4];
        run(o, 0, &q);
    }
    assert_true(works(o));
}

static void fail_once(struct office *o)
{
    struct queue_list one = QUEUE_LIST_INIT(one);
    o->down = true;
    executor_tick(o->executor);
    assert_true(queue_take(o->queue, 1, &one));
    executor_run_batch(executor_worker(o->executor, 1), &one);
    o->down = false;
}

static void what_began_before_the_last_failure_does_not_close(void **state)
{
    struct office *o = *state;
    break_it(o);
    o->down = false;
    o->meanwhile = fail_once;
    tick(o, 0);
    assert_false(works(o));
    tick(o, 0);
    assert_true(works(o));
}

static void before_it_is_prepared_nothing_is_decided(void **state)
{
    struct office *o = *state;
    o->down = true;
    assert_int_equal(domain_prepare(o->domains[0], 1000, NULL), ERR_UNAVAILABLE);
    open_executor(o, BREAK_AFTER);
    assert_false(works(o));
    o->down = false;
    struct question q = question(o);
    run(o, 1, &q);
    assert_true(q.work.refused);
    tick(o, 2);
    assert_true(works(o));
    assert_int_equal(ask(o, 3), ERR_OK);
}

/* ---- a store that is transactional -------------------------------------------------------------
 */

static enum err commit = ERR_OK; /* how batches end there */

static enum err commit_as_wanted(struct store *s, struct err_text *why)
{
    (void)s;
    return commit == ERR_OK ? ERR_OK : err_set(why, commit, NULL, "disk full");
}

static void call_it_transactional(struct office *o)
{
    commit = ERR_OK;
    o->ops = *o->stores[0]->ops;
    o->ops.transactional = true;
    o->ops.batch_commit = commit_as_wanted;
    o->stores[0]->ops = &o->ops;
    open_executor(o, 1);
}

static void an_embedded_store_is_tried_all_the_time(void **state)
{
    struct office *o = *state;
    call_it_transactional(o);
    commit = ERR_UNAVAILABLE;
    assert_int_equal(ask(o, 0), ERR_UNAVAILABLE);
    assert_false(works(o));
    struct question q = question(o);
    run(o, 0, &q);
    assert_true(q.was_decided);
    assert_false(q.work.refused);
    commit = ERR_OK;
    assert_int_equal(ask(o, 0), ERR_OK); /* reads work on a full disk, too */
    assert_false(works(o));
    tick(o, 0);
    assert_true(works(o));
}

static void nor_does_an_embedded_store_decide_before_that(void **state)
{
    struct office *o = *state;
    call_it_transactional(o);
    assert_false(works(o));
    struct question q = question(o);
    run(o, 0, &q);
    assert_false(q.was_decided);
    assert_int_equal(q.work.result, ERR_UNAVAILABLE);
    tick(o, 0);
    assert_true(works(o));
    assert_int_equal(ask(o, 0), ERR_OK);
}

static void a_batch_fails_as_a_whole(void **state)
{
    struct office *o = *state;
    call_it_transactional(o);
    static const enum err ends[] = {ERR_UNAVAILABLE, ERR_CORRUPT};
    for (int e = 0; e < 2; e++) {
        struct question q[3];
        struct queue_list all = QUEUE_LIST_INIT(all);
        commit = ends[e];
        for (int i = 0; i < 3; i++) {
            q[i] = question(o);
            queue_list_append(&all, &q[i].work.task.item);
        }
        executor_run_batch(executor_worker(o->executor, 0), &all);
        wait_for_all(o, 3);
        for (int i = 0; i < 3; i++)
            assert_int_equal(q[i].work.result, ERR_UNAVAILABLE);
        assert_int_equal(ask(o, 0), ends[e]);
    }
}

/* ---- all workers at once -----------------------------------------------------------------------
 */

#define QUESTIONS 4000

/* A store that goes up and down: every work comes home once with an answer that is one, and in the
 * end the store is found well. */
static void many_workers_with_a_store_that_comes_and_goes(void **state)
{
    struct office *o = *state;
    static struct question questions[QUESTIONS];
    struct worker *workers[WORKERS];
    int refused = 0;
    for (int i = 0; i < WORKERS; i++) {
        struct worker_options opt = {.name = "test",
                                     .queue = o->queue,
                                     .batch_max = 1,
                                     .run = executor_run_batch,
                                     .ctx = executor_worker(o->executor, (size_t)i)};
        assert_int_equal(worker_start(&workers[i], &opt, NULL), ERR_OK);
    }
    for (int i = 0; i < QUESTIONS; i++) {
        struct queue_list one = QUEUE_LIST_INIT(one);
        questions[i] = question(o);
        queue_list_append(&one, &questions[i].work.task.item);
        o->down = i / 500 % 2 == 1;
        executor_submit(o->executor, &one);
        if (i % 50 == 0)
            executor_tick(o->executor);
        if (i % 500 == 499)
            wait_for_all(o, 500);
    }
    o->down = false;
    struct question last;
    do { /* what was under way before may still fail */
        struct queue_list one = QUEUE_LIST_INIT(one);
        executor_tick(o->executor);
        last = question(o);
        queue_list_append(&one, &last.work.task.item);
        executor_submit(o->executor, &one);
        wait_for_all(o, 1);
        refused += last.work.refused;
    } while (last.work.result != ERR_OK);
    queue_close(o->queue);
    for (int i = 0; i < WORKERS; i++)
        worker_stop(workers[i]);
    for (int i = 0; i < QUESTIONS; i++) {
        enum err e = questions[i].work.result;
        assert_true(e == ERR_OK || e == ERR_UNAVAILABLE);
        refused += questions[i].work.refused;
    }
    assert_true(works(o));
    struct executor_counts c;
    executor_counts(o->executor, &c);
    assert_in_range(c.breaks, 1, QUESTIONS);
    assert_int_equal(c.refused, refused);
}

#define TEST(f)    cmocka_unit_test_setup_teardown(f, setup_prepared, teardown)
#define UNREADY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_has_what_is_left_of_its_deadline),
        TEST(a_failed_store_is_left_alone_until_a_tick_finds_it_well),
        TEST(what_callers_no_longer_wait_for_is_not_decided),
        TEST(failures_that_are_not_in_a_row_do_not_count),
        TEST(a_refusal_is_no_sign_of_life),
        TEST(nor_is_it_a_failure),
        TEST(the_haste_of_a_caller_is_no_failure),
        TEST(what_began_before_the_last_failure_does_not_close),
        UNREADY(before_it_is_prepared_nothing_is_decided),
        UNREADY(nor_does_an_embedded_store_decide_before_that),
        TEST(an_embedded_store_is_tried_all_the_time),
        TEST(a_batch_fails_as_a_whole),
        TEST(many_workers_with_a_store_that_comes_and_goes),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
