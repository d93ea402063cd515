/* SPDX-License-Identifier: ISC */
#include "base/throttle.h"

#include <string.h>

static struct throttle_kind *find(struct throttle *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->kinds[i].name, name) == 0)
            return &t->kinds[i];
    if (t->n == THROTTLE_KINDS)
        return NULL;
    t->kinds[t->n] = (struct throttle_kind){.name = name};
    return &t->kinds[t->n++];
}

static void enter_second(struct throttle_kind *k, int64_t second)
{
    if (k->second == second)
        return;
    k->due += k->left_out;
    k->left_out = 0;
    k->passed = 0;
    k->second = second;
}

bool throttle_take(struct throttle *t, const char *kind, int64_t now_ms)
{
    struct throttle_kind *k = find(t, kind);
    if (k == NULL)
        return true;
    enter_second(k, now_ms / 1000);
    if (k->passed < t->per_second) {
        k->passed++;
        return true;
    }
    k->left_out++;
    return false;
}

bool throttle_settle(struct throttle *t, int64_t now_ms, const char **kind_out,
                     uint64_t *left_out_out)
{
    for (size_t i = 0; i < t->n; i++) {
        struct throttle_kind *k = &t->kinds[i];
        enter_second(k, now_ms / 1000);
        if (k->due == 0)
            continue;
        *kind_out = k->name;
        *left_out_out = k->due;
        k->due = 0;
        return true;
    }
    return false;
}
