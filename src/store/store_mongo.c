/* SPDX-License-Identifier: ISC */
#include "store/store_mongo.h"

#include "base/mem.h"
#include "mongo_internal.h"
#include "mongo_schema_internal.h"
#include "mongo_uri_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The budget of what belongs to no job. */
#define OPEN_BUDGET_MS 10000
#define LOOK_BUDGET_MS 1000 /* when it need not be there */

/* libmongoc speaks on standard error unless it is told otherwise. What matters of it comes back in
 * errors, and those are logged by whoever decides. */
static void say_nothing(mongoc_log_level_t level, const char *domain, const char *message,
                        void *ctx)
{
    (void)level;
    (void)domain;
    (void)message;
    (void)ctx;
}

/* It starts itself when it is loaded, whatever the store, so it is told before: a library's
 * constructors come after this. */
static void be_silent(void)
{
    mongoc_log_set_handler(say_nothing, NULL);
}
__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(void) = be_silent;

/* It has then made counters in shared memory, which nobody reads, and which would stay behind a
 * process that is killed: the name goes at once. */
__attribute__((constructor)) static void unlink_counters(void)
{
    char name[32];
    snprintf(name, sizeof name, "/mongoc-%d", (int)getpid());
    shm_unlink(name);
}

struct mongo_db store_mongo_pop(struct mongo *m)
{
    return (struct mongo_db){
        .client = mongoc_client_pool_pop(m->pool), .name = m->name, .durable = m->durable};
}

/* Makes what has to be there before anything else. */
static enum err prepare(struct mongo *m, struct mongo_db *db, struct err_text *why)
{
    TRY(mongo_schema_make(db, m->development, why));
    pthread_mutex_lock(&m->lock);
    m->ready = true;
    pthread_mutex_unlock(&m->lock);
    return ERR_OK;
}

/* ---- one worker's store -------------------------------------------------------------------- */

static enum err no_batch(struct store *base, struct err_text *why)
{
    (void)base;
    (void)why;
    return ERR_OK;
}

static void batch_abandon(struct store *base)
{
    mongo_users_forget(mongo_store_of(base));
}

static void job_begin(struct store *base, int64_t budget_ms)
{
    struct mongo_store *s = mongo_store_of(base);
    mongo_users_forget(s);
    s->has_attempt = false;
    mongo_db_set_budget(&s->db, budget_ms);
}

static enum err job_end(struct store *base, bool keep, struct err_text *why)
{
    (void)keep;
    (void)why;
    mongo_users_forget(mongo_store_of(base));
    return ERR_OK;
}

static enum err probe(struct store *base, struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    pthread_mutex_lock(&s->shared->lock);
    bool ready = s->shared->ready;
    pthread_mutex_unlock(&s->shared->lock);
    if (!ready)
        return prepare(s->shared, &s->db, why);
    return mongo_schema_touch(&s->db, why);
}

static void close_store(struct store *base)
{
    struct mongo_store *s = mongo_store_of(base);
    mongo_users_forget(s);
    mongoc_client_pool_push(s->shared->pool, s->db.client);
    free(s);
}

static const struct store_ops mongo_ops = {
    .name = "mongodb",
    .transactional = false,
    .close = close_store,
    .batch_begin = no_batch,
    .job_begin = job_begin,
    .job_end = job_end,
    .batch_abandon = batch_abandon,
    .batch_commit = no_batch,
    .policy_get = mongo_tenant_policy_get,
    .policy_put = mongo_tenant_policy_put,
    .data_key_get = mongo_tenant_data_key_get,
    .data_key_add = mongo_tenant_data_key_add,
    .user_get = mongo_users_get,
    .pending_put = mongo_users_pending_put,
    .other_get = mongo_users_other_get,
    .charge = mongo_charge,
    .accept = mongo_accept,
    .remember = mongo_append_remember,
    .audit_head = mongo_audit_head,
    .audit_append = mongo_audit_append,
    .probe = probe,
    .sweep = mongo_sweep,
};

struct store *store_mongo_new(struct mongo *m)
{
    struct mongo_store *s = mem_zalloc(1, sizeof *s);
    s->base.ops = &mongo_ops;
    s->base.outbox = &mongo_outbox_ops;
    s->shared = m;
    s->db = store_mongo_pop(m);
    mongo_db_set_budget(&s->db, OPEN_BUDGET_MS);
    return &s->base;
}

/* ---- what they share ----------------------------------------------------------------------- */

static enum err prepare_now(struct mongo *m, bool may_be_down, struct err_text *why)
{
    struct mongo_db db = store_mongo_pop(m);
    mongo_db_set_budget(&db, may_be_down ? LOOK_BUDGET_MS : OPEN_BUDGET_MS);
    enum err e = prepare(m, &db, why);
    mongoc_client_pool_push(m->pool, db.client);
    return e == ERR_UNAVAILABLE && may_be_down ? ERR_OK : e;
}

static enum err open_pool(struct mongo *m, const struct mongo_options *opt, struct err_text *why)
{
    mongoc_uri_t *uri;
    TRY(mongo_uri_read(&uri, opt, m->name, sizeof m->name, &m->durable, why));
    m->pool = mongoc_client_pool_new(uri);
    mongoc_uri_destroy(uri);
    if (m->pool == NULL)
        return err_set(why, ERR_INVALID, NULL,
                       "store: the MongoDB URI asks for what the driver does not have");
    mongoc_client_pool_set_error_api(m->pool, MONGOC_ERROR_API_VERSION_2);
    /* One for each store, one for the audit log, one to begin with. */
    mongoc_client_pool_max_size(m->pool, opt->n_stores + 2);
    return ERR_OK;
}

enum err store_mongo_open(struct mongo **out, const struct mongo_options *opt, struct err_text *why)
{
    mongoc_init();
    struct mongo *m = mem_zalloc(1, sizeof *m);
    m->development = opt->development;
    pthread_mutex_init(&m->lock, NULL);
    enum err e = open_pool(m, opt, why);
    if (e == ERR_OK)
        e = prepare_now(m, opt->may_be_down, why);
    if (e == ERR_OK)
        e = mongo_audit_start(&m->audit, m, why);
    if (e != ERR_OK) {
        store_mongo_close(m);
        return e;
    }
    *out = m;
    return ERR_OK;
}

void store_mongo_close(struct mongo *m)
{
    if (m == NULL)
        return;
    mongo_audit_stop(m->audit);
    if (m->pool != NULL)
        mongoc_client_pool_destroy(m->pool);
    if (m->durable != NULL)
        mongoc_write_concern_destroy(m->durable);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

char *store_mongo_file(const char *uri, size_t n)
{
    static const char *const options[STORE_MONGO_FILES] = {MONGOC_URI_TLSCAFILE,
                                                           MONGOC_URI_TLSCERTIFICATEKEYFILE};
    mongoc_uri_t *parsed = n < STORE_MONGO_FILES ? mongoc_uri_new_with_error(uri, NULL) : NULL;
    const char *path =
        parsed != NULL ? mongoc_uri_get_option_as_utf8(parsed, options[n], NULL) : NULL;
    char *copy = path != NULL ? mem_strdup(path) : NULL;
    if (parsed != NULL)
        mongoc_uri_destroy(parsed);
    return copy;
}
