/* SPDX-License-Identifier: ISC */
#include "rpc/executor.h"

#include "base/log.h"
#include "base/mem.h"
#include "domain/domain.h"

#include <stdatomic.h>
#include <stdlib.h>

struct executor {
    struct executor_options opt;
    _Atomic bool store_works;
    void (*changed)(void *ctx); /* NULL: nobody wants to know */
    void *changed_ctx;
    bool probed; /* the batch has written something to find out. Thread: worker */
};

struct executor *executor_new(const struct executor_options *opt)
{
    if (opt->n_loops > EXECUTOR_LOOPS_MAX)
        abort();
    struct executor *e = mem_zalloc(1, sizeof *e);
    e->opt = *opt;
    atomic_store(&e->store_works, true);
    return e;
}

void executor_free(struct executor *e)
{
    free(e);
}

void executor_submit(struct executor *e, struct queue_list *works)
{
    queue_push(e->opt.queue, works);
}

static void run_one(struct work *w, struct domain *d)
{
    struct err_text late;
    domain_job_begin(d);
    w->result = w->decide(w, d, &w->why);
    enum err ended = domain_job_end(d, w->result, &late);
    if (w->result == ERR_OK && ended != ERR_OK) {
        w->result = ended;
        w->why = late;
    }
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

static void note_store(struct executor *e, enum err result, const struct err_text *why)
{
    bool works = result == ERR_OK;
    /* A batch that only read, or nothing at all, commits on a full disk, too. */
    if (works && !atomic_load(&e->store_works) && !e->probed)
        return;
    if (atomic_exchange(&e->store_works, works) == works)
        return;
    if (works)
        log_event(LOG_INFO, "store_works", log_c("detail", "commits succeed again"));
    else
        log_event(LOG_ERROR, "store_failed", log_c("error", err_name(result)),
                  log_c("detail", why->text));
    if (e->changed != NULL)
        e->changed(e->changed_ctx);
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
    struct executor *e = ctx;
    struct err_text why = {0};
    e->probed = false;
    enum err result = domain_batch_begin(e->opt.domain, &why);
    if (result == ERR_OK) {
        for (struct queue_item *i = works->first; i != NULL; i = i->next)
            run_one((struct work *)i, e->opt.domain);
        result = domain_batch_commit(e->opt.domain, &why);
    }
    /* Whose data is damaged is not known; alone, a repeated call finds out. */
    enum err told = result == ERR_CORRUPT && works->count > 1 ? ERR_UNAVAILABLE : result;
    if (result != ERR_OK)
        fail_all(works, told, &why);
    note_store(e, result, &why);
    send_home(e, works);
}

bool executor_store_works(const struct executor *e)
{
    return atomic_load(&e->store_works);
}

void executor_on_change(struct executor *e, void (*changed)(void *ctx), void *ctx)
{
    e->changed = changed;
    e->changed_ctx = ctx;
}

struct tick {
    struct work work; /* first */
    struct executor *executor;
};

static enum err keep_house(struct work *w, struct domain *d, struct err_text *why)
{
    struct executor *e = ((struct tick *)w)->executor;
    if (atomic_load(&e->store_works))
        return domain_sweep(d, why);
    TRY(domain_probe(d, why));
    e->probed = true;
    return ERR_OK;
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
