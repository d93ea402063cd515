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

struct domain_shared *domain_shared_new(const struct keyring *keyring)
{
    struct domain_shared *s = mem_zalloc(1, sizeof *s);
    s->keys = keys_new(keyring);
    s->policies = policy_cache_new();
    pthread_mutex_init(&s->chain.lock, NULL);
    pthread_mutex_init(&s->rules_lock, NULL);
    return s;
}

void domain_shared_free(struct domain_shared *s)
{
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->rules_lock);
    pthread_mutex_destroy(&s->chain.lock);
    policy_cache_free(s->policies);
    keys_free(s->keys);
    free(s);
}

enum err domain_shared_check_keyring(struct domain_shared *s, const struct keyring *keyring,
                                     struct err_text *why)
{
    return keys_check_keyring(s->keys, keyring, why);
}

void domain_shared_set_keyring(struct domain_shared *s, const struct keyring *keyring)
{
    keys_set_keyring(s->keys, keyring);
}

void domain_shared_set_rules(struct domain_shared *s, const struct domain_rules *rules)
{
    pthread_mutex_lock(&s->rules_lock);
    s->rules = *rules;
    atomic_fetch_add(&s->rules_changes, 1);
    pthread_mutex_unlock(&s->rules_lock);
}

/* Whole, and not in the middle of a batch. */
static void take_rules(struct domain *d)
{
    struct domain_shared *s = d->shared;
    if (atomic_load(&s->rules_changes) == d->rules_changes)
        return;
    pthread_mutex_lock(&s->rules_lock);
    d->opt.rules = s->rules;
    d->rules_changes = atomic_load(&s->rules_changes);
    pthread_mutex_unlock(&s->rules_lock);
}

struct domain *domain_new(const struct domain_options *opt)
{
    struct domain *d = mem_zalloc(1, sizeof *d);
    d->opt = *opt;
    d->shared = opt->shared;
    d->scratch = secret_new();
    d->key = secret_new();
    outbox_count_into(d, opt->metrics);
    return d;
}

void domain_free(struct domain *d)
{
    if (d == NULL)
        return;
    audit_release(d);
    secret_free(d->key);
    secret_free(d->scratch);
    free(d);
}

/* What the service itself needs, in the present job. */
static enum err open_own(struct domain *d, struct err_text *why)
{
    uint32_t key_id;
    const struct secret *key;
    TRY(keys_get_or_make(d, KEYS_SERVICE, &key_id, &key, why));
    TRY(audit_open(d, why));
    d->opened = true;
    return ERR_OK;
}

enum err domain_prepare(struct domain *d, int64_t budget_ms, struct err_text *why)
{
    TRY(domain_batch_begin(d, why));
    domain_job_begin(d, budget_ms);
    enum err e = open_own(d, why);
    enum err ended = domain_job_end(d, e, e == ERR_OK ? why : NULL);
    enum err committed = domain_batch_commit(d, e == ERR_OK ? why : NULL);
    return e != ERR_OK ? e : ended != ERR_OK ? ended : committed;
}

bool domain_is_prepared(const struct domain *d)
{
    return atomic_load(&d->shared->prepared);
}

bool domain_is_transactional(const struct domain *d)
{
    return d->opt.store->ops->transactional;
}

/* The store is as it was, and the caches may hold what is not in it. */
static void forget_caches(struct domain *d)
{
    keys_forget(d->shared->keys);
    policy_cache_forget(d->shared->policies);
    d->caches_touched = false;
}

enum err domain_batch_begin(struct domain *d, struct err_text *why)
{
    d->opened = false;
    take_rules(d);
    return d->opt.store->ops->batch_begin(d->opt.store, why);
}

void domain_job_begin(struct domain *d, int64_t budget_ms)
{
    d->caches_touched = false;
    d->budget_ms = budget_ms;
    d->opt.store->ops->job_begin(d->opt.store, budget_ms);
}

enum err domain_job_end(struct domain *d, enum err result, struct err_text *why)
{
    enum err e = d->opt.store->ops->job_end(d->opt.store, result == ERR_OK, why);
    bool kept = result == ERR_OK && e == ERR_OK;
    audit_job_end(d, kept);
    if (!kept)
        d->opened = false;
    if (domain_is_transactional(d) && !kept && d->caches_touched)
        forget_caches(d);
    if (!domain_is_transactional(d) && kept)
        e = audit_append_job(d, why);
    return e;
}

/* The chain is nobody else's until the store has said what became of the records. */
static enum err commit_with_records(struct domain *d, struct err_text *why)
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

enum err domain_batch_commit(struct domain *d, struct err_text *why)
{
    enum err e = domain_is_transactional(d) ? commit_with_records(d, why)
                                            : d->opt.store->ops->batch_commit(d->opt.store, why);
    if (e == ERR_OK && d->opened)
        atomic_store(&d->shared->prepared, true);
    return e;
}

enum err domain_probe(struct domain *d, struct err_text *why)
{
    if (!domain_is_prepared(d))
        TRY(open_own(d, why));
    return d->opt.store->ops->probe(d->opt.store, why);
}

enum err domain_sweep(struct domain *d, struct err_text *why)
{
    uint32_t swept;
    return d->opt.store->ops->sweep(d->opt.store, clock_wall_ms(d->opt.clock), SWEEP_LIMIT, &swept,
                                    why);
}
