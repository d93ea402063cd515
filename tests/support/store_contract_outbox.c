/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/outbox.h"
#include "support/store_contract.h"

#include <string.h>

#define T       "acme"
#define U       "alice"
#define HOUR_MS (60 * 60 * 1000)

/* ---- the operations as one call each ----------------------------------------------------------
 */

struct call {
    struct tenant_id t;
    struct user_id u;
    const void *in;
    void *out;
    int64_t number, time_ms;
    const char *error;
};

static struct reset_id id_of(uint32_t n)
{
    struct reset_id id = {{0}};
    memcpy(id.bytes, &n, sizeof n);
    return id;
}

/* The n-th reset, from now for an hour, to the n-th address. */
static struct reset_request request_of(const struct kit *k, uint32_t n)
{
    struct reset_request r = {
        .id = id_of(n),
        .create_ms = k->now_ms,
        .expire_ms = k->now_ms + HOUR_MS,
        .limits = {.window_ms = HOUR_MS, .per_user = 100, .per_address = 100, .per_tenant = 100},
        .mail = {.kind = MAIL_RESET,
                 .address = "alice@mail.example",
                 .locale = "nl",
                 .create_ms = k->now_ms,
                 .due_ms = k->now_ms,
                 .expire_ms = k->now_ms + HOUR_MS,
                 .key_id = 7,
                 .token_len = 3,
                 .token = {1, 0, (uint8_t)n}},
    };
    r.mail.reset = r.id;
    memset(r.token_hash, (int)n, sizeof r.token_hash);
    memset(r.address_hash, (int)n, sizeof r.address_hash);
    return r;
}

static enum err act_put(struct kit *k, void *args)
{
    struct call *c = args;
    return k->store->outbox->reset_put(k->store, c->t, c->u, c->in, c->out, &k->why);
}

static struct reset_put put(struct kit *k, const char *t, const char *u,
                            const struct reset_request *r)
{
    struct reset_put out;
    struct call c = {.t = kit_tenant(t), .u = kit_user(u), .in = r, .out = &out};
    assert_int_equal(kit_job(k, act_put, &c), ERR_OK);
    return out;
}

static void ask(struct kit *k, const char *t, const char *u, uint32_t n)
{
    struct reset_request r = request_of(k, n);
    assert_int_equal(put(k, t, u, &r).result, RESET_PUT);
}

static enum err act_get(struct kit *k, void *args)
{
    struct call *c = args;
    return k->store->outbox->reset_get(k->store, c->t, c->in, k->now_ms, c->out, &k->why);
}

static enum err get(struct kit *k, const char *t, uint32_t n, struct reset_status *out)
{
    struct reset_id id = id_of(n);
    struct call c = {.t = kit_tenant(t), .in = &id, .out = out};
    return kit_job(k, act_get, &c);
}

static enum reset_state state_of(struct kit *k, uint32_t n)
{
    struct reset_status status;
    assert_int_equal(get(k, T, n, &status), ERR_OK);
    return status.state;
}

static enum err act_confirm(struct kit *k, void *args)
{
    struct call *c = args;
    uint8_t hash[TOKEN_HASH_LEN];
    memset(hash, (int)c->number, sizeof hash);
    return k->store->outbox->reset_confirm(k->store, c->t, c->u, hash, c->in, k->now_ms, c->out,
                                           &k->why);
}

static bool confirm(struct kit *k, const char *t, const char *u, uint32_t n, const struct factor *f)
{
    bool won = false;
    struct call c = {.t = kit_tenant(t), .u = kit_user(u), .number = n, .in = f, .out = &won};
    assert_int_equal(kit_job(k, act_confirm, &c), ERR_OK);
    return won;
}

static enum err act_lease(struct kit *k, void *args)
{
    return k->store->outbox->mail_lease(k->store, k->now_ms, k->now_ms + 1000, args, &k->why);
}

static bool lease(struct kit *k, struct leased_mail *out)
{
    enum err e = kit_job(k, act_lease, out);
    assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
    return e == ERR_OK;
}

static int64_t must_lease(struct kit *k)
{
    struct leased_mail mail;
    assert_true(lease(k, &mail));
    return mail.mail.id;
}

static enum err act_sent(struct kit *k, void *args)
{
    struct call *c = args;
    return k->store->outbox->mail_sent(k->store, c->t, c->u, c->number, &k->why);
}

static enum err act_failed(struct kit *k, void *args)
{
    struct call *c = args;
    return k->store->outbox->mail_failed(k->store, c->t, c->u, c->number, c->error, &k->why);
}

static enum err act_deferred(struct kit *k, void *args)
{
    struct call *c = args;
    return k->store->outbox->mail_deferred(k->store, c->t, c->u, c->number, c->time_ms, c->error,
                                           &k->why);
}

static void end(struct kit *k, enum err (*act)(struct kit *k, void *args), int64_t mail,
                int64_t time_ms)
{
    struct call c = {.t = kit_tenant(T),
                     .u = kit_user(U),
                     .number = mail,
                     .time_ms = time_ms,
                     .error = "550 no"};
    assert_int_equal(kit_job(k, act, &c), ERR_OK);
}

/* ---- a reset and its mail
 * ------------------------------------------------------------------------ */

static void a_mail_comes_back_whole(struct kit *k)
{
    struct leased_mail mail;
    struct reset_status status;
    assert_false(lease(k, &mail));
    assert_int_equal(get(k, T, 1, &status), ERR_NOT_FOUND);
    ask(k, T, U, 1);
    assert_int_equal(get(k, T, 1, &status), ERR_OK);
    assert_int_equal(status.state, RESET_QUEUED);
    assert_int_equal(status.attempts, 0);
    assert_true(status.expire_ms == k->now_ms + HOUR_MS);
    assert_string_equal(status.last_error, "");
    assert_int_equal(get(k, "other", 1, &status), ERR_NOT_FOUND);

    assert_true(lease(k, &mail));
    assert_int_equal(mail.mail.kind, MAIL_RESET);
    assert_string_equal(mail.mail.address, "alice@mail.example");
    assert_string_equal(mail.mail.locale, "nl");
    assert_int_equal(mail.mail.key_id, 7);
    assert_int_equal(mail.mail.token_len, 3);
    assert_memory_equal(mail.mail.token, ((uint8_t[]){1, 0, 1}), 3);
    assert_int_equal(mail.tenant_len, strlen(T));
    assert_memory_equal(mail.tenant, T, strlen(T));
    assert_memory_equal(mail.user, U, strlen(U));
    struct reset_id id = id_of(1);
    assert_memory_equal(&mail.mail.reset, &id, sizeof id);
}

static void a_lease_ends(struct kit *k)
{
    struct leased_mail again;
    ask(k, T, U, 1);
    int64_t mail = must_lease(k);
    assert_false(lease(k, &again));
    k->now_ms += 999;
    assert_false(lease(k, &again));
    k->now_ms += 1;
    assert_true(lease(k, &again));
    assert_true(again.mail.id == mail);
}

static void sent_replaces_what_is_older(struct kit *k)
{
    struct leased_mail none;
    struct reset_status status;
    ask(k, T, U, 1);
    ask(k, T, "bob", 2);
    ask(k, T, U, 3);
    int64_t mails[4]; /* by the number of the reset: which comes first is not promised */
    for (int i = 0; i < 3; i++) {
        struct leased_mail mail;
        assert_true(lease(k, &mail));
        mails[mail.mail.reset.bytes[0]] = mail.mail.id;
    }
    end(k, act_sent, mails[3], 0);
    assert_int_equal(get(k, T, 3, &status), ERR_OK);
    assert_int_equal(status.state, RESET_SENT);
    assert_int_equal(status.attempts, 1);
    assert_int_equal(state_of(k, 1), RESET_REPLACED);
    assert_int_equal(state_of(k, 2), RESET_QUEUED); /* another user's */
    end(k, act_sent, mails[1], 0);                  /* too late: nothing happens */
    assert_int_equal(state_of(k, 1), RESET_REPLACED);
    k->now_ms += 1000;
    assert_true(must_lease(k) == mails[2]);
    assert_false(lease(k, &none));
}

static void failed_replaces_nothing(struct kit *k)
{
    struct leased_mail none;
    struct reset_status status;
    ask(k, T, U, 1);
    ask(k, T, U, 2);
    must_lease(k);
    end(k, act_failed, must_lease(k), 0);
    assert_int_equal(get(k, T, 2, &status), ERR_OK);
    assert_int_equal(status.state, RESET_FAILED);
    assert_string_equal(status.last_error, "550 no");
    assert_int_equal(state_of(k, 1), RESET_QUEUED);
    k->now_ms += 1000;
    must_lease(k);
    assert_false(lease(k, &none));
}

static void deferred_is_due_again(struct kit *k)
{
    struct leased_mail mail;
    struct reset_status status;
    ask(k, T, U, 1);
    for (uint32_t tries = 1; tries <= 3; tries++) {
        end(k, act_deferred, must_lease(k), k->now_ms + 5000);
        assert_int_equal(get(k, T, 1, &status), ERR_OK);
        assert_int_equal(status.state, RESET_DEFERRED);
        assert_int_equal(status.attempts, tries);
        k->now_ms += 4999;
        assert_false(lease(k, &mail));
        k->now_ms += 1;
    }
    assert_true(lease(k, &mail));
    assert_int_equal(mail.mail.attempts, 3);
    end(k, act_sent, mail.mail.id, 0);
    assert_int_equal(state_of(k, 1), RESET_SENT);
}

static void anothers_report_changes_nothing(struct kit *k)
{
    ask(k, T, U, 1);
    struct call c = {
        .t = kit_tenant("other"), .u = kit_user(U), .number = must_lease(k), .error = ""};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_job(k, act_sent, &c), ERR_OK);
        assert_int_equal(kit_job(k, act_failed, &c), ERR_OK);
        assert_int_equal(kit_job(k, act_deferred, &c), ERR_OK);
        c.t = kit_tenant(T);
        c.u = kit_user("bob");
    }
    assert_int_equal(state_of(k, 1), RESET_QUEUED);
    k->now_ms += 1000;
    must_lease(k);
}

static void every_tenant_gets_its_turn(struct kit *k)
{
    for (uint32_t n = 0; n < 20; n++)
        ask(k, T, U, n);
    ask(k, "b", U, 20);
    ask(k, "c", U, 21);
    size_t of_others = 0;
    for (int i = 0; i < 6; i++) {
        struct leased_mail mail;
        assert_true(lease(k, &mail));
        of_others += mail.tenant_len == 1;
    }
    assert_int_equal(of_others, 2);
}

/* ---- a token
 * ----------------------------------------------------------------------------------------- */

static void a_token_is_good_once_for_its_user(struct kit *k)
{
    struct leased_mail none;
    kit_enroll(k, T, U, 1, 10);
    ask(k, T, U, 5);
    struct factor f = kit_factor(k, 2, 2);
    struct factor first = kit_factor(k, 1, 3);
    assert_false(confirm(k, T, U, 6, &f));
    assert_false(confirm(k, T, "bob", 5, &first));
    assert_false(confirm(k, "other", U, 5, &first));
    assert_int_equal(state_of(k, 5), RESET_QUEUED);
    assert_true(confirm(k, T, U, 5, &f));
    assert_int_equal(state_of(k, 5), RESET_CONFIRMED);
    assert_false(lease(k, &none)); /* its mail is gone */
    f = kit_factor(k, 3, 4);
    assert_false(confirm(k, T, U, 5, &f));

    /* The old secret works until a code of the new one came. */
    assert_true(kit_accept_step(k, T, U, 1, 11));
    assert_true(kit_accept_step(k, T, U, 2, 5));
    assert_false(kit_accept_step(k, T, U, 1, 12));
    assert_true(kit_accept_step(k, T, U, 2, 6));
}

static void a_token_expires(struct kit *k)
{
    ask(k, T, U, 5);
    struct factor f = kit_factor(k, 1, 2);
    k->now_ms += HOUR_MS;
    assert_int_equal(state_of(k, 5), RESET_EXPIRED);
    assert_false(confirm(k, T, U, 5, &f));
    k->now_ms -= 1;
    assert_true(confirm(k, T, U, 5, &f));
}

static enum err act_other(struct kit *k, void *args)
{
    struct call *c = args;
    return k->store->ops->other_get(k->store, c->t, c->u, c->in, c->out, &k->why);
}

static void the_other_secret(struct kit *k)
{
    struct factor other, pending = kit_factor(k, 1, 1);
    struct call c = {.t = kit_tenant(T), .u = kit_user(U), .in = &pending, .out = &other};
    assert_int_equal(kit_job(k, act_other, &c), ERR_NOT_FOUND);
    kit_enroll(k, T, U, 1, 10);
    struct factor own = kit_factor(k, 1, 1);
    own.confirm_ms = 1;
    c.in = &own;
    assert_int_equal(kit_job(k, act_other, &c), ERR_NOT_FOUND);
    ask(k, T, U, 5);
    pending = kit_factor(k, 2, 2);
    assert_true(confirm(k, T, U, 5, &pending));
    c.in = &pending;
    assert_int_equal(kit_job(k, act_other, &c), ERR_OK);
    assert_int_equal(other.generation, 1);
    assert_true(kit_accept_step(k, T, U, 2, 20));
    c.in = &own;
    assert_int_equal(kit_job(k, act_other, &c), ERR_OK);
    assert_int_equal(other.generation, 1);
}

/* ---- limits and retries
 * --------------------------------------------------------------------------- */

static void limits_are_exact(struct kit *k)
{
    int64_t begin = k->now_ms;
    for (uint32_t n = 1; n <= 3; n++) {
        ask(k, T, U, n);
        k->now_ms += 1000;
    }
    struct reset_request r = request_of(k, 1);
    r.id = id_of(9);
    memset(r.token_hash, 9, sizeof r.token_hash);
    r.limits.per_user = 3;
    struct reset_put got = put(k, T, U, &r);
    assert_int_equal(got.result, RESET_USER_LIMIT);
    assert_true(got.retry_after_ms == begin + HOUR_MS - k->now_ms);
    r.limits.per_address = 1;
    assert_int_equal(put(k, T, "bob", &r).result, RESET_ADDRESS_LIMIT);
    r.limits.per_address = 2;
    r.limits.per_tenant = 3;
    assert_int_equal(put(k, T, "bob", &r).result, RESET_TENANT_LIMIT);
    assert_int_equal(put(k, "other", "bob", &r).result, RESET_PUT);
    k->now_ms = r.create_ms = begin + HOUR_MS;
    r.id = id_of(10);
    memset(r.token_hash, 10, sizeof r.token_hash);
    r.limits.per_address = 100;
    assert_int_equal(put(k, T, U, &r).result, RESET_PUT);
}

static void a_request_is_remembered(struct kit *k)
{
    struct request_mark mark = kit_request(1, 1), other = kit_request(1, 2);
    struct reset_request r = request_of(k, 1), again = request_of(k, 2);
    r.request = again.request = &mark;
    assert_int_equal(put(k, T, U, &r).result, RESET_PUT);
    struct reset_put got = put(k, T, U, &again);
    assert_int_equal(got.result, RESET_REPEATED);
    assert_memory_equal(&got.first.id, &r.id, sizeof r.id);
    again.request = &other;
    assert_int_equal(put(k, T, U, &again).result, RESET_REUSED);
    again.request = &mark;
    assert_int_equal(put(k, T, "bob", &again).result, RESET_PUT);
    k->now_ms += REQUEST_MEMORY_MS;
    again = request_of(k, 3);
    again.request = &other;
    assert_int_equal(put(k, T, U, &again).result, RESET_PUT);
}

static void a_notice_comes_with_what_it_is_about(struct kit *k)
{
    struct mail m = {.kind = MAIL_REPLACED,
                     .address = "a@b.example",
                     .locale = "de",
                     .create_ms = k->now_ms,
                     .due_ms = k->now_ms + 5,
                     .expire_ms = k->now_ms + 10};
    struct factor f = kit_factor(k, 1, 11);
    struct acceptance a = {
        .enrollment = f.enrollment, .step = 1000, .now_ms = k->now_ms, .notice = &m};
    struct leased_mail mail;
    bool won = false;
    assert_int_equal(kit_accept(k, T, U, &a, &won), ERR_OK);
    assert_false(won);
    k->now_ms += 5;
    assert_false(lease(k, &mail)); /* what lost sends nothing */
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kit_accept(k, T, U, &a, &won), ERR_OK);
    assert_true(lease(k, &mail));
    assert_int_equal(mail.mail.kind, MAIL_REPLACED);
    assert_string_equal(mail.mail.address, m.address);
    assert_string_equal(mail.mail.locale, m.locale);
    assert_int_equal(mail.mail.token_len, 0);
    end(k, act_sent, mail.mail.id, 0);
    k->now_ms += 1000;
    assert_false(lease(k, &mail));
}

static void old_resets_are_swept(struct kit *k)
{
    struct reset_status status;
    uint32_t n;
    ask(k, T, U, 1);
    end(k, act_sent, must_lease(k), 0);
    k->now_ms += HOUR_MS + 6 * 24 * (int64_t)HOUR_MS;
    assert_int_equal(kit_sweep(k, 10, &n), ERR_OK);
    assert_int_equal(get(k, T, 1, &status), ERR_OK);
    k->now_ms += 24 * (int64_t)HOUR_MS;
    assert_int_equal(kit_sweep(k, 10, &n), ERR_OK);
    assert_int_equal(get(k, T, 1, &status), ERR_NOT_FOUND);
}

#define TEST(f)                                                                                    \
    {                                                                                              \
#f, f, false                                                                               \
    }
const struct store_contract_test store_contract_outbox[] = {
    TEST(a_mail_comes_back_whole),
    TEST(a_lease_ends),
    TEST(sent_replaces_what_is_older),
    TEST(failed_replaces_nothing),
    TEST(deferred_is_due_again),
    TEST(anothers_report_changes_nothing),
    TEST(every_tenant_gets_its_turn),
    TEST(a_token_is_good_once_for_its_user),
    TEST(a_token_expires),
    TEST(the_other_secret),
    TEST(limits_are_exact),
    TEST(a_request_is_remembered),
    TEST(a_notice_comes_with_what_it_is_about),
    TEST(old_resets_are_swept),
};
const size_t store_contract_n_outbox =
    sizeof store_contract_outbox / sizeof store_contract_outbox[0];
