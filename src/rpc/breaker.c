/* SPDX-License-Identifier: ISC */
#include "breaker_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "rpc/executor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* What is read without the lock is changed under it. */
struct breaker {
    uint32_t break_after;
    void (*changed)(void *ctx); /* NULL: nobody wants to know */
    void *changed_ctx;
    _Atomic bool open;
    _Atomic uint64_t failures;
    _Atomic uint64_t refused;
    pthread_mutex_t lock;
    uint32_t in_a_row; /* guarded by lock */
    uint64_t breaks;   /* guarded by lock */
    enum err last;     /* guarded by lock; the failure that was logged last */
};

struct breaker *breaker_new(uint32_t break_after, bool open)
{
    struct breaker *b = mem_zalloc(1, sizeof *b);
    b->break_after = break_after;
    b->last = ERR_UNAVAILABLE;
    atomic_store(&b->open, open);
    pthread_mutex_init(&b->lock, NULL);
    return b;
}

void breaker_free(struct breaker *b)
{
    if (b == NULL)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void breaker_on_change(struct breaker *b, void (*changed)(void *ctx), void *ctx)
{
    b->changed = changed;
    b->changed_ctx = ctx;
}

static void set_open(struct breaker *b, bool open)
{
    atomic_store(&b->open, open);
    if (b->changed != NULL)
        b->changed(b->changed_ctx);
}

bool breaker_is_open(const struct breaker *b)
{
    return atomic_load(&b->open);
}

uint64_t breaker_mark(const struct breaker *b)
{
    return atomic_load(&b->failures);
}

void breaker_failed(struct breaker *b, enum err e, const struct err_text *why)
{
    pthread_mutex_lock(&b->lock);
    atomic_fetch_add(&b->failures, 1);
    b->in_a_row++;
    bool breaks = !atomic_load(&b->open) && b->in_a_row >= b->break_after;
    /* That it is not merely down any more is news. */
    bool news = atomic_load(&b->open) && e != ERR_UNAVAILABLE && e != b->last;
    if (breaks) {
        b->breaks++;
        set_open(b, true);
    }
    if (breaks || news) {
        b->last = e;
        log_event(LOG_ERROR, "store_failed", log_c("error", err_name(e)),
                  log_c("detail", why->text));
    }
    pthread_mutex_unlock(&b->lock);
}

void breaker_worked(struct breaker *b, uint64_t mark, bool proves)
{
    pthread_mutex_lock(&b->lock);
    if (mark == atomic_load(&b->failures)) {
        b->in_a_row = 0;
        /* What only read, or did nothing at all, goes well on a full disk, too. */
        if (proves && atomic_load(&b->open)) {
            set_open(b, false);
            log_event(LOG_INFO, "store_works", log_c("detail", "commits succeed again"));
        }
    }
    pthread_mutex_unlock(&b->lock);
}

void breaker_refused(struct breaker *b)
{
    atomic_fetch_add(&b->refused, 1);
}

void breaker_counts(struct breaker *b, struct executor_counts *out)
{
    pthread_mutex_lock(&b->lock);
    *out = (struct executor_counts){.failures = atomic_load(&b->failures),
                                    .breaks = b->breaks,
                                    .refused = atomic_load(&b->refused)};
    pthread_mutex_unlock(&b->lock);
}
