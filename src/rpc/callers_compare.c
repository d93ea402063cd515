/* SPDX-License-Identifier: ISC */
#include "callers_internal.h"
#include "crypto/secret.h"

#include <string.h>

static const struct entry *find(const struct callers *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->list[i].caller.name, name) == 0)
            return &c->list[i];
    return NULL;
}

static bool same_san(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_tenants(const struct caller *a, const struct caller *b)
{
    if (a->n_tenants != b->n_tenants)
        return false;
    for (size_t i = 0; i < a->n_tenants; i++)
        if (strcmp(a->tenants[i], b->tenants[i]) != 0)
            return false;
    return true;
}

static bool is_same(const struct entry *a, const struct entry *b)
{
    return strcmp(a->caller.id, b->caller.id) == 0 && same_san(a->caller.san, b->caller.san) &&
           a->caller.permissions == b->caller.permissions && same_tenants(&a->caller, &b->caller) &&
           secret_equal(a->secret_hash, b->secret_hash, DIGEST_LEN);
}

void callers_compare(const struct callers *before, const struct callers *after,
                     const struct callers_visitor *visitor)
{
    for (size_t i = 0; i < after->n; i++) {
        const char *name = after->list[i].caller.name;
        const struct entry *was = find(before, name);
        if (was == NULL)
            visitor->visit(visitor->ctx, CALLER_ADDED, name);
        else if (!is_same(was, &after->list[i]))
            visitor->visit(visitor->ctx, CALLER_CHANGED, name);
    }
    for (size_t i = 0; i < before->n; i++)
        if (find(after, before->list[i].caller.name) == NULL)
            visitor->visit(visitor->ctx, CALLER_REMOVED, before->list[i].caller.name);
}
