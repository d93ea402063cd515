/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_POLICY_CACHE_INTERNAL_H
#define DOMAIN_POLICY_CACHE_INTERNAL_H

/* Policies that were read a moment ago: at most POLICY_CACHE_MS before now, so that a change by
 * another process is followed within that time. A change by this process is followed at once: what
 * somebody began to read before it is not kept. Thread: any. */

#include "store/types.h"

#include <stdbool.h>

#define POLICY_CACHE_MS 1000

struct policy_cache;

struct policy_cache *policy_cache_new(void);
void policy_cache_free(struct policy_cache *c);

/* A read of the store that begins now, as policy_cache_put needs to know it. */
struct policy_read {
    int64_t began_ms;
    uint64_t changes; /* of this place in the cache, until then */
};

/* True with a copy of the tenant's policy when one was read less than POLICY_CACHE_MS before
 * mono_ms, which is now; else false, and *read is for the read that follows. */
bool policy_cache_get(struct policy_cache *c, struct tenant_id t, int64_t mono_ms,
                      struct policy *out, struct policy_read *read);

/* What that read found. Not kept when the policy was changed meanwhile, or a later read is kept or
 * one that found a newer revision. */
void policy_cache_put(struct policy_cache *c, struct tenant_id t, const struct policy *p,
                      const struct policy_read *read);

/* The tenant's policy in the store is another now. */
void policy_cache_changed(struct policy_cache *c, struct tenant_id t);

/* As policy_cache_changed, for all tenants. */
void policy_cache_forget(struct policy_cache *c);

#endif
