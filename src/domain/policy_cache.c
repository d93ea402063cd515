/* SPDX-License-Identifier: ISC */
#include "policy_cache_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Direct-mapped: a tenant has one place, and the last one there stays. */
#define POLICY_CACHE_SLOTS 256

struct slot {
    int64_t put_ms;
    size_t tenant_len;
    char tenant[ID_MAX];
    struct policy policy;
};

struct policy_cache {
    struct slot *slots[POLICY_CACHE_SLOTS]; /* NULL: never used */
};

struct policy_cache *policy_cache_new(void)
{
    return mem_zalloc(1, sizeof(struct policy_cache));
}

void policy_cache_forget(struct policy_cache *c)
{
    for (size_t i = 0; i < POLICY_CACHE_SLOTS; i++) {
        free(c->slots[i]);
        c->slots[i] = NULL;
    }
}

void policy_cache_free(struct policy_cache *c)
{
    if (c == NULL)
        return;
    policy_cache_forget(c);
    free(c);
}

const struct policy *policy_cache_get(const struct policy_cache *c, struct tenant_id t,
                                      int64_t mono_ms)
{
    const struct slot *s = c->slots[str_hash(t.s) % POLICY_CACHE_SLOTS];
    if (s == NULL || mono_ms - s->put_ms >= POLICY_CACHE_MS ||
        !str_equal((struct str){.p = s->tenant, .len = s->tenant_len}, t.s))
        return NULL;
    return &s->policy;
}

void policy_cache_put(struct policy_cache *c, struct tenant_id t, const struct policy *p,
                      int64_t mono_ms)
{
    struct slot **s = &c->slots[str_hash(t.s) % POLICY_CACHE_SLOTS];
    if (*s == NULL)
        *s = mem_alloc(sizeof **s);
    (*s)->put_ms = mono_ms;
    (*s)->tenant_len = t.s.len;
    memcpy((*s)->tenant, t.s.p, t.s.len);
    (*s)->policy = *p;
}
