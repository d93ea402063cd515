/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/sqlite_fold_internal.h"
#include "store/sqlite_internal.h"
#include "store/store_sqlite.h"
#include "support/scratch.h"
#include "support/store_kit.h"

#include <sqlite3.h>
#include <stdio.h>

#define T     "acme"
#define AFTER 40
#define SHARE 4
#define USERS 60

static struct scratch scratch;

static struct store *open_small(void)
{
    struct store *s = NULL;
    assert_int_equal(store_sqlite_open(&s, scratch_path(&scratch, "db"), NULL), ERR_OK);
    sqlite_store_of(s)->log.fold.after = AFTER;
    sqlite_store_of(s)->log.fold.share = SHARE;
    return s;
}

static struct store *make(void **place)
{
    *place = &scratch;
    scratch_init(&scratch);
    return open_small();
}

static struct store *reopen(void *place, struct store *s)
{
    (void)place;
    s->ops->close(s);
    return open_small();
}

static void destroy(void *place, struct store *s)
{
    (void)place;
    s->ops->close(s);
    scratch_release(&scratch);
}

static const struct store_kind kind = {
    .name = "small", .make = make, .reopen = reopen, .destroy = destroy};
static struct kit kit;
static uint32_t n_requests;

static int setup(void **state)
{
    char name[16];
    (void)state;
    kit_init(&kit, &kind, KIT_PLAIN);
    n_requests = 0;
    for (uint32_t i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%u", i);
        kit_enroll(&kit, T, name, 1 + i, 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_release(&kit);
    return 0;
}

static struct sqlite_log *sign_ins(void)
{
    return &sqlite_store_of(kit.store)->log;
}

static int64_t count(const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(sqlite_store_of(kit.store)->db.handle, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

/* One sign-in with a request id, in a batch of its own. */
static struct charged ask(uint32_t user, uint32_t request)
{
    static const struct lockout_rule never = {.limit = UINT32_MAX};
    char name[16];
    struct request_mark r = kit_request(request, request);
    struct charge c = kit_login(&kit);
    struct charged out;
    snprintf(name, sizeof name, "user%u", user);
    c.lockout = &never;
    c.request = &r;
    assert_int_equal(kit_charge(&kit, T, name, &c, &out), ERR_OK);
    return out;
}

static void sign_in(uint32_t user)
{
    assert_int_equal(ask(user, ++n_requests).result, CHARGE_READY);
}

static void test_tail_and_map_stay_short(void **state)
{
    (void)state;
    uint64_t folds = 0;
    int64_t folded = sign_ins()->folded;
    for (uint32_t i = 0; i < 1000; i++) {
        kit.now_ms += 1000;
        sign_in(i * 7 % USERS);
        /* A fold ends before half as many rows have come again. */
        int64_t tail = sign_ins()->next_seq - 1 - sign_ins()->folded;
        assert_true(tail <= AFTER + AFTER / 2);
        assert_true(sign_ins()->map.count <= (size_t)tail);
        folds += sign_ins()->folded != folded;
        folded = sign_ins()->folded;
    }
    assert_true(folds >= 1000 / (2 * AFTER));
    assert_int_equal(count("SELECT count(*) FROM hot"), USERS);
    assert_int_equal(count("SELECT seq FROM fold"), folded);
}

static void test_log_is_trimmed_to_what_is_remembered(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        kit.now_ms += 5000;
        sign_in(i % USERS);
    }
    int64_t rows = count("SELECT count(*) FROM sign_in");
    assert_true(rows >= REQUEST_MEMORY_MS / 5000);
    assert_true(rows <= LOG_KEEP_MS / 5000 + 2 * AFTER);
    assert_int_equal(count("SELECT min(seq) FROM sign_in"), sign_ins()->first_seq);
    assert_int_equal(count("SELECT max(seq) - min(seq) + 1 FROM sign_in"), rows);
}

/* Nothing may be forgotten early because it was folded or others were trimmed. */
static void test_requests_are_found_when_folded(void **state)
{
    (void)state;
    sign_in(0);
    uint32_t request = n_requests;
    int64_t seq = sign_ins()->next_seq - 1;
    for (uint32_t i = 0; i < 500; i++) {
        kit.now_ms += 1000;
        sign_in(1 + i % (USERS - 1));
    }
    assert_true(sign_ins()->folded > seq);
    assert_int_equal(ask(0, request).result, CHARGE_REPEATED);
    kit_reopen(&kit);
    assert_int_equal(ask(0, request).result, CHARGE_REPEATED);
    assert_int_equal(kit_failures(&kit, T, "user0"), 1);
}

/* Rows of a clock that was years ahead for a while must not keep the log from its end. */
static void test_a_clock_that_was_ahead_does_not_stop_trimming(void **state)
{
    (void)state;
    int64_t before = kit.now_ms;
    kit.now_ms += INT64_C(13) * 365 * 86400 * 1000;
    for (uint32_t i = 0; i < 200; i++)
        sign_in(i % USERS);
    kit.now_ms = before;
    for (uint32_t i = 0; i < 600; i++) {
        kit.now_ms += 5000;
        sign_in(i % USERS);
    }
    assert_true(count("SELECT count(*) FROM sign_in") <= LOG_KEEP_MS / 5000 + 2 * AFTER);
    assert_int_equal(count("SELECT count(*) FROM sign_in WHERE time_ms > 2000000000000"), 0);
}

static void test_the_sweep_trims_to_its_limit(void **state)
{
    (void)state;
    uint32_t n = 0;
    for (uint32_t i = 0; i < 200; i++)
        sign_in(i % USERS);
    kit.now_ms += 2 * LOG_KEEP_MS;
    int64_t rows = count("SELECT count(*) FROM sign_in");
    assert_int_equal(kit_sweep(&kit, 10, &n), ERR_OK);
    assert_int_equal(n, 10);
    assert_int_equal(count("SELECT count(*) FROM sign_in"), rows - 10);
    assert_int_equal(kit_sweep(&kit, 10000, &n), ERR_OK);
    /* What is not folded stays. */
    assert_int_equal(count("SELECT min(seq) FROM sign_in"), sign_ins()->folded + 1);
    assert_int_equal(kit_sweep(&kit, 10000, &n), ERR_OK);
    assert_int_equal(n, 0);
}

/* Also when everything was folded and deleted, and after a restart. */
static void test_numbers_are_not_given_twice(void **state)
{
    (void)state;
    sqlite_store_of(kit.store)->log.fold.after = 0;
    sqlite_store_of(kit.store)->log.fold.share = 1000;
    sign_in(0);
    int64_t next = sign_ins()->next_seq;
    assert_int_equal(sign_ins()->folded, next - 1);
    uint32_t n;
    kit.now_ms += 2 * LOG_KEEP_MS;
    assert_int_equal(kit_sweep(&kit, 10000, &n), ERR_OK);
    assert_int_equal(count("SELECT count(*) FROM sign_in"), 0);
    kit_reopen(&kit);
    assert_int_equal(sign_ins()->next_seq, next);
    sign_in(0);
    assert_int_equal(count("SELECT max(seq) FROM sign_in"), next);
    assert_int_equal(kit_failures(&kit, T, "user0"), 2);
}

static void test_only_the_tail_is_read_at_start(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 500; i++)
        sign_in(i % USERS);
    int64_t tail = sign_ins()->next_seq - 1 - sign_ins()->folded;
    kit_reopen(&kit);
    assert_int_equal(sign_ins()->next_seq - 1 - sign_ins()->folded, tail);
    assert_true(sign_ins()->map.count <= (size_t)tail);
    for (uint32_t i = 0; i < USERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "user%u", i);
        assert_int_equal(kit_failures(&kit, T, name), 500 / USERS + (i < 500 % USERS));
    }
}

/* A batch that adds nothing writes nothing, so it costs no fsync. */
static void test_reading_leaves_the_log_alone(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2 * AFTER; i++)
        sign_in(i % USERS);
    int frames = sqlite_store_of(kit.store)->db.wal_frames;
    struct sqlite_log before = *sign_ins();
    for (uint32_t i = 0; i < 20; i++)
        (void)kit_failures(&kit, T, "user1");
    assert_int_equal(sqlite_store_of(kit.store)->db.wal_frames, frames);
    assert_int_equal(sign_ins()->folded, before.folded);
    assert_int_equal(sign_ins()->first_seq, before.first_seq);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tail_and_map_stay_short),
        TEST(test_log_is_trimmed_to_what_is_remembered),
        TEST(test_requests_are_found_when_folded),
        TEST(test_a_clock_that_was_ahead_does_not_stop_trimming),
        TEST(test_the_sweep_trims_to_its_limit),
        TEST(test_numbers_are_not_given_twice),
        TEST(test_only_the_tail_is_read_at_start),
        TEST(test_reading_leaves_the_log_alone),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
