/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/totp.h"
#include "support/house.h"

#include <stdlib.h>
#include <string.h>

#define T "acme"

static int setup(void **state)
{
    struct house *h = malloc(sizeof *h);
    house_init(h);
    house_enable(h, T);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    house_release(*state);
    free(*state);
    return 0;
}

static enum verify_outcome confirm(struct house *h, const char *user, const char *code,
                                   const struct enrollment_id *enrollment)
{
    struct house_request r = HOUSE_REQUEST(T, user, code);
    r.enrollment = enrollment;
    struct verify_answer answer;
    assert_int_equal(house_verify(h, &r, &answer), ERR_OK);
    return answer.outcome;
}

static struct secret *secret_of(const struct enroll_answer *enrolled)
{
    uint8_t bytes[ENROLL_SECRET_MAX];
    size_t n;
    assert_int_equal(base32_decode(bytes, sizeof bytes, &n, str_from(enrolled->secret_base32)),
                     ERR_OK);
    struct secret *s = secret_new();
    secret_set(s, bytes, n);
    return s;
}

static void pending_until_the_first_right_code(void **state)
{
    struct house *h = *state;
    struct enroll_answer enrolled;
    assert_int_equal(house_enroll(h, T, "alice", &enrolled), ERR_OK);
    assert_int_equal(enrolled.expire_ms, h->wall_ms + 600000);
    struct secret *s = secret_of(&enrolled);
    assert_int_equal(s->len, 20);

    /* Not a login, and not confirmed by a wrong code. */
    assert_int_equal(house_outcome(h, T, "alice", house_code(h, s, 0)), VERIFY_NOT_ENROLLED);
    assert_int_equal(confirm(h, "alice", house_wrong_code(h, s), &enrolled.enrollment),
                     VERIFY_WRONG_CODE);
    assert_int_equal(house_outcome(h, T, "alice", house_code(h, s, 0)), VERIFY_NOT_ENROLLED);

    assert_int_equal(confirm(h, "alice", house_code(h, s, 0), &enrolled.enrollment),
                     VERIFY_ACCEPTED);
    assert_int_equal(confirm(h, "alice", house_code(h, s, 0), &enrolled.enrollment),
                     VERIFY_REPLAYED_CODE);
    house_advance(h, 30000);
    assert_int_equal(house_outcome(h, T, "alice", house_code(h, s, 0)), VERIFY_ACCEPTED);
    secret_free(s);
    enroll_answer_release(&enrolled);
}

static void it_expires(void **state)
{
    struct house *h = *state;
    struct enroll_answer enrolled;
    assert_int_equal(house_enroll(h, T, "alice", &enrolled), ERR_OK);
    struct secret *s = secret_of(&enrolled);
    house_advance(h, 600000);
    assert_int_equal(confirm(h, "alice", house_code(h, s, 0), &enrolled.enrollment),
                     VERIFY_ENROLLMENT_EXPIRED);
    secret_free(s);
    enroll_answer_release(&enrolled);
}

static void a_newer_one_replaces_it(void **state)
{
    struct house *h = *state;
    struct enroll_answer first, second;
    assert_int_equal(house_enroll(h, T, "alice", &first), ERR_OK);
    assert_int_equal(house_enroll(h, T, "alice", &second), ERR_OK);
    assert_string_not_equal(first.secret_base32, second.secret_base32);
    struct secret *old = secret_of(&first), *s = secret_of(&second);
    assert_int_equal(confirm(h, "alice", house_code(h, old, 0), &first.enrollment),
                     VERIFY_ENROLLMENT_EXPIRED);
    assert_int_equal(confirm(h, "alice", house_code(h, old, 0), &second.enrollment),
                     VERIFY_WRONG_CODE);
    assert_int_equal(confirm(h, "alice", house_code(h, s, 0), &second.enrollment), VERIFY_ACCEPTED);
    secret_free(old);
    secret_free(s);
    enroll_answer_release(&first);
    enroll_answer_release(&second);
}

static void another_users_enrolment_is_unknown(void **state)
{
    struct house *h = *state;
    struct enroll_answer enrolled;
    assert_int_equal(house_enroll(h, T, "alice", &enrolled), ERR_OK);
    struct secret *s = secret_of(&enrolled);
    assert_int_equal(confirm(h, "bob", house_code(h, s, 0), &enrolled.enrollment),
                     VERIFY_ENROLLMENT_EXPIRED);
    static const struct enrollment_id none;
    assert_int_equal(confirm(h, "alice", house_code(h, s, 0), &none), VERIFY_ENROLLMENT_EXPIRED);
    secret_free(s);
    enroll_answer_release(&enrolled);
}

static void who_is_enrolled_is_not_enrolled_again(void **state)
{
    struct house *h = *state;
    struct secret *s;
    house_enroll_confirmed(h, T, "alice", &s);
    struct enroll_answer again;
    assert_int_equal(house_enroll(h, T, "alice", &again), ERR_EXISTS);
    house_advance(h, 30000);
    assert_int_equal(house_outcome(h, T, "alice", house_code(h, s, 0)), VERIFY_ACCEPTED);
    secret_free(s);
}

static void where_no_code_is_asked_nobody_enrols(void **state)
{
    struct house *h = *state;
    struct enroll_answer enrolled;
    assert_int_equal(house_enroll(h, "other", "alice", &enrolled), ERR_PRECONDITION);
    assert_string_equal(h->why.reason, "POLICY_OFF");
    assert_int_equal(enrolled.secret_base32[0], '\0');
}

static void the_policys_choices_are_the_secrets(void **state)
{
    struct house *h = *state;
    struct policy values = {.algorithm = TOTP_SHA512, .digits = 8, .period = 60};
    uint32_t fields = POLICY_ALGORITHM | POLICY_DIGITS | POLICY_PERIOD;
    assert_int_equal(house_set_policy(h, T, fields, &values), ERR_OK);
    struct enroll_answer enrolled;
    assert_int_equal(house_enroll(h, T, "alice", &enrolled), ERR_OK);
    assert_int_equal(enrolled.n_hints, 2);
    assert_non_null(strstr(enrolled.uri, "algorithm=SHA512&digits=8&period=60"));
    struct secret *s = secret_of(&enrolled);
    assert_int_equal(s->len, 64);
    char code[TOTP_DIGITS_MAX + 1];
    assert_int_equal(totp_code(code, s, TOTP_SHA512, 8, totp_step(h->wall_ms, 60)), ERR_OK);

    /* The policy changes back; the secret stays what it is. */
    values = (struct policy){.algorithm = TOTP_SHA1, .digits = 6, .period = 30};
    assert_int_equal(house_set_policy(h, T, fields, &values), ERR_OK);
    assert_int_equal(confirm(h, "alice", code, &enrolled.enrollment), VERIFY_ACCEPTED);
    secret_free(s);
    enroll_answer_release(&enrolled);
}

static void a_colon_in_the_users_id_becomes_a_dash(void **state)
{
    struct house *h = *state;
    struct enroll_answer enrolled;
    assert_int_equal(house_enroll(h, T, "crm:alice", &enrolled), ERR_OK);
    assert_non_null(strstr(enrolled.uri, "/acme:crm-alice?"));
    assert_int_equal(enrolled.n_hints, 0);
    enroll_answer_release(&enrolled);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pending_until_the_first_right_code),
        TEST(it_expires),
        TEST(a_newer_one_replaces_it),
        TEST(another_users_enrolment_is_unknown),
        TEST(who_is_enrolled_is_not_enrolled_again),
        TEST(where_no_code_is_asked_nobody_enrols),
        TEST(the_policys_choices_are_the_secrets),
        TEST(a_colon_in_the_users_id_becomes_a_dash),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
