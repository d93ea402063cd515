/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/house.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS 30000
#define T       "acme"
#define U       "alice"

struct world {
    struct house house;
    struct secret *secret;
};

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    house_init(&w->house);
    house_enable(&w->house, T);
    house_enroll_confirmed(&w->house, T, U, &w->secret);
    house_advance(&w->house, 10 * STEP_MS);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    secret_free(w->secret);
    house_release(&w->house);
    free(w);
    return 0;
}

static enum verify_outcome try(struct world *w, const char *code)
{
    return house_outcome(&w->house, T, U, code);
}

static enum verify_outcome try_right(struct world *w)
{
    return try(w, house_code(&w->house, w->secret, 0));
}

static enum verify_outcome try_wrong(struct world *w)
{
    return try(w, house_wrong_code(&w->house, w->secret));
}

/* ---- a code is accepted once ------------------------------------------------------------------
 */

static void a_code_is_accepted_once(void **state)
{
    struct world *w = *state;
    char code[9];
    snprintf(code, sizeof code, "%s", house_code(&w->house, w->secret, 0));
    assert_int_equal(try(w, code), VERIFY_ACCEPTED);
    assert_int_equal(try(w, code), VERIFY_REPLAYED_CODE);
    house_reopen(&w->house);
    assert_int_equal(try(w, code), VERIFY_REPLAYED_CODE);
    house_advance(&w->house, STEP_MS); /* still in the window */
    assert_int_equal(try(w, code), VERIFY_REPLAYED_CODE);
    house_advance(&w->house, STEP_MS);
    assert_int_equal(try(w, code), VERIFY_WRONG_CODE);
}

static void steps_only_move_forward(void **state)
{
    struct world *w = *state;
    assert_int_equal(try(w, house_code(&w->house, w->secret, 1)), VERIFY_ACCEPTED);
    assert_int_equal(try(w, house_code(&w->house, w->secret, 0)), VERIFY_REPLAYED_CODE);
    assert_int_equal(try(w, house_code(&w->house, w->secret, -1)), VERIFY_REPLAYED_CODE);
    house_advance(&w->house, STEP_MS);
    assert_int_equal(try(w, house_code(&w->house, w->secret, 1)), VERIFY_ACCEPTED);
}

static void the_confirming_code_is_used_up(void **state)
{
    struct world *w = *state;
    struct secret *other;
    house_enroll_confirmed(&w->house, T, "bob", &other);
    assert_int_equal(house_outcome(&w->house, T, "bob", house_code(&w->house, other, 0)),
                     VERIFY_REPLAYED_CODE);
    assert_int_equal(house_outcome(&w->house, T, "bob", house_code(&w->house, other, 1)),
                     VERIFY_ACCEPTED);
    secret_free(other);
}

static void the_clock_steps_back_and_nothing_comes_back(void **state)
{
    struct world *w = *state;
    char code[9];
    snprintf(code, sizeof code, "%s", house_code(&w->house, w->secret, 0));
    assert_int_equal(try(w, code), VERIFY_ACCEPTED);
    w->house.wall_ms -= 3600 * 1000;
    assert_int_equal(try_right(w), VERIFY_REPLAYED_CODE);
    assert_int_equal(try(w, code), VERIFY_WRONG_CODE); /* an hour ahead now */
    w->house.wall_ms += 3600 * 1000;
    assert_int_equal(try(w, code), VERIFY_REPLAYED_CODE);
    static const int64_t far[] = {4294967296000, 253402300799000}; /* 2106, 9999 */
    for (size_t i = 0; i < 2; i++) {
        w->house.wall_ms = far[i];
        assert_int_equal(try_right(w), VERIFY_ACCEPTED);
    }
    w->house.wall_ms = -5000;
    assert_int_equal(try_right(w), VERIFY_REPLAYED_CODE);
}

/* ---- the window
 * ------------------------------------------------------------------------------------ */

static void exactly_the_window_is_accepted(void **state)
{
    struct world *w = *state;
    for (uint8_t window = 0; window <= 2; window++) {
        struct policy values = {.window_steps = window};
        assert_int_equal(house_set_policy(&w->house, T, POLICY_WINDOW_STEPS, &values), ERR_OK);
        for (int64_t step = -3; step <= 3; step++) {
            house_advance(&w->house, 20 * STEP_MS);
            bool inside = step >= -(int64_t)window && step <= (int64_t)window;
            assert_int_equal(try(w, house_code(&w->house, w->secret, step)),
                             inside ? VERIFY_ACCEPTED : VERIFY_WRONG_CODE);
        }
    }
}

static void the_border_is_a_millisecond_wide(void **state)
{
    struct world *w = *state;
    char code[9];
    snprintf(code, sizeof code, "%s", house_code(&w->house, w->secret, 0));
    int64_t border = (w->house.wall_ms / STEP_MS + 2) * STEP_MS; /* the window's end */
    w->house.wall_ms = border;
    assert_int_equal(try(w, code), VERIFY_WRONG_CODE);
    w->house.wall_ms = border - 1;
    assert_int_equal(try(w, code), VERIFY_ACCEPTED);
}

/* ---- attempts
 * --------------------------------------------------------------------------------------- */

static void a_lock_does_not_look_at_codes(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(try_wrong(w), VERIFY_WRONG_CODE);
    assert_int_equal(try_wrong(w), VERIFY_LOCKED);
    assert_int_equal(try_right(w), VERIFY_LOCKED);
    house_reopen(&w->house);
    assert_int_equal(try_right(w), VERIFY_LOCKED);
    house_advance(&w->house, 29999);
    assert_int_equal(try_right(w), VERIFY_LOCKED);
    house_advance(&w->house, 1);
    assert_int_equal(try_right(w), VERIFY_ACCEPTED);
    assert_int_equal(try_wrong(w), VERIFY_WRONG_CODE); /* and the count is 1 */
    for (int i = 0; i < 4; i++)
        assert_int_equal(try_wrong(w), VERIFY_WRONG_CODE);
    assert_int_equal(try_wrong(w), VERIFY_LOCKED);
}

static void waits_double_up_to_an_hour_and_end_at_a_hundred(void **state)
{
    struct world *w = *state;
    int64_t wait = 30000;
    for (int failures = 1; failures <= 100; failures++) {
        assert_int_equal(try_wrong(w), VERIFY_WRONG_CODE);
        if (failures < 5)
            continue;
        struct house_request r = HOUSE_REQUEST(T, U, house_code(&w->house, w->secret, 0));
        struct verify_answer answer;
        assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
        assert_int_equal(answer.outcome, VERIFY_LOCKED);
        assert_int_equal(answer.retry_after_ms, failures < 100 ? wait : 0);
        house_advance(&w->house, wait);
        wait = wait * 2 < 3600000 ? wait * 2 : 3600000;
    }
    house_advance(&w->house, 365 * 86400000LL);
    assert_int_equal(try_right(w), VERIFY_LOCKED);
    struct login_answer login;
    assert_int_equal(house_login(&w->house, T, U, CHANNEL_WEB, &login), ERR_OK);
    assert_int_equal(login.requirement, LOGIN_REQUIREMENT_CODE);
}

static void a_right_code_clears_the_count(void **state)
{
    struct world *w = *state;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(try_wrong(w), VERIFY_WRONG_CODE);
        house_advance(&w->house, STEP_MS);
        assert_int_equal(try_right(w), VERIFY_ACCEPTED);
    }
}

/* A pending secret's wrong codes count, too: there is one count a user. */
static void confirming_counts_into_the_same_budget(void **state)
{
    struct world *w = *state;
    struct enroll_answer enrolled;
    assert_int_equal(house_enroll(&w->house, T, "carol", &enrolled), ERR_OK);
    struct house_request r = HOUSE_REQUEST(T, "carol", "000000");
    r.enrollment = &enrolled.enrollment;
    struct verify_answer answer;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
        assert_int_equal(answer.outcome, VERIFY_WRONG_CODE);
    }
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
    assert_int_equal(answer.outcome, VERIFY_LOCKED);
    enroll_answer_release(&enrolled);
    /* A new secret does not clear it. */
    assert_int_equal(house_enroll(&w->house, T, "carol", &enrolled), ERR_OK);
    r.enrollment = &enrolled.enrollment;
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
    assert_int_equal(answer.outcome, VERIFY_LOCKED);
    enroll_answer_release(&enrolled);
}

/* ---- retries
 * ---------------------------------------------------------------------------------------- */

static void the_same_request_gets_the_same_answer(void **state)
{
    struct world *w = *state;
    static const uint8_t id[16] = {1}, other_id[16] = {2};
    struct house_request r = HOUSE_REQUEST(T, U, house_code(&w->house, w->secret, 0));
    r.request_id = id;
    struct verify_answer first, again;
    assert_int_equal(house_verify(&w->house, &r, &first), ERR_OK);
    assert_int_equal(first.outcome, VERIFY_ACCEPTED);
    for (int i = 0; i < 10; i++) {
        house_advance(&w->house, 59000);
        if (i % 3 == 0)
            house_reopen(&w->house);
        assert_int_equal(house_verify(&w->house, &r, &again), ERR_OK);
        assert_memory_equal(&again, &first, sizeof first);
    }
    r.request_id = other_id;
    assert_int_equal(house_verify(&w->house, &r, &again), ERR_OK);
    assert_int_equal(again.outcome, VERIFY_WRONG_CODE);
}

static void a_repeated_wrong_code_counts_once(void **state)
{
    struct world *w = *state;
    struct house_request r = HOUSE_REQUEST(T, U, house_wrong_code(&w->house, w->secret));
    static const uint8_t id[16] = {7};
    r.request_id = id;
    struct verify_answer answer;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
        assert_int_equal(answer.outcome, VERIFY_WRONG_CODE);
    }
    assert_int_equal(try_right(w), VERIFY_ACCEPTED);
}

static void a_repeated_answer_may_be_any(void **state)
{
    struct world *w = *state;
    static const uint8_t ids[4][16] = {{1}, {2}, {3}, {4}};
    struct verify_answer first, again;
    char code[9];
    snprintf(code, sizeof code, "%s", house_code(&w->house, w->secret, 0));
    assert_int_equal(try(w, code), VERIFY_ACCEPTED);

    struct house_request replay = HOUSE_REQUEST(T, U, code);
    replay.request_id = ids[0];
    assert_int_equal(house_verify(&w->house, &replay, &first), ERR_OK);
    assert_int_equal(first.outcome, VERIFY_REPLAYED_CODE);
    house_advance(&w->house, 5 * STEP_MS);
    assert_int_equal(house_verify(&w->house, &replay, &again), ERR_OK);
    assert_memory_equal(&again, &first, sizeof first);

    struct house_request nobody = HOUSE_REQUEST(T, "nobody", "123456");
    nobody.request_id = ids[1];
    assert_int_equal(house_verify(&w->house, &nobody, &first), ERR_OK);
    assert_int_equal(first.outcome, VERIFY_NOT_ENROLLED);
    assert_int_equal(house_verify(&w->house, &nobody, &again), ERR_OK);
    assert_memory_equal(&again, &first, sizeof first);

    /* Off when it was asked, on when it is asked again. */
    struct policy off = {.enabled = false};
    assert_int_equal(house_set_policy(&w->house, T, POLICY_ENABLED, &off), ERR_OK);
    struct house_request r = HOUSE_REQUEST(T, U, "123456");
    r.request_id = ids[2];
    assert_int_equal(house_verify(&w->house, &r, &first), ERR_OK);
    assert_int_equal(first.outcome, VERIFY_NOT_REQUIRED);
    house_enable(&w->house, T);
    assert_int_equal(house_verify(&w->house, &r, &again), ERR_OK);
    assert_memory_equal(&again, &first, sizeof first);
}

static void the_same_id_with_other_fields_is_refused(void **state)
{
    struct world *w = *state;
    static const uint8_t id[16] = {9};
    struct house_request r = HOUSE_REQUEST(T, U, house_wrong_code(&w->house, w->secret));
    r.request_id = id;
    struct verify_answer answer;
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
    r.code = house_code(&w->house, w->secret, 0);
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_INVALID);
    assert_string_equal(w->house.why.field, "request_id");
    assert_int_equal(answer.outcome, VERIFY_REFUSED);
    r.channel = CHANNEL_MOBILE;
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_INVALID);
    /* Another user's request of the same id is another request. */
    r.user = "bob";
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
    assert_int_equal(answer.outcome, VERIFY_NOT_ENROLLED);
    assert_int_equal(try_right(w), VERIFY_ACCEPTED);
}

/* ---- what is not an attempt
 * ----------------------------------------------------------------------- */

static void without_the_password_nothing_is_tried(void **state)
{
    struct world *w = *state;
    struct house_request r = HOUSE_REQUEST(T, U, house_code(&w->house, w->secret, 0));
    r.password_verified = false;
    struct verify_answer answer;
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_PRECONDITION);
    assert_string_equal(w->house.why.reason, "PASSWORD_NOT_VERIFIED");
    assert_int_equal(answer.outcome, VERIFY_REFUSED);
    assert_int_equal(try_right(w), VERIFY_ACCEPTED);
}

static void a_code_of_another_length_is_not_tried(void **state)
{
    struct world *w = *state;
    struct house_request r = HOUSE_REQUEST(T, U, "12345678");
    struct verify_answer answer;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(house_verify(&w->house, &r, &answer), ERR_INVALID);
        assert_string_equal(w->house.why.field, "code");
    }
    assert_int_equal(try_right(w), VERIFY_ACCEPTED);
}

static void tenants_and_users_never_touch(void **state)
{
    struct world *w = *state;
    static const char *const tenants[] = {"a", "a|b", "acm", "acme ", "ACME"};
    static const char *const users[] = {"b|c", "c", "ealice", "alice", "alice"};
    struct secret *secrets[5];
    for (size_t i = 0; i < 5; i++) {
        house_enable(&w->house, tenants[i]);
        house_enroll_confirmed(&w->house, tenants[i], users[i], &secrets[i]);
    }
    house_advance(&w->house, 5 * STEP_MS);
    for (int n = 0; n < 5; n++) /* one of them is locked now */
        house_outcome(&w->house, tenants[0], users[0], house_wrong_code(&w->house, secrets[0]));
    assert_int_equal(house_outcome(&w->house, tenants[0], users[0], "000000"), VERIFY_LOCKED);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(
            house_outcome(&w->house, tenants[i], users[i], house_code(&w->house, secrets[i], 0)),
            VERIFY_ACCEPTED);
    assert_int_equal(try_right(w), VERIFY_ACCEPTED);
    for (size_t i = 0; i < 5; i++)
        secret_free(secrets[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_code_is_accepted_once),
        TEST(steps_only_move_forward),
        TEST(the_confirming_code_is_used_up),
        TEST(the_clock_steps_back_and_nothing_comes_back),
        TEST(exactly_the_window_is_accepted),
        TEST(the_border_is_a_millisecond_wide),
        TEST(a_lock_does_not_look_at_codes),
        TEST(waits_double_up_to_an_hour_and_end_at_a_hundred),
        TEST(a_right_code_clears_the_count),
        TEST(confirming_counts_into_the_same_budget),
        TEST(the_same_request_gets_the_same_answer),
        TEST(a_repeated_wrong_code_counts_once),
        TEST(a_repeated_answer_may_be_any),
        TEST(the_same_id_with_other_fields_is_refused),
        TEST(without_the_password_nothing_is_tried),
        TEST(a_code_of_another_length_is_not_tried),
        TEST(tenants_and_users_never_touch),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
