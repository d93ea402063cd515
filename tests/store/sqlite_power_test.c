/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The power goes at any moment, also while the last cut is being recovered from, after a sync
 * that failed, and after a process that was killed upon that: what was acknowledged is there,
 * of what was not all or nothing. Killing the process alone would prove nothing here: the
 * kernel keeps what was not synced.
 * TWOSTEP_TEST_ROUNDS: how many cuts; TWOSTEP_TEST_SEED: the first. */

#include "store/sqlite_internal.h"
#include "store/store_sqlite.h"
#include "support/fault_vfs.h"
#include "support/scratch.h"
#include "support/store_load.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS     60
#define BATCHES    25
#define OPERATIONS 850 /* about those of so many batches */

#define AFTER_DEATH 150

enum trouble {
    POWER_ONLY,
    BAD_SYNC,       /* before the power goes */
    DEATH_BY_BATCH, /* the process is killed after a batch has failed, upon a bad sync */
    DEATH_BY_SYNC,  /* right after the bad sync */
};

/* What the child says before the power goes. */
struct shared {
    int acknowledged; /* batches that were committed */
    unsigned operations;
    char why[200];
};

static struct scratch scratch;
static struct shared *shared;

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(shared, sizeof *shared);
}

static uint64_t number(const char *name, uint64_t preset)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : preset;
}

static uint64_t mix(uint64_t z)
{
    z = (z + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static unsigned from(uint64_t random, unsigned n)
{
    return 1 + (unsigned)(random % n);
}

static struct store *open_store(struct err_text *why)
{
    struct store *s = NULL;
    if (store_sqlite_open(&s, scratch_path(&scratch, "db"), why) != ERR_OK)
        return NULL;
    sqlite_store_of(s)->log.fold.after = 30;
    sqlite_store_of(s)->log.fold.share = 0;
    sqlite_store_of(s)->db.wal_limit = 40;
    return s;
}

/* In the child. */
static void die(const char *what, const struct err_text *why)
{
    snprintf(shared->why, sizeof shared->why, "%s: %.150s", what, why->text);
    _exit(1);
}

static struct store *open_in_child(void)
{
    struct err_text why = {0};
    for (int tries = 0; tries < 4 && !fault_vfs_is_dead(); tries++) {
        struct store *s = open_store(&why);
        if (s != NULL)
            return s;
    }
    if (!fault_vfs_is_dead())
        die("open", &why);
    return NULL;
}

/* As far as the plan lets it come. mortal: the first failure of a batch kills the process. */
static void work_on(struct store *s, bool mortal)
{
    struct err_text why = {0};
    int n = store_load_count(s, &why);
    if (n < 0 && !fault_vfs_is_dead())
        die("count", &why);
    for (n++; n <= BATCHES && !fault_vfs_is_dead(); n++) {
        enum err e = ERR_UNAVAILABLE;
        for (int tries = 0; e != ERR_OK && !fault_vfs_is_dead(); tries++) {
            e = store_load_batch(s, (unsigned)n, &why);
            if (tries == 10)
                die("batch", &why);
            if (e != ERR_OK && mortal)
                fault_vfs_die();
        }
        if (e == ERR_OK)
            shared->acknowledged = n;
    }
}

/* What a process does after one that was killed. Upon a failed batch: its power may go at
 * once. Upon a failed sync: only when it is up, as SQLite has no means against the other. */
static void inherit(uint64_t seed, enum trouble trouble)
{
    struct fault_plan plan = {.power_at = from(mix(seed + 7), AFTER_DEATH), .seed = mix(seed + 8)};
    fault_vfs_plan(trouble == DEATH_BY_BATCH ? &plan : NULL);
    struct store *s = open_in_child();
    if (trouble == DEATH_BY_SYNC)
        fault_vfs_plan(&plan);
    work_on(s, false);
    s->ops->close(s);
}

static void work(const struct fault_plan *plan, enum trouble trouble)
{
    struct store *s = NULL;
    fault_vfs_watch();
    fault_vfs_plan(plan);
    if ((s = open_in_child()) != NULL) {
        work_on(s, trouble == DEATH_BY_BATCH);
        s->ops->close(s);
    }
    shared->operations = fault_vfs_count();
    if (fault_vfs_is_dead())
        inherit(plan->seed, trouble);
    _exit(0);
}

static int run_child(const struct fault_plan *plan, enum trouble trouble)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        work(plan, trouble);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Without a batch that counts there is nothing to keep, and a first page that is neither there
 * nor not may be all that is left of a new database. */
static bool was_never_made(const char *why)
{
    return shared->acknowledged == 0 && strstr(why, "not a database") != NULL;
}

static void assert_child(const struct fault_plan *plan, enum trouble trouble, uint64_t seed)
{
    shared->why[0] = '\0';
    int code = run_child(plan, trouble);
    if (code != FAULT_VFS_POWER && code != 0 && !was_never_made(shared->why))
        fail_msg("seed %llu: the store gave up (%d): %s", (unsigned long long)seed, code,
                 shared->why);
}

static void assert_kept(uint64_t seed)
{
    struct err_text why = {0};
    int acknowledged = shared->acknowledged;
    struct store *s = open_store(&why);
    if (s == NULL && was_never_made(why.text))
        return;
    if (s == NULL)
        fail_msg("seed %llu: does not open: %s", (unsigned long long)seed, why.text);
    int n = store_load_count(s, &why);
    if (n != acknowledged && n != acknowledged + 1)
        fail_msg("seed %llu: %d batches count, %d were acknowledged: %s", (unsigned long long)seed,
                 n, acknowledged, why.text);
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = sqlite_store_of(s)->db.handle;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    assert_int_equal(store_load_batch(s, (unsigned)n + 1, &why), ERR_OK);
    assert_int_equal(store_load_count(s, &why), n + 1);
    s->ops->close(s);
}

static struct fault_plan make_plan(uint64_t seed, unsigned operations, enum trouble trouble)
{
    struct fault_plan plan = {.power_at = from(mix(seed), operations), .seed = seed};
    if (trouble != POWER_ONLY)
        plan.fail_sync_at = from(mix(seed + 1), plan.power_at / 5 + 3);
    if (trouble == DEATH_BY_BATCH || trouble == DEATH_BY_SYNC)
        plan.power_at = 0;
    if (trouble == DEATH_BY_SYNC)
        plan.die_after = from(mix(seed + 2), 4);
    return plan;
}

static void round_of(uint64_t seed, enum trouble trouble)
{
    struct fault_plan plan = make_plan(seed, OPERATIONS, trouble);
    scratch_init(&scratch);
    shared->acknowledged = 0;
    assert_child(&plan, trouble, seed);
    /* Up to three cuts more while it recovers, and soon after. */
    for (unsigned again = from(mix(seed + 3), 4); again > 1; again--) {
        enum trouble more = trouble == POWER_ONLY ? POWER_ONLY : BAD_SYNC;
        plan = make_plan(mix(seed + again), 60, more);
        assert_child(&plan, more, seed);
    }
    assert_kept(seed);
    fault_vfs_forget();
    scratch_release(&scratch);
}

static void rounds(enum trouble trouble)
{
    uint64_t n = number("TWOSTEP_TEST_ROUNDS", ROUNDS);
    uint64_t first = number("TWOSTEP_TEST_SEED", 1);
    for (uint64_t seed = first; seed < first + n; seed++)
        round_of(seed * 1000, trouble);
}

static void test_power_cuts(void **state)
{
    (void)state;
    rounds(POWER_ONLY);
}

static void test_power_cuts_after_bad_syncs(void **state)
{
    (void)state;
    rounds(BAD_SYNC);
}

static void test_power_cuts_after_death_by_batch(void **state)
{
    (void)state;
    rounds(DEATH_BY_BATCH);
}

static void test_power_cuts_after_death_by_sync(void **state)
{
    (void)state;
    rounds(DEATH_BY_SYNC);
}

/* The cuts must fall into the work, not behind it. */
static void test_operations_are_as_many_as_thought(void **state)
{
    (void)state;
    const struct fault_plan none = {0};
    scratch_init(&scratch);
    assert_int_equal(run_child(&none, POWER_ONLY), 0);
    assert_in_range(shared->operations, OPERATIONS, OPERATIONS * 5 / 4);
    assert_kept(0);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_operations_are_as_many_as_thought, setup, teardown),
        cmocka_unit_test_setup_teardown(test_power_cuts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_power_cuts_after_bad_syncs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_power_cuts_after_death_by_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_power_cuts_after_death_by_sync, setup, teardown),
    };
    fault_vfs_install();
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
