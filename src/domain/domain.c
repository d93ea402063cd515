/* SPDX-License-Identifier: ISC */
#include "domain/domain.h"

#include "audit_internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "crypto/secret.h"
#include "domain_internal.h"
#include "keys_internal.h"
#include "outbox_internal.h"
#include "policy_cache_internal.h"
#include "store/store.h"

#include <stdlib.h>

#define SWEEP_LIMIT 256

static void forget_caches(struct domain *d)
{
    keys_forget(d->keys);
    policy_cache_forget(d->policies);
    d->caches_touched = false;
}

static enum err prepare(struct domain *d, struct err_text *why)
{
    uint32_t key_id;
    const struct secret *key;
    TRY(domain_batch_begin(d, why));
    domain_job_begin(d);
    enum err e = keys_get_or_make(d, KEYS_SERVICE, &key_id, &key, why);
    if (e == ERR_OK)
        e = audit_open(d, why);
    enum err ended = domain_job_end(d, e, e == ERR_OK ? why : NULL);
    enum err committed = domain_batch_commit(d, e == ERR_OK ? why : NULL);
    return e != ERR_OK ? e : ended != ERR_OK ? ended : committed;
}

enum err domain_new(struct domain **out, const struct domain_options *opt, struct err_text *why)
{
    struct domain *d = mem_zalloc(1, sizeof *d);
    d->opt = *opt;
    d->keys = keys_new();
    d->policies = policy_cache_new();
    d->scratch = secret_new();
    outbox_count_into(d, opt->metrics);
    enum err e = prepare(d, why);
    if (e != ERR_OK) {
        domain_free(d);
        return e;
    }
    *out = d;
    return ERR_OK;
}

void domain_free(struct domain *d)
{
    if (d == NULL)
        return;
    audit_release(d);
    secret_free(d->scratch);
    policy_cache_free(d->policies);
    keys_free(d->keys);
    free(d);
}

enum err domain_batch_begin(struct domain *d, struct err_text *why)
{
    return d->opt.store->ops->batch_begin(d->opt.store, why);
}

void domain_job_begin(struct domain *d)
{
    d->caches_touched = false;
    d->opt.store->ops->job_begin(d->opt.store, INT64_MAX);
}

enum err domain_job_end(struct domain *d, enum err result, struct err_text *why)
{
    enum err e = d->opt.store->ops->job_end(d->opt.store, result == ERR_OK, why);
    bool kept = result == ERR_OK && e == ERR_OK;
    audit_job_end(d, kept);
    if (!kept && d->caches_touched)
        forget_caches(d);
    return e;
}

enum err domain_batch_commit(struct domain *d, struct err_text *why)
{
    enum err e = audit_append_batch(d, why);
    if (e == ERR_OK)
        e = d->opt.store->ops->batch_commit(d->opt.store, why);
    else
        d->opt.store->ops->batch_abandon(d->opt.store);
    audit_batch_end(d, e == ERR_OK);
    if (e != ERR_OK)
        forget_caches(d);
    return e;
}

enum err domain_probe(struct domain *d, struct err_text *why)
{
    return d->opt.store->ops->probe(d->opt.store, why);
}

enum err domain_sweep(struct domain *d, struct err_text *why)
{
    uint32_t swept;
    return d->opt.store->ops->sweep(d->opt.store, clock_wall_ms(d->opt.clock), SWEEP_LIMIT, &swept,
                                    why);
}
