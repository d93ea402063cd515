/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/digest.h"
#include "crypto/random.h"
#include "domain/domain.h"
#include "support/house.h"
#include "support/remote.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* Several workers of one process, each with a domain and a store of its own, on a store that is not
 * transactional. */
#define WORKERS  8
#define STRANGER (WORKERS - 1) /* a worker of another process */
#define T        "acme"

struct workers {
    struct house house; /* its domain is that of the worker who is asked */
    struct domain *own; /* the house's own */
    struct remote remote;
    struct domain_shared *shared, *foreign;
    struct store *stores[WORKERS];
    struct domain *domains[WORKERS];

    /* The gate: what happens at this operation, once. */
    const char *op;
    bool after;
    enum err spoil;
    void (*meanwhile)(struct workers *w);
    int data_keys_read;
};

static enum err gate(void *ctx, const char *op, bool after, int64_t budget_ms)
{
    struct workers *w = ctx;
    (void)budget_ms;
    if (w->op == NULL || strcmp(op, w->op) != 0 || after != w->after)
        return ERR_OK;
    w->op = NULL;
    if (w->meanwhile != NULL)
        w->meanwhile(w);
    return w->spoil;
}

static int setup(void **state)
{
    struct workers *w = calloc(1, sizeof *w);
    house_init(&w->house);
    w->own = w->house.domain;
    remote_init(&w->remote, w->house.store);
    w->shared = domain_shared_new(w->house.keyring);
    w->foreign = domain_shared_new(w->house.keyring);
    for (int i = 0; i < WORKERS; i++) {
        struct domain_options opt = house_options(&w->house);
        opt.shared = i == STRANGER ? w->foreign : w->shared;
        opt.store = w->stores[i] = remote_store(&w->remote);
        w->domains[i] = domain_new(&opt);
    }
    w->remote.gate = gate;
    w->remote.ctx = w;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct workers *w = *state;
    for (int i = 0; i < WORKERS; i++) {
        domain_free(w->domains[i]);
        w->stores[i]->ops->close(w->stores[i]);
    }
    domain_shared_free(w->shared);
    domain_shared_free(w->foreign);
    remote_release(&w->remote);
    w->house.domain = w->own;
    house_release(&w->house);
    free(w);
    return 0;
}

static void prepare(struct workers *w)
{
    assert_int_equal(domain_prepare(w->domains[0], 1000, &w->house.why), ERR_OK);
    assert_int_equal(domain_prepare(w->domains[STRANGER], 1000, &w->house.why), ERR_OK);
}

static struct house *by(struct workers *w, int worker)
{
    w->house.domain = w->domains[worker];
    return &w->house;
}

static void set_enabled(struct workers *w, int worker, bool enabled)
{
    struct policy p = {.enabled = enabled};
    assert_int_equal(house_set_policy(by(w, worker), T, POLICY_ENABLED, &p), ERR_OK);
}

static bool is_on(struct workers *w, int worker)
{
    struct login_answer answer;
    assert_int_equal(house_login(by(w, worker), T, "alice", CHANNEL_WEB, &answer), ERR_OK);
    return answer.requirement != LOGIN_REQUIREMENT_NOTHING;
}

/* ---- policies ----------------------------------------------------------------------------------
 */

static void a_policy_is_obeyed_by_all_workers_at_once(void **state)
{
    struct workers *w = *state;
    prepare(w);
    for (int round = 0; round < 4; round++) {
        set_enabled(w, round, round % 2 == 0);
        for (int i = 0; i < STRANGER; i++)
            assert_int_equal(is_on(w, i), round % 2 == 0);
    }
}

static void a_policy_of_another_process_is_obeyed_within_a_second(void **state)
{
    struct workers *w = *state;
    prepare(w);
    set_enabled(w, 0, true);
    assert_true(is_on(w, 1));
    set_enabled(w, STRANGER, false);
    house_advance(&w->house, 999);
    assert_true(is_on(w, 2));
    house_advance(&w->house, 1);
    assert_false(is_on(w, 2));
}

static void turn_off(struct workers *w)
{
    struct domain *reader = w->house.domain;
    set_enabled(w, 0, false);
    w->house.domain = reader;
}

static void a_worker_that_read_before_the_change_does_not_keep_it(void **state)
{
    struct workers *w = *state;
    prepare(w);
    set_enabled(w, 0, true);
    w->op = "policy_get";
    w->after = true;
    w->meanwhile = turn_off;
    (void)is_on(w, 1); /* decided by what it had read */
    assert_null(w->op);
    for (int i = 0; i < STRANGER; i++)
        assert_false(is_on(w, i));
}

static void a_policy_that_may_have_been_set_is_read_anew(void **state)
{
    struct workers *w = *state;
    prepare(w);
    set_enabled(w, 0, true);
    assert_true(is_on(w, 1));
    w->op = "policy_put";
    w->after = true;
    w->spoil = ERR_UNAVAILABLE;
    struct policy off = {.enabled = false};
    assert_int_equal(house_set_policy(by(w, 2), T, POLICY_ENABLED, &off), ERR_UNAVAILABLE);
    assert_false(is_on(w, 1));
}

/* ---- data keys ---------------------------------------------------------------------------------
 */

static enum err count_or_destroy(void *ctx, const char *op, bool after, int64_t budget_ms)
{
    struct workers *w = ctx;
    (void)budget_ms;
    if (strcmp(op, "data_key_get") != 0 || after)
        return ERR_OK;
    w->data_keys_read++;
    return w->spoil;
}

static enum err try_code(struct workers *w, int worker, const char *code)
{
    struct house_request r = HOUSE_REQUEST(T, "alice", code);
    struct verify_answer answer;
    return house_verify(by(w, worker), &r, &answer);
}

static void a_destroyed_key_works_no_longer_than_a_second(void **state)
{
    struct workers *w = *state;
    struct secret *secret;
    prepare(w);
    set_enabled(w, 0, true);
    house_enroll_confirmed(by(w, 0), T, "alice", &secret);
    const char *wrong = house_wrong_code(&w->house, secret);
    w->remote.gate = count_or_destroy;
    w->spoil = ERR_NOT_FOUND;
    house_advance(&w->house, 999);
    assert_int_equal(try_code(w, 1, wrong), ERR_OK);
    assert_int_equal(try_code(w, 2, wrong), ERR_OK);
    assert_int_equal(w->data_keys_read, 0); /* one worker's key is every worker's */
    house_advance(&w->house, 1);
    assert_int_equal(try_code(w, 1, wrong), ERR_CORRUPT);
    assert_int_equal(try_code(w, 2, wrong), ERR_CORRUPT);
    assert_int_equal(w->data_keys_read, 2);
    w->spoil = ERR_OK;
    assert_int_equal(try_code(w, 1, wrong), ERR_OK);
    secret_free(secret);
}

/* ---- the audit chain ---------------------------------------------------------------------------
 */

/* How many records there are, in a chain without a gap. The house is closed for as long. */
static int64_t check_chain(struct workers *w)
{
    struct domain *asked = w->house.domain;
    w->house.domain = w->own;
    house_close(&w->house);
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(scratch_path(&w->house.scratch, "db"), &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT seq, body, hash FROM audit ORDER BY seq", -1, &stmt, NULL),
        SQLITE_OK);
    int64_t n = 0;
    uint8_t hash[DIGEST_LEN] = {0};
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        assert_int_equal(sqlite3_column_int64(stmt, 0), ++n);
        uint8_t seq[8];
        for (int i = 0; i < 8; i++)
            seq[i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
        struct str parts[] = {
            {(const char *)hash, sizeof hash},
            {(const char *)seq, sizeof seq},
            {(const char *)sqlite3_column_text(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1)}};
        uint8_t next[DIGEST_LEN];
        digest_parts(next, parts, 3);
        memcpy(hash, next, sizeof hash);
        assert_memory_equal(sqlite3_column_blob(stmt, 2), hash, sizeof hash);
    }
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    house_open(&w->house);
    w->remote.under = w->house.store;
    w->own = w->house.domain;
    w->house.domain = asked;
    return n;
}

#define VERIFIES 60

struct thread {
    pthread_t id;
    struct house house; /* a copy: its domain and its failure are the thread's own */
    enum err worst;
};

static void *verify_often(void *arg)
{
    struct thread *t = arg;
    for (int i = 0; i < VERIFIES; i++) {
        uint8_t id[REQUEST_ID_LEN];
        random_bytes(id, sizeof id);
        struct house_request r = HOUSE_REQUEST(T, i % 2 == 0 ? "alice" : "bob", "123456");
        r.request_id = id;
        struct verify_answer answer;
        enum err e = house_verify(&t->house, &r, &answer);
        if (e != ERR_OK && e != ERR_LIMIT)
            t->worst = e;
    }
    return NULL;
}

static void many_workers_write_one_chain(void **state)
{
    if (!house_is_sqlite()) /* the chain is read there */
        skip();
    struct workers *w = *state;
    static struct thread threads[STRANGER];
    struct secret *secret;
    assert_int_equal(domain_prepare(w->domains[0], 1000, &w->house.why), ERR_OK);
    set_enabled(w, 0, true);
    house_enroll_confirmed(by(w, 0), T, "alice", &secret);
    int64_t before = check_chain(w);
    w->remote.gate = NULL;
    for (int i = 0; i < STRANGER; i++) {
        threads[i] = (struct thread){.house = *by(w, i)};
        assert_int_equal(pthread_create(&threads[i].id, NULL, verify_often, &threads[i]), 0);
    }
    for (int i = 0; i < STRANGER; i++) {
        pthread_join(threads[i].id, NULL);
        assert_int_equal(threads[i].worst, ERR_OK);
    }
    /* Of each user REQUEST_MEMORY_MAX requests are answered, and the rest is too many. */
    assert_int_equal(check_chain(w) - before, 2 * REQUEST_MEMORY_MAX);
    secret_free(secret);
}

static enum err no_appends(void *ctx, const char *op, bool after, int64_t budget_ms)
{
    (void)budget_ms;
    bool down = *(bool *)ctx && !after && strcmp(op, "audit_append") == 0;
    return down ? ERR_UNAVAILABLE : ERR_OK;
}

static void spoil_append(struct workers *w, bool after)
{
    w->op = "audit_append";
    w->after = after;
    w->spoil = ERR_UNAVAILABLE;
    assert_int_equal(try_code(w, 1, "123456"), ERR_UNAVAILABLE);
    assert_null(w->op);
}

/* A record of which nobody knows whether it was written: the next one follows what is there, and
 * the worker who owes it writes it (again) before the next of its own. */
static void a_lost_answer_leaves_the_chain_whole(void **state)
{
    if (!house_is_sqlite()) /* the chain is read there */
        skip();
    struct workers *w = *state;
    assert_int_equal(domain_prepare(w->domains[0], 1000, &w->house.why), ERR_OK);
    set_enabled(w, 0, true);
    int64_t before = check_chain(w);
    spoil_append(w, true); /* it was written */
    assert_int_equal(try_code(w, 2, "123456"), ERR_OK);
    assert_int_equal(check_chain(w), before + 2);
    assert_int_equal(try_code(w, 1, "123456"), ERR_OK);
    assert_int_equal(check_chain(w), before + 4);

    before += 4;
    spoil_append(w, false); /* it was not */
    assert_int_equal(try_code(w, 2, "123456"), ERR_OK);
    assert_int_equal(check_chain(w), before + 1);
    assert_true(is_on(w, 1)); /* any job that goes well */
    assert_int_equal(check_chain(w), before + 2);
}

/* For ever is too long: what a worker owes is bounded. */
static void not_more_is_owed_than_there_is_room_for(void **state)
{
    if (!house_is_sqlite()) /* the chain is read there */
        skip();
    struct workers *w = *state;
    bool is_down = true;
    assert_int_equal(domain_prepare(w->domains[0], 1000, &w->house.why), ERR_OK);
    set_enabled(w, 0, true);
    int64_t before = check_chain(w);
    w->remote.gate = no_appends;
    w->remote.ctx = &is_down;
    for (int i = 0; i < 2500; i++)
        assert_int_equal(try_code(w, 1, "123456"), ERR_UNAVAILABLE);
    is_down = false;
    assert_int_equal(try_code(w, 1, "123456"), ERR_OK);
    assert_in_range(check_chain(w) - before, 1, 2499);
}

static void append_behind(struct workers *w)
{
    struct store *s = w->stores[STRANGER];
    struct audit_record r = {.time_ms = 1, .tenant = {STR(T)}, .body = STR("{}")};
    assert_int_equal(s->ops->audit_head(s, &r.seq, r.hash, NULL), ERR_OK);
    char seq[8] = {0};
    seq[7] = (char)++r.seq;
    struct str parts[] = {{(const char *)r.hash, AUDIT_HASH_LEN}, {seq, sizeof seq}, r.body};
    digest_parts(r.hash, parts, 3);
    assert_int_equal(s->ops->audit_append(s, &r, NULL), ERR_OK);
}

/* As when a record that was given up arrives late. */
static void a_record_that_came_behind_is_followed(void **state)
{
    if (!house_is_sqlite()) /* the chain is read there */
        skip();
    struct workers *w = *state;
    assert_int_equal(domain_prepare(w->domains[0], 1000, &w->house.why), ERR_OK);
    set_enabled(w, 0, true);
    int64_t before = check_chain(w);
    w->op = "audit_append";
    w->meanwhile = append_behind;
    assert_int_equal(try_code(w, 1, "123456"), ERR_OK);
    assert_int_equal(check_chain(w), before + 2);
}

/* ---- a store that is down at first -------------------------------------------------------------
 */

static enum err down(void *ctx, const char *op, bool after, int64_t budget_ms)
{
    (void)op;
    (void)after;
    (void)budget_ms;
    return *(bool *)ctx ? ERR_UNAVAILABLE : ERR_OK;
}

static enum err probe(struct house *h, void *ctx)
{
    (void)ctx;
    return domain_probe(h->domain, &h->why);
}

static void the_probe_prepares_what_the_start_could_not(void **state)
{
    struct workers *w = *state;
    bool is_down = true;
    w->remote.gate = down;
    w->remote.ctx = &is_down;
    assert_int_equal(domain_prepare(w->domains[0], 1000, &w->house.why), ERR_UNAVAILABLE);
    assert_int_equal(house_decide(by(w, 1), probe, NULL), ERR_UNAVAILABLE);
    assert_false(domain_is_prepared(w->domains[1]));
    is_down = false;
    assert_int_equal(house_decide(by(w, 2), probe, NULL), ERR_OK);
    for (int i = 0; i < STRANGER; i++)
        assert_true(domain_is_prepared(w->domains[i]));
    assert_false(domain_is_prepared(w->domains[STRANGER]));
    set_enabled(w, 1, true);
    assert_true(is_on(w, 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_policy_is_obeyed_by_all_workers_at_once),
        TEST(a_policy_of_another_process_is_obeyed_within_a_second),
        TEST(a_worker_that_read_before_the_change_does_not_keep_it),
        TEST(a_policy_that_may_have_been_set_is_read_anew),
        TEST(a_destroyed_key_works_no_longer_than_a_second),
        TEST(many_workers_write_one_chain),
        TEST(a_lost_answer_leaves_the_chain_whole),
        TEST(not_more_is_owed_than_there_is_room_for),
        TEST(a_record_that_came_behind_is_followed),
        TEST(the_probe_prepares_what_the_start_could_not),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
