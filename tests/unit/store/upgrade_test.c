/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/sqlite_sql_internal.h"
#include "store/store.h"
#include "store/store_sqlite.h"
#include "support/scratch.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

/* A user who signed in under version 1: what version 1 would have left. */
static const char rows_of_version_1[] =
    "INSERT INTO tenant VALUES (1, CAST('acme' AS BLOB));"
    "INSERT INTO user VALUES (1, 1, CAST('ann' AS BLOB), 1);"
    "INSERT INTO factor VALUES (1, zeroblob(16), 1, 1, 1, 6, 30, 5, 6, 0, zeroblob(60));"
    "INSERT INTO sign_in VALUES (1, 1, 1000, 7, 2, 1000, 0, x'01000000000000000000000000000000',"
    "  x'02000000000000000000000000000000', 2, 0, 0, 1000);";

static void exec(sqlite3 *db, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
}

static void make_version_1(const char *path)
{
    sqlite3 *db;
    char mark[96];
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    exec(db, sqlite_sql_migrations[0]);
    exec(db, rows_of_version_1);
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = 1",
             SQLITE_SQL_APPLICATION_ID);
    exec(db, mark);
    sqlite3_close(db);
    chmod(path, 0600);
}

static struct charged charge(struct store *s, const struct request_mark *request)
{
    static const struct lockout_rule rule = {.n_waits = 1, .limit = 100};
    struct charge c = {.now_ms = 2000, .lockout = &rule, .code_digits = 6, .request = request};
    struct charged out;
    struct err_text why;
    assert_int_equal(s->ops->batch_begin(s, &why), ERR_OK);
    s->ops->job_begin(s, INT64_MAX);
    assert_int_equal(s->ops->charge(s, (struct tenant_id){STR("acme")},
                                    (struct user_id){STR("ann")}, &c, &out, &why),
                     ERR_OK);
    assert_int_equal(s->ops->job_end(s, true, &why), ERR_OK);
    assert_int_equal(s->ops->batch_commit(s, &why), ERR_OK);
    return out;
}

static void what_version_1_knew_is_known(void **state)
{
    (void)state;
    struct scratch scratch;
    struct store *s;
    struct err_text why;
    scratch_init(&scratch);
    make_version_1(scratch_path(&scratch, "db"));
    assert_int_equal(store_sqlite_open(&s, scratch_path(&scratch, "db"), &why), ERR_OK);

    struct request_mark seen = {.id = {1}, .fingerprint = {2}};
    struct charged got = charge(s, &seen);
    assert_int_equal(got.result, CHARGE_REPEATED);
    assert_int_equal(got.first.outcome, 2);
    got = charge(s, NULL);
    assert_int_equal(got.result, CHARGE_READY);
    assert_true(got.last_step == 7);
    assert_int_equal(got.factor.generation, 1);

    s->ops->close(s);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_version_1_knew_is_known)};
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
