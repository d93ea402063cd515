/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/sqlite_internal.h"
#include "store/store_sqlite.h"
#include "support/child.h"
#include "support/scratch.h"

#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static struct scratch scratch;

static int setup(void **state)
{
    (void)state;
    scratch_init(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_release(&scratch);
    return 0;
}

static const char *db_path(void)
{
    return scratch_path(&scratch, "db");
}

static struct store *open_ok(void)
{
    struct err_text why;
    struct store *s = NULL;
    if (store_sqlite_open(&s, db_path(), &why) != ERR_OK)
        fail_msg("%s", why.text);
    return s;
}

static void close_store(struct store *s)
{
    s->ops->close(s);
}

/* Opening fails so, and says where. */
static void assert_refused(const char *path, enum err want, const char *words)
{
    struct err_text why = {0};
    struct store *s = NULL;
    enum err e = store_sqlite_open(&s, path, &why);
    if (e != want || strstr(why.text, path) == NULL || strstr(why.text, words) == NULL)
        fail_msg("%s: %s", err_name(e), why.text);
    assert_null(s);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* Through a connection of its own, while the store is closed. */
static void exec(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void ask(struct store *s, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(sqlite_store_of(s)->db.handle, sql, -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    snprintf(out, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
}

static void assert_says(struct store *s, const char *sql, const char *want)
{
    char got[64];
    ask(s, sql, got, sizeof got);
    assert_string_equal(got, want);
}

/* Something that must be written. */
static void add_key(struct store *s, const char *tenant)
{
    struct data_key key = {.id = 1, .kek_id = 1, .sealed_len = 72};
    struct tenant_id t = {str_from(tenant)};
    assert_int_equal(s->ops->batch_begin(s, NULL), ERR_OK);
    s->ops->job_begin(s, INT64_MAX);
    assert_int_equal(s->ops->data_key_add(s, t, &key, NULL), ERR_OK);
    assert_int_equal(s->ops->job_end(s, true, NULL), ERR_OK);
    assert_int_equal(s->ops->batch_commit(s, NULL), ERR_OK);
}

static bool has_key(struct store *s, const char *tenant)
{
    struct data_key key;
    struct tenant_id t = {str_from(tenant)};
    assert_int_equal(s->ops->batch_begin(s, NULL), ERR_OK);
    enum err e = s->ops->data_key_get(s, t, 1, &key, NULL);
    assert_int_equal(s->ops->batch_commit(s, NULL), ERR_OK);
    return e == ERR_OK;
}

/* ---- the files ----------------------------------------------------------------------------- */

static void test_files_are_the_owners(void **state)
{
    (void)state;
    const mode_t masks[] = {0, 0022, 0777};
    for (size_t i = 0; i < 3; i++) {
        mode_t before = umask(masks[i]);
        struct store *s = open_ok();
        add_key(s, "acme");
        umask(before);
        assert_int_equal(mode_of(db_path()), 0600);
        assert_int_equal(mode_of(scratch_path(&scratch, "db-wal")), 0600);
        assert_int_equal(scratch_count(&scratch), 2); /* and no -shm */
        close_store(s);
        assert_int_equal(scratch_count(&scratch), 1);
        assert_int_equal(unlink(db_path()), 0);
    }
}

static void test_refuses_what_others_can_read(void **state)
{
    (void)state;
    const mode_t modes[] = {0640, 0604, 0620, 0602, 0666};
    close_store(open_ok());
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(db_path(), modes[i]), 0);
        assert_refused(db_path(), ERR_DENIED, "mode");
    }
    assert_int_equal(chmod(db_path(), 0600), 0);
    close_store(open_ok());
}

static void test_refuses_what_is_not_a_file(void **state)
{
    (void)state;
    assert_int_equal(mkdir(db_path(), 0700), 0);
    assert_refused(db_path(), ERR_DENIED, "regular");
    assert_int_equal(rmdir(db_path()), 0);
    assert_int_equal(mkfifo(db_path(), 0600), 0);
    assert_refused(db_path(), ERR_DENIED, "regular");
    assert_refused(scratch_path(&scratch, "none/db"), ERR_UNAVAILABLE, "No such");
}

/* A name means a file of that name, whatever it looks like. */
static bool opens_odd_names(void *ctx)
{
    const char *names[] = {"file:db?mode=memory", ":memory:", "plain"};
    if (chdir(ctx) != 0)
        return false;
    for (size_t i = 0; i < 3; i++) {
        struct store *s = NULL;
        if (store_sqlite_open(&s, names[i], NULL) != ERR_OK)
            return false;
        close_store(s);
        if (access(names[i], F_OK) != 0)
            return false;
    }
    return true;
}

static void test_names_are_names(void **state)
{
    (void)state;
    assert_true(child_says(opens_odd_names, scratch.folder));
    assert_int_equal(scratch_count(&scratch), 3);
}

static bool be_nobody(void)
{
    return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static bool denies(void *ctx)
{
    struct store *s = NULL;
    struct err_text why = {0};
    if (geteuid() == 0 && !be_nobody())
        return false;
    return store_sqlite_open(&s, ctx, &why) == ERR_DENIED && strstr(why.text, ctx) != NULL;
}

static void give_to_nobody(void)
{
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(scratch.folder, NOBODY, NOBODY), 0);
    assert_int_equal(chown(db_path(), NOBODY, NOBODY), 0);
}

static void test_refuses_a_folder_without_writing(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    close_store(open_ok());
    give_to_nobody();
    snprintf(path, sizeof path, "%s", db_path());
    assert_int_equal(chmod(scratch.folder, 0500), 0);
    assert_true(child_says(denies, path));
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, "new"));
    assert_true(child_says(denies, path));
    assert_int_equal(chmod(scratch.folder, 0700), 0);
}

static void test_refuses_a_file_without_writing(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    close_store(open_ok());
    give_to_nobody();
    snprintf(path, sizeof path, "%s", db_path());
    assert_int_equal(chmod(path, 0400), 0);
    assert_true(child_says(denies, path));
}

/* In a mount namespace of the child's own. */
static bool denies_read_only(void *ctx)
{
    struct store *s = NULL;
    if (mount(ctx, ctx, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, ctx, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
        return false;
    struct err_text why = {0};
    enum err e = store_sqlite_open(&s, db_path(), &why);
    return e == ERR_DENIED && strstr(why.text, "Read-only") != NULL;
}

static bool has_namespaces(void *ctx)
{
    (void)ctx;
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool denies_in_namespace(void *ctx)
{
    return has_namespaces(ctx) && denies_read_only(ctx);
}

static void test_refuses_a_read_only_file_system(void **state)
{
    (void)state;
    if (!child_says(has_namespaces, NULL))
        skip();
    close_store(open_ok());
    assert_true(child_says(denies_in_namespace, scratch.folder));
}

/* ---- one process ----------------------------------------------------------------------------- */

/* A process that was there before this one opened anything, so that it knows nothing of it
 * (a child made later would share what SQLite remembers of this process's locks). For every
 * byte that it gets it opens the database and answers how that went. */
struct visitor {
    pid_t pid;
    int to[2], from[2];
};

static void receive(struct visitor *v)
{
    char byte;
    while (read(v->to[0], &byte, 1) == 1) {
        struct store *s = NULL;
        byte = (char)store_sqlite_open(&s, db_path(), NULL);
        if (s != NULL)
            close_store(s);
        if (write(v->from[1], &byte, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

static void visitor_start(struct visitor *v)
{
    assert_int_equal(pipe(v->to), 0);
    assert_int_equal(pipe(v->from), 0);
    v->pid = fork();
    assert_true(v->pid >= 0);
    if (v->pid == 0) {
        close(v->to[1]);
        receive(v);
    }
}

static enum err visitor_opens(struct visitor *v)
{
    char byte = 'o';
    assert_int_equal(write(v->to[1], &byte, 1), 1);
    assert_int_equal(read(v->from[0], &byte, 1), 1);
    return (enum err)byte;
}

static void visitor_stop(struct visitor *v)
{
    int status;
    close(v->to[1]);
    assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
    assert_int_equal(status, 0);
    close(v->to[0]);
    close(v->from[0]);
    close(v->from[1]);
}

static void test_only_one_process(void **state)
{
    (void)state;
    struct visitor v;
    visitor_start(&v);
    for (int i = 0; i < 2; i++) { /* a new database, and one that was there */
        struct store *s = open_ok();
        assert_int_equal(visitor_opens(&v), ERR_EXISTS);
        add_key(s, i == 0 ? "a" : "b");
        assert_int_equal(visitor_opens(&v), ERR_EXISTS);
        assert_refused(db_path(), ERR_EXISTS, "another process");
        assert_int_equal(visitor_opens(&v), ERR_EXISTS); /* that try did not break the lock */
        assert_true(has_key(s, "a"));
        close_store(s);
        assert_int_equal(visitor_opens(&v), ERR_OK);
    }
    visitor_stop(&v);
}

/* Opens, writes, says so and waits to be killed. */
static pid_t start_holder(int *ready)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        add_key(open_ok(), "acme");
        if (write(ends[1], "r", 1) == 1)
            pause();
        _exit(1);
    }
    close(ends[1]);
    *ready = ends[0];
    return child;
}

static void test_a_killed_process_leaves_no_lock(void **state)
{
    (void)state;
    char byte;
    int ready, status;
    pid_t holder = start_holder(&ready);
    assert_int_equal(read(ready, &byte, 1), 1);
    assert_refused(db_path(), ERR_EXISTS, "another process");
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    close(ready);
    struct store *s = open_ok();
    assert_true(has_key(s, "acme"));
    close_store(s);
}

/* ---- whose database it is
 * ------------------------------------------------------------------------ */

static void test_refuses_other_content(void **state)
{
    (void)state;
    char garbage[5000];
    memset(garbage, 'x', sizeof garbage - 1);
    garbage[sizeof garbage - 1] = '\0';
    assert_refused(scratch_write(&scratch, "text", "Not a database.", 0600), ERR_CORRUPT, "not a");
    assert_refused(scratch_write(&scratch, "long", garbage, 0600), ERR_CORRUPT, "not a");
    exec(db_path(), "CREATE TABLE t (x)");
    assert_int_equal(chmod(db_path(), 0600), 0);
    assert_refused(db_path(), ERR_CORRUPT, "not a database of this program");
    exec(db_path(), "DROP TABLE t; PRAGMA application_id = 7");
    assert_refused(db_path(), ERR_CORRUPT, "not a database of this program");
    exec(db_path(), "PRAGMA application_id = 0; PRAGMA user_version = 3");
    assert_refused(db_path(), ERR_CORRUPT, "not a database of this program");
}

/* As it is when the first start was interrupted. */
static void test_takes_an_empty_file(void **state)
{
    (void)state;
    (void)scratch_write(&scratch, "db", "", 0600);
    close_store(open_ok());
    assert_int_equal(unlink(db_path()), 0);
    exec(db_path(), "PRAGMA journal_mode = WAL");
    assert_int_equal(chmod(db_path(), 0600), 0);
    close_store(open_ok());
}

static void test_refuses_a_newer_schema(void **state)
{
    (void)state;
    struct store *s = open_ok();
    add_key(s, "acme");
    close_store(s);
    exec(db_path(), "PRAGMA user_version = 9999");
    assert_refused(db_path(), ERR_CONFLICT, "newer");
    char present[64];
    snprintf(present, sizeof present, "PRAGMA user_version = %d", sqlite_sql_version);
    exec(db_path(), present);
    s = open_ok();
    assert_true(has_key(s, "acme"));
    close_store(s);
}

static void test_is_set_up_as_described(void **state)
{
    (void)state;
    struct store *s = open_ok();
    assert_says(s, "PRAGMA application_id", "846427248");
    char version[16];
    snprintf(version, sizeof version, "%d", sqlite_sql_version);
    assert_says(s, "PRAGMA user_version", version);
    assert_says(s, "PRAGMA journal_mode", "wal");
    assert_says(s, "PRAGMA synchronous", "2");
    assert_says(s, "PRAGMA locking_mode", "exclusive");
    assert_says(s, "PRAGMA foreign_keys", "1");
    assert_says(s, "PRAGMA trusted_schema", "0");
    assert_says(s, "PRAGMA cell_size_check", "1");
    assert_says(s,
                "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND NOT strict "
                "AND name NOT LIKE 'sqlite%'",
                "0");
    assert_says(s, "PRAGMA integrity_check", "ok");
    close_store(s);
}

/* ---- calls at the wrong time
 * ----------------------------------------------------------------------- */

static void test_nothing_outside_of_a_batch(void **state)
{
    (void)state;
    struct err_text why = {0};
    struct data_key key = {.id = 1, .kek_id = 1, .sealed_len = 72};
    struct tenant_id t = {STR("acme")};
    struct store *s = open_ok();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(s->ops->data_key_add(s, t, &key, &why), ERR_UNAVAILABLE);
        assert_non_null(strstr(why.text, "outside of a batch"));
        assert_int_equal(s->ops->batch_commit(s, &why), ERR_UNAVAILABLE);
        add_key(s, i == 0 ? "a" : "b");
    }
    assert_false(has_key(s, "acme"));
    close_store(s);
}

static void test_closing_drops_an_open_batch(void **state)
{
    (void)state;
    struct data_key key = {.id = 1, .kek_id = 1, .sealed_len = 72};
    struct tenant_id t = {STR("acme")};
    struct store *s = open_ok();
    assert_int_equal(s->ops->batch_begin(s, NULL), ERR_OK);
    s->ops->job_begin(s, INT64_MAX);
    assert_int_equal(s->ops->data_key_add(s, t, &key, NULL), ERR_OK);
    assert_int_equal(s->ops->job_end(s, true, NULL), ERR_OK);
    s->ops->job_begin(s, INT64_MAX);
    close_store(s);
    s = open_ok();
    assert_false(has_key(s, "acme"));
    close_store(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_are_the_owners),
        TEST(test_refuses_what_others_can_read),
        TEST(test_refuses_what_is_not_a_file),
        TEST(test_names_are_names),
        TEST(test_refuses_a_folder_without_writing),
        TEST(test_refuses_a_file_without_writing),
        TEST(test_refuses_a_read_only_file_system),
        TEST(test_only_one_process),
        TEST(test_a_killed_process_leaves_no_lock),
        TEST(test_refuses_other_content),
        TEST(test_takes_an_empty_file),
        TEST(test_refuses_a_newer_schema),
        TEST(test_is_set_up_as_described),
        TEST(test_nothing_outside_of_a_batch),
        TEST(test_closing_drops_an_open_batch),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
