/* SPDX-License-Identifier: ISC */
#include "sqlite_fold_internal.h"

#include "base/mem.h"
#include "sqlite_internal.h"
#include "sqlite_row_internal.h"

#include <sqlite3.h>
#include <stdlib.h>

static enum err load_ends(struct sqlite_store *s, struct err_text *why)
{
    bool found;
    struct sqlite_log *log = &s->log;
    TRY(sqlite_db_row(&s->db, SQL_FOLD_GET, &found, why));
    struct sqlite_row fold = {.stmt = sqlite_db_stmt(&s->db, SQL_FOLD_GET), .bad = !found};
    log->folded = found ? sqlite_row_int(&fold) : 0;
    sqlite_db_done(&s->db, SQL_FOLD_GET);
    TRY(sqlite_row_check(&fold, "a mark of folding", why));

    TRY(sqlite_db_row(&s->db, SQL_SIGN_IN_ENDS, &found, why));
    struct sqlite_row ends = {.stmt = sqlite_db_stmt(&s->db, SQL_SIGN_IN_ENDS), .bad = !found};
    bool empty = sqlite_row_null(&ends);
    log->first_seq = empty ? log->folded + 1 : sqlite_row_int(&ends);
    log->next_seq = empty ? log->folded + 1 : sqlite_row_int(&ends) + 1;
    sqlite_db_done(&s->db, SQL_SIGN_IN_ENDS);
    ends.bad = ends.bad || log->first_seq > log->folded + 1;
    if (log->next_seq <= log->folded)
        log->next_seq = log->folded + 1;
    return sqlite_row_check(&ends, "a log of sign-ins", why);
}

static void load_row(struct sqlite_log *log, struct sqlite_row *row)
{
    struct hot hot;
    int64_t seq = sqlite_row_int(row);
    hot.user = sqlite_row_uint(row, UINT32_MAX);
    hot.time_ms = sqlite_row_int(row);
    hot.last_step = sqlite_row_int(row);
    hot.failures = sqlite_row_uint(row, UINT32_MAX);
    hot.last_attempt_ms = sqlite_row_int(row);
    hot.request_seq = sqlite_row_int(row);
    if (sqlite_row_int(row) != 0)
        hot.request_seq = seq;
    row->bad = row->bad || hot.user == 0;
    if (row->bad)
        return;
    hot_map_put(&log->map, &hot);
}

static enum err load_tail(struct sqlite_store *s, struct err_text *why)
{
    bool found;
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_SIGN_IN_TAIL);
    sqlite3_bind_int64(stmt, 1, s->log.folded);
    for (;;) {
        TRY(sqlite_db_row(&s->db, SQL_SIGN_IN_TAIL, &found, why));
        if (!found)
            return ERR_OK;
        struct sqlite_row row = {.stmt = stmt};
        load_row(&s->log, &row);
        if (!row.bad)
            continue;
        sqlite_db_done(&s->db, SQL_SIGN_IN_TAIL);
        return sqlite_row_check(&row, "a sign-in", why);
    }
}

static void end_fold(struct fold *f)
{
    free(f->due);
    f->due = NULL;
}

enum err sqlite_fold_load(struct sqlite_store *s, struct err_text *why)
{
    end_fold(&s->log.fold);
    hot_map_clear(&s->log.map);
    TRY(load_ends(s, why));
    return load_tail(s, why);
}

static void begin_fold(struct sqlite_log *log)
{
    struct fold *f = &log->fold;
    f->due = mem_zalloc(log->map.max / 64 + 1, sizeof *f->due);
    f->n_due = log->map.count;
    f->word = 0;
    f->upto = log->next_seq - 1;
    hot_map_mark(&log->map, f->due);
}

/* Takes the smallest number out of the set. */
static uint32_t next_due(struct fold *f)
{
    while (f->due[f->word] == 0)
        f->word++;
    unsigned bit = (unsigned)__builtin_ctzll(f->due[f->word]);
    f->due[f->word] &= f->due[f->word] - 1;
    f->n_due--;
    return (uint32_t)f->word * 64 + bit;
}

/* Binds the i-th row of a statement for many. */
static void bind_hot(sqlite3_stmt *stmt, int i, const struct hot *hot)
{
    int first = 6 * i;
    sqlite3_bind_int64(stmt, first + 1, hot->user);
    sqlite3_bind_int64(stmt, first + 2, hot->time_ms);
    sqlite3_bind_int64(stmt, first + 3, hot->last_step);
    sqlite3_bind_int64(stmt, first + 4, hot->failures);
    sqlite3_bind_int64(stmt, first + 5, hot->last_attempt_ms);
    sqlite3_bind_int64(stmt, first + 6, hot->request_seq);
}

/* Folds the next SQL_MANY users, or one where fewer are left. */
static enum err fold_next(struct sqlite_store *s, struct err_text *why)
{
    struct fold *f = &s->log.fold;
    bool many = f->n_due >= SQL_MANY;
    enum sql sql = many ? SQL_HOT_PUT_MANY : SQL_HOT_PUT;
    for (int i = 0; i < (many ? SQL_MANY : 1); i++) {
        uint32_t user = next_due(f);
        bind_hot(sqlite_db_stmt(&s->db, sql), i, hot_map_get(&s->log.map, user));
        hot_map_remove(&s->log.map, user);
    }
    return sqlite_db_run(&s->db, sql, why);
}

static enum err fold_some(struct sqlite_store *s, uint32_t limit, struct err_text *why)
{
    struct fold *f = &s->log.fold;
    if (f->due == NULL && s->log.next_seq - 1 - s->log.folded < (int64_t)f->after)
        return ERR_OK;
    if (f->due == NULL)
        begin_fold(&s->log);
    for (size_t before = f->n_due; f->n_due > 0 && before - f->n_due < limit;)
        TRY(fold_next(s, why));
    if (f->n_due > 0)
        return ERR_OK;
    end_fold(f);
    s->log.folded = f->upto;
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_FOLD_SET), 1, f->upto);
    return sqlite_db_run(&s->db, SQL_FOLD_SET, why);
}

enum err sqlite_fold_step(struct sqlite_store *s, struct err_text *why)
{
    uint32_t trimmed;
    if (s->log.batch_rows == 0)
        return ERR_OK;
    uint32_t share = s->log.fold.share + 2 * s->log.batch_rows;
    TRY(fold_some(s, share, why));
    return sqlite_fold_trim(s, s->log.now_ms, share, &trimmed, why);
}

/* *last is the newest row, up to itself, before which nothing may be remembered any more:
 * all are too old, or from so far ahead that their clock was wrong. */
static enum err find_last(struct sqlite_store *s, int64_t now_ms, int64_t *last,
                          struct err_text *why)
{
    bool found;
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_SIGN_IN_KEPT);
    sqlite3_bind_int64(stmt, 1, *last);
    sqlite3_bind_int64(stmt, 2, now_ms - LOG_KEEP_MS);
    sqlite3_bind_int64(stmt, 3, now_ms + LOG_KEEP_MS);
    TRY(sqlite_db_row(&s->db, SQL_SIGN_IN_KEPT, &found, why));
    struct sqlite_row row = {.stmt = stmt};
    if (found)
        *last = sqlite_row_int(&row) - 1;
    sqlite_db_done(&s->db, SQL_SIGN_IN_KEPT);
    return sqlite_row_check(&row, "a log of sign-ins", why);
}

enum err sqlite_fold_trim(struct sqlite_store *s, int64_t now_ms, uint32_t limit, uint32_t *n_out,
                          struct err_text *why)
{
    struct sqlite_log *log = &s->log;
    int64_t last = log->first_seq + limit - 1;
    if (last > log->folded)
        last = log->folded;
    *n_out = 0;
    if (last < log->first_seq)
        return ERR_OK;
    TRY(find_last(s, now_ms, &last, why));
    if (last < log->first_seq)
        return ERR_OK;
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_SIGN_IN_DELETE), 1, last);
    TRY(sqlite_db_run(&s->db, SQL_SIGN_IN_DELETE, why));
    *n_out = (uint32_t)(last - log->first_seq + 1);
    log->first_seq = last + 1;
    return ERR_OK;
}
