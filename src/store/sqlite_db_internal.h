/* SPDX-License-Identifier: ISC */
#ifndef STORE_SQLITE_DB_INTERNAL_H
#define STORE_SQLITE_DB_INTERNAL_H

/* The connection: opening, statements, transactions, and what a failure means.
 *
 * A statement that fails loses its transaction: nothing of it may count, every further
 * statement fails, and only sqlite_db_rollback ends it. (Damage that a SELECT finds is that
 * SELECT's own failure.)
 *
 * When an fsync fails, the kernel takes the pages for clean, and no other fsync writes them.
 * So a commit that failed could be found whole by the next process and not be on the disk,
 * and what that one appends would hang in the air. Therefore the write-ahead log is emptied
 * into the file after such a failure, at once if it can be, else before the next transaction;
 * and whenever the database is opened.
 *
 * The lock against a second process is one of fcntl(2): it is gone as soon as this process
 * closes any descriptor of the file, so nobody else in it may open the file.
 * Thread: worker. */

#include "base/err.h"
#include "base/str.h"
#include "sqlite_sql_internal.h"

struct sqlite3;
struct sqlite3_stmt;

/* The write-ahead log may grow to so many pages; and, while moving them into the file fails,
 * to so many times as many: then there are no more transactions. */
#define SQLITE_DB_WAL_LIMIT 2000
#define SQLITE_DB_WAL_OVER  16

struct sqlite_db {
    char *path;
    struct sqlite3 *handle;
    struct sqlite3_stmt *stmts[SQL_COUNT];
    int wal_frames; /* pages in the write-ahead log that are not in the file yet */
    int wal_limit;  /* so many are moved into the file */
    bool suspect;   /* input or output failed since the log was emptied */
    bool usable;    /* a transaction is open and not lost */
    struct err_text unusable_why;
};

/* As store_sqlite_open. db is zero bytes before, and to be closed whatever comes back. */
MUST_CHECK enum err sqlite_db_open(struct sqlite_db *db, const char *path, struct err_text *why);
void sqlite_db_close(struct sqlite_db *db);

/* A statement to bind values to; they are borrowed until it has run. */
struct sqlite3_stmt *sqlite_db_stmt(struct sqlite_db *db, enum sql id);
void sqlite_db_bind_str(struct sqlite3_stmt *stmt, int i, struct str s);
void sqlite_db_bind_bytes(struct sqlite3_stmt *stmt, int i, const uint8_t *bytes, size_t n);

/* Runs a statement that has no rows to read. */
MUST_CHECK enum err sqlite_db_run(struct sqlite_db *db, enum sql id, struct err_text *why);

/* The next row of a SELECT: its columns can be read until the next call for it. Without
 * one *found is false, and the statement is done. */
MUST_CHECK enum err sqlite_db_row(struct sqlite_db *db, enum sql id, bool *found,
                                  struct err_text *why);
/* Ends a SELECT before its last row. */
void sqlite_db_done(struct sqlite_db *db, enum sql id);

MUST_CHECK enum err sqlite_db_begin(struct sqlite_db *db, struct err_text *why);
/* On failure the transaction is lost. */
MUST_CHECK enum err sqlite_db_commit(struct sqlite_db *db, struct err_text *why);
void sqlite_db_rollback(struct sqlite_db *db);

#endif
