/* SPDX-License-Identifier: ISC */
#include "stores_internal.h"

#include "base/mem.h"
#include "daemon/settings.h"
#include "store/store.h"
#include "store/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct stores {
    struct store **list;
    size_t n;
    bool may_be_down;
};

/* One file, one connection. */
static enum err open_sqlite(struct stores *s, const struct settings *set, struct err_text *why)
{
    if (mkdir(set->state_dir, S_IRWXU) != 0 && errno != EEXIST)
        return err_set(why, ERR_DENIED, NULL, "state_dir: %.100s: %s", set->state_dir,
                       strerror(errno));
    s->list = mem_zalloc(1, sizeof(struct store *));
    TRY(store_sqlite_open(&s->list[0], settings_sqlite_path(set), why));
    s->n = 1;
    return ERR_OK;
}

enum err stores_open(struct stores **out, const struct settings *set, struct err_text *why)
{
    struct stores *s = mem_zalloc(1, sizeof *s);
    enum err e = open_sqlite(s, set, why);
    if (e != ERR_OK) {
        stores_close(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

void stores_close(struct stores *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++)
        s->list[i]->ops->close(s->list[i]);
    free(s->list);
    free(s);
}

size_t stores_count(const struct stores *s)
{
    return s != NULL ? s->n : 0;
}

struct store *stores_at(const struct stores *s, size_t i)
{
    return s->list[i];
}

bool stores_may_be_down(const struct stores *s)
{
    return s->may_be_down;
}
