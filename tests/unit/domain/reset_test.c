/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "domain/outbox.h"
#include "domain/reset.h"
#include "support/house.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T       "acme"
#define U       "alice"
#define HOUR_MS 3600000

struct world {
    struct house house;
    struct secret *secret;
};

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    house_init(&w->house);
    house_enable(&w->house, T);
    struct policy mail = {.reset_link = "https://crm.example/reset?token={token}&x=1",
                          .mail_from = "crm@crm.example",
                          .mail_from_name = "The CRM"};
    assert_int_equal(house_set_policy(&w->house, T,
                                      POLICY_RESET_LINK | POLICY_MAIL_FROM | POLICY_MAIL_FROM_NAME,
                                      &mail),
                     ERR_OK);
    house_enroll_confirmed(&w->house, T, U, &w->secret);
    house_advance(&w->house, 600000);
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

/* ---- the decisions as one call each ------------------------------------------------------------
 */

struct request_call {
    struct reset_mail_request req;
    struct reset_status out;
};

static enum err decide_request(struct house *h, void *ctx)
{
    struct request_call *c = ctx;
    return reset_request_mail(h->domain, &c->req, &c->out, &h->why);
}

static enum err request(struct world *w, const char *user, const char *address, const uint8_t *id,
                        struct reset_status *out)
{
    struct request_call c = {.req = {.tenant = {STR(T)},
                                     .user = {str_from(user)},
                                     .channel = CHANNEL_WEB,
                                     .password_verified = true,
                                     .address = str_from(address),
                                     .locale = STR(""),
                                     .request_id = id,
                                     .actor = {.caller = STR("test")}}};
    enum err e = house_decide(&w->house, decide_request, &c);
    if (e == ERR_OK)
        *out = c.out;
    return e;
}

static enum err decide_lease(struct house *h, void *ctx)
{
    return outbox_lease(h->domain, ctx, &h->why);
}

/* Is one due? */
static bool lease(struct world *w, struct outbox_parcel *out)
{
    assert_int_equal(house_decide(&w->house, decide_lease, out), ERR_OK);
    return out->leased.mail.id != 0;
}

static enum err decide_report(struct house *h, void *ctx)
{
    return outbox_report(h->domain, ctx, &h->why);
}

static void report(struct world *w, struct outbox_parcel *p, enum outbox_end end, const char *error)
{
    struct outbox_report r = {.parcel = p, .end = end, .error = error};
    assert_int_equal(house_decide(&w->house, decide_report, &r), ERR_OK);
}

struct confirm_call {
    struct enroll_request req;
    struct str token;
    struct enroll_answer *out;
};

static enum err decide_confirm(struct house *h, void *ctx)
{
    struct confirm_call *c = ctx;
    return reset_confirm(h->domain, &c->req, c->token, c->out, &h->why);
}

static enum err confirm(struct world *w, const char *tenant, const char *user, const char *token,
                        struct enroll_answer *out)
{
    struct confirm_call c = {.req = {.tenant = {str_from(tenant)},
                                     .user = {str_from(user)},
                                     .channel = CHANNEL_WEB,
                                     .password_verified = true,
                                     .notify_address = STR("alice@mail.example"),
                                     .locale = STR("nl"),
                                     .actor = {.caller = STR("test")}},
                             .token = str_from(token),
                             .out = out};
    return house_decide(&w->house, decide_confirm, &c);
}

struct look_call {
    struct reset_id id;
    struct reset_status out;
};

static enum err decide_look(struct house *h, void *ctx)
{
    struct look_call *c = ctx;
    return reset_look(h->domain, (struct tenant_id){STR(T)}, &c->id, &c->out, &h->why);
}

static struct reset_status look(struct world *w, struct reset_id id)
{
    struct look_call c = {.id = id};
    assert_int_equal(house_decide(&w->house, decide_look, &c), ERR_OK);
    return c.out;
}

/* Requests a reset and gives its token, as a reader of the mail finds it; the mail is leased. */
static struct reset_id request_token(struct world *w, char token[OUTBOX_TOKEN_LEN + 1],
                                     struct outbox_parcel *parcel)
{
    static const char before[] = "https://crm.example/reset?token=";
    struct reset_status status;
    assert_int_equal(request(w, U, "alice@mail.example", NULL, &status), ERR_OK);
    assert_int_equal(status.state, RESET_QUEUED);
    assert_true(lease(w, parcel));
    assert_memory_equal(parcel->link, before, strlen(before));
    memcpy(token, parcel->link + strlen(before), OUTBOX_TOKEN_LEN);
    token[OUTBOX_TOKEN_LEN] = '\0';
    assert_string_equal(parcel->link + strlen(before) + OUTBOX_TOKEN_LEN, "&x=1");
    return status.id;
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

static struct verify_answer verify(struct world *w, const char *code,
                                   const struct enrollment_id *enrollment)
{
    struct house_request r = HOUSE_REQUEST(T, U, code);
    r.enrollment = enrollment;
    struct verify_answer answer;
    assert_int_equal(house_verify(&w->house, &r, &answer), ERR_OK);
    return answer;
}

/* ---- the story
 * ------------------------------------------------------------------------------------- */

static void a_new_phone(void **state)
{
    struct world *w = *state;
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel parcel;
    struct enroll_answer fresh;
    struct reset_id id = request_token(w, token, &parcel);
    assert_string_equal(parcel.from, "crm@crm.example");
    assert_string_equal(parcel.leased.mail.address, "alice@mail.example");
    report(w, &parcel, OUTBOX_SENT, NULL);
    assert_int_equal(look(w, id).state, RESET_SENT);

    assert_int_equal(confirm(w, T, U, token, &fresh), ERR_OK);
    assert_int_equal(look(w, id).state, RESET_CONFIRMED);
    struct secret *s = secret_of(&fresh);
    /* The old one works until a code of the new one was verified; its code there is told apart. */
    assert_int_equal(verify(w, house_code(&w->house, w->secret, 0), NULL).outcome, VERIFY_ACCEPTED);
    struct verify_answer old = verify(w, house_code(&w->house, w->secret, 1), &fresh.enrollment);
    assert_int_equal(old.outcome, VERIFY_SUPERSEDED_SECRET);
    assert_memory_equal(&old.enrollment, &fresh.enrollment, sizeof old.enrollment);
    assert_int_equal(verify(w, house_code(&w->house, s, 0), &fresh.enrollment).outcome,
                     VERIFY_ACCEPTED);

    house_advance(&w->house, 60000);
    old = verify(w, house_code(&w->house, w->secret, 0), NULL);
    assert_int_equal(old.outcome, VERIFY_SUPERSEDED_SECRET);
    assert_memory_equal(&old.enrollment, &fresh.enrollment, sizeof old.enrollment);
    assert_int_equal(verify(w, house_code(&w->house, s, 0), NULL).outcome, VERIFY_ACCEPTED);
    secret_free(s);
    enroll_answer_release(&fresh);
}

static void a_notice_follows_in_the_same_step(void **state)
{
    struct world *w = *state;
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel parcel;
    struct enroll_answer fresh;
    request_token(w, token, &parcel);
    assert_int_equal(confirm(w, T, U, token, &fresh), ERR_OK);
    assert_false(lease(w, &parcel));
    struct secret *s = secret_of(&fresh);
    assert_int_equal(verify(w, house_code(&w->house, s, 0), &fresh.enrollment).outcome,
                     VERIFY_ACCEPTED);
    assert_true(lease(w, &parcel));
    assert_int_equal(parcel.leased.mail.kind, MAIL_REPLACED);
    assert_string_equal(parcel.leased.mail.locale, "nl");
    assert_string_equal(parcel.link, "");
    report(w, &parcel, OUTBOX_SENT, NULL);
    assert_false(lease(w, &parcel));
    secret_free(s);
    enroll_answer_release(&fresh);
}

/* ---- a token works once, for its user, for its time -------------------------------------------
 */

static void a_token_works_once(void **state)
{
    struct world *w = *state;
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel parcel;
    struct enroll_answer fresh, again;
    request_token(w, token, &parcel);
    assert_int_equal(confirm(w, T, U, token, &fresh), ERR_OK);
    assert_int_equal(confirm(w, T, U, token, &again), ERR_NOT_FOUND);
    assert_int_equal(again.secret_base32[0], '\0');
    house_reopen(&w->house);
    assert_int_equal(confirm(w, T, U, token, &again), ERR_NOT_FOUND);
    enroll_answer_release(&fresh);
}

static void every_other_token_is_refused_alike(void **state)
{
    struct world *w = *state;
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel parcel;
    struct enroll_answer out;
    request_token(w, token, &parcel);
    house_enable(&w->house, "other");
    char odd[5][64];
    snprintf(odd[0], 64, "%s", token);
    odd[0][5] = odd[0][5] == 'A' ? 'B' : 'A';
    snprintf(odd[1], 64, "%.42s", token);
    snprintf(odd[2], 64, "%sA", token);
    snprintf(odd[3], 64, " %s", token);
    snprintf(odd[4], 64, "%s=", token);
    struct err_text first = {0};
    for (size_t i = 0; i < 8; i++) {
        enum err e = i < 5    ? confirm(w, T, U, odd[i], &out)
                     : i == 5 ? confirm(w, T, "bob", token, &out)
                     : i == 6 ? confirm(w, "other", U, token, &out)
                              : confirm(w, T, U, "x", &out);
        assert_int_equal(e, ERR_NOT_FOUND);
        if (i == 0)
            first = w->house.why;
        assert_string_equal(w->house.why.text, first.text);
        assert_string_equal(w->house.why.reason, first.reason);
    }
    house_advance(&w->house, HOUR_MS); /* the link's lifetime */
    assert_int_equal(confirm(w, T, U, token, &out), ERR_NOT_FOUND);
    assert_string_equal(w->house.why.text, first.text);
}

static void an_expired_reset_says_so(void **state)
{
    struct world *w = *state;
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel parcel;
    struct reset_id id = request_token(w, token, &parcel);
    house_advance(&w->house, HOUR_MS - 1);
    assert_int_equal(look(w, id).state, RESET_QUEUED);
    house_advance(&w->house, 1);
    assert_int_equal(look(w, id).state, RESET_EXPIRED);
}

/* ---- a newer mail replaces an older one only when it was handed over ------------------------- */

static void a_mail_that_never_leaves_kills_no_link(void **state)
{
    struct world *w = *state;
    char first[OUTBOX_TOKEN_LEN + 1], second[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel a, b;
    struct reset_id one = request_token(w, first, &a);
    report(w, &a, OUTBOX_SENT, NULL);
    struct reset_id two = request_token(w, second, &b);
    report(w, &b, OUTBOX_FAILED, "550 no");
    assert_int_equal(look(w, two).state, RESET_FAILED);
    assert_string_equal(look(w, two).last_error, "550 no");
    assert_int_equal(look(w, one).state, RESET_SENT);
    struct enroll_answer out;
    assert_int_equal(confirm(w, T, U, second, &out), ERR_NOT_FOUND);
    assert_int_equal(confirm(w, T, U, first, &out), ERR_OK);
    enroll_answer_release(&out);
}

static void a_mail_that_was_sent_replaces_the_older_ones(void **state)
{
    struct world *w = *state;
    char first[OUTBOX_TOKEN_LEN + 1], second[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel a, b;
    struct reset_id one = request_token(w, first, &a);
    report(w, &a, OUTBOX_DEFERRED, "451 later");
    assert_int_equal(look(w, one).state, RESET_DEFERRED);
    assert_int_equal(look(w, one).attempts, 1);
    struct reset_id two = request_token(w, second, &b);
    assert_int_equal(look(w, one).state, RESET_DEFERRED);
    report(w, &b, OUTBOX_SENT, NULL);
    assert_int_equal(look(w, two).state, RESET_SENT);
    assert_int_equal(look(w, one).state, RESET_REPLACED);
    house_advance(&w->house, 30 * 60000); /* and its mail is gone */
    assert_false(lease(w, &a));
    struct enroll_answer out;
    assert_int_equal(confirm(w, T, U, first, &out), ERR_NOT_FOUND);
    assert_int_equal(confirm(w, T, U, second, &out), ERR_OK);
    enroll_answer_release(&out);
}

/* ---- the outbox
 * ------------------------------------------------------------------------------------ */

static void a_lease_ends_by_itself(void **state)
{
    struct world *w = *state;
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel first, again;
    request_token(w, token, &first);
    assert_false(lease(w, &again));
    house_reopen(&w->house);
    assert_false(lease(w, &again));
    house_advance(&w->house, OUTBOX_LEASE_MS);
    assert_true(lease(w, &again));
    /* The same mail again: same id, same token. */
    assert_string_equal(again.message_id, first.message_id);
    assert_string_equal(again.link, first.link);
}

/* The longest wait after so many tries. */
static int64_t longest_wait(int tries)
{
    int64_t wait = 5000;
    for (int i = 1; i < tries && wait < 900000; i++)
        wait *= 2;
    return wait < 900000 ? wait : 900000;
}

static void waits_grow_and_end_with_the_link(void **state)
{
    struct world *w = *state;
    struct reset_status status;
    struct outbox_parcel p;
    assert_int_equal(request(w, U, "alice@mail.example", NULL, &status), ERR_OK);
    int tries = 0;
    for (;;) {
        bool due = lease(w, &p);
        if (!due) { /* at the latest after the longest wait */
            house_advance(&w->house, longest_wait(tries));
            due = lease(w, &p);
        }
        if (look(w, status.id).state == RESET_FAILED)
            break;
        assert_true(due);
        report(w, &p, OUTBOX_DEFERRED, "451 later");
        assert_in_range(++tries, 1, 1000);
    }
    assert_false(lease(w, &p));
    assert_true(w->house.wall_ms < HOUSE_START_MS + 600000 + HOUR_MS + 900000);
    assert_in_range(tries, 5, 1000);
}

static void tenants_take_turns(void **state)
{
    struct world *w = *state;
    struct reset_status status;
    struct request_call c = {.req = {.channel = CHANNEL_WEB,
                                     .password_verified = true,
                                     .address = STR("bob@mail.example"),
                                     .locale = STR(""),
                                     .actor = {.caller = STR("test")}}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(request(w, U, "alice@mail.example", NULL, &status), ERR_OK);
    house_enable(&w->house, "late");
    struct policy mail = {.reset_link = "https://x/{token}", .mail_from = "a@b.example"};
    assert_int_equal(
        house_set_policy(&w->house, "late", POLICY_RESET_LINK | POLICY_MAIL_FROM, &mail), ERR_OK);
    c.req.tenant = (struct tenant_id){STR("late")};
    c.req.user = (struct user_id){STR("bob")};
    assert_int_equal(house_decide(&w->house, decide_request, &c), ERR_OK);
    struct outbox_parcel p;
    assert_true(lease(w, &p));
    assert_true(lease(w, &p));
    assert_int_equal(p.leased.tenant_len, 4); /* not behind all of the other's */
    assert_memory_equal(p.leased.tenant, "late", 4);
}

/* ---- limits, retries, the lock
 * ---------------------------------------------------------------------- */

static void limits_hold_to_the_mail(void **state)
{
    struct world *w = *state;
    struct reset_status status;
    for (int i = 0; i < HOUSE_RESETS_OF_USER; i++)
        assert_int_equal(request(w, U, "alice@mail.example", NULL, &status), ERR_OK);
    house_advance(&w->house, 600000);
    assert_int_equal(request(w, U, "alice@mail.example", NULL, &status), ERR_LIMIT);
    assert_string_equal(w->house.why.reason, "USER_LIMIT");
    assert_int_equal(w->house.why.retry_ms, HOUR_MS - 600000);
    assert_int_equal(request(w, "b", "alice@mail.example", NULL, &status), ERR_OK);
    assert_int_equal(request(w, "c", "alice@mail.example", NULL, &status), ERR_LIMIT);
    assert_string_equal(w->house.why.reason, "ADDRESS_LIMIT");
    assert_int_equal(request(w, "d", "d@mail.example", NULL, &status), ERR_OK);
    assert_int_equal(request(w, "e", "e@mail.example", NULL, &status), ERR_OK);
    assert_int_equal(request(w, "f", "f@mail.example", NULL, &status), ERR_LIMIT);
    assert_string_equal(w->house.why.reason, "TENANT_LIMIT");
    house_advance(&w->house, HOUR_MS - 600000);
    assert_int_equal(request(w, U, "alice@mail.example", NULL, &status), ERR_OK);
}

static void the_same_request_mails_once(void **state)
{
    struct world *w = *state;
    static const uint8_t id[16] = {5};
    struct reset_status first, again;
    assert_int_equal(request(w, U, "alice@mail.example", id, &first), ERR_OK);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(request(w, U, "alice@mail.example", id, &again), ERR_OK);
        assert_memory_equal(&again.id, &first.id, sizeof first.id);
    }
    assert_int_equal(request(w, U, "mallory@mail.example", id, &again), ERR_INVALID);
    struct outbox_parcel p;
    assert_true(lease(w, &p));
    assert_false(lease(w, &p));
}

static void a_reset_does_not_unlock(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 5; i++)
        verify(w, house_wrong_code(&w->house, w->secret), NULL);
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel parcel;
    struct enroll_answer fresh;
    request_token(w, token, &parcel);
    assert_int_equal(verify(w, "000000", NULL).outcome, VERIFY_LOCKED);
    assert_int_equal(confirm(w, T, U, token, &fresh), ERR_OK);
    assert_int_equal(verify(w, "000000", &fresh.enrollment).outcome, VERIFY_LOCKED);
    enroll_answer_release(&fresh);
}

static void without_password_policy_or_mail_there_is_none(void **state)
{
    struct world *w = *state;
    struct reset_status status;
    struct request_call c = {.req = {.tenant = {STR(T)},
                                     .user = {STR(U)},
                                     .channel = CHANNEL_WEB,
                                     .address = STR("a@b.example"),
                                     .locale = STR(""),
                                     .actor = {.caller = STR("test")}}};
    assert_int_equal(house_decide(&w->house, decide_request, &c), ERR_PRECONDITION);
    assert_string_equal(w->house.why.reason, "PASSWORD_NOT_VERIFIED");
    struct policy none = {.reset_link = ""};
    assert_int_equal(house_set_policy(&w->house, T, POLICY_RESET_LINK, &none), ERR_OK);
    assert_int_equal(request(w, U, "a@b.example", NULL, &status), ERR_PRECONDITION);
    assert_string_equal(w->house.why.reason, "MAIL_NOT_CONFIGURED");
    struct login_answer login;
    assert_int_equal(house_login(&w->house, T, U, CHANNEL_WEB, &login), ERR_OK);
    assert_false(login.reset_by_mail_available);
    struct policy off = {.enabled = false};
    assert_int_equal(house_set_policy(&w->house, T, POLICY_ENABLED, &off), ERR_OK);
    assert_int_equal(request(w, U, "a@b.example", NULL, &status), ERR_PRECONDITION);
    assert_string_equal(w->house.why.reason, "POLICY_OFF");
}

/* ---- damage
 * --------------------------------------------------------------------------------------- */

/* Changes the database behind the daemon's back. */
static void damage(struct world *w, const char *sql)
{
    sqlite3 *db;
    house_close(&w->house);
    assert_int_equal(sqlite3_open(scratch_path(&w->house.scratch, "db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    house_open(&w->house);
}

/* The replaced secret is looked at after wrong codes only: what is wrong with it must neither undo
 * their charge nor tell that they are wrong. */
static void guesses_count_beside_a_damaged_old_secret(void **state)
{
    if (!house_is_sqlite())
        skip();
    struct world *w = *state;
    static const char *const damages[] = {"UPDATE superseded SET sealed = zeroblob(61)",
                                          "UPDATE superseded SET key_id = 99",
                                          "UPDATE superseded SET algorithm = 77"};
    char token[OUTBOX_TOKEN_LEN + 1];
    struct outbox_parcel parcel;
    struct enroll_answer fresh;
    request_token(w, token, &parcel);
    assert_int_equal(confirm(w, T, U, token, &fresh), ERR_OK);
    struct secret *s = secret_of(&fresh);
    assert_int_equal(verify(w, house_code(&w->house, s, 0), &fresh.enrollment).outcome,
                     VERIFY_ACCEPTED);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        damage(w, damages[i]);
        house_advance(&w->house, HOUR_MS);
        for (int guess = 0; guess < 5; guess++)
            assert_int_equal(verify(w, house_wrong_code(&w->house, s), NULL).outcome,
                             VERIFY_WRONG_CODE);
        assert_int_equal(verify(w, house_wrong_code(&w->house, s), NULL).outcome, VERIFY_LOCKED);
        house_advance(&w->house, HOUR_MS);
        assert_int_equal(verify(w, house_code(&w->house, s, 0), NULL).outcome, VERIFY_ACCEPTED);
    }
    secret_free(s);
    enroll_answer_release(&fresh);
}

static void a_damaged_mail_is_not_in_the_way(void **state)
{
    if (!house_is_sqlite())
        skip();
    struct world *w = *state;
    static const char *const damages[] = {
        "UPDATE outbox SET token = zeroblob(84)", "UPDATE outbox SET key_id = 99",
        "UPDATE outbox SET token = zeroblob(1000)", "UPDATE outbox SET kind = -5"};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct reset_status bad, good;
        struct outbox_parcel parcel;
        assert_int_equal(request(w, U, "alice@mail.example", NULL, &bad), ERR_OK);
        damage(w, damages[i]);
        assert_int_equal(request(w, "bob", "bob@mail.example", NULL, &good), ERR_OK);
        assert_true(lease(w, &parcel));
        assert_string_equal(parcel.leased.mail.address, "bob@mail.example");
        assert_int_equal(look(w, bad.id).state, RESET_FAILED);
        report(w, &parcel, OUTBOX_SENT, NULL);
        assert_false(lease(w, &parcel));
        house_advance(&w->house, HOUR_MS);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_phone),
        TEST(a_notice_follows_in_the_same_step),
        TEST(a_token_works_once),
        TEST(every_other_token_is_refused_alike),
        TEST(an_expired_reset_says_so),
        TEST(a_mail_that_never_leaves_kills_no_link),
        TEST(a_mail_that_was_sent_replaces_the_older_ones),
        TEST(a_lease_ends_by_itself),
        TEST(waits_grow_and_end_with_the_link),
        TEST(tenants_take_turns),
        TEST(limits_hold_to_the_mail),
        TEST(the_same_request_mails_once),
        TEST(a_reset_does_not_unlock),
        TEST(without_password_policy_or_mail_there_is_none),
        TEST(guesses_count_beside_a_damaged_old_secret),
        TEST(a_damaged_mail_is_not_in_the_way),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
