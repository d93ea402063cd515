/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/store_contract.h"

#include <stdio.h>

#define T "acme"
#define U "alice"
#define E 11 /* the enrolment of U */

#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)

static struct charged charge(struct kit *k, const struct charge *c)
{
    struct charged out;
    assert_int_equal(kit_charge(k, T, U, c, &out), ERR_OK);
    return out;
}

/* A login with a request id. */
static struct charged ask(struct kit *k, uint32_t id)
{
    struct request_mark r = kit_request(id, id);
    struct charge c = kit_login(k);
    c.request = &r;
    return charge(k, &c);
}

static void assert_answer(const struct answer *got, uint8_t outcome, int64_t time_ms)
{
    assert_int_equal(got->outcome, outcome);
    assert_true(got->time_ms == time_ms);
}

static void assert_same_answer(const struct answer *got, const struct answer *want)
{
    assert_answer(got, want->outcome, want->time_ms);
    assert_int_equal(got->reason, want->reason);
    assert_true(got->retry_after_ms == want->retry_after_ms);
}

static void assert_repeated(struct kit *k, uint32_t id, uint8_t outcome, int64_t time_ms)
{
    struct charged out = ask(k, id);
    assert_int_equal(out.result, CHARGE_REPEATED);
    assert_answer(&out.first, outcome, time_ms);
}

static void fail_times(struct kit *k, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(kit_try(k, T, U), CHARGE_READY);
}

/* ---- counting -------------------------------------------------------------------------------- */

static void an_attempt_counts_until_one_is_right(struct kit *k)
{
    kit_enroll(k, T, U, E, 1000);
    fail_times(k, 3);
    assert_int_equal(kit_failures(k, T, U), 3);
    assert_false(kit_accept_step(k, T, U, E, 1000));
    assert_int_equal(kit_failures(k, T, U), 3);
    assert_true(kit_accept_step(k, T, U, E, 1001));
    assert_int_equal(kit_failures(k, T, U), 0);
    fail_times(k, 1);
    assert_int_equal(kit_failures(k, T, U), 1);
}

static void a_step_is_accepted_once_and_only_forward(struct kit *k)
{
    kit_enroll(k, T, U, E, 1000);
    assert_false(kit_accept_step(k, T, U, E, 1000)); /* the step that confirmed */
    assert_true(kit_accept_step(k, T, U, E, 1001));
    assert_false(kit_accept_step(k, T, U, E, 1001));
    assert_false(kit_accept_step(k, T, U, E, 1000));
    assert_false(kit_accept_step(k, T, U, E, 0));
    assert_true(kit_accept_step(k, T, U, E, 1010));
    assert_false(kit_accept_step(k, T, U, E, 1009));
    struct charge c = kit_login(k);
    assert_int_equal(charge(k, &c).last_step, 1010);
    assert_false(kit_accept_step(k, T, U, E + 1, 2000)); /* another secret's */
    assert_true(kit_accept_step(k, T, U, E, INT64_C(1) << 40));
}

/* Whatever the wall clock says. */
static void a_step_stays_used_when_the_clock_steps_back(struct kit *k)
{
    kit_enroll(k, T, U, E, 1000);
    assert_true(kit_accept_step(k, T, U, E, 1001));
    k->now_ms -= 60 * MINUTE_MS;
    assert_false(kit_accept_step(k, T, U, E, 1001));
    k->now_ms += 365 * 24 * 60 * (int64_t)MINUTE_MS;
    assert_false(kit_accept_step(k, T, U, E, 1001));
    assert_true(kit_accept_step(k, T, U, E, 1002));
}

static void step_zero_can_be_the_first(struct kit *k)
{
    kit_enroll(k, T, U, E, 0);
    assert_false(kit_accept_step(k, T, U, E, 0));
    assert_true(kit_accept_step(k, T, U, E, 1));
}

/* ---- the lock ----------------------------------------------------------------------------------
 */

static void the_waits_grow_to_the_attempt(struct kit *k)
{
    kit_enroll(k, T, U, E, 1000);
    for (uint32_t n = 1; n <= 100; n++) {
        assert_int_equal(kit_try(k, T, U), CHARGE_READY);
        assert_int_equal(kit_failures(k, T, U), n);
        int64_t wait = n < 5 ? 0 : n < 12 ? (int64_t)30000 << (n - 5) : 3600000;
        if (n == 100)
            break;
        if (wait > 0) {
            k->now_ms += wait - 1;
            assert_int_equal(kit_try(k, T, U), CHARGE_LOCKED);
            assert_int_equal(kit_failures(k, T, U), n);
            k->now_ms++;
        }
    }
    k->now_ms += 365 * 24 * 60 * (int64_t)MINUTE_MS;
    struct charge c = kit_login(k);
    struct charged out = charge(k, &c);
    assert_int_equal(out.result, CHARGE_LOCKED);
    assert_true(out.for_good);
    assert_int_equal(out.retry_after_ms, 0);
    struct user_state state;
    assert_int_equal(kit_user_get(k, T, U, &state), ERR_OK);
    assert_true(state.locked_for_good);
    assert_int_equal(state.failures, 100);
}

static void a_lock_tells_its_rest(struct kit *k)
{
    struct user_state state;
    struct charge c;
    struct charged out;
    kit_enroll(k, T, U, E, 1000);
    fail_times(k, 5);
    for (int64_t passed = 0; passed < 30000; passed += 9999) {
        c = kit_login(k);
        c.now_ms += passed;
        out = charge(k, &c);
        assert_int_equal(out.result, CHARGE_LOCKED);
        assert_int_equal(out.retry_after_ms, 30000 - passed);
        assert_false(out.for_good);
    }
    assert_int_equal(kit_user_get(k, T, U, &state), ERR_OK);
    assert_int_equal(state.retry_after_ms, 30000);
    assert_false(state.locked_for_good);
    k->now_ms += 30000;
    assert_int_equal(kit_user_get(k, T, U, &state), ERR_OK);
    assert_int_equal(state.retry_after_ms, 0);
    assert_int_equal(state.failures, 5);
}

static void a_lock_outlasts_a_clock_that_steps_back(struct kit *k)
{
    struct charge c;
    struct charged out;
    kit_enroll(k, T, U, E, 1000);
    fail_times(k, 5);
    c = kit_login(k);
    c.now_ms -= 60 * MINUTE_MS;
    out = charge(k, &c);
    assert_int_equal(out.result, CHARGE_LOCKED);
    assert_int_equal(out.retry_after_ms, 30000); /* never more than the wait */
    c.now_ms = k->now_ms + 30000;
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
}

static void the_rule_is_the_callers(struct kit *k)
{
    const struct lockout_rule strict = {.n_waits = 2, .wait_ms = {0, 1000}, .limit = 2};
    struct charge c = kit_login(k);
    c.lockout = &strict;
    kit_enroll(k, T, U, E, 1000);
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
    assert_int_equal(charge(k, &c).result, CHARGE_LOCKED);
    c.now_ms += 1000;
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
    assert_true(charge(k, &c).for_good);
    c.lockout = &k->lockout;
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
}

/* All ways to try a code share the counter. */
static void confirming_counts_too(struct kit *k)
{
    struct factor f = kit_factor(k, 1, E), second;
    struct enrollment_id id = kit_enrollment(E);
    struct charge c = kit_login(k);
    c.enrollment = &id;
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(charge(k, &c).result, CHARGE_READY);
    assert_int_equal(charge(k, &c).result, CHARGE_LOCKED);
    second = kit_factor(k, 2, E + 1);
    assert_int_equal(kit_pending_put(k, T, U, &second), ERR_OK);
    id = kit_enrollment(E + 1);
    assert_int_equal(charge(k, &c).result, CHARGE_LOCKED);
    assert_int_equal(kit_failures(k, T, U), 5);
}

/* ---- the order of the checks
 * --------------------------------------------------------------------- */

static void checks_come_in_their_order(struct kit *k)
{
    struct request_mark r = kit_request(1, 1), other = kit_request(1, 2), fresh = kit_request(2, 2);
    struct enrollment_id nobody = kit_enrollment(99);
    struct charge c = kit_login(k);
    kit_enroll(k, T, U, E, 1000);
    c.request = &r;
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
    c.request = NULL;
    for (int i = 0; i < 4; i++)
        assert_int_equal(charge(k, &c).result, CHARGE_READY);

    /* Everything is wrong: the request id speaks first, then the lock, … */
    c.enrollment = &nobody;
    c.code_digits = 8;
    c.request = &r;
    assert_int_equal(charge(k, &c).result, CHARGE_REPEATED);
    c.request = &other;
    assert_int_equal(charge(k, &c).result, CHARGE_REUSED);
    c.request = NULL;
    assert_int_equal(charge(k, &c).result, CHARGE_LOCKED);
    c.now_ms += 30000;
    assert_int_equal(charge(k, &c).result, CHARGE_NO_ENROLLMENT);
    c.enrollment = NULL;
    c.request = &fresh;
    assert_int_equal(charge(k, &c).result, CHARGE_WRONG_LENGTH);
    assert_int_equal(kit_failures(k, T, U), 5);
    c.code_digits = KIT_DIGITS;
    assert_int_equal(charge(k, &c).result, CHARGE_READY); /* a wrong length is not remembered */
    assert_int_equal(kit_failures(k, T, U), 6);
}

static void a_code_that_is_not_digits_has_no_length(struct kit *k)
{
    struct charge c = kit_login(k);
    kit_enroll(k, T, U, E, 1000);
    c.code_digits = 0;
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
    c.code_digits = 5;
    assert_int_equal(charge(k, &c).result, CHARGE_WRONG_LENGTH);
    assert_int_equal(kit_failures(k, T, U), 1);
}

/* ---- requests
 * -------------------------------------------------------------------------------------- */

static void a_repeated_request_gets_its_first_answer(struct kit *k)
{
    int64_t start = k->now_ms;
    kit_enroll(k, T, U, E, 1000);
    assert_int_equal(ask(k, 1).result, CHARGE_READY);
    k->now_ms += MINUTE_MS;
    assert_repeated(k, 1, ANSWER_OPEN, start);
    assert_int_equal(ask(k, 2).result, CHARGE_READY);
    k->now_ms += MINUTE_MS;
    assert_repeated(k, 1, ANSWER_OPEN, start);
    assert_repeated(k, 2, ANSWER_OPEN, start + MINUTE_MS);
    assert_int_equal(kit_failures(k, T, U), 2);
}

/* charge and accept in one job as a Verify does it. */
struct verify {
    uint32_t request;
    int64_t step;
    bool won;
};

static enum err act_verify(struct kit *k, void *args)
{
    struct verify *v = args;
    struct request_mark r = kit_request(v->request, v->request);
    struct charge c = kit_login(k);
    struct charged charged;
    c.request = &r;
    assert_int_equal(
        k->store->ops->charge(k->store, kit_tenant(T), kit_user(U), &c, &charged, &k->why), ERR_OK);
    assert_int_equal(charged.result, CHARGE_READY);
    struct acceptance a = {.enrollment = charged.factor.enrollment,
                           .step = v->step,
                           .now_ms = k->now_ms,
                           .lockout = &k->lockout,
                           .request = &r,
                           .answer = kit_answer(k, KIT_ACCEPTED)};
    return k->store->ops->accept(k->store, kit_tenant(T), kit_user(U), &a, &v->won, &k->why);
}

static void the_answer_is_what_the_job_ended_with(struct kit *k)
{
    struct verify right = {.request = 1, .step = 1001}, again = {.request = 2, .step = 1001};
    int64_t start = k->now_ms;
    kit_enroll(k, T, U, E, 1000);
    assert_int_equal(kit_job(k, act_verify, &right), ERR_OK);
    assert_true(right.won);
    assert_int_equal(kit_failures(k, T, U), 0);
    assert_int_equal(kit_job(k, act_verify, &again), ERR_OK);
    assert_false(again.won);
    k->now_ms += MINUTE_MS;
    assert_repeated(k, 1, KIT_ACCEPTED, start);
    assert_repeated(k, 2, ANSWER_OPEN, start);
    assert_int_equal(kit_failures(k, T, U), 1);
}

/* The same in jobs of their own; and what has won has won, however often it is asked. */
static void the_answer_can_come_later(struct kit *k)
{
    struct request_mark second = kit_request(2, 2);
    struct acceptance a = {.enrollment = kit_enrollment(E),
                           .step = 1001,
                           .now_ms = k->now_ms,
                           .request = &second,
                           .answer = {KIT_ACCEPTED, 3, 4, 5}};
    bool won = false;
    kit_enroll(k, T, U, E, 1000);
    ask(k, 1);
    ask(k, 2);
    for (int i = 0; i < 2; i++) {
        won = false;
        assert_int_equal(kit_accept(k, T, U, &a, &won), ERR_OK);
        assert_true(won);
    }
    struct charged next = ask(k, 2);
    assert_int_equal(next.result, CHARGE_REPEATED);
    assert_same_answer(&next.first, &a.answer);
    assert_repeated(k, 1, ANSWER_OPEN, k->now_ms);
    struct request_mark other = kit_request(2, 3), first = kit_request(1, 1);
    a.request = &other;
    assert_int_equal(kit_accept(k, T, U, &a, &won), ERR_OK);
    assert_false(won);
    a.request = &first;
    assert_int_equal(kit_accept(k, T, U, &a, &won), ERR_OK);
    assert_false(won);
}

/* An open request comes back with what it was charged with, whatever happened since. */
static void an_open_request_can_be_decided_again(struct kit *k)
{
    struct user_state state;
    kit_enroll(k, T, U, E, 1000);
    assert_true(kit_accept_step(k, T, U, E, 1005));
    assert_int_equal(ask(k, 1).last_step, 1005);
    assert_true(kit_accept_step(k, T, U, E, 1009));
    struct charged again = ask(k, 1);
    struct enrollment_id id = kit_enrollment(E);
    assert_int_equal(again.result, CHARGE_REPEATED);
    assert_int_equal(again.first.outcome, ANSWER_OPEN);
    assert_memory_equal(&again.first.enrollment, &id, sizeof id);
    assert_memory_equal(&again.factor.enrollment, &id, sizeof id);
    assert_int_equal(again.factor.sealed_len, FACTOR_SEALED_MAX);
    assert_int_equal(again.last_step, -1);
    assert_int_equal(kit_user_get(k, T, U, &state), ERR_OK);
    assert_int_equal(state.failures, 0);
}

static void an_accept_that_lost_changes_no_answer(struct kit *k)
{
    struct request_mark r = kit_request(1, 1);
    struct acceptance a = {.enrollment = kit_enrollment(E),
                           .step = 1000,
                           .now_ms = k->now_ms,
                           .request = &r,
                           .answer = kit_answer(k, KIT_ACCEPTED)};
    bool won = true;
    kit_enroll(k, T, U, E, 1000);
    ask(k, 1);
    assert_int_equal(kit_accept(k, T, U, &a, &won), ERR_OK);
    assert_false(won);
    assert_repeated(k, 1, ANSWER_OPEN, k->now_ms);
}

static void every_end_is_remembered(struct kit *k)
{
    struct request_mark r = kit_request(1, 1);
    struct enrollment_id id = kit_enrollment(E);
    struct charge c = kit_login(k);
    c.request = &r;
    assert_int_equal(charge(k, &c).result, CHARGE_NOT_ENROLLED);
    r = kit_request(2, 2);
    c.enrollment = &id;
    assert_int_equal(charge(k, &c).result, CHARGE_NO_ENROLLMENT);
    assert_int_equal(kit_failures(k, T, U), 0);

    struct factor f = kit_factor(k, 1, E);
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_OK);
    r = kit_request(3, 3);
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
    assert_true(kit_accept_step(k, T, U, E, 1000));
    fail_times(k, 5);
    c.enrollment = NULL;
    c.now_ms += 10000;
    c.if_locked.reason = 9;
    r = kit_request(4, 4);
    assert_int_equal(charge(k, &c).result, CHARGE_LOCKED);

    int64_t start = k->now_ms;
    k->now_ms += MINUTE_MS;
    assert_repeated(k, 1, KIT_NOT_ENROLLED, start);
    assert_repeated(k, 2, KIT_NO_ENROLLMENT, start);
    assert_repeated(k, 3, ANSWER_OPEN, start);
    struct charged locked = ask(k, 4);
    assert_int_equal(locked.result, CHARGE_REPEATED);
    assert_answer(&locked.first, KIT_LOCKED, start);
    assert_int_equal(locked.first.reason, 9);
    assert_int_equal(locked.first.retry_after_ms, 20000);
}

static void the_same_id_with_other_fields_is_refused(struct kit *k)
{
    struct request_mark r = kit_request(1, 1), other = kit_request(1, 2);
    struct charge c = kit_login(k);
    struct answer a = kit_answer(k, KIT_WRONG);
    struct charged out;
    kit_enroll(k, T, U, E, 1000);
    c.request = &r;
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
    c.request = &other;
    assert_int_equal(charge(k, &c).result, CHARGE_REUSED);
    assert_int_equal(kit_remember(k, T, U, &other, &a, &out), ERR_OK);
    assert_int_equal(out.result, CHARGE_REUSED);
    assert_int_equal(kit_failures(k, T, U), 1);
    assert_repeated(k, 1, ANSWER_OPEN, k->now_ms);
}

static void a_request_id_is_a_users_own(struct kit *k)
{
    struct request_mark r = kit_request(1, 1);
    struct charge c = kit_login(k);
    struct charged out;
    c.request = &r;
    kit_enroll(k, T, U, E, 1000);
    kit_enroll(k, T, "bob", E + 1, 1000);
    kit_enroll(k, "other", U, E + 2, 1000);
    assert_int_equal(charge(k, &c).result, CHARGE_READY);
    assert_int_equal(kit_charge(k, T, "bob", &c, &out), ERR_OK);
    assert_int_equal(out.result, CHARGE_READY);
    assert_int_equal(kit_charge(k, "other", U, &c, &out), ERR_OK);
    assert_int_equal(out.result, CHARGE_READY);
}

static void a_request_is_forgotten_in_time(struct kit *k)
{
    int64_t start = k->now_ms;
    kit_enroll(k, T, U, E, 1000);
    assert_int_equal(ask(k, 1).result, CHARGE_READY);
    k->now_ms = start + REQUEST_MEMORY_MS - 1;
    assert_repeated(k, 1, ANSWER_OPEN, start);
    k->now_ms = start + REQUEST_MEMORY_MS;
    assert_int_equal(ask(k, 1).result, CHARGE_READY);
    assert_int_equal(kit_failures(k, T, U), 2);
    assert_repeated(k, 1, ANSWER_OPEN, k->now_ms);
}

static void a_request_is_remembered_when_the_clock_steps_back(struct kit *k)
{
    int64_t start = k->now_ms;
    kit_enroll(k, T, U, E, 1000);
    assert_int_equal(ask(k, 1).result, CHARGE_READY);
    k->now_ms = start - MINUTE_MS;
    assert_repeated(k, 1, ANSWER_OPEN, start);
    assert_int_equal(ask(k, 2).result, CHARGE_READY);
    k->now_ms = start + REQUEST_MEMORY_MS - 1; /* the newer is too old, the older not yet */
    assert_repeated(k, 1, ANSWER_OPEN, start);
    assert_int_equal(ask(k, 2).result, CHARGE_READY);
}

static void not_more_requests_than_there_is_room_for(struct kit *k)
{
    struct request_mark more = kit_request(1000, 1000);
    struct answer a = kit_answer(k, KIT_WRONG);
    struct charged out;
    uint32_t n = 0;
    kit_enroll(k, T, U, E, 1000);
    for (; n < 5; n++)
        assert_int_equal(ask(k, n).result, CHARGE_READY);
    for (; n < REQUEST_MEMORY_MAX; n++)
        assert_int_equal(ask(k, n).result, CHARGE_LOCKED);
    assert_int_equal(ask(k, n).result, CHARGE_TOO_MANY);
    assert_int_equal(kit_remember(k, T, U, &more, &a, &out), ERR_OK);
    assert_int_equal(out.result, CHARGE_TOO_MANY);
    assert_repeated(k, 0, ANSWER_OPEN, k->now_ms);
    assert_repeated(k, n - 1, KIT_LOCKED, k->now_ms);
    assert_int_equal(kit_try(k, T, U), CHARGE_LOCKED); /* without an id it can be decided */
    k->now_ms += REQUEST_MEMORY_MS;
    assert_int_equal(ask(k, 0).result, CHARGE_READY);
}

static void remember_is_charge_without_the_charge(struct kit *k)
{
    struct request_mark r = kit_request(1, 1);
    struct answer first = {7, 3, 0, k->now_ms}, second = {8, 4, 0, k->now_ms + 1};
    struct charged out;
    assert_int_equal(kit_remember(k, T, U, &r, &first, &out), ERR_OK);
    assert_int_equal(out.result, CHARGE_READY);
    assert_int_equal(kit_remember(k, T, U, &r, &second, &out), ERR_OK);
    assert_int_equal(out.result, CHARGE_REPEATED);
    assert_same_answer(&out.first, &first);
    struct charged charged = ask(k, 1);
    assert_int_equal(charged.result, CHARGE_REPEATED);
    assert_same_answer(&charged.first, &first);
    struct user_state state;
    assert_int_equal(kit_user_get(k, T, U, &state), ERR_OK);
    assert_int_equal(state.failures, 0);
    assert_int_equal(state.next_generation, 1);
    assert_false(state.enrolled);
    second.time_ms = first.time_ms + REQUEST_MEMORY_MS;
    assert_int_equal(kit_remember(k, T, U, &r, &second, &out), ERR_OK);
    assert_int_equal(out.result, CHARGE_READY);
}

/* Many users' sign-ins in between, as a store may tidy up meanwhile. */
static void nothing_is_lost_among_many_users(struct kit *k)
{
    char name[16];
    kit_enroll(k, T, U, E, 1000);
    assert_true(kit_accept_step(k, T, U, E, 1001));
    fail_times(k, 2);
    assert_int_equal(ask(k, 1).result, CHARGE_READY);
    int64_t start = k->now_ms;
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "user%u", i);
        kit_enroll(k, T, name, 100 + i, 2000 + i);
        for (uint32_t n = 0; n < i % 4; n++)
            assert_int_equal(kit_try(k, T, name), CHARGE_READY);
    }
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "user%u", i);
        assert_int_equal(kit_failures(k, T, name), i % 4);
        assert_false(kit_accept_step(k, T, name, 100 + i, 2000 + i));
        assert_true(kit_accept_step(k, T, name, 100 + i, 2001 + i));
    }
    assert_repeated(k, 1, ANSWER_OPEN, start);
    assert_int_equal(kit_failures(k, T, U), 3);
    assert_false(kit_accept_step(k, T, U, E, 1001));
    k->now_ms += 12 * MINUTE_MS;
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "user%u", i);
        assert_true(kit_accept_step(k, T, name, 100 + i, 3000));
    }
    assert_int_equal(kit_failures(k, T, U), 3);
    assert_int_equal(ask(k, 1).result, CHARGE_READY);
    assert_false(kit_accept_step(k, T, U, E, 1001));
}

#define TEST(f)                                                                                    \
    {                                                                                              \
#f, f, false                                                                               \
    }
const struct store_contract_test store_contract_attempts[] = {
    TEST(an_attempt_counts_until_one_is_right),
    TEST(a_step_is_accepted_once_and_only_forward),
    TEST(a_step_stays_used_when_the_clock_steps_back),
    TEST(step_zero_can_be_the_first),
    TEST(the_waits_grow_to_the_attempt),
    TEST(a_lock_tells_its_rest),
    TEST(a_lock_outlasts_a_clock_that_steps_back),
    TEST(the_rule_is_the_callers),
    TEST(confirming_counts_too),
    TEST(checks_come_in_their_order),
    TEST(a_code_that_is_not_digits_has_no_length),
    TEST(a_repeated_request_gets_its_first_answer),
    TEST(the_answer_is_what_the_job_ended_with),
    TEST(the_answer_can_come_later),
    TEST(an_open_request_can_be_decided_again),
    TEST(an_accept_that_lost_changes_no_answer),
    TEST(every_end_is_remembered),
    TEST(the_same_id_with_other_fields_is_refused),
    TEST(a_request_id_is_a_users_own),
    TEST(a_request_is_forgotten_in_time),
    TEST(a_request_is_remembered_when_the_clock_steps_back),
    TEST(not_more_requests_than_there_is_room_for),
    TEST(remember_is_charge_without_the_charge),
    TEST(nothing_is_lost_among_many_users),
};
const size_t store_contract_n_attempts =
    sizeof store_contract_attempts / sizeof store_contract_attempts[0];
