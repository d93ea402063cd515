/* SPDX-License-Identifier: ISC */
#include "policy_cache_internal.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Direct-mapped: a tenant has one place, and the last one there stays. */
#define POLICY_CACHE_SLOTS 256

struct slot {
    uint64_t changes;    /* a tenant of this place had its policy changed so often */
    struct entry *entry; /* NULL: empty */
};

struct entry {
    int64_t read_ms; /* before the store was asked */
    size_t tenant_len;
    char tenant[ID_MAX];
    struct policy policy;
};

struct policy_cache {
    pthread_mutex_t lock;
    struct slot slots[POLICY_CACHE_SLOTS]; /* guarded by lock */
};

struct policy_cache *policy_cache_new(void)
{
    struct policy_cache *c = mem_zalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void change(struct slot *s)
{
    s->changes++;
    free(s->entry);
    s->entry = NULL;
}

void policy_cache_forget(struct policy_cache *c)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < POLICY_CACHE_SLOTS; i++)
        change(&c->slots[i]);
    pthread_mutex_unlock(&c->lock);
}

void policy_cache_free(struct policy_cache *c)
{
    if (c == NULL)
        return;
    policy_cache_forget(c);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct slot *slot_of(struct policy_cache *c, struct tenant_id t)
{
    return &c->slots[str_hash(t.s) % POLICY_CACHE_SLOTS];
}

static bool holds(const struct slot *s, struct tenant_id t)
{
    return s->entry != NULL &&
           str_equal((struct str){.p = s->entry->tenant, .len = s->entry->tenant_len}, t.s);
}

static bool is_fresh(const struct slot *s, int64_t mono_ms)
{
    return mono_ms - s->entry->read_ms < POLICY_CACHE_MS;
}

bool policy_cache_get(struct policy_cache *c, struct tenant_id t, int64_t mono_ms,
                      struct policy *out, struct policy_read *read)
{
    pthread_mutex_lock(&c->lock);
    const struct slot *s = slot_of(c, t);
    bool kept = holds(s, t) && is_fresh(s, mono_ms);
    if (kept)
        *out = s->entry->policy;
    *read = (struct policy_read){.began_ms = mono_ms, .changes = s->changes};
    pthread_mutex_unlock(&c->lock);
    return kept;
}

/* Is what s has of this tenant better than that? */
static bool is_better(const struct slot *s, struct tenant_id t, const struct policy *p,
                      int64_t read_ms)
{
    return holds(s, t) && (s->entry->read_ms > read_ms ||
                           (s->entry->policy.revision > p->revision && is_fresh(s, read_ms)));
}

void policy_cache_put(struct policy_cache *c, struct tenant_id t, const struct policy *p,
                      const struct policy_read *read)
{
    pthread_mutex_lock(&c->lock);
    struct slot *s = slot_of(c, t);
    if (s->changes == read->changes && !is_better(s, t, p, read->began_ms)) {
        if (s->entry == NULL)
            s->entry = mem_alloc(sizeof *s->entry);
        s->entry->read_ms = read->began_ms;
        s->entry->tenant_len = t.s.len;
        memcpy(s->entry->tenant, t.s.p, t.s.len);
        s->entry->policy = *p;
    }
    pthread_mutex_unlock(&c->lock);
}

void policy_cache_changed(struct policy_cache *c, struct tenant_id t)
{
    pthread_mutex_lock(&c->lock);
    change(slot_of(c, t));
    pthread_mutex_unlock(&c->lock);
}
