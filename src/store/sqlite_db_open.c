/* SPDX-License-Identifier: ISC */
#include "sqlite_db_internal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_ONLY     (S_IRUSR | S_IWUSR)
#define OPEN_TO_OTHERS (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)

/* Before anything is read. With the exclusive mode the lock, once taken, is held until the
 * end, and the index of the write-ahead log lives in memory instead of a -shm file. The
 * checkpoints are sqlite_db.c's, which looks at their failures. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA wal_autocheckpoint = 0;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA foreign_keys = ON;"
                               "PRAGMA secure_delete = FAST;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA cache_size = -32768;";

/* The last system call failed. */
static enum err system_failed(struct err_text *why, const char *what, const char *path)
{
    bool denied = errno == EACCES || errno == EPERM || errno == EROFS;
    return err_set(why, denied ? ERR_DENIED : ERR_UNAVAILABLE, NULL, "%s: %s: %.120s", what,
                   strerror(errno), path);
}

/* SQLite must be able to make the -wal file beside the database. */
static enum err check_folder(const char *path, struct err_text *why)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    char *folder = mem_strdup(path);
    folder[len] = '\0';
    int rc = faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS);
    free(folder);
    return rc == 0 ? ERR_OK : system_failed(why, "cannot write in the folder of", path);
}

static enum err create(const char *path, struct err_text *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, OWNER_ONLY);
    if (fd < 0)
        return system_failed(why, "cannot create", path);
    enum err e = fchmod(fd, OWNER_ONLY) == 0 ? ERR_OK : system_failed(why, "cannot protect", path);
    close(fd);
    return e;
}

/* By its name: whoever opens the file and closes it again ends this process's lock on it. */
static enum err prepare_file(const char *path, struct err_text *why)
{
    struct stat st;
    TRY(check_folder(path, why));
    if (stat(path, &st) != 0)
        return errno == ENOENT ? create(path, why) : system_failed(why, "cannot look at", path);
    if (!S_ISREG(st.st_mode))
        return err_set(why, ERR_DENIED, NULL, "not a regular file: %.120s", path);
    if ((st.st_mode & OPEN_TO_OTHERS) != 0)
        return err_set(why, ERR_DENIED, NULL, "mode %04o lets others in, it must be 0600: %.120s",
                       (unsigned)(st.st_mode & 07777), path);
    return ERR_OK;
}

static enum err open_failed(struct sqlite_db *db, int rc, struct err_text *why)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(why, ERR_EXISTS, NULL, "another process has it open: %.120s", db->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return err_set(why, ERR_DENIED, NULL, "cannot be written: %.120s", db->path);
    case SQLITE_NOTADB:
        return err_set(why, ERR_CORRUPT, NULL, "not a database: %.120s", db->path);
    case SQLITE_CORRUPT:
        return err_set(why, ERR_CORRUPT, NULL, "damaged: %.120s", db->path);
    default:
        return err_set(why, ERR_UNAVAILABLE, NULL, "%s (%d): %.120s", sqlite3_errmsg(db->handle),
                       rc, db->path);
    }
}

static enum err exec(struct sqlite_db *db, const char *sql, struct err_text *why)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : open_failed(db, rc, why);
}

/* The one number that sql answers. */
static enum err ask(struct sqlite_db *db, const char *sql, int64_t *out, struct err_text *why)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? ERR_OK : open_failed(db, rc, why);
}

/* The version of the schema that is there; 0: an empty file. */
static enum err identify(struct sqlite_db *db, int64_t *version_out, struct err_text *why)
{
    int64_t id = 0, version = 0, things = 0;
    TRY(ask(db, "PRAGMA application_id", &id, why));
    TRY(ask(db, "PRAGMA user_version", &version, why));
    TRY(ask(db, "SELECT count(*) FROM sqlite_schema", &things, why));
    bool fresh = id == 0 && version == 0 && things == 0;
    if (!fresh && (id != SQLITE_SQL_APPLICATION_ID || version < 1))
        return err_set(why, ERR_CORRUPT, NULL, "not a database of this program: %.120s", db->path);
    if (version > sqlite_sql_version)
        return err_set(why, ERR_CONFLICT, NULL,
                       "a newer version of this program made it (schema %lld, here %d): %.120s",
                       (long long)version, sqlite_sql_version, db->path);
    *version_out = version;
    return ERR_OK;
}

/* One step of the schema in one transaction: the database is of one version or the other,
 * wherever it is interrupted. */
static enum err migrate(struct sqlite_db *db, int64_t from, struct err_text *why)
{
    char mark[128];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %lld; COMMIT",
             SQLITE_SQL_APPLICATION_ID, (long long)from + 1);
    TRY(exec(db, "BEGIN IMMEDIATE", why));
    TRY(exec(db, sqlite_sql_migrations[from], why));
    return exec(db, mark, why);
}

/* What a process before left in the log may be in the kernel's memory only: it goes to the disk
 * before anything follows from it. The commit brings a sync of the emptied log. */
static enum err settle(struct sqlite_db *db, struct err_text *why)
{
    char commit[64];
    snprintf(commit, sizeof commit, "PRAGMA user_version = %d", sqlite_sql_version);
    TRY(exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", why));
    return exec(db, commit, why);
}

static int count_frames(void *ctx, sqlite3 *handle, const char *name, int frames)
{
    (void)handle;
    (void)name;
    struct sqlite_db *db = ctx;
    db->wal_frames = frames;
    return SQLITE_OK;
}

/* The pragma answers with the mode that it is now. */
static enum err use_wal(struct sqlite_db *db, struct err_text *why)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    bool wal = rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW)
        return open_failed(db, rc, why);
    if (!wal)
        return err_set(why, ERR_UNAVAILABLE, NULL, "no write-ahead log here: %.120s", db->path);
    sqlite3_wal_hook(db->handle, count_frames, db);
    return ERR_OK;
}

static enum err prepare_statements(struct sqlite_db *db, struct err_text *why)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        int rc = sqlite3_prepare_v3(db->handle, sqlite_sql_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &db->stmts[i], NULL);
        if (rc != SQLITE_OK)
            return open_failed(db, rc, why);
    }
    return ERR_OK;
}

static enum err open_handle(struct sqlite_db *db, struct err_text *why)
{
    int rc =
        sqlite3_open_v2(db->path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return open_failed(db, rc, why);
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (sqlite3_db_readonly(db->handle, "main") != 0)
        return open_failed(db, SQLITE_READONLY, why);
    return exec(db, settings, why);
}

enum err sqlite_db_open(struct sqlite_db *db, const char *path, struct err_text *why)
{
    /* Nothing in the name may mean more than a file's name. */
    size_t size = strlen(path) + sizeof "./";
    db->path = mem_alloc(size);
    snprintf(db->path, size, "%s%s", path[0] == '/' ? "" : "./", path);
    db->wal_limit = SQLITE_DB_WAL_LIMIT;
    TRY(prepare_file(db->path, why));
    /* Counting what is allocated costs a lock each time; it is for the whole process and can
     * only be said before SQLite is used first. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    TRY(open_handle(db, why));

    int64_t version = 0;
    TRY(identify(db, &version, why));
    TRY(use_wal(db, why));
    while (version < sqlite_sql_version)
        TRY(migrate(db, version++, why));
    TRY(settle(db, why));
    return prepare_statements(db, why);
}
