/* SPDX-License-Identifier: ISC */
#include "rpc/executor.h"

#include "base/clock.h"
#include "base/mem.h"
#include "breaker_internal.h"
#include "domain/domain.h"
#include "meter_internal.h"

#include <stdatomic.h>
#include <stdlib.h>

struct executor_worker {
    struct executor *executor;
    struct domain *domain;
};

struct executor {
    struct executor_options opt;
    struct meter meter;
    struct breaker *breaker;
    bool refuses; /* while the breaker is open: not with a store that is transactional */
    struct executor_worker *workers;
    _Atomic bool abandoned;
};

struct executor *executor_new(const struct executor_options *opt)
{
    if (opt->n_loops > EXECUTOR_LOOPS_MAX || opt->n_workers == 0)
        abort();
    struct executor *e = mem_zalloc(1, sizeof *e);
    e->opt = *opt;
    meter_init(&e->meter, opt->metrics);
    e->refuses = !domain_is_transactional(opt->domains[0]);
    e->breaker = breaker_new(opt->break_after, !domain_is_prepared(opt->domains[0]));
    e->workers = mem_zalloc(opt->n_workers, sizeof *e->workers);
    for (size_t i = 0; i < opt->n_workers; i++)
        e->workers[i] = (struct executor_worker){.executor = e, .domain = opt->domains[i]};
    return e;
}

void executor_free(struct executor *e)
{
    if (e == NULL)
        return;
    breaker_free(e->breaker);
    free(e->workers);
    free(e);
}

void executor_abandon(struct executor *e)
{
    atomic_store(&e->abandoned, true);
}

void *executor_worker(struct executor *e, size_t i)
{
    return &e->workers[i];
}

void executor_submit(struct executor *e, struct queue_list *works)
{
    int64_t now_us = meter_now_us(&e->meter);
    for (struct queue_item *i = works->first; i != NULL; i = i->next)
        ((struct work *)i)->queued_us = now_us;
    /* Before a worker can count them out again. */
    meter_queued(&e->meter, works->count);
    queue_push(e->opt.queue, works);
    meter_turned_away(&e->meter, works->count);
}

/* ---- a tick -------------------------------------------------------------------------------- */

struct tick {
    struct work work; /* first */
    struct executor *executor;
    bool probed; /* it has written something to find out */
};

static enum err keep_house(struct work *w, struct domain *d, struct err_text *why)
{
    struct tick *t = (struct tick *)w;
    if (!breaker_is_open(t->executor->breaker))
        return domain_sweep(d, why);
    TRY(domain_probe(d, why));
    t->probed = true;
    return ERR_OK;
}

static bool is_tick(const struct work *w)
{
    return w->decide == keep_house;
}

static bool has_probed(const struct work *w)
{
    return is_tick(w) && ((const struct tick *)w)->probed;
}

static void forget(struct loop_task *task)
{
    free(task);
}

void executor_tick(struct executor *e)
{
    struct tick *t = mem_zalloc(1, sizeof *t);
    t->work = (struct work){.task.run = forget, .home = e->opt.loops[0], .decide = keep_house};
    t->executor = e;
    struct queue_list one = QUEUE_LIST_INIT(one);
    queue_list_append(&one, &t->work.task.item);
    executor_submit(e, &one);
    if (one.count > 0) /* a full queue shows well enough whether the store works */
        free(t);
}

/* ---- on a worker --------------------------------------------------------------------------- */

static void count_taken(struct executor *e, const struct queue_list *works)
{
    int64_t now_us = meter_now_us(&e->meter);
    meter_taken(&e->meter, works->count);
    for (struct queue_item *i = works->first; i != NULL; i = i->next)
        meter_waited(&e->meter, ((struct work *)i)->queued_us, now_us);
}

static int64_t budget_of(const struct executor *e, const struct work *w)
{
    if (is_tick(w) && domain_is_prepared(e->opt.domains[0]))
        return EXECUTOR_TICK_MS;
    if (w->deadline_ms == 0 || w->deadline_ms == INT64_MAX)
        return EXECUTOR_BUDGET_MS;
    int64_t left = w->deadline_ms - clock_mono_ms(e->opt.clock);
    /* Never 0, which may mean for ever where it goes. */
    return left < 1 ? 1 : left < EXECUTOR_BUDGET_MS ? left : EXECUTOR_BUDGET_MS;
}

static void run_one(const struct executor_worker *on, struct work *w, int64_t budget_ms)
{
    struct err_text late = {0};
    domain_job_begin(on->domain, budget_ms);
    w->result = w->decide(w, on->domain, &w->why);
    enum err ended = domain_job_end(on->domain, w->result, &late);
    if (w->result == ERR_OK && ended != ERR_OK) {
        w->result = ended;
        w->why = late;
    }
    meter_ended(&on->executor->meter, w->result);
}

static bool is_refused(const struct executor_worker *on, const struct work *w)
{
    const struct executor *e = on->executor;
    if (w->deadline_ms != 0 && atomic_load(&e->abandoned))
        return true;
    bool down = e->refuses && breaker_is_open(e->breaker);
    return !is_tick(w) && (down || !domain_is_prepared(on->domain));
}

static void refuse(const struct executor_worker *on, struct work *w)
{
    w->result = err_set(&w->why, ERR_UNAVAILABLE, NULL,
                        "the store does not answer; until it does, nothing is asked of it");
    w->refused = true;
    breaker_refused(on->executor->breaker);
}

/* Nothing of the batch is in the store, so nobody may be told what was decided. */
static void fail_all(struct queue_list *works, enum err e, const struct err_text *why)
{
    for (struct queue_item *i = works->first; i != NULL; i = i->next) {
        struct work *w = (struct work *)i;
        w->result = e;
        w->why = *why;
    }
}

/* One durable step for all. */
static void run_together(const struct executor_worker *on, struct queue_list *works)
{
    struct breaker *breaker = on->executor->breaker;
    struct meter *meter = &on->executor->meter;
    uint64_t mark = breaker_mark(breaker);
    struct err_text why = {0};
    bool probed = false;
    enum err result = domain_batch_begin(on->domain, &why);
    if (result == ERR_OK) {
        for (struct queue_item *i = works->first; i != NULL; i = i->next) {
            struct work *w = (struct work *)i;
            if (is_refused(on, w))
                refuse(on, w);
            else
                run_one(on, w, budget_of(on->executor, w));
            probed |= has_probed(w);
        }
        int64_t began_us = meter_now_us(meter);
        result = domain_batch_commit(on->domain, &why);
        meter_committed(meter, works->count, began_us);
    }
    meter_ended(meter, result);
    /* Whose data is damaged is not known; alone, a repeated call finds out. */
    enum err told = result == ERR_CORRUPT && works->count > 1 ? ERR_UNAVAILABLE : result;
    if (result != ERR_OK) {
        fail_all(works, told, &why);
        breaker_failed(breaker, result, &why);
    } else {
        breaker_worked(breaker, mark, probed);
    }
}

/* Only what went well tells that the store works: a refusal may have come without it. */
static void note_one(struct breaker *b, const struct work *w, uint64_t mark)
{
    bool in_vain = is_tick(w) && breaker_is_open(b);
    if (w->result == ERR_OK)
        breaker_worked(b, mark, has_probed(w));
    else if (w->result == ERR_UNAVAILABLE || in_vain)
        breaker_failed(b, w->result, &w->why);
}

/* On a store that is not transactional nothing is gained by waiting for others. */
static void run_alone(const struct executor_worker *on, struct work *w)
{
    if (is_refused(on, w)) {
        refuse(on, w);
        return;
    }
    uint64_t mark = breaker_mark(on->executor->breaker);
    int64_t budget_ms = budget_of(on->executor, w);
    struct meter *meter = &on->executor->meter;
    int64_t began_us = meter_now_us(meter);
    struct err_text why = {0};
    enum err result = domain_batch_begin(on->domain, &why);
    if (result == ERR_OK) {
        run_one(on, w, budget_ms);
        result = domain_batch_commit(on->domain, &why);
        meter_committed(meter, 1, began_us);
    }
    meter_ended(meter, result);
    if (result != ERR_OK) {
        w->result = result;
        w->why = why;
    }
    if (w->result == ERR_OK || budget_ms >= EXECUTOR_FAIR_MS)
        note_one(on->executor->breaker, w, mark);
}

/* One wake-up a loop, however many works it gets back. */
static void send_home(struct executor *e, struct queue_list *works)
{
    struct queue_list home[EXECUTOR_LOOPS_MAX];
    for (size_t i = 0; i < e->opt.n_loops; i++)
        home[i] = QUEUE_LIST_INIT(home[i]);
    for (struct queue_item *item; (item = queue_list_pop(works)) != NULL;) {
        size_t i = 0;
        while (e->opt.loops[i] != ((struct work *)item)->home)
            i++;
        queue_list_append(&home[i], item);
    }
    for (size_t i = 0; i < e->opt.n_loops; i++)
        loop_post_all(e->opt.loops[i], &home[i]);
}

void executor_run_batch(void *ctx, struct queue_list *works)
{
    const struct executor_worker *on = ctx;
    count_taken(on->executor, works);
    if (domain_is_transactional(on->domain))
        run_together(on, works);
    else
        for (struct queue_item *i = works->first; i != NULL; i = i->next)
            run_alone(on, (struct work *)i);
    send_home(on->executor, works);
}

bool executor_store_works(const struct executor *e)
{
    return !breaker_is_open(e->breaker);
}

void executor_counts(struct executor *e, struct executor_counts *out)
{
    breaker_counts(e->breaker, out);
}

void executor_on_change(struct executor *e, void (*changed)(void *ctx), void *ctx)
{
    breaker_on_change(e->breaker, changed, ctx);
}
