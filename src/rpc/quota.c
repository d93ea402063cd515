/* SPDX-License-Identifier: ISC */
#include "quota_internal.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#define SET_BITS    10
#define SETS        (1u << SET_BITS)
#define WAYS        4
#define PLACES      1024 /* in the queue */
#define MICROSECOND 1000000

/* The time at which it is full says how full it is now. */
struct bucket {
    uint64_t key;
    int64_t full_at_us;
};

struct table {
    pthread_mutex_t lock; /* for the sets */
    struct bucket sets[SETS][WAYS];
};

struct quota {
    uint64_t seed; /* so that nobody can choose names of one place */
    _Atomic uint32_t rate[QUOTA_KINDS], burst[QUOTA_KINDS], queue;
    struct table tables[QUOTA_KINDS];
    _Atomic uint32_t waiting[PLACES];
};

struct quota *quota_new(const struct rpc_limits *limits)
{
    struct quota *q = mem_zalloc(1, sizeof *q);
    if (getrandom(&q->seed, sizeof q->seed, 0) != (ssize_t)sizeof q->seed)
        abort();
    for (int i = 0; i < QUOTA_KINDS; i++)
        pthread_mutex_init(&q->tables[i].lock, NULL);
    quota_set_limits(q, limits);
    return q;
}

void quota_free(struct quota *q)
{
    if (q == NULL)
        return;
    for (int i = 0; i < QUOTA_KINDS; i++)
        pthread_mutex_destroy(&q->tables[i].lock);
    free(q);
}

void quota_set_limits(struct quota *q, const struct rpc_limits *limits)
{
    atomic_store(&q->rate[QUOTA_CALLER], limits->caller_rate);
    atomic_store(&q->burst[QUOTA_CALLER], limits->caller_burst);
    atomic_store(&q->rate[QUOTA_TENANT], limits->tenant_rate);
    atomic_store(&q->burst[QUOTA_TENANT], limits->tenant_burst);
    atomic_store(&q->queue, limits->caller_queue);
}

static uint64_t key_of(const struct quota *q, struct str name)
{
    uint64_t h = q->seed ^ name.len;
    for (size_t i = 0; i < name.len; i++) {
        h = (h ^ (uint8_t)name.p[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h * UINT64_C(0xd6e8feb86659fd93);
}

/* The bucket of key, full when it is new. */
static struct bucket *find(struct table *t, uint64_t key)
{
    struct bucket *set = t->sets[key >> (64 - SET_BITS)], *fullest = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].full_at_us < fullest->full_at_us)
            fullest = &set[i];
    }
    *fullest = (struct bucket){.key = key};
    return fullest;
}

int64_t quota_take(struct quota *q, enum quota_kind kind, struct str name, int64_t now_ms)
{
    int64_t rate = atomic_load_explicit(&q->rate[kind], memory_order_relaxed);
    if (rate == 0)
        return 0;
    int64_t burst = atomic_load_explicit(&q->burst[kind], memory_order_relaxed);
    int64_t each_us = MICROSECOND / rate, now_us = now_ms * 1000;
    int64_t most_us = each_us * (burst > 0 ? burst : 1);
    struct table *t = &q->tables[kind];
    pthread_mutex_lock(&t->lock);
    struct bucket *b = find(t, key_of(q, name));
    int64_t begin = b->full_at_us > now_us ? b->full_at_us : now_us;
    int64_t over_us = begin + each_us - now_us - most_us;
    if (over_us <= 0)
        b->full_at_us = begin + each_us;
    pthread_mutex_unlock(&t->lock);
    return over_us <= 0 ? 0 : (over_us + 999) / 1000;
}

bool quota_enter(struct quota *q, struct str caller, uint32_t *place_out)
{
    uint32_t place = (uint32_t)(key_of(q, caller) % PLACES);
    uint32_t limit = atomic_load_explicit(&q->queue, memory_order_relaxed);
    *place_out = place;
    if (atomic_fetch_add(&q->waiting[place], 1) < limit || limit == 0)
        return true;
    quota_leave(q, place);
    return false;
}

void quota_leave(struct quota *q, uint32_t place)
{
    atomic_fetch_sub(&q->waiting[place], 1);
}
