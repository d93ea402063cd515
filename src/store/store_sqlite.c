/* SPDX-License-Identifier: ISC */
#include "store/store_sqlite.h"

#include "base/mem.h"
#include "sqlite_fold_internal.h"
#include "sqlite_internal.h"

#include <stdlib.h>

/* A user is forgotten with the job: another may follow. */
static void end_job(struct sqlite_store *s)
{
    sqlite_log_drop(&s->log);
    s->user.found = false;
    s->savepoint = false;
}

/* What is kept in memory, from the tables. */
static enum err load(struct sqlite_store *s, struct err_text *why)
{
    TRY(sqlite_fold_load(s, why));
    TRY(sqlite_audit_load(s, why));
    s->stale = false;
    return ERR_OK;
}

static void batch_abandon(struct store *base)
{
    struct sqlite_store *s = sqlite_store_of(base);
    sqlite_db_rollback(&s->db);
    end_job(s);
    s->stale = true;
}

static enum err batch_begin(struct store *base, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    s->log.batch_rows = 0;
    enum err e = sqlite_db_begin(&s->db, why);
    if (e == ERR_OK && s->stale)
        e = load(s, why);
    if (e != ERR_OK)
        batch_abandon(base);
    return e;
}

static enum err batch_commit(struct store *base, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    enum err e = sqlite_fold_step(s, why);
    if (e == ERR_OK)
        e = sqlite_db_commit(&s->db, why);
    if (e != ERR_OK)
        batch_abandon(base);
    return e;
}

static void job_begin(struct store *base, int64_t budget_ms)
{
    (void)budget_ms; /* there is no other machine */
    struct sqlite_store *s = sqlite_store_of(base);
    end_job(s);
    s->first_seq = s->log.first_seq;
}

enum err store_sqlite_writes(struct sqlite_store *s, struct err_text *why)
{
    if (s->savepoint)
        return ERR_OK;
    TRY(sqlite_db_run(&s->db, SQL_SAVEPOINT, why));
    s->savepoint = true;
    return ERR_OK;
}

static enum err keep(struct sqlite_store *s, struct err_text *why)
{
    TRY(sqlite_log_keep(s, why));
    return s->savepoint ? sqlite_db_run(&s->db, SQL_RELEASE, why) : ERR_OK;
}

static enum err drop(struct sqlite_store *s, struct err_text *why)
{
    s->log.first_seq = s->first_seq;
    /* A lost transaction takes the job with it. */
    if (!s->savepoint || !s->db.usable)
        return ERR_OK;
    TRY(sqlite_db_run(&s->db, SQL_ROLLBACK_TO, why));
    return sqlite_db_run(&s->db, SQL_RELEASE, why);
}

static enum err job_end(struct store *base, bool keep_it, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    enum err e = keep_it ? keep(s, why) : drop(s, why);
    end_job(s);
    return e;
}

static enum err probe(struct store *base, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    TRY(store_sqlite_writes(s, why));
    return sqlite_db_run(&s->db, SQL_PROBE, why);
}

static enum err sweep(struct store *base, int64_t now_ms, uint32_t limit, uint32_t *n_out,
                      struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    uint32_t n_pending, n_resets, n_rows;
    TRY(sqlite_user_sweep(s, now_ms, limit, &n_pending, why));
    TRY(sqlite_outbox_sweep(s, now_ms, limit - n_pending, &n_resets, why));
    TRY(sqlite_fold_trim(s, now_ms, limit - n_pending - n_resets, &n_rows, why));
    *n_out = n_pending + n_resets + n_rows;
    return ERR_OK;
}

static void close_store(struct store *base)
{
    struct sqlite_store *s = sqlite_store_of(base);
    sqlite_db_close(&s->db);
    sqlite_log_release(&s->log);
    free(s);
}

static const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .transactional = true,
    .close = close_store,
    .batch_begin = batch_begin,
    .job_begin = job_begin,
    .job_end = job_end,
    .batch_abandon = batch_abandon,
    .batch_commit = batch_commit,
    .policy_get = sqlite_tenant_policy_get,
    .policy_put = sqlite_tenant_policy_put,
    .data_key_get = sqlite_tenant_data_key_get,
    .data_key_add = sqlite_tenant_data_key_add,
    .user_get = sqlite_user_get,
    .pending_put = sqlite_user_pending_put,
    .other_get = sqlite_user_other_get,
    .charge = sqlite_verify_charge,
    .accept = sqlite_verify_accept,
    .remember = sqlite_verify_remember,
    .audit_head = sqlite_audit_head,
    .audit_append = sqlite_audit_append,
    .probe = probe,
    .sweep = sweep,
};

enum err store_sqlite_open(struct store **out, const char *path, struct err_text *why)
{
    struct sqlite_store *s = mem_zalloc(1, sizeof *s);
    s->base.ops = &sqlite_ops;
    s->base.outbox = &sqlite_outbox_ops;
    s->stale = true;
    sqlite_log_init(&s->log);
    enum err e = sqlite_db_open(&s->db, path, why);
    if (e == ERR_OK)
        e = batch_begin(&s->base, why);
    if (e == ERR_OK)
        e = batch_commit(&s->base, why);
    if (e != ERR_OK) {
        close_store(&s->base);
        return e;
    }
    *out = &s->base;
    return ERR_OK;
}
