/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/outbox.h"
#include "support/mongo_place.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Many workers of several processes at once, on one thing: exactly as many win as may. */
#define N_PROCESSES 8
#define N_THREADS   64

#define NOW       KIT_START_MS
#define BUDGET_MS 60000 /* the machine may be slow; nothing waits without need */

static struct mongo_place place;
static struct mongo *processes[N_PROCESSES];
static struct store *stores[N_THREADS];
static const struct kit kit = {.now_ms = NOW};
static const struct lockout_rule rule = {
    .n_waits = 6, .wait_ms = {0, 0, 0, 0, 0, 30000}, .limit = 100};
#define FREE_TRIES 5

static int open_all(void **state)
{
    (void)state;
    mongo_place_init(&place, MONGO_SERVER_JAVA);
    for (int i = 0; i < N_PROCESSES; i++)
        processes[i] = mongo_place_open(&place, N_THREADS / N_PROCESSES);
    for (int i = 0; i < N_THREADS; i++)
        stores[i] = store_mongo_new(processes[i % N_PROCESSES]);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < N_THREADS; i++)
        stores[i]->ops->close(stores[i]);
    for (int i = 0; i < N_PROCESSES; i++)
        store_mongo_close(processes[i]);
    return 0;
}

/* ---- all at once --------------------------------------------------------------------------- */

/* One job of one thread: what it failed with, and its answer as a number. */
struct turn {
    struct store *s;
    unsigned i;
    const void *args;
    enum err e;
    int answer;
    struct err_text why;
    void (*act)(struct turn *t);
};

static pthread_barrier_t gate;

static void *take_turn(void *arg)
{
    struct turn *t = arg;
    t->s->ops->job_begin(t->s, BUDGET_MS);
    pthread_barrier_wait(&gate);
    t->act(t);
    if (t->s->ops->job_end(t->s, t->e == ERR_OK, &t->why) != ERR_OK)
        abort();
    return NULL;
}

static struct turn turns[N_THREADS];

static void all_at_once(void (*act)(struct turn *t), const void *args, unsigned n)
{
    pthread_t threads[N_THREADS];
    pthread_barrier_init(&gate, NULL, n);
    for (unsigned i = 0; i < n; i++) {
        turns[i] = (struct turn){.s = stores[i], .i = i, .args = args, .act = act};
        if (pthread_create(&threads[i], NULL, take_turn, &turns[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&gate);
}

/* How many ended so; no other end than these two is right. */
static void assert_ends(enum err a, unsigned n_a, enum err b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < N_THREADS; i++) {
        if (turns[i].e != a && turns[i].e != b)
            fail_msg("%s: %s", err_name(turns[i].e), turns[i].why.text);
        n += turns[i].e == a;
    }
    assert_int_equal(n, n_a);
}

/* All went well, and so many have this answer, the others that one. */
static void assert_answers(int a, unsigned n_a, int b)
{
    unsigned n = 0;
    assert_ends(ERR_OK, N_THREADS, ERR_OK);
    for (unsigned i = 0; i < N_THREADS; i++) {
        if (turns[i].answer != a && turns[i].answer != b)
            fail_msg("the answer %d", turns[i].answer);
        n += turns[i].answer == a;
    }
    assert_int_equal(n, n_a);
}

/* ---- one after the other ------------------------------------------------------------------- */

#define T kit_tenant("t")

static void must(enum err e, const struct err_text *why)
{
    if (e != ERR_OK)
        fail_msg("%s: %s", err_name(e), why->text);
}

static struct store *first(void)
{
    stores[0]->ops->job_begin(stores[0], BUDGET_MS);
    return stores[0];
}

static struct user_state state_of(const char *user)
{
    struct user_state state = {0};
    struct err_text why;
    struct store *s = first();
    must(s->ops->user_get(s, T, kit_user(user), NOW, &rule, &state, &why), &why);
    return state;
}

static void put_pending(const char *user, uint32_t enrollment)
{
    struct err_text why;
    struct factor f = kit_factor(&kit, state_of(user).next_generation, enrollment);
    struct store *s = first();
    must(s->ops->pending_put(s, T, kit_user(user), &f, &why), &why);
}

static struct acceptance acceptance_of(uint32_t enrollment, int64_t step)
{
    return (struct acceptance){.enrollment = kit_enrollment(enrollment),
                               .step = step,
                               .now_ms = NOW,
                               .lockout = &rule,
                               .answer = {.outcome = KIT_ACCEPTED, .time_ms = NOW}};
}

static void enroll(const char *user, uint32_t enrollment)
{
    struct err_text why;
    bool won = false;
    struct acceptance a = acceptance_of(enrollment, 1);
    put_pending(user, enrollment);
    struct store *s = first();
    must(s->ops->accept(s, T, kit_user(user), &a, &won, &why), &why);
    assert_true(won);
}

/* ---- attempts ------------------------------------------------------------------------------ */

struct trial {
    const char *user;
    const struct request_mark *request;
    struct acceptance a;
};

static void act_accept(struct turn *t)
{
    const struct trial *x = t->args;
    bool won = false;
    t->e = t->s->ops->accept(t->s, T, kit_user(x->user), &x->a, &won, &t->why);
    t->answer = won;
}

static void test_one_accept_of_a_step_wins(void **state)
{
    struct trial x = {.user = "accept"};
    (void)state;
    enroll(x.user, 1);
    for (int64_t step = 10; step < 16; step++) {
        x.a = acceptance_of(1, step);
        all_at_once(act_accept, &x, N_THREADS);
        assert_answers(true, 1, false);
    }
}

/* Not only one wins, but what goes with it happens once. */
static void test_one_first_code_wins(void **state)
{
    struct mail notice = {.kind = MAIL_ENROLLED, .address = "a@b.example", .due_ms = NOW + 1000};
    struct trial x = {.user = "first", .a = acceptance_of(2, 7)};
    struct leased_mail mail;
    struct err_text why;
    (void)state;
    x.a.notice = &notice;
    put_pending(x.user, 2);
    all_at_once(act_accept, &x, N_THREADS);
    assert_answers(true, 1, false);
    assert_true(state_of(x.user).enrolled);
    struct store *s = first();
    const struct outbox_ops *o = s->outbox;
    must(o->mail_lease(s, NOW + 1000, NOW + 9000, &mail, &why), &why);
    assert_int_equal(o->mail_lease(s, NOW + 1000, NOW + 9000, &mail, &why), ERR_NOT_FOUND);
    must(o->mail_sent(s, T, kit_user(x.user), mail.mail.id, &why), &why);
}

static void act_charge(struct turn *t)
{
    const struct trial *x = t->args;
    struct charge c = kit_login(&kit);
    struct charged out = {0};
    c.lockout = &rule;
    c.request = x->request;
    t->e = t->s->ops->charge(t->s, T, kit_user(x->user), &c, &out, &t->why);
    t->answer = (int)out.result;
}

static void test_guesses_get_the_budget(void **state)
{
    struct trial x = {.user = "guess"};
    (void)state;
    enroll(x.user, 3);
    all_at_once(act_charge, &x, N_THREADS);
    assert_answers(CHARGE_READY, FREE_TRIES, CHARGE_LOCKED);
    assert_int_equal(state_of(x.user).failures, FREE_TRIES);
    all_at_once(act_charge, &x, N_THREADS);
    assert_answers(CHARGE_READY, 0, CHARGE_LOCKED);
    assert_int_equal(state_of(x.user).failures, FREE_TRIES);
}

/* A log that is folded meanwhile makes no difference. */
static void test_guesses_through_folds(void **state)
{
    struct trial x = {.user = "fold"};
    unsigned n_ready = 0;
    (void)state;
    enroll(x.user, 4);
    for (int round = 0; round < 6; round++) {
        all_at_once(act_charge, &x, N_THREADS);
        assert_ends(ERR_OK, N_THREADS, ERR_OK);
        for (unsigned i = 0; i < N_THREADS; i++)
            n_ready += turns[i].answer == CHARGE_READY;
    }
    assert_int_equal(n_ready, FREE_TRIES);
}

static void test_one_request_counts_once(void **state)
{
    const struct request_mark request = kit_request(5, 5);
    struct trial x = {.user = "request", .request = &request};
    (void)state;
    enroll(x.user, 5);
    all_at_once(act_charge, &x, N_THREADS);
    assert_answers(CHARGE_READY, 1, CHARGE_REPEATED);
    assert_int_equal(state_of(x.user).failures, 1);
}

/* ---- records ------------------------------------------------------------------------------- */

static void act_pending(struct turn *t)
{
    struct factor f = kit_factor(&kit, 1, 100 + t->i);
    t->e = t->s->ops->pending_put(t->s, T, kit_user("pending"), &f, &t->why);
}

static void test_one_first_generation(void **state)
{
    (void)state;
    all_at_once(act_pending, NULL, N_THREADS);
    assert_ends(ERR_OK, 1, ERR_CONFLICT);
    assert_int_equal(state_of("pending").next_generation, 2);
}

static void act_policy(struct turn *t)
{
    struct policy p = {.revision = *(const int64_t *)t->args, .period = (uint16_t)(t->i + 1)};
    t->e = t->s->ops->policy_put(t->s, T, &p, &t->why);
}

static void test_one_policy_of_a_revision(void **state)
{
    struct policy p;
    struct err_text why;
    (void)state;
    for (int64_t revision = 1; revision <= 3; revision++) {
        unsigned winner = 0;
        all_at_once(act_policy, &revision, N_THREADS);
        assert_ends(ERR_OK, 1, ERR_CONFLICT);
        while (turns[winner].e != ERR_OK)
            winner++;
        struct store *s = first();
        must(s->ops->policy_get(s, T, &p, &why), &why);
        assert_int_equal(p.revision, revision);
        assert_int_equal(p.period, winner + 1);
    }
}

/* args: every thread a key of its own. */
static void act_key(struct turn *t)
{
    struct data_key key = {.id = t->args != NULL ? t->i + 1 : 1, .kek_id = t->i, .sealed_len = 1};
    struct tenant_id of = t->args != NULL ? kit_tenant("many keys") : T;
    t->e = t->s->ops->data_key_add(t->s, of, &key, &t->why);
}

static void test_data_keys(void **state)
{
    struct data_key key;
    struct err_text why;
    (void)state;
    all_at_once(act_key, NULL, N_THREADS);
    assert_ends(ERR_OK, 1, ERR_EXISTS);
    all_at_once(act_key, "", N_THREADS); /* as many as a tenant may have */
    assert_ends(ERR_OK, N_THREADS, ERR_OK);
    struct store *s = first();
    for (uint32_t id = 1; id <= N_THREADS; id++) {
        must(s->ops->data_key_get(s, kit_tenant("many keys"), id, &key, &why), &why);
        assert_int_equal(key.kek_id, id - 1);
    }
}

/* ---- resets -------------------------------------------------------------------------------- */

#define MANY 100000
#define HOUR (60 * 60 * 1000)

/* The number-th reset, to the address with this number. */
static struct reset_request reset_of(uint32_t number, uint32_t address)
{
    struct reset_request r = {
        .create_ms = NOW,
        .expire_ms = NOW + HOUR,
        .limits = {.window_ms = HOUR, .per_user = MANY, .per_address = MANY, .per_tenant = MANY},
        .mail = {.kind = MAIL_RESET,
                 .address = "a@b.example",
                 .create_ms = NOW,
                 .due_ms = NOW + 2 * HOUR,
                 .expire_ms = NOW + 3 * HOUR,
                 .key_id = 1}};
    memcpy(r.id.bytes, &number, sizeof number);
    memcpy(r.token_hash, &number, sizeof number);
    memcpy(r.address_hash, &address, sizeof address);
    r.mail.reset = r.id;
    return r;
}

/* Who puts what: numbers that are 0 are the thread's own. */
struct putting {
    const char *tenant;
    uint32_t first;
    uint32_t user, address;
    struct reset_limits limits;
    const struct request_mark *request;
};

static void act_put(struct turn *t)
{
    const struct putting *p = t->args;
    char user = (char)('0' + (p->user != 0 ? p->user : t->i));
    struct reset_put out = {0};
    struct reset_request r =
        reset_of(p->first + t->i, p->address != 0 ? p->address : p->first + t->i);
    r.limits = p->limits;
    r.request = p->request;
    t->e = t->s->outbox->reset_put(t->s, kit_tenant(p->tenant), (struct user_id){{&user, 1}}, &r,
                                   &out, &t->why);
    t->answer = (int)out.result;
}

static void test_limit_of_an_address(void **state)
{
    struct putting p = {
        .tenant = "address",
        .first = 1000,
        .address = 1,
        .limits = {.window_ms = HOUR, .per_user = MANY, .per_address = 7, .per_tenant = MANY}};
    (void)state;
    all_at_once(act_put, &p, N_THREADS);
    assert_answers(RESET_PUT, 7, RESET_ADDRESS_LIMIT);
}

static void test_limit_of_a_tenant(void **state)
{
    struct putting p = {
        .tenant = "limited",
        .first = 2000,
        .limits = {.window_ms = HOUR, .per_user = MANY, .per_address = MANY, .per_tenant = 9}};
    (void)state;
    all_at_once(act_put, &p, N_THREADS);
    assert_answers(RESET_PUT, 9, RESET_TENANT_LIMIT);
}

/* Those who were too late give back what they had taken of the other limits. */
static void test_limit_of_a_user(void **state)
{
    struct putting p = {
        .tenant = "one user",
        .first = 3000,
        .user = 1,
        .address = 2,
        .limits = {.window_ms = HOUR, .per_user = 3, .per_address = MANY, .per_tenant = MANY}};
    (void)state;
    all_at_once(act_put, &p, N_THREADS);
    assert_answers(RESET_PUT, 3, RESET_USER_LIMIT);
    p.first = 4000;
    p.user = 0;
    p.limits.per_user = MANY;
    p.limits.per_address = 5;
    all_at_once(act_put, &p, N_THREADS);
    assert_answers(RESET_PUT, 2, RESET_ADDRESS_LIMIT);
}

static void test_one_request_is_one_reset(void **state)
{
    const struct request_mark request = kit_request(6, 6);
    struct putting p = {.tenant = "retried",
                        .first = 5000,
                        .user = 1,
                        .address = 3,
                        .limits = reset_of(0, 0).limits,
                        .request = &request};
    (void)state;
    all_at_once(act_put, &p, N_THREADS);
    assert_answers(RESET_PUT, 1, RESET_REPEATED);
}

static void act_confirm(struct turn *t)
{
    struct factor f = kit_factor(&kit, 1, 200 + t->i);
    const struct reset_request *r = t->args;
    bool won = false;
    t->e = t->s->outbox->reset_confirm(t->s, T, kit_user("confirm"), r->token_hash, &f, NOW, &won,
                                       &t->why);
    t->answer = won;
}

static void test_one_link_works_once(void **state)
{
    const struct reset_request r = reset_of(1, 10);
    struct reset_put put;
    struct err_text why;
    struct store *s = first();
    (void)state;
    must(s->outbox->reset_put(s, T, kit_user("confirm"), &r, &put, &why), &why);
    all_at_once(act_confirm, &r, N_THREADS);
    assert_answers(true, 1, false);
    assert_int_equal(state_of("confirm").next_generation, 2);
}

/* ---- the outbox ---------------------------------------------------------------------------- */

#define N_MAILS   200
#define N_SENDERS 16
#define N_OWNERS  50 /* of those mails, of N_TENANTS */
#define N_TENANTS 4
#define EARLY     (NOW - HOUR)

static pthread_mutex_t leased_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t leased[2 * N_MAILS]; /* guarded by leased_lock */
static size_t n_leased;             /* guarded by leased_lock */

static void note_lease(int64_t id)
{
    pthread_mutex_lock(&leased_lock);
    if (n_leased < 2 * N_MAILS)
        leased[n_leased++] = id;
    pthread_mutex_unlock(&leased_lock);
}

static void act_lease(struct turn *t)
{
    struct leased_mail mail;
    for (;;) {
        t->s->ops->job_begin(t->s, BUDGET_MS);
        t->e = t->s->outbox->mail_lease(t->s, EARLY, EARLY + HOUR, &mail, &t->why);
        if (t->e != ERR_OK)
            return;
        note_lease(mail.mail.id);
        t->answer++;
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void test_each_mail_is_leased_once(void **state)
{
    struct err_text why;
    (void)state;
    for (uint32_t i = 0; i < N_MAILS; i++) {
        const char tenant[] = {'m', (char)('0' + i % N_TENANTS), '\0'};
        const char user[] = {'u', (char)('0' + i % N_OWNERS), '\0'};
        struct reset_put put;
        struct reset_request r = reset_of(6000 + i, 6000 + i);
        struct store *s = first();
        r.mail.due_ms = EARLY - N_MAILS + i;
        must(s->outbox->reset_put(s, kit_tenant(tenant), kit_user(user), &r, &put, &why), &why);
        assert_int_equal(put.result, RESET_PUT);
    }
    all_at_once(act_lease, NULL, N_SENDERS);
    for (unsigned i = 0; i < N_SENDERS; i++)
        if (turns[i].e != ERR_NOT_FOUND)
            fail_msg("%s: %s", err_name(turns[i].e), turns[i].why.text);
    assert_int_equal(n_leased, N_MAILS);
    qsort(leased, n_leased, sizeof leased[0], compare);
    for (size_t i = 1; i < n_leased; i++)
        assert_int_not_equal(leased[i], leased[i - 1]);
}

static void not_here(void **state)
{
    print_message("skipped: %s\n", (const char *)*state);
    skip();
}

int main(void)
{
    const char *why = NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_accept_of_a_step_wins),
        cmocka_unit_test(test_one_first_code_wins),
        cmocka_unit_test(test_guesses_get_the_budget),
        cmocka_unit_test(test_guesses_through_folds),
        cmocka_unit_test(test_one_request_counts_once),
        cmocka_unit_test(test_one_first_generation),
        cmocka_unit_test(test_one_policy_of_a_revision),
        cmocka_unit_test(test_data_keys),
        cmocka_unit_test(test_limit_of_an_address),
        cmocka_unit_test(test_limit_of_a_tenant),
        cmocka_unit_test(test_limit_of_a_user),
        cmocka_unit_test(test_one_request_is_one_reset),
        cmocka_unit_test(test_one_link_works_once),
        cmocka_unit_test(test_each_mail_is_leased_once),
    };
    if (mongo_server_start(MONGO_SERVER_JAVA, &why))
        return !!cmocka_run_group_tests(tests, open_all, close_all);
    const struct CMUnitTest skipped[] = {
        {"mongo_parallel", not_here, NULL, NULL, (void *)(uintptr_t)why}};
    return !!_cmocka_run_group_tests("mongo_parallel", skipped, 1, NULL, NULL);
}
