/* SPDX-License-Identifier: ISC */
#include "sqlite_log_internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "sqlite_fold_internal.h"
#include "sqlite_internal.h"
#include "sqlite_row_internal.h"

#include <sqlite3.h>
#include <stdlib.h>

#define ROWS_MIN 4

void sqlite_log_init(struct sqlite_log *log)
{
    *log = (struct sqlite_log){.fold = {.after = FOLD_AFTER, .share = FOLD_SHARE}};
    hot_map_init(&log->map);
}

void sqlite_log_release(struct sqlite_log *log)
{
    hot_map_release(&log->map);
    free(log->rows);
    free(log->fold.due);
    *log = (struct sqlite_log){0};
}

static enum err read_hot(struct sqlite_store *s, uint32_t user, struct hot *out,
                         struct err_text *why)
{
    bool found;
    *out = HOT_NONE(user);
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_HOT_GET), 1, user);
    TRY(sqlite_db_row(&s->db, SQL_HOT_GET, &found, why));
    if (!found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, SQL_HOT_GET)};
    out->time_ms = sqlite_row_int(&row);
    out->last_step = sqlite_row_int(&row);
    out->failures = sqlite_row_uint(&row, UINT32_MAX);
    out->last_attempt_ms = sqlite_row_int(&row);
    out->request_seq = sqlite_row_int(&row);
    sqlite_db_done(&s->db, SQL_HOT_GET);
    return sqlite_row_check(&row, "the state of a user", why);
}

enum err sqlite_log_state(struct sqlite_store *s, uint32_t user, struct hot *out,
                          struct err_text *why)
{
    for (size_t i = s->log.n_rows; i-- > 0;)
        if (s->log.rows[i].hot.user == user) {
            *out = s->log.rows[i].hot;
            return ERR_OK;
        }
    const struct hot *kept = user != 0 ? hot_map_get(&s->log.map, user) : &HOT_NONE(0);
    if (kept == NULL)
        return read_hot(s, user, out, why);
    *out = *kept;
    return ERR_OK;
}

void sqlite_log_append(struct sqlite_log *log, const struct hot *hot, int64_t now_ms,
                       const struct request_mark *request, const struct answer *answer)
{
    if (log->n_rows == log->cap_rows) {
        log->cap_rows = log->cap_rows > 0 ? 2 * log->cap_rows : ROWS_MIN;
        log->rows = mem_realloc(log->rows, log->cap_rows * sizeof *log->rows);
    }
    struct log_row *row = &log->rows[log->n_rows];
    *row = (struct log_row){.hot = *hot, .earlier = hot->request_seq};
    row->hot.time_ms = now_ms;
    if (request != NULL) {
        row->has_request = true;
        row->request = *request;
        row->answer = *answer;
        row->hot.request_seq = log->next_seq + (int64_t)log->n_rows;
    }
    log->n_rows++;
}

void sqlite_log_update(struct sqlite_log *log, const struct hot *hot, int64_t now_ms)
{
    struct log_row *newest = log->n_rows > 0 ? &log->rows[log->n_rows - 1] : NULL;
    if (newest != NULL && newest->hot.user == hot->user)
        newest->hot = *hot;
    else
        sqlite_log_append(log, hot, now_ms, NULL, NULL);
}

static enum err read_row(struct sqlite_store *s, int64_t seq, struct log_row *out, bool *found,
                         struct err_text *why)
{
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_SIGN_IN_GET), 1, seq);
    TRY(sqlite_db_row(&s->db, SQL_SIGN_IN_GET, found, why));
    if (!*found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, SQL_SIGN_IN_GET)};
    out->hot.time_ms = sqlite_row_int(&row);
    out->earlier = sqlite_row_int(&row);
    sqlite_row_bytes(&row, out->request.id, REQUEST_ID_LEN);
    sqlite_row_bytes(&row, out->request.fingerprint, REQUEST_FINGERPRINT_LEN);
    out->answer.outcome = (uint8_t)sqlite_row_uint(&row, UINT8_MAX);
    out->answer.reason = (uint8_t)sqlite_row_uint(&row, UINT8_MAX);
    out->answer.retry_after_ms = sqlite_row_int(&row);
    out->answer.time_ms = sqlite_row_int(&row);
    out->answer.enrollment = (struct enrollment_id){0};
    if (!sqlite_row_null(&row)) /* of a row that is older than the column */
        sqlite_row_bytes(&row, out->answer.enrollment.bytes, ENROLLMENT_ID_LEN);
    sqlite_db_done(&s->db, SQL_SIGN_IN_GET);
    return sqlite_row_check(&row, "a sign-in", why);
}

/* The row seq as far as its request goes: one of the job, or one of the table in *room.
 * *out is NULL when it was deleted. */
static enum err get_row(struct sqlite_store *s, int64_t seq, struct log_row *room,
                        struct log_row **out, struct err_text *why)
{
    bool found = true;
    size_t of_job = (size_t)(seq - s->log.next_seq);
    if (seq < s->log.next_seq)
        TRY(read_row(s, seq, room, &found, why));
    else if (of_job < s->log.n_rows)
        room = &s->log.rows[of_job];
    else
        found = false;
    *out = found ? room : NULL;
    /* A walk must come to an end. */
    if (found && room->earlier >= seq)
        return err_set(why, ERR_CORRUPT, NULL, "the log of sign-ins goes round in circles");
    return ERR_OK;
}

/* A row from far ahead was written under a clock that was wrong. */
static bool remembered(int64_t time_ms, int64_t now_ms)
{
    return time_ms > now_ms - REQUEST_MEMORY_MS && time_ms <= now_ms + REQUEST_MEMORY_MS;
}

enum err sqlite_log_find(struct sqlite_store *s, const struct hot *hot,
                         const struct request_mark *request, int64_t now_ms, enum log_found *out,
                         struct answer *first, struct err_text *why)
{
    struct log_row room, *row;
    unsigned n = 0;
    *out = LOG_NEW;
    if (hot->time_ms <= now_ms - LOG_KEEP_MS)
        return ERR_OK;
    for (int64_t seq = hot->request_seq; seq > 0; seq = row->earlier) {
        TRY(get_row(s, seq, &room, &row, why));
        if (row == NULL || row->hot.time_ms <= now_ms - LOG_KEEP_MS)
            break;
        if (!remembered(row->hot.time_ms, now_ms))
            continue;
        n++;
        if (!str_equal_bytes(row->request.id, request->id, REQUEST_ID_LEN))
            continue;
        bool equal = str_equal_bytes(row->request.fingerprint, request->fingerprint,
                                     REQUEST_FINGERPRINT_LEN);
        *out = equal ? LOG_SAME : LOG_OTHER;
        *first = row->answer;
        return ERR_OK;
    }
    if (n >= REQUEST_MEMORY_MAX)
        *out = LOG_FULL;
    return ERR_OK;
}

static void bind_answer(sqlite3_stmt *stmt, int i, const struct answer *a)
{
    sqlite3_bind_int64(stmt, i, a->outcome);
    sqlite3_bind_int64(stmt, i + 1, a->reason);
    sqlite3_bind_int64(stmt, i + 2, a->retry_after_ms);
    sqlite3_bind_int64(stmt, i + 3, a->time_ms);
    sqlite_db_bind_bytes(stmt, i + 4, a->enrollment.bytes, ENROLLMENT_ID_LEN);
}

static enum err settle_in_table(struct sqlite_store *s, int64_t seq, const struct answer *answer,
                                struct err_text *why)
{
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_SIGN_IN_SETTLE);
    sqlite3_bind_int64(stmt, 1, seq);
    bind_answer(stmt, 2, answer);
    return sqlite_db_run(&s->db, SQL_SIGN_IN_SETTLE, why);
}

enum err sqlite_log_settle(struct sqlite_store *s, const struct hot *hot,
                           const struct request_mark *request, const struct answer *answer,
                           struct err_text *why)
{
    struct log_row room, *row;
    for (int64_t seq = hot->request_seq; seq > 0; seq = row->earlier) {
        TRY(get_row(s, seq, &room, &row, why));
        if (row == NULL)
            return ERR_OK;
        if (!str_equal_bytes(row->request.id, request->id, REQUEST_ID_LEN))
            continue;
        if (row == &room)
            return settle_in_table(s, seq, answer, why);
        row->answer = *answer;
        return ERR_OK;
    }
    return ERR_OK;
}

static enum err insert(struct sqlite_store *s, int64_t seq, const struct log_row *row,
                       struct err_text *why)
{
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_SIGN_IN_ADD);
    sqlite3_bind_int64(stmt, 1, seq);
    sqlite3_bind_int64(stmt, 2, row->hot.user);
    sqlite3_bind_int64(stmt, 3, row->hot.time_ms);
    sqlite3_bind_int64(stmt, 4, row->hot.last_step);
    sqlite3_bind_int64(stmt, 5, row->hot.failures);
    sqlite3_bind_int64(stmt, 6, row->hot.last_attempt_ms);
    sqlite3_bind_int64(stmt, 7, row->earlier);
    if (row->has_request) {
        sqlite_db_bind_bytes(stmt, 8, row->request.id, REQUEST_ID_LEN);
        sqlite_db_bind_bytes(stmt, 9, row->request.fingerprint, REQUEST_FINGERPRINT_LEN);
        bind_answer(stmt, 10, &row->answer);
    } else {
        for (int i = 8; i <= 13; i++)
            sqlite3_bind_null(stmt, i);
    }
    return sqlite_db_run(&s->db, SQL_SIGN_IN_ADD, why);
}

enum err sqlite_log_keep(struct sqlite_store *s, struct err_text *why)
{
    struct sqlite_log *log = &s->log;
    for (size_t i = 0; i < log->n_rows; i++) {
        const struct log_row *row = &log->rows[i];
        TRY(insert(s, log->next_seq, row, why));
        hot_map_put(&log->map, &row->hot);
        log->now_ms = row->hot.time_ms;
        log->next_seq++;
        log->batch_rows++;
    }
    return ERR_OK;
}

void sqlite_log_drop(struct sqlite_log *log)
{
    log->n_rows = 0;
}
