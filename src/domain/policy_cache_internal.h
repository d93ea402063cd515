/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_POLICY_CACHE_INTERNAL_H
#define DOMAIN_POLICY_CACHE_INTERNAL_H

/* Policies that were read a moment ago: at most POLICY_CACHE_MS old, so that a change by
 * another instance is followed within that time. Thread: worker. */

#include "store/types.h"

#define POLICY_CACHE_MS 1000

struct policy_cache;

struct policy_cache *policy_cache_new(void);
void policy_cache_free(struct policy_cache *c);

/* The tenant's policy if it was put in less than POLICY_CACHE_MS ago, borrowed until the
 * next put; else NULL. */
const struct policy *policy_cache_get(const struct policy_cache *c, struct tenant_id t,
                                      int64_t mono_ms);
void policy_cache_put(struct policy_cache *c, struct tenant_id t, const struct policy *p,
                      int64_t mono_ms);
void policy_cache_forget(struct policy_cache *c);

#endif
