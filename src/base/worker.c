/* SPDX-License-Identifier: ISC */
#include "base/worker.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

struct worker {
    struct worker_options opt;
    pthread_t thread;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    pthread_setname_np(pthread_self(), w->opt.name);
    struct queue_list items = QUEUE_LIST_INIT(items);
    while (queue_take(w->opt.queue, w->opt.batch_max, &items)) {
        w->opt.run(w->opt.ctx, &items);
        items = QUEUE_LIST_INIT(items);
    }
    return NULL;
}

enum err worker_start(struct worker **out, const struct worker_options *opt, struct err_text *why)
{
    struct worker *w = mem_alloc(sizeof *w);
    w->opt = *opt;
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
        free(w);
        return err_set(why, ERR_UNAVAILABLE, NULL, "cannot start thread %s", opt->name);
    }
    *out = w;
    return ERR_OK;
}

void worker_stop(struct worker *w)
{
    if (w == NULL)
        return;
    pthread_join(w->thread, NULL);
    free(w);
}
