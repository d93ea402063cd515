/* SPDX-License-Identifier: ISC */
#include "stores_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "crypto/secret.h"
#include "daemon/settings.h"
#include "password_internal.h"
#include "store/store.h"
#include "store/store_mongo.h"
#include "store/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct stores {
    const struct settings *set;
    struct secret *password;
    struct mongo *mongo; /* NULL: the store is another */
    struct store **list;
    size_t n;
};

enum err stores_new(struct stores **out, const struct settings *set, struct err_text *why)
{
    struct stores *s = mem_zalloc(1, sizeof *s);
    s->set = set;
    enum err e = password_read(&s->password, set->store_password_file, why);
    if (e != ERR_OK) {
        stores_free(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

/* One file, one connection, one worker. */
static enum err open_sqlite(struct stores *s, const char *path, struct err_text *why)
{
    const char *folder = s->set->state_dir;
    if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST)
        return err_set(why, ERR_DENIED, NULL, "state_dir: %.100s: %s", folder, strerror(errno));
    s->list = mem_zalloc(1, sizeof(struct store *));
    TRY(store_sqlite_open(&s->list[0], path, why));
    s->n = 1;
    return ERR_OK;
}

static enum err open_mongo(struct stores *s, struct err_text *why)
{
    struct mongo_options opt = {.uri = s->set->store,
                                .password = password_text(s->password),
                                .development = s->set->store_development,
                                .may_be_down = s->set->start_without_store,
                                .n_stores = (uint32_t)s->set->store_workers};
    TRY(store_mongo_open(&s->mongo, &opt, why));
    if (opt.development)
        log_event(LOG_WARN, "development_store",
                  log_c("detail", "what is answered may be forgotten: this is not for real users"));
    s->list = mem_zalloc(opt.n_stores, sizeof(struct store *));
    for (; s->n < opt.n_stores; s->n++)
        s->list[s->n] = store_mongo_new(s->mongo);
    return ERR_OK;
}

enum err stores_open(struct stores *s, struct err_text *why)
{
    const char *path = settings_sqlite_path(s->set);
    return path != NULL ? open_sqlite(s, path, why) : open_mongo(s, why);
}

void stores_free(struct stores *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++)
        s->list[i]->ops->close(s->list[i]);
    free(s->list);
    if (s->mongo != NULL)
        store_mongo_close(s->mongo);
    secret_free(s->password);
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
    return s->mongo != NULL && s->set->start_without_store;
}
