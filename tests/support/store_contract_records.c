/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/store_contract.h"

#include <string.h>

#define T "acme"
#define U "alice"

/* ---- policies ---------------------------------------------------------------------------- */

static void fill(char *text, size_t size, char c)
{
    memset(text, c, size - 1);
    text[size - 1] = '\0';
}

/* Every member at its largest. */
static struct policy big_policy(void)
{
    struct policy p = {.revision = 1,
                       .enabled = true,
                       .mobile = true,

                       .suspended_until_ms = INT64_C(1) << 60,
                       .algorithm = UINT8_MAX,
                       .digits = UINT8_MAX,
                       .period = UINT16_MAX,
                       .window_steps = UINT8_MAX,
                       .enrollment_lifetime = UINT32_MAX,
                       .reset_lifetime = UINT32_MAX,
                       .update_time_ms = -(INT64_C(1) << 60)};
    fill(p.suspended_reason, sizeof p.suspended_reason, 'a');
    fill(p.issuer, sizeof p.issuer, 'b');
    fill(p.reset_link, sizeof p.reset_link, 'c');
    fill(p.mail_from, sizeof p.mail_from, 'd');
    fill(p.mail_from_name, sizeof p.mail_from_name, 'e');
    fill(p.locale, sizeof p.locale, 'f');
    fill(p.updated_by, sizeof p.updated_by, 'g');
    return p;
}

static void assert_policy(struct kit *k, const char *t, const struct policy *want)
{
    struct policy got;
    assert_int_equal(kit_policy_get(k, t, &got), ERR_OK);
    assert_int_equal(got.revision, want->revision);
    assert_int_equal(got.enabled, want->enabled);
    assert_int_equal(got.mobile, want->mobile);
    assert_true(got.suspended_until_ms == want->suspended_until_ms);
    assert_string_equal(got.suspended_reason, want->suspended_reason);
    assert_string_equal(got.issuer, want->issuer);
    assert_int_equal(got.algorithm, want->algorithm);
    assert_int_equal(got.digits, want->digits);
    assert_int_equal(got.period, want->period);
    assert_int_equal(got.window_steps, want->window_steps);
    assert_int_equal(got.enrollment_lifetime, want->enrollment_lifetime);
    assert_int_equal(got.reset_lifetime, want->reset_lifetime);
    assert_string_equal(got.reset_link, want->reset_link);
    assert_string_equal(got.mail_from, want->mail_from);
    assert_string_equal(got.mail_from_name, want->mail_from_name);
    assert_string_equal(got.locale, want->locale);
    assert_true(got.update_time_ms == want->update_time_ms);
    assert_string_equal(got.updated_by, want->updated_by);
}

static void policy_comes_back_whole(struct kit *k)
{
    struct policy p;
    assert_int_equal(kit_policy_get(k, T, &p), ERR_NOT_FOUND);
    p = big_policy();
    assert_int_equal(kit_policy_put(k, T, &p), ERR_OK);
    assert_policy(k, T, &p);
    struct policy empty = {.revision = 2};
    assert_int_equal(kit_policy_put(k, T, &empty), ERR_OK);
    assert_policy(k, T, &empty);
}

static void policy_revisions_follow(struct kit *k)
{
    struct policy p = big_policy();
    for (int64_t wrong = -1; wrong <= 2; wrong++) {
        p.revision = wrong;
        if (wrong != 1)
            assert_int_equal(kit_policy_put(k, T, &p), ERR_CONFLICT);
    }
    p.revision = 1;
    assert_int_equal(kit_policy_put(k, T, &p), ERR_OK);
    struct policy next = {.revision = 2};
    assert_int_equal(kit_policy_put(k, T, &p), ERR_CONFLICT);
    next.revision = 3;
    assert_int_equal(kit_policy_put(k, T, &next), ERR_CONFLICT);
    assert_policy(k, T, &p);
}

static void policies_are_a_tenants_own(struct kit *k)
{
    struct policy p = big_policy(), other;
    assert_int_equal(kit_policy_put(k, T, &p), ERR_OK);
    assert_int_equal(kit_policy_get(k, "acm", &other), ERR_NOT_FOUND);
    assert_int_equal(kit_policy_get(k, "acme2", &other), ERR_NOT_FOUND);
    other = (struct policy){.revision = 1};
    assert_int_equal(kit_policy_put(k, "acme2", &other), ERR_OK);
    assert_policy(k, T, &p);
}

/* ---- data keys --------------------------------------------------------------------------- */

static struct data_key data_key(uint32_t id, uint16_t len)
{
    struct data_key key = {.id = id, .kek_id = id + 100, .sealed_len = len};
    for (uint16_t i = 0; i < len; i++)
        key.sealed[i] = (uint8_t)(i * 3 + id);
    return key;
}

static void assert_data_key(struct kit *k, const char *t, uint32_t id, const struct data_key *want)
{
    struct data_key got;
    assert_int_equal(kit_data_key_get(k, t, id, &got), ERR_OK);
    assert_int_equal(got.id, want->id);
    assert_int_equal(got.kek_id, want->kek_id);
    assert_int_equal(got.sealed_len, want->sealed_len);
    assert_memory_equal(got.sealed, want->sealed, want->sealed_len);
}

static void data_keys_are_added_once(struct kit *k)
{
    struct data_key got, first = data_key(1, DATA_KEY_SEALED_MAX), second = data_key(2, 1);
    struct data_key far = data_key(UINT32_MAX, 72), again = data_key(1, 5);
    assert_int_equal(kit_data_key_get(k, T, 0, &got), ERR_NOT_FOUND);
    assert_int_equal(kit_data_key_get(k, T, 1, &got), ERR_NOT_FOUND);
    assert_int_equal(kit_data_key_add(k, T, &first), ERR_OK);
    assert_data_key(k, T, 0, &first);
    assert_int_equal(kit_data_key_add(k, T, &again), ERR_EXISTS);
    assert_data_key(k, T, 1, &first);
    assert_int_equal(kit_data_key_add(k, T, &far), ERR_OK);
    assert_int_equal(kit_data_key_add(k, T, &second), ERR_OK);
    assert_data_key(k, T, 0, &far);
    assert_data_key(k, T, 2, &second);
    assert_int_equal(kit_data_key_get(k, T, 3, &got), ERR_NOT_FOUND);
    assert_int_equal(kit_data_key_get(k, "acme2", 1, &got), ERR_NOT_FOUND);
}

/* The service's own key belongs to the empty tenant. */
static void the_empty_tenant_is_one_of_its_own(struct kit *k)
{
    struct data_key own = data_key(1, 72), got;
    assert_int_equal(kit_data_key_add(k, "", &own), ERR_OK);
    assert_data_key(k, "", 0, &own);
    assert_int_equal(kit_data_key_get(k, T, 0, &got), ERR_NOT_FOUND);
}

/* ---- users and their secrets -------------------------------------------------------------- */

static struct user_state user(struct kit *k, const char *t, const char *u)
{
    struct user_state state;
    assert_int_equal(kit_user_get(k, t, u, &state), ERR_OK);
    return state;
}

static struct charged charge_of(struct kit *k, const char *t, const char *u, uint32_t enrollment)
{
    struct enrollment_id id = kit_enrollment(enrollment);
    struct charge c = kit_login(k);
    struct charged out;
    if (enrollment != 0)
        c.enrollment = &id;
    assert_int_equal(kit_charge(k, t, u, &c, &out), ERR_OK);
    return out;
}

static void assert_factor(const struct factor *got, const struct factor *want)
{
    assert_memory_equal(got->enrollment.bytes, want->enrollment.bytes, ENROLLMENT_ID_LEN);
    assert_int_equal(got->generation, want->generation);
    assert_int_equal(got->key_id, want->key_id);
    assert_int_equal(got->algorithm, want->algorithm);
    assert_int_equal(got->digits, want->digits);
    assert_int_equal(got->period, want->period);
    assert_true(got->create_ms == want->create_ms);
    assert_true(got->confirm_ms == want->confirm_ms);
    assert_int_equal(got->sealed_len, want->sealed_len);
    assert_memory_equal(got->sealed, want->sealed, want->sealed_len);
}

static void an_unknown_user_is_not_enrolled(struct kit *k)
{
    struct user_state s = user(k, T, U);
    assert_false(s.enrolled);
    assert_false(s.pending);
    assert_int_equal(s.next_generation, 1);
    assert_int_equal(s.failures, 0);
    assert_int_equal(s.retry_after_ms, 0);
    assert_false(s.locked_for_good);
    assert_int_equal(kit_try(k, T, U), CHARGE_NOT_ENROLLED);
    assert_int_equal(charge_of(k, T, U, 9).result, CHARGE_NO_ENROLLMENT);
    assert_false(kit_accept_step(k, T, U, 9, 1));
    assert_int_equal(user(k, T, U).next_generation, 1);
}

static void a_pending_secret_opens_no_login(struct kit *k)
{
    struct factor f = kit_factor(k, 1, 11);
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_OK);
    struct user_state s = user(k, T, U);
    assert_false(s.enrolled);
    assert_true(s.pending);
    assert_int_equal(s.next_generation, 2);
    assert_int_equal(kit_try(k, T, U), CHARGE_NOT_ENROLLED);
    struct charged out = charge_of(k, T, U, 11);
    assert_int_equal(out.result, CHARGE_READY);
    assert_int_equal(out.last_step, -1);
    assert_factor(&out.factor, &f);
    assert_true(out.factor.expire_ms == f.expire_ms);
    assert_int_equal(charge_of(k, T, U, 12).result, CHARGE_NO_ENROLLMENT);
}

static void a_pending_secret_expires(struct kit *k)
{
    struct factor f = kit_factor(k, 1, 11);
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_OK);
    k->now_ms = f.expire_ms - 1;
    assert_true(user(k, T, U).pending);
    assert_int_equal(charge_of(k, T, U, 11).result, CHARGE_READY);
    k->now_ms = f.expire_ms;
    assert_false(user(k, T, U).pending);
    assert_int_equal(charge_of(k, T, U, 11).result, CHARGE_NO_ENROLLMENT);
    assert_false(kit_accept_step(k, T, U, 11, 1));
    assert_int_equal(user(k, T, U).next_generation, 2);
}

static void a_new_pending_secret_replaces_the_old(struct kit *k)
{
    struct factor first = kit_factor(k, 1, 11), second = kit_factor(k, 2, 12);
    struct factor wrong = kit_factor(k, 2, 11);
    assert_int_equal(kit_pending_put(k, T, U, &wrong), ERR_CONFLICT);
    assert_int_equal(kit_pending_put(k, T, U, &first), ERR_OK);
    wrong.generation = 1;
    assert_int_equal(kit_pending_put(k, T, U, &wrong), ERR_CONFLICT);
    wrong.generation = 3;
    assert_int_equal(kit_pending_put(k, T, U, &wrong), ERR_CONFLICT);
    assert_int_equal(kit_pending_put(k, T, U, &second), ERR_OK);
    assert_int_equal(charge_of(k, T, U, 11).result, CHARGE_NO_ENROLLMENT);
    assert_false(kit_accept_step(k, T, U, 11, 1));
    assert_int_equal(charge_of(k, T, U, 12).result, CHARGE_READY);
    assert_int_equal(user(k, T, U).next_generation, 3);
}

static void the_first_right_code_confirms(struct kit *k)
{
    struct factor f = kit_factor(k, 1, 11);
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_OK);
    assert_int_equal(charge_of(k, T, U, 11).result, CHARGE_READY);
    k->now_ms += 5000;
    assert_true(kit_accept_step(k, T, U, 11, 1000));
    f.confirm_ms = k->now_ms;

    struct user_state s = user(k, T, U);
    assert_true(s.enrolled);
    assert_false(s.pending);
    assert_int_equal(s.next_generation, 2);
    assert_int_equal(s.failures, 0);
    struct charged login = charge_of(k, T, U, 0), named = charge_of(k, T, U, 11);
    assert_int_equal(login.result, CHARGE_READY);
    assert_int_equal(login.last_step, 1000);
    assert_factor(&login.factor, &f);
    assert_int_equal(named.result, CHARGE_READY);
    assert_int_equal(named.last_step, 1000);
    assert_factor(&named.factor, &f);
    /* Confirmed is confirmed: what was the pending secret's end means nothing any more. */
    k->now_ms = f.expire_ms + 1;
    assert_int_equal(charge_of(k, T, U, 11).result, CHARGE_READY);
    assert_true(kit_accept_step(k, T, U, 11, 1001));
}

static void an_enrolled_user_gets_no_pending_secret(struct kit *k)
{
    kit_enroll(k, T, U, 11, 1000);
    struct factor f = kit_factor(k, 2, 12);
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_EXISTS);
    f.generation = 1;
    assert_int_equal(kit_pending_put(k, T, U, &f), ERR_EXISTS);
    assert_int_equal(charge_of(k, T, U, 12).result, CHARGE_NO_ENROLLMENT);
    assert_int_equal(kit_try(k, T, U), CHARGE_READY);
}

static void the_sweep_takes_what_has_expired(struct kit *k)
{
    uint32_t n = 99, rounds = 0, swept = 0;
    struct factor f = kit_factor(k, 1, 11);
    assert_int_equal(kit_sweep(k, 10, &n), ERR_OK);
    assert_int_equal(n, 0);
    for (const char *u = "abcde"; *u != '\0'; u++)
        assert_int_equal(kit_pending_put(k, T, u, &f), ERR_OK);
    k->now_ms = f.expire_ms - 1;
    assert_int_equal(kit_sweep(k, 10, &n), ERR_OK);
    assert_int_equal(n, 0);
    assert_true(user(k, T, "abcde").pending);

    k->now_ms = f.expire_ms;
    struct factor fresh = kit_factor(k, 1, 12);
    assert_int_equal(kit_pending_put(k, T, "fresh", &fresh), ERR_OK);
    do {
        assert_int_equal(kit_sweep(k, 2, &n), ERR_OK);
        assert_true(n <= 2);
        swept += n;
    } while (n > 0 && ++rounds < 100);
    assert_int_equal(swept, 5);
    assert_int_equal(user(k, T, "abcde").next_generation, 2);
    assert_true(user(k, T, "fresh").pending);
    assert_int_equal(charge_of(k, T, "fresh", 12).result, CHARGE_READY);
}

/* ---- tenants and users apart --------------------------------------------------------------- */

static const struct pair {
    const char *t, *u;
} pairs[] = {
    {"a", "b"},
    {"b", "a"},
    {"a", "bc"},
    {"ab", "c"},
    {"a|b", "c"},
    {"a", "b|c"},
    {"a/b", "c"},
    {"a", "b/c"},
    {"a:b", "c"},
    {"a", "b:c"},
    {"A", "b"},
    {"a", "B"},
    {"a ", "b"},
    {"a", " b"},
    {"a", "b "},
    {"a", "\x01"},
    {"\x01", "a"},
    {"a", "\xff"},
    {"\xff", "a"},
    {"a", "\x7f"},
    {"a", "\xc3\xa9"},
    {"a", "e\xcc\x81"},
    {"a", "%62"},
    {"a", "0"},
    {"a", "00"},
    {"a", "1"},
    {"1", "a"},
    {"a", "NULL"},
    {"a", "' OR 1 --"},
    {"a", "b\nc"},
    {"a", "\xef\xbb\xbf"
          "b"},
};
#define N_PAIRS (sizeof pairs / sizeof pairs[0])

static void users_never_touch(struct kit *k)
{
    for (uint32_t i = 0; i < N_PAIRS; i++)
        kit_enroll(k, pairs[i].t, pairs[i].u, 100 + i, 1000 + i);
    for (uint32_t i = 0; i < N_PAIRS; i++) {
        struct charged out = charge_of(k, pairs[i].t, pairs[i].u, 0);
        struct enrollment_id want = kit_enrollment(100 + i);
        assert_int_equal(out.result, CHARGE_READY);
        assert_int_equal(out.last_step, 1000 + i);
        assert_memory_equal(out.factor.enrollment.bytes, want.bytes, ENROLLMENT_ID_LEN);
        for (uint32_t j = 0; j < N_PAIRS; j++)
            assert_int_equal(kit_failures(k, pairs[j].t, pairs[j].u), j <= i);
        assert_int_equal(charge_of(k, pairs[i].t, pairs[i].u, 100 + (i + 1) % N_PAIRS).result,
                         CHARGE_NO_ENROLLMENT);
    }
}

/* Ids are bytes with a length: NUL among them, and as many as there may be. */
static enum err act_long_ids(struct kit *k, void *args)
{
    static char bytes[3][ID_MAX];
    memset(bytes, 0xff, sizeof bytes);
    bytes[1][ID_MAX - 1] = 0;
    const struct tenant_id t = {{bytes[0], ID_MAX}};
    const struct user_id users[] = {
        {{bytes[0], ID_MAX}}, {{bytes[0], ID_MAX - 1}},
        {{bytes[1], ID_MAX}}, {{"a\0b", 3}},
        {{"a\0c", 3}},        {{"a", 1}},
        {{"a\0", 2}},         {{"\0", 1}},
    };
    const uint32_t n = sizeof users / sizeof users[0];
    struct user_state state;
    (void)args;
    for (uint32_t i = 0; i < n; i++) {
        struct factor f = kit_factor(k, 1, i);
        assert_int_equal(k->store->ops->pending_put(k->store, t, users[i], &f, &k->why), ERR_OK);
    }
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(
            k->store->ops->user_get(k->store, t, users[i], k->now_ms, &k->lockout, &state, &k->why),
            ERR_OK);
        assert_int_equal(state.next_generation, 2);
        struct enrollment_id id = kit_enrollment(i);
        struct charge c = kit_login(k);
        struct charged out;
        c.enrollment = &id;
        assert_int_equal(k->store->ops->charge(k->store, t, users[i], &c, &out, &k->why), ERR_OK);
        assert_int_equal(out.result, CHARGE_READY);
    }
    return ERR_OK;
}

static void ids_are_bytes(struct kit *k)
{
    assert_int_equal(kit_job(k, act_long_ids, NULL), ERR_OK);
}

/* ---- jobs and batches ------------------------------------------------------------------------ */

static void job_charge(struct kit *k, const char *u, bool keep)
{
    struct charge c = kit_login(k);
    struct charged out;
    k->store->ops->job_begin(k->store, INT64_MAX);
    assert_int_equal(k->store->ops->charge(k->store, kit_tenant(T), kit_user(u), &c, &out, &k->why),
                     ERR_OK);
    assert_int_equal(out.result, CHARGE_READY);
    assert_int_equal(k->store->ops->job_end(k->store, keep, &k->why), ERR_OK);
}

static void job_enroll(struct kit *k, const char *u, uint32_t enrollment, bool keep)
{
    struct factor f = kit_factor(k, 1, enrollment);
    struct acceptance a = {.enrollment = f.enrollment, .step = 1000, .now_ms = k->now_ms};
    bool won;
    k->store->ops->job_begin(k->store, INT64_MAX);
    assert_int_equal(k->store->ops->pending_put(k->store, kit_tenant(T), kit_user(u), &f, &k->why),
                     ERR_OK);
    assert_int_equal(k->store->ops->accept(k->store, kit_tenant(T), kit_user(u), &a, &won, &k->why),
                     ERR_OK);
    assert_true(won);
    assert_int_equal(k->store->ops->job_end(k->store, keep, &k->why), ERR_OK);
}

static void a_batch_keeps_the_kept_jobs_only(struct kit *k)
{
    kit_enroll(k, T, U, 11, 1000);
    kit_enroll(k, T, "bob", 12, 1000);
    assert_int_equal(k->store->ops->batch_begin(k->store, &k->why), ERR_OK);
    job_charge(k, U, true);
    job_charge(k, U, false);
    job_charge(k, "bob", false);
    job_enroll(k, "carol", 13, false);
    job_charge(k, U, true);
    job_enroll(k, "dave", 14, true);
    job_charge(k, "dave", false);
    assert_int_equal(k->store->ops->batch_commit(k->store, &k->why), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_failures(k, T, U), 2);
        assert_int_equal(kit_failures(k, T, "bob"), 0);
        assert_false(user(k, T, "carol").enrolled);
        assert_int_equal(user(k, T, "carol").next_generation, 1);
        assert_true(user(k, T, "dave").enrolled);
        assert_int_equal(kit_failures(k, T, "dave"), 0);
        kit_reopen(k);
    }
}

static void an_abandoned_batch_leaves_nothing(struct kit *k)
{
    uint8_t hash[AUDIT_HASH_LEN];
    int64_t seq;
    struct audit_record r = {
        .seq = 1, .time_ms = k->now_ms, .tenant = kit_tenant(T), .body = STR("{}")};
    kit_enroll(k, T, U, 11, 1000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(k->store->ops->batch_begin(k->store, &k->why), ERR_OK);
        job_charge(k, U, true);
        job_enroll(k, "carol", 13, true);
        job_charge(k, "carol", true);
        assert_int_equal(k->store->ops->audit_append(k->store, &r, &k->why), ERR_OK);
        k->store->ops->batch_abandon(k->store);
        assert_int_equal(kit_failures(k, T, U), 0);
        assert_false(user(k, T, "carol").enrolled);
        assert_int_equal(kit_audit_head(k, &seq, hash), ERR_OK);
        assert_int_equal(seq, 0);
        kit_reopen(k);
    }
}

/* Several users, and one of them twice, in one job. */
static enum err act_crowd(struct kit *k, void *args)
{
    struct request_mark first = kit_request(1, 1), second = kit_request(2, 2);
    const struct request_mark *marks[] = {&first, NULL, &second};
    const char *users[] = {U, "bob", U};
    (void)args;
    for (int i = 0; i < 3; i++) {
        struct charge c = kit_login(k);
        struct charged out;
        c.request = marks[i];
        assert_int_equal(
            k->store->ops->charge(k->store, kit_tenant(T), kit_user(users[i]), &c, &out, &k->why),
            ERR_OK);
        assert_int_equal(out.result, CHARGE_READY);
    }
    struct acceptance a = {.enrollment = kit_enrollment(11),
                           .step = 1001,
                           .now_ms = k->now_ms,
                           .lockout = &k->lockout,
                           .request = &first,
                           .answer = kit_answer(k, KIT_ACCEPTED)};
    bool won = false;
    TRY(k->store->ops->accept(k->store, kit_tenant(T), kit_user(U), &a, &won, &k->why));
    assert_true(won);
    return ERR_OK;
}

static void one_job_may_touch_many_users(struct kit *k)
{
    kit_enroll(k, T, U, 11, 1000);
    kit_enroll(k, T, "bob", 12, 1000);
    assert_int_equal(kit_job(k, act_crowd, NULL), ERR_OK);
    assert_int_equal(kit_failures(k, T, U), 0);
    assert_int_equal(kit_failures(k, T, "bob"), 1);
    for (uint32_t id = 1; id <= 2; id++) {
        struct request_mark r = kit_request(id, id);
        struct charge c = kit_login(k);
        struct charged out;
        c.request = &r;
        assert_int_equal(kit_charge(k, T, U, &c, &out), ERR_OK);
        assert_int_equal(out.result, CHARGE_REPEATED);
        assert_int_equal(out.first.outcome, id == 1 ? KIT_ACCEPTED : ANSWER_OPEN);
    }
}

/* ---- the audit chain ------------------------------------------------------------------------- */

static void audit_records_come_in_order(struct kit *k)
{
    uint8_t hash[AUDIT_HASH_LEN] = {1}, zero[AUDIT_HASH_LEN] = {0};
    int64_t seq = -1;
    assert_int_equal(kit_audit_head(k, &seq, hash), ERR_OK);
    assert_int_equal(seq, 0);
    assert_memory_equal(hash, zero, AUDIT_HASH_LEN);
    for (int64_t n = 1; n <= 3; n++) {
        struct audit_record r = {.time_ms = k->now_ms,
                                 .tenant = kit_tenant(n == 2 ? "" : T),
                                 .body = STR("{\"action\":\"verify\"}")};
        memset(r.hash, (int)(0xf0 + n), sizeof r.hash);
        for (int64_t wrong = n - 2; wrong <= n + 1; wrong++) {
            r.seq = wrong;
            if (wrong != n)
                assert_int_equal(kit_audit_append(k, &r), ERR_CONFLICT);
        }
        r.seq = n;
        assert_int_equal(kit_audit_append(k, &r), ERR_OK);
        assert_int_equal(kit_audit_head(k, &seq, hash), ERR_OK);
        assert_int_equal(seq, n);
        assert_memory_equal(hash, r.hash, AUDIT_HASH_LEN);
    }
}

static void audit_records_share_the_batch(struct kit *k)
{
    uint8_t hash[AUDIT_HASH_LEN];
    int64_t seq;
    struct audit_record r = {.time_ms = k->now_ms, .tenant = kit_tenant(T), .body = STR("{}")};
    kit_enroll(k, T, U, 11, 1000);
    assert_int_equal(k->store->ops->batch_begin(k->store, &k->why), ERR_OK);
    job_charge(k, U, true);
    for (r.seq = 1; r.seq <= 4; r.seq++)
        assert_int_equal(k->store->ops->audit_append(k->store, &r, &k->why), ERR_OK);
    assert_int_equal(k->store->ops->audit_head(k->store, &seq, hash, &k->why), ERR_OK);
    assert_int_equal(seq, 4);
    assert_int_equal(k->store->ops->batch_commit(k->store, &k->why), ERR_OK);
    kit_reopen(k);
    assert_int_equal(kit_audit_head(k, &seq, hash), ERR_OK);
    assert_int_equal(seq, 4);
}

#define TEST_OF_UNDOING(f)                                                                         \
    {                                                                                              \
#f, f, true                                                                                \
    }
#define TEST(f)                                                                                    \
    {                                                                                              \
#f, f, false                                                                               \
    }
const struct store_contract_test store_contract_records[] = {
    TEST(policy_comes_back_whole),
    TEST(policy_revisions_follow),
    TEST(policies_are_a_tenants_own),
    TEST(data_keys_are_added_once),
    TEST(the_empty_tenant_is_one_of_its_own),
    TEST(an_unknown_user_is_not_enrolled),
    TEST(a_pending_secret_opens_no_login),
    TEST(a_pending_secret_expires),
    TEST(a_new_pending_secret_replaces_the_old),
    TEST(the_first_right_code_confirms),
    TEST(an_enrolled_user_gets_no_pending_secret),
    TEST(the_sweep_takes_what_has_expired),
    TEST(users_never_touch),
    TEST(ids_are_bytes),
    TEST_OF_UNDOING(a_batch_keeps_the_kept_jobs_only),
    TEST_OF_UNDOING(an_abandoned_batch_leaves_nothing),
    TEST(one_job_may_touch_many_users),
    TEST_OF_UNDOING(audit_records_come_in_order),
    TEST_OF_UNDOING(audit_records_share_the_batch),
};
const size_t store_contract_n_records =
    sizeof store_contract_records / sizeof store_contract_records[0];
