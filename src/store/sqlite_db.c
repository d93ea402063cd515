/* SPDX-License-Identifier: ISC */
#include "sqlite_db_internal.h"

#include <sqlite3.h>
#include <stdlib.h>

static bool is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static bool is_io(int rc)
{
    return (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
}

static enum err failed(struct sqlite_db *db, int rc, struct err_text *why)
{
    if (is_io(rc))
        db->suspect = true;
    return err_set(why, is_damage(rc) ? ERR_CORRUPT : ERR_UNAVAILABLE, NULL, "%s (%d): %.120s",
                   sqlite3_errstr(rc), rc, db->path);
}

static enum err spoil(struct sqlite_db *db, int rc, struct err_text *why)
{
    enum err e = failed(db, rc, &db->unusable_why);
    db->usable = false;
    if (why != NULL)
        *why = db->unusable_why;
    return e;
}

static enum err refuse(const struct sqlite_db *db, struct err_text *why)
{
    return err_set(why, ERR_UNAVAILABLE, NULL, "%s", db->unusable_why.text);
}

static void finish(struct sqlite_db *db)
{
    db->usable = false;
    (void)err_set(&db->unusable_why, ERR_INTERNAL, NULL, "outside of a batch: %.120s", db->path);
}

struct sqlite3_stmt *sqlite_db_stmt(struct sqlite_db *db, enum sql id)
{
    return db->stmts[id];
}

/* A NULL pointer would bind NULL, which is not an empty id. */
void sqlite_db_bind_str(struct sqlite3_stmt *stmt, int i, struct str s)
{
    sqlite3_bind_blob(stmt, i, s.len > 0 ? s.p : "", (int)s.len, SQLITE_STATIC);
}

void sqlite_db_bind_bytes(struct sqlite3_stmt *stmt, int i, const uint8_t *bytes, size_t n)
{
    sqlite3_bind_blob(stmt, i, bytes, (int)n, SQLITE_STATIC);
}

enum err sqlite_db_run(struct sqlite_db *db, enum sql id, struct err_text *why)
{
    if (!db->usable)
        return refuse(db, why);
    int rc = sqlite3_step(db->stmts[id]);
    sqlite3_reset(db->stmts[id]);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? ERR_OK : spoil(db, rc, why);
}

enum err sqlite_db_row(struct sqlite_db *db, enum sql id, bool *found, struct err_text *why)
{
    if (!db->usable)
        return refuse(db, why);
    int rc = sqlite3_step(db->stmts[id]);
    *found = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW)
        return ERR_OK;
    sqlite3_reset(db->stmts[id]);
    if (rc == SQLITE_DONE)
        return ERR_OK;
    return is_damage(rc) ? failed(db, rc, why) : spoil(db, rc, why);
}

void sqlite_db_done(struct sqlite_db *db, enum sql id)
{
    sqlite3_reset(db->stmts[id]);
}

/* Moves the log into the file; TRUNCATE also empties it. */
static int checkpoint(struct sqlite_db *db, int mode)
{
    int frames = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, &frames, &moved);
    if (rc == SQLITE_OK && moved == frames)
        db->wal_frames = 0; /* the next transaction starts it anew */
    return rc;
}

/* Empties a log that may hold what the disk does not. */
static enum err clear_log(struct sqlite_db *db, struct err_text *why)
{
    if (!db->suspect)
        return ERR_OK;
    int rc = checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE);
    if (rc != SQLITE_OK)
        return failed(db, rc, why);
    db->suspect = false;
    return ERR_OK;
}

/* The log must not grow without end. */
static enum err shorten_log(struct sqlite_db *db, struct err_text *why)
{
    if (db->wal_frames < db->wal_limit)
        return ERR_OK;
    int rc = checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
    if (rc != SQLITE_OK && db->wal_frames >= SQLITE_DB_WAL_OVER * db->wal_limit)
        return failed(db, rc, why);
    return ERR_OK;
}

enum err sqlite_db_begin(struct sqlite_db *db, struct err_text *why)
{
    TRY(clear_log(db, why));
    TRY(shorten_log(db, why));
    db->usable = true;
    return sqlite_db_run(db, SQL_BEGIN, why);
}

enum err sqlite_db_commit(struct sqlite_db *db, struct err_text *why)
{
    TRY(sqlite_db_run(db, SQL_COMMIT, why));
    finish(db);
    return ERR_OK;
}

void sqlite_db_close(struct sqlite_db *db)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(db->stmts[i]);
    sqlite3_close(db->handle);
    free(db->path);
    *db = (struct sqlite_db){0};
}

void sqlite_db_rollback(struct sqlite_db *db)
{
    finish(db);
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_reset(db->stmts[i]);
    if (sqlite3_get_autocommit(db->handle) == 0)
        sqlite3_step(db->stmts[SQL_ROLLBACK]);
    sqlite3_reset(db->stmts[SQL_ROLLBACK]);
    (void)clear_log(db, NULL);
}
