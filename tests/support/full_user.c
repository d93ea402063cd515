/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/full_user.h"

#include <string.h>

#define NOW INT64_C(1750000000000)

const struct tenant_id full_user_tenant = {{"t\0\xff", 3}};
const struct user_id full_user_id = {{"\0\xffuser\0", 7}};

/* ---- a user who has everything -------------------------------------------------------------- */

static void fill(void *out, size_t n, unsigned from)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)(from + i);
}

static void fill_text(char *out, size_t n)
{
    memset(out, 'x', n);
    out[n] = '\0';
}

static struct factor factor_of(uint32_t generation, bool confirmed)
{
    struct factor f = {.generation = generation,
                       .key_id = UINT32_MAX,
                       .algorithm = UINT8_MAX,
                       .digits = 8,
                       .period = UINT16_MAX,
                       .create_ms = NOW - 5,
                       .confirm_ms = confirmed ? NOW : 0,
                       .expire_ms = confirmed ? 0 : NOW + 600000,
                       .sealed_len = FACTOR_SEALED_MAX};
    fill(f.enrollment.bytes, sizeof f.enrollment.bytes, generation);
    fill(f.sealed, sizeof f.sealed, generation + 100);
    if (!confirmed) {
        fill_text(f.notify_address, MAIL_ADDRESS_MAX);
        fill_text(f.notify_locale, POLICY_LOCALE_MAX);
    }
    return f;
}

struct attempt_entry full_user_entry(enum attempt_kind kind, unsigned n)
{
    struct attempt_entry e = {.kind = kind, .time_ms = NOW + n};
    fill(e.mark.id, sizeof e.mark.id, n);
    e.is_request = kind != ATTEMPT_WON && n % 2 == 0;
    e.is_named = kind == ATTEMPT_TRIED && n % 3 == 0;
    if (e.is_request)
        fill(e.mark.fingerprint, sizeof e.mark.fingerprint, n + 1);
    if (e.is_named)
        fill(e.enrollment.bytes, sizeof e.enrollment.bytes, n + 2);
    if (kind == ATTEMPT_TRIED && !e.is_request)
        return e; /* nobody asks for its answer */
    e.answer = (struct answer){
        .outcome = UINT8_MAX, .reason = UINT8_MAX, .retry_after_ms = n + 1, .time_ms = -NOW};
    fill(e.answer.enrollment.bytes, sizeof e.answer.enrollment.bytes, n + 3);
    return e;
}

void full_user_add_reset(struct mongo_user *user, unsigned n, bool has_request)
{
    struct mongo_reset *r = mongo_user_add_reset(user);
    r->status = (struct reset_status){.state = (enum reset_state)(RESET_QUEUED + n % 7),
                                      .attempts = UINT32_MAX,
                                      .expire_ms = NOW + n};
    fill(r->status.id.bytes, RESET_ID_LEN, n);
    fill_text(r->status.last_error, n % 2 ? MAIL_ERROR_MAX : 0);
    fill(r->token_hash, TOKEN_HASH_LEN, n + 1);
    r->create_ms = NOW - n;
    r->has_request = has_request;
    if (has_request) {
        fill(r->request.id, REQUEST_ID_LEN, n + 2);
        fill(r->request.fingerprint, REQUEST_FINGERPRINT_LEN, n + 3);
    }
}

void full_user_add_mail(struct mongo_user *user, enum mail_kind kind, unsigned n)
{
    struct mail *m = mongo_user_add_mail(user);
    *m = (struct mail){.id = INT64_MAX - n,
                       .kind = kind,
                       .create_ms = NOW,
                       .due_ms = NOW + 10 * n,
                       .expire_ms = NOW + 1000,
                       .attempts = UINT32_MAX};
    fill_text(m->address, MAIL_ADDRESS_MAX);
    fill_text(m->locale, POLICY_LOCALE_MAX);
    if (kind != MAIL_RESET)
        return;
    fill(m->reset.bytes, RESET_ID_LEN, n);
    m->key_id = 7 + n;
    m->token_len = MAIL_TOKEN_SEALED_MAX;
    fill(m->token, sizeof m->token, n);
}

struct mongo_user *full_user_new(void)
{
    struct mongo_user *user = mongo_user_new(full_user_tenant, full_user_id);
    user->version = 1;
    user->generation = UINT32_MAX - 1;
    user->has_own = user->has_next = user->has_old = true;
    user->own = factor_of(2, true);
    user->next = factor_of(3, false);
    user->next.replaces = true;
    user->old = factor_of(1, true);
    user->last_step = INT64_MAX;
    user->attempts.failures = UINT32_MAX;
    user->attempts.last_attempt_ms = NOW;
    for (unsigned i = 0; i < 6; i++) {
        struct attempt_entry e = full_user_entry((enum attempt_kind)(ATTEMPT_TRIED + i % 3), i);
        attempt_log_append(&user->attempts, &e);
    }
    full_user_add_reset(user, 0, false);
    full_user_add_reset(user, 1, true);
    full_user_add_mail(user, MAIL_RESET, 1);
    full_user_add_mail(user, MAIL_ENROLLED, 2);
    for (size_t i = 0; i < MONGO_WRITES_KEPT; i++) {
        struct mongo_write_id id = mongo_writes_new_id();
        mongo_writes_note(&user->writes, &id);
    }
    return user;
}

/* ---- the same, field by field --------------------------------------------------------------- */

static void assert_factor(const struct factor *a, const struct factor *b)
{
    assert_memory_equal(&a->enrollment, &b->enrollment, sizeof a->enrollment);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->key_id, b->key_id);
    assert_int_equal(a->algorithm, b->algorithm);
    assert_int_equal(a->digits, b->digits);
    assert_int_equal(a->period, b->period);
    assert_int_equal(a->create_ms, b->create_ms);
    assert_int_equal(a->confirm_ms, b->confirm_ms);
    assert_int_equal(a->expire_ms, b->expire_ms);
    assert_string_equal(a->notify_address, b->notify_address);
    assert_string_equal(a->notify_locale, b->notify_locale);
    assert_int_equal(a->replaces, b->replaces);
    assert_int_equal(a->sealed_len, b->sealed_len);
    assert_memory_equal(a->sealed, b->sealed, sizeof a->sealed);
}

static void assert_entry(const struct attempt_entry *a, const struct attempt_entry *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->is_request, b->is_request);
    assert_int_equal(a->is_named, b->is_named);
    assert_memory_equal(&a->mark, &b->mark, sizeof a->mark);
    assert_memory_equal(&a->enrollment, &b->enrollment, sizeof a->enrollment);
    assert_int_equal(a->time_ms, b->time_ms);
    assert_int_equal(a->answer.outcome, b->answer.outcome);
    assert_int_equal(a->answer.reason, b->answer.reason);
    assert_int_equal(a->answer.retry_after_ms, b->answer.retry_after_ms);
    assert_int_equal(a->answer.time_ms, b->answer.time_ms);
    assert_memory_equal(&a->answer.enrollment, &b->answer.enrollment, sizeof a->answer.enrollment);
}

static void assert_reset(const struct mongo_reset *a, const struct mongo_reset *b)
{
    assert_memory_equal(&a->status.id, &b->status.id, sizeof a->status.id);
    assert_int_equal(a->status.state, b->status.state);
    assert_int_equal(a->status.attempts, b->status.attempts);
    assert_int_equal(a->status.expire_ms, b->status.expire_ms);
    assert_string_equal(a->status.last_error, b->status.last_error);
    assert_memory_equal(a->token_hash, b->token_hash, TOKEN_HASH_LEN);
    assert_int_equal(a->create_ms, b->create_ms);
    assert_int_equal(a->has_request, b->has_request);
    assert_memory_equal(&a->request, &b->request, sizeof a->request);
}

static void assert_mail(const struct mail *a, const struct mail *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->address, b->address);
    assert_string_equal(a->locale, b->locale);
    assert_int_equal(a->create_ms, b->create_ms);
    assert_int_equal(a->due_ms, b->due_ms);
    assert_int_equal(a->expire_ms, b->expire_ms);
    assert_int_equal(a->attempts, b->attempts);
    assert_memory_equal(&a->reset, &b->reset, sizeof a->reset);
    assert_int_equal(a->key_id, b->key_id);
    assert_int_equal(a->token_len, b->token_len);
    assert_memory_equal(a->token, b->token, sizeof a->token);
}

void full_user_assert_hot(const struct mongo_user *a, const struct mongo_user *b)
{
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->writes.n, b->writes.n);
    assert_memory_equal(a->writes.ids, b->writes.ids, sizeof a->writes.ids);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->last_step, b->last_step);
    assert_int_equal(a->has_own, b->has_own);
    assert_int_equal(a->has_next, b->has_next);
    assert_int_equal(a->has_old, b->has_old);
    assert_factor(&a->own, &b->own);
    if (a->has_next)
        assert_factor(&a->next, &b->next);
    assert_factor(&a->old, &b->old);
    assert_int_equal(a->attempts.failures, b->attempts.failures);
    assert_int_equal(a->attempts.last_attempt_ms, b->attempts.last_attempt_ms);
    assert_int_equal(a->attempts.n, b->attempts.n);
    for (size_t i = 0; i < a->attempts.n; i++)
        assert_entry(&a->attempts.entries[i], &b->attempts.entries[i]);
}

void full_user_assert_same(const struct mongo_user *a, const struct mongo_user *b)
{
    full_user_assert_hot(a, b);
    assert_int_equal(a->n_resets, b->n_resets);
    for (size_t i = 0; i < a->n_resets; i++)
        assert_reset(&a->resets[i], &b->resets[i]);
    assert_int_equal(a->n_mails, b->n_mails);
    for (size_t i = 0; i < a->n_mails; i++)
        assert_mail(&a->mails[i], &b->mails[i]);
}

enum err full_user_try_read(const bson_t *doc, unsigned parts)
{
    struct err_text why = {0};
    struct mongo_user *was = full_user_new(), *user = full_user_new();
    memcpy(&user->writes, &was->writes, sizeof user->writes);
    user->version = was->version = 41;
    user->own.digits = was->own.digits = 5;
    enum err e = mongo_user_bson_read(user, doc, parts, &why);
    if (e == ERR_CORRUPT) {
        full_user_assert_same(user, was);
        assert_string_equal(why.text, "a user in the store makes no sense");
    } else {
        assert_int_equal(e, ERR_OK);
    }
    mongo_user_free(was);
    mongo_user_free(user);
    return e;
}
