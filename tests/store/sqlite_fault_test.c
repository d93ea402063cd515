/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Files that fail: whatever goes wrong, a batch counts as a whole or not at all, what was
 * committed stays, and when the fault is over the store works on without a restart. */

#include "store/sqlite_internal.h"
#include "store/store_sqlite.h"
#include "support/child.h"
#include "support/fault_vfs.h"
#include "support/scratch.h"
#include "support/store_load.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCHES   15
#define WAL_LIMIT 40
#define LASTING   7 /* operations that fail in a row */

static struct scratch scratch;

static int setup(void **state)
{
    (void)state;
    fault_vfs_plan(NULL);
    scratch_init(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fault_vfs_plan(NULL);
    fault_vfs_forget();
    scratch_release(&scratch);
    return 0;
}

static const char *db_path(void)
{
    return scratch_path(&scratch, "db");
}

/* So that folds, trims and checkpoints are among few batches. */
static void hasten(struct store *s)
{
    sqlite_store_of(s)->log.fold.after = 30;
    sqlite_store_of(s)->log.fold.share = 0;
    sqlite_store_of(s)->db.wal_limit = WAL_LIMIT;
}

static struct store *open_ok(void)
{
    struct err_text why;
    struct store *s = NULL;
    if (store_sqlite_open(&s, db_path(), &why) != ERR_OK)
        fail_msg("%s", why.text);
    hasten(s);
    return s;
}

static void assert_count(struct store *s, int want, const char *when, unsigned at)
{
    struct err_text why = {0};
    int got = store_load_count(s, &why);
    if (got != want)
        fail_msg("%s %u: %d batches count, not %d: %s", when, at, got, want, why.text);
}

static void assert_sound(struct store *s)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = sqlite_store_of(s)->db.handle;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
}

/* All batches in their order, each tried until it counts. Returns how often one failed. */
static unsigned run(struct store *s, unsigned first, unsigned last, const char *what, unsigned at)
{
    unsigned failures = 0;
    for (unsigned n = first; n <= last; n++) {
        struct err_text why = {0};
        enum err e;
        while ((e = store_load_batch(s, n, &why)) != ERR_OK) {
            if (e != ERR_UNAVAILABLE || ++failures > 1000)
                fail_msg("%s %u, batch %u: %s: %s", what, at, n, err_name(e), why.text);
            /* While it fails nothing may be there of what failed. */
            struct err_text ignored;
            int count = store_load_count(s, &ignored);
            if (count >= 0)
                assert_int_equal(count, n - 1);
        }
    }
    return failures;
}

static void start_over(void)
{
    (void)unlink(db_path());
    (void)unlink(scratch_path(&scratch, "db-wal"));
}

static unsigned operations_of_a_run(void)
{
    struct store *s = open_ok();
    fault_vfs_plan(NULL);
    assert_int_equal(run(s, 1, BATCHES, "no fault", 0), 0);
    unsigned n = fault_vfs_count();
    s->ops->close(s);
    start_over();
    return n;
}

/* Every operation fails, once or some in a row, as a broken disk or a full one. */
static void fail_each(unsigned fail_n, bool full, const char *what)
{
    unsigned n = operations_of_a_run();
    for (unsigned at = 1; at <= n; at++) {
        struct fault_plan plan = {.fail_at = at, .fail_n = fail_n, .full = full};
        struct store *s = open_ok();
        fault_vfs_plan(&plan);
        run(s, 1, BATCHES, what, at);
        assert_true(fault_vfs_struck() > 0 || full);
        fault_vfs_plan(NULL);
        assert_count(s, BATCHES, what, at);
        run(s, BATCHES + 1, BATCHES + 2, what, at);
        assert_sound(s);
        s->ops->close(s);
        s = open_ok();
        assert_count(s, BATCHES + 2, what, at);
        s->ops->close(s);
        start_over();
    }
}

static void test_each_operation_fails_once(void **state)
{
    (void)state;
    fail_each(1, false, "operation fails");
}

static void test_each_operation_and_the_next_fail(void **state)
{
    (void)state;
    fail_each(LASTING, false, "operations fail from");
}

static void test_the_disk_is_full_from_each_write(void **state)
{
    (void)state;
    fail_each(LASTING, true, "full from");
}

/* Opening, and making, a database. */
static void test_each_operation_of_opening_fails(void **state)
{
    (void)state;
    for (int made = 0; made < 2; made++) {
        struct store *s = NULL;
        bool done = false;
        for (unsigned at = 1; !done; at++) {
            if (made)
                run(s = open_ok(), 1, 2, "before", 0), s->ops->close(s);
            struct fault_plan plan = {.fail_at = at};
            fault_vfs_plan(&plan);
            struct err_text why = {0};
            enum err e = store_sqlite_open(&s, db_path(), &why);
            done = fault_vfs_struck() == 0;
            assert_true(e == ERR_OK || (!done && strstr(why.text, db_path()) != NULL));
            if (e == ERR_OK)
                s->ops->close(s);
            fault_vfs_plan(NULL);
            s = open_ok();
            assert_count(s, made ? 2 : 0, "opening fails at", at);
            s->ops->close(s);
            start_over();
        }
    }
}

/* As the first version of the schema would have left it. */
static void make_first_version(void)
{
    char mark[96];
    sqlite3 *db = NULL;
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = 1",
             SQLITE_SQL_APPLICATION_ID);
    assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sqlite_sql_migrations[0], NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, mark, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(chmod(db_path(), 0600), 0);
}

/* It is of one version or the next, and the next start goes on from there. */
static void test_each_operation_of_upgrading_fails(void **state)
{
    (void)state;
    bool done = false;
    for (unsigned at = 1; !done; at++) {
        struct store *s = NULL;
        make_first_version();
        struct fault_plan plan = {.fail_at = at, .fail_n = UINT32_MAX};
        fault_vfs_plan(&plan);
        enum err e = store_sqlite_open(&s, db_path(), NULL);
        done = fault_vfs_struck() == 0;
        assert_true((e == ERR_OK) == done);
        if (e == ERR_OK)
            s->ops->close(s);
        fault_vfs_plan(NULL);
        s = open_ok();
        run(s, 1, 2, "upgrade fails at", at);
        assert_count(s, 2, "upgrade fails at", at);
        assert_sound(s);
        s->ops->close(s);
        start_over();
    }
}

/* A disk that stays broken for long: nothing is acknowledged, nothing is lost, and reading
 * what needs no disk may go on. */
static void test_a_lasting_fault_ends(void **state)
{
    (void)state;
    struct store *s = open_ok();
    struct err_text why;
    run(s, 1, 10, "before", 0);
    struct fault_plan plan = {.fail_at = 1, .fail_n = UINT32_MAX};
    fault_vfs_plan(&plan);
    for (int i = 0; i < 50; i++)
        assert_int_equal(store_load_batch(s, 11, &why), ERR_UNAVAILABLE);
    fault_vfs_plan(NULL);
    assert_count(s, 10, "after", 0);
    run(s, 11, 20, "after", 0);
    assert_count(s, 20, "after", 0);
    s->ops->close(s);
}

/* On a full disk what is there can be read. */
static void test_a_full_disk_can_be_read(void **state)
{
    (void)state;
    struct store *s = open_ok();
    struct err_text why;
    run(s, 1, 10, "before", 0);
    struct fault_plan plan = {.fail_at = 1, .fail_n = UINT32_MAX, .full = true};
    fault_vfs_plan(&plan);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(store_load_batch(s, 11, &why), ERR_UNAVAILABLE);
        assert_count(s, 10, "full", 0);
    }
    fault_vfs_plan(NULL);
    run(s, 11, 12, "after", 0);
    s->ops->close(s);
}

/* ---- the write-ahead log -----------------------------------------------------------------------
 */

/* A commit is answered after a sync, and shares it with its whole batch. */
static void test_each_commit_is_synced_once(void **state)
{
    (void)state;
    struct store *s = open_ok();
    sqlite_store_of(s)->db.wal_limit = 1000000;
    run(s, 1, 20, "before", 0); /* among them the first, which makes the log's header */
    fault_vfs_plan(NULL);
    run(s, 21, 120, "now", 0);
    assert_int_equal(fault_vfs_syncs(), 100);
    fault_vfs_plan(NULL);
    assert_count(s, 120, "now", 0);
    assert_int_equal(fault_vfs_syncs(), 0); /* reading needs none */
    s->ops->close(s);
}

static void test_the_log_stays_short(void **state)
{
    (void)state;
    struct store *s = open_ok();
    fault_vfs_plan(NULL);
    run(s, 1, 2000, "load", 0);
    int64_t largest = fault_vfs_largest("-wal");
    assert_true(largest >= WAL_LIMIT * 4096);
    assert_true(largest <= 2 * WAL_LIMIT * 4096);
    s->ops->close(s);
}

/* Writing into the log works, moving it into the file does not: it may grow, to an end. */
static bool file_cannot_grow(void *ctx)
{
    struct err_text why;
    struct store *s = open_ok();
    (void)ctx;
    run(s, 1, 20, "before", 0);
    int wal_limit = sqlite_store_of(s)->db.wal_limit = 4;
    struct rlimit limit = {.rlim_cur = 200 * 1024, .rlim_max = RLIM_INFINITY};
    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return false;
    unsigned n = 21;
    for (int failed = 0; failed < 20; n++) {
        enum err e = store_load_batch(s, n, &why);
        if (e != ERR_OK) {
            failed++;
            n--;
        }
        if (n > 10000 || sqlite_store_of(s)->db.wal_frames > 100 * wal_limit)
            return false;
    }
    limit.rlim_cur = RLIM_INFINITY;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return false;
    bool kept = store_load_count(s, &why) == (int)n - 1;
    bool works = store_load_batch(s, n, &why) == ERR_OK && store_load_count(s, &why) == (int)n;
    s->ops->close(s);
    return kept && works;
}

/* By the kernel's own means: no file may be larger than so. */
static void test_files_that_cannot_grow(void **state)
{
    (void)state;
    assert_true(child_says(file_cannot_grow, NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_operation_fails_once),
        TEST(test_each_operation_and_the_next_fail),
        TEST(test_the_disk_is_full_from_each_write),
        TEST(test_each_operation_of_opening_fails),
        TEST(test_each_operation_of_upgrading_fails),
        TEST(test_a_lasting_fault_ends),
        TEST(test_a_full_disk_can_be_read),
        TEST(test_each_commit_is_synced_once),
        TEST(test_the_log_stays_short),
        TEST(test_files_that_cannot_grow),
    };
    fault_vfs_install();
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
