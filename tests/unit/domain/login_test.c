/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "domain/lockout.h"
#include "support/house.h"

#include <stdlib.h>
#include <string.h>

#define T "acme"

static int setup(void **state)
{
    struct house *h = malloc(sizeof *h);
    house_init(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    house_release(*state);
    free(*state);
    return 0;
}

static struct login_answer ask(struct house *h, const char *user, enum channel channel)
{
    struct login_answer answer;
    assert_int_equal(house_login(h, T, user, channel, &answer), ERR_OK);
    return answer;
}

static void assert_nothing(struct house *h, enum channel channel, enum login_reason reason,
                           bool may_remember)
{
    struct login_answer answer = ask(h, "alice", channel);
    assert_int_equal(answer.requirement, LOGIN_REQUIREMENT_NOTHING);
    assert_int_equal(answer.reason, reason);
    assert_int_equal(answer.may_remember_password, may_remember);
}

/* ---- the pure questions -----------------------------------------------------------------------
 */

static void a_code_is_asked_or_the_reason_is_said(void **state)
{
    (void)state;
    enum login_reason reason;
    for (unsigned bits = 0; bits < 16; bits++) {
        struct policy p = {
            .enabled = bits & 1, .mobile = bits & 2, .suspended_until_ms = bits & 4 ? 1000 : 0};
        enum channel channel = bits & 8 ? CHANNEL_MOBILE : CHANNEL_WEB;
        bool asks = policy_asks(&p, channel, 999, &reason);
        bool want = (bits & 1) && !(bits & 4) && (!(bits & 8) || (bits & 2));
        assert_int_equal(asks, want);
        assert_int_equal(reason == LOGIN_REASON_NONE, want);
    }
    struct policy p = {.enabled = true, .suspended_until_ms = 1000};
    assert_true(policy_asks(&p, CHANNEL_WEB, 1000, &reason));
    p.suspended_until_ms = 0;
    assert_true(policy_asks(&p, CHANNEL_WEB, -1, &reason)); /* a clock that was never set */
}

static void the_lockout_rule(void **state)
{
    (void)state;
    struct lockout_settings s = {
        .free_tries = 5, .first_wait_s = 30, .longest_wait_s = 3600, .limit = 100};
    struct lockout_rule rule = lockout_rule(&s);
    static const int64_t want[] = {0,      0,      0,      0,      0,       30000,  60000,
                                   120000, 240000, 480000, 960000, 1920000, 3600000};
    assert_int_equal(rule.n_waits, sizeof want / sizeof want[0]);
    assert_memory_equal(rule.wait_ms, want, sizeof want);
    assert_int_equal(rule.limit, 100);

    s = (struct lockout_settings){
        .free_tries = 1, .first_wait_s = 10, .longest_wait_s = 10, .limit = 3};
    rule = lockout_rule(&s);
    assert_int_equal(rule.n_waits, 2);
    assert_int_equal(rule.wait_ms[0], 0);
    assert_int_equal(rule.wait_ms[1], 10000);

    s = (struct lockout_settings){
        .free_tries = 20, .first_wait_s = 1, .longest_wait_s = 86400, .limit = 100};
    rule = lockout_rule(&s);
    assert_in_range(rule.n_waits, 21, LOCKOUT_WAITS_MAX);
    assert_int_equal(rule.wait_ms[19], 0);
    assert_int_equal(rule.wait_ms[20], 1000);
    assert_int_equal(rule.wait_ms[rule.n_waits - 1], 86400000);
}

/* What a guesser with the password can hope for: the guesses that the default rule grants on the
 * first day, each right with a chance of three steps in a million, are about one chance in ten
 * thousand. */
static void a_day_of_guessing_is_one_chance_in_ten_thousand(void **state)
{
    (void)state;
    struct lockout_settings s = {
        .free_tries = 5, .first_wait_s = 30, .longest_wait_s = 3600, .limit = 100};
    struct lockout_rule rule = lockout_rule(&s);
    int64_t now = 0, day = 86400000;
    uint32_t guesses = 0;
    while (now < day && guesses < rule.limit) {
        guesses++;
        now += rule.wait_ms[guesses < rule.n_waits ? guesses : rule.n_waits - 1];
    }
    assert_true(guesses * 3.0 / 1e6 < 1.05e-4);
}

/* ---- the story
 * ------------------------------------------------------------------------------------- */

static void off_then_on_for_everybody(void **state)
{
    struct house *h = *state;
    assert_nothing(h, CHANNEL_WEB, LOGIN_REASON_POLICY_OFF, true);
    assert_nothing(h, CHANNEL_MOBILE, LOGIN_REASON_POLICY_OFF, true);

    struct policy on = {.enabled = true};
    assert_int_equal(house_set_policy(h, T, POLICY_ENABLED, &on), ERR_OK);
    assert_int_equal(ask(h, "alice", CHANNEL_WEB).requirement, LOGIN_REQUIREMENT_ENROLL);
    assert_false(ask(h, "alice", CHANNEL_WEB).may_remember_password);
    assert_nothing(h, CHANNEL_MOBILE, LOGIN_REASON_CHANNEL_OFF, true);

    struct secret *secret;
    house_enroll_confirmed(h, T, "alice", &secret);
    assert_int_equal(ask(h, "alice", CHANNEL_WEB).requirement, LOGIN_REQUIREMENT_CODE);
    assert_int_equal(ask(h, "bob", CHANNEL_WEB).requirement, LOGIN_REQUIREMENT_ENROLL);
    secret_free(secret);
}

static void a_suspension_ends_by_itself(void **state)
{
    struct house *h = *state;
    house_enable(h, T);
    struct secret *secret;
    house_enroll_confirmed(h, T, "alice", &secret);
    struct policy until = {.suspended_until_ms = h->wall_ms + 60000};
    assert_int_equal(house_set_policy(h, T, POLICY_SUSPENDED_UNTIL, &until), ERR_OK);
    assert_nothing(h, CHANNEL_WEB, LOGIN_REASON_SUSPENDED, false);
    assert_int_equal(house_outcome(h, T, "alice", "000000"), VERIFY_NOT_REQUIRED);
    house_advance(h, 59999);
    assert_nothing(h, CHANNEL_WEB, LOGIN_REASON_SUSPENDED, false);
    house_advance(h, 1);
    assert_int_equal(ask(h, "alice", CHANNEL_WEB).requirement, LOGIN_REQUIREMENT_CODE);
    assert_int_equal(house_outcome(h, T, "alice", house_code(h, secret, 0)), VERIFY_ACCEPTED);
    secret_free(secret);
}

static void off_and_on_again_keeps_enrolments(void **state)
{
    struct house *h = *state;
    house_enable(h, T);
    struct secret *secret;
    house_enroll_confirmed(h, T, "alice", &secret);
    struct policy off = {.enabled = false};
    assert_int_equal(house_set_policy(h, T, POLICY_ENABLED, &off), ERR_OK);
    assert_nothing(h, CHANNEL_WEB, LOGIN_REASON_POLICY_OFF, true);
    house_advance(h, 86400000);
    house_enable(h, T);
    assert_int_equal(house_outcome(h, T, "alice", house_code(h, secret, 0)), VERIFY_ACCEPTED);
    secret_free(secret);
}

static void a_locked_user_is_told_how_long(void **state)
{
    struct house *h = *state;
    house_enable(h, T);
    struct secret *secret;
    house_enroll_confirmed(h, T, "alice", &secret);
    for (int i = 0; i < 5; i++)
        house_outcome(h, T, "alice", house_wrong_code(h, secret));
    house_advance(h, 10000);
    assert_int_equal(ask(h, "alice", CHANNEL_WEB).retry_after_ms, 20000);
    secret_free(secret);
}

static void a_policy_of_another_revision_is_not_overwritten(void **state)
{
    struct house *h = *state;
    house_enable(h, T);
    struct policy_change change = {.tenant = {STR(T)},
                                   .fields = POLICY_ENABLED,
                                   .expected_revision = 7,
                                   .actor = {.caller = STR("test")}};
    struct policy out;
    assert_int_equal(domain_batch_begin(h->domain, NULL), ERR_OK);
    domain_job_begin(h->domain, 1000);
    enum err e = policy_set(h->domain, &change, &out, &h->why);
    assert_int_equal(e, ERR_CONFLICT);
    assert_int_equal(domain_job_end(h->domain, e, NULL), ERR_OK);
    assert_int_equal(domain_batch_commit(h->domain, NULL), ERR_OK);
    assert_int_equal(ask(h, "alice", CHANNEL_WEB).requirement, LOGIN_REQUIREMENT_ENROLL);
}

/* A job that failed left nothing behind, not even in a cache. */
static void a_failed_job_leaves_nothing(void **state)
{
    if (!house_is_sqlite()) /* nothing is undone */
        skip();
    struct house *h = *state;
    struct policy_change change = {.tenant = {STR(T)},
                                   .values = {.enabled = true},
                                   .fields = POLICY_ENABLED,
                                   .actor = {.caller = STR("test")}};
    struct policy out;
    assert_int_equal(domain_batch_begin(h->domain, NULL), ERR_OK);
    domain_job_begin(h->domain, 1000);
    assert_int_equal(policy_set(h->domain, &change, &out, &h->why), ERR_OK);
    assert_int_equal(domain_job_end(h->domain, ERR_INTERNAL, NULL), ERR_OK);
    assert_int_equal(domain_batch_commit(h->domain, NULL), ERR_OK);
    assert_nothing(h, CHANNEL_WEB, LOGIN_REASON_POLICY_OFF, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_is_asked_or_the_reason_is_said),
        cmocka_unit_test(the_lockout_rule),
        cmocka_unit_test(a_day_of_guessing_is_one_chance_in_ten_thousand),
        TEST(off_then_on_for_everybody),
        TEST(a_suspension_ends_by_itself),
        TEST(off_and_on_again_keeps_enrolments),
        TEST(a_locked_user_is_told_how_long),
        TEST(a_policy_of_another_revision_is_not_overwritten),
        TEST(a_failed_job_leaves_nothing),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
