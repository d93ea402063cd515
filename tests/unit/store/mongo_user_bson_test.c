/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/mongo_put_internal.h"
#include "support/full_user.h"

#include <stdlib.h>
#include <string.h>

/* ---- there and back ------------------------------------------------------------------------- */

static void there_and_back(struct mongo_user *user)
{
    bson_t doc = BSON_INITIALIZER;
    struct err_text why;
    struct mongo_user *got =
        mongo_user_new(mongo_user_tenant(&user->key), mongo_user_id(&user->key));
    user->version = 1;
    mongo_user_bson_write_new(user, &doc);
    assert_true(bson_validate(&doc, BSON_VALIDATE_NONE, NULL));
    assert_int_equal(mongo_user_bson_read(got, &doc, MONGO_ALL, &why), ERR_OK);
    assert_int_equal(got->loaded, MONGO_ALL);
    assert_int_equal(got->changed, 0);
    full_user_assert_same(user, got);
    mongo_user_free(got);
    mongo_user_free(user);
    bson_destroy(&doc);
}

static void test_a_full_user(void **state)
{
    (void)state;
    there_and_back(full_user_new());
}

static void test_an_empty_user(void **state)
{
    (void)state;
    there_and_back(mongo_user_new(full_user_tenant, full_user_id));
}

static void test_ids_at_their_limits(void **state)
{
    char longest[ID_MAX];
    (void)state;
    memset(longest, 0xff, sizeof longest);
    const struct tenant_id none = {{"", 0}}, long_tenant = {{longest, sizeof longest}};
    const struct user_id one = {{"", 1}}, long_user = {{longest, sizeof longest}};
    there_and_back(mongo_user_new(none, one)); /* NUL */
    there_and_back(mongo_user_new(none, long_user));
    there_and_back(mongo_user_new(long_tenant, long_user));
}

static void test_the_most_that_is_kept(void **state)
{
    struct mongo_user *user = full_user_new();
    (void)state;
    while (user->attempts.n < ATTEMPT_LOG_READ_MAX) {
        struct attempt_entry e = full_user_entry(ATTEMPT_TRIED, (unsigned)user->attempts.n * 6);
        attempt_log_append(&user->attempts, &e);
    }
    while (user->n_resets < MONGO_RESETS_MAX)
        full_user_add_reset(user, (unsigned)user->n_resets, true);
    while (user->n_mails < MONGO_RESETS_MAX)
        full_user_add_mail(user, MAIL_RESET, (unsigned)user->n_mails);
    there_and_back(user);
}

static void test_next_that_replaces_nothing(void **state)
{
    struct mongo_user *user = full_user_new();
    (void)state;
    user->has_own = user->has_old = false;
    user->own = user->old = (struct factor){0};
    user->next.replaces = false;
    there_and_back(user);
}

/* Without resets and mails, as a verification reads it. */
static void test_hot_parts_only(void **state)
{
    bson_t doc = BSON_INITIALIZER, hot = BSON_INITIALIZER;
    struct err_text why;
    struct mongo_user *user = full_user_new(),
                      *got = mongo_user_new(full_user_tenant, full_user_id);
    (void)state;
    mongo_user_bson_write_new(user, &doc);
    bson_copy_to_excluding_noinit(&doc, &hot, F_RESETS, F_MAILS, NULL);
    assert_int_equal(mongo_user_bson_read(got, &hot, MONGO_ALL, &why), ERR_CORRUPT);
    unsigned parts = MONGO_ATTEMPTS | MONGO_SECRETS;
    assert_int_equal(mongo_user_bson_read(got, &hot, parts, &why), ERR_OK);
    assert_int_equal(got->loaded, parts);
    full_user_assert_hot(user, got);
    assert_int_equal(got->n_resets + got->n_mails, 0);
    mongo_user_free(got);
    mongo_user_free(user);
    bson_destroy(&doc);
    bson_destroy(&hot);
}

static void test_keys_tell_the_ids_apart(void **state)
{
    struct mongo_key key;
    struct err_text why;
    bson_t doc = BSON_INITIALIZER;
    struct mongo_user *user = mongo_user_new(full_user_tenant, full_user_id);
    const struct mongo_key a = mongo_user_key((struct tenant_id){{"ab", 2}},
                                              (struct user_id){{"c", 1}}),
                           b = mongo_user_key((struct tenant_id){{"a", 1}},
                                              (struct user_id){{"bc", 2}});
    (void)state;
    assert_memory_not_equal(a.bytes, b.bytes, a.len);
    mongo_user_bson_write_new(user, &doc);
    assert_int_equal(mongo_user_bson_read_key(&doc, &key, &why), ERR_OK);
    assert_true(str_equal(mongo_user_tenant(&key).s, full_user_tenant.s));
    assert_true(str_equal(mongo_user_id(&key).s, full_user_id.s));
    assert_int_equal(key.len, user->key.len);
    assert_memory_equal(key.bytes, user->key.bytes, key.len);
    mongo_user_free(user);
    bson_destroy(&doc);
}

/* ---- as a whole ------------------------------------------------------------------------------ */

static void test_a_log_that_is_too_long(void **state)
{
    bson_t doc = BSON_INITIALIZER;
    struct mongo_user *user = full_user_new();
    (void)state;
    while (user->attempts.n <= ATTEMPT_LOG_READ_MAX) {
        struct attempt_entry e = full_user_entry(ATTEMPT_NOTED, 1);
        attempt_log_append(&user->attempts, &e);
    }
    mongo_user_bson_write_new(user, &doc);
    assert_int_equal(full_user_try_read(&doc, MONGO_ALL), ERR_CORRUPT);
    mongo_user_free(user);
    bson_destroy(&doc);
}

static void test_the_document_of_another_user(void **state)
{
    static const struct user_id others[] = {{{"\0\xffuser", 6}}, {{"x\xffuser\0", 7}}, {{"", 0}}};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        bson_t doc = BSON_INITIALIZER;
        struct mongo_user *user = mongo_user_new(full_user_tenant, others[i]);
        mongo_user_bson_write_new(user, &doc);
        assert_int_equal(full_user_try_read(&doc, MONGO_ALL), ERR_CORRUPT);
        mongo_user_free(user);
        bson_destroy(&doc);
    }
}

static void assert_key_is_bad(const void *bytes, size_t n)
{
    struct mongo_key key;
    struct err_text why;
    bson_t doc = BSON_INITIALIZER;
    mongo_put_bytes(&doc, "_id", bytes, n);
    assert_int_equal(mongo_user_bson_read_key(&doc, &key, &why), ERR_CORRUPT);
    bson_destroy(&doc);
}

static void test_keys_that_make_no_sense(void **state)
{
    uint8_t room[MONGO_KEY_MAX + 1] = {0};
    struct mongo_key key;
    struct err_text why;
    bson_t doc = BSON_INITIALIZER;
    (void)state;
    assert_int_equal(mongo_user_bson_read_key(&doc, &key, &why), ERR_CORRUPT);
    mongo_put_text(&doc, "_id", "text");
    assert_int_equal(mongo_user_bson_read_key(&doc, &key, &why), ERR_CORRUPT);
    bson_destroy(&doc);
    assert_key_is_bad(room, 0);
    assert_key_is_bad(room, sizeof room);
    assert_key_is_bad(room, ID_MAX + 2); /* no full_user_tenant, and a user that is too long */
    assert_key_is_bad("\x05"
                      "abcd",
                      5);
    room[0] = ID_MAX + 1;
    assert_key_is_bad(room, MONGO_KEY_MAX);
    room[0] = UINT8_MAX;
    assert_key_is_bad(room, MONGO_KEY_MAX);
}

/* A document that is cut off, with a length that fits: what is lost is not taken for not there. */
static void assert_cut(const bson_t *doc, unsigned parts, const struct mongo_user *user)
{
    bson_t cut;
    struct err_text why;
    for (uint32_t n = 5; n < doc->len; n++) {
        uint8_t *bytes = malloc(n);
        const uint32_t len = BSON_UINT32_TO_LE(n);
        memcpy(bytes, bson_get_data(doc), n);
        memcpy(bytes, &len, sizeof len);
        bytes[n - 1] = 0;
        assert_true(bson_init_static(&cut, bytes, n));
        struct mongo_user *got = mongo_user_new(full_user_tenant, full_user_id);
        enum err e = mongo_user_bson_read(got, &cut, parts, &why);
        if (e != ERR_OK)
            assert_int_equal(e, ERR_CORRUPT);
        else if (!bson_validate(&cut, BSON_VALIDATE_NONE, NULL)) /* behind all that is read */
            full_user_assert_hot(user, got);
        mongo_user_free(got);
        free(bytes);
    }
}

static void test_truncated(void **state)
{
    bson_t doc = BSON_INITIALIZER, hot = BSON_INITIALIZER;
    struct mongo_user *user = full_user_new();
    (void)state;
    mongo_user_bson_write_new(user, &doc);
    bson_copy_to_excluding_noinit(&doc, &hot, F_RESETS, F_MAILS, F_DUE, F_SWEEP, NULL);
    assert_cut(&doc, MONGO_ALL, user);
    assert_cut(&hot, MONGO_ATTEMPTS | MONGO_SECRETS, user);
    mongo_user_free(user);
    bson_destroy(&doc);
    bson_destroy(&hot);
}

/* A type that there is not, or a length that does not fit, anywhere: nothing is left out as if it
 * had never been there. */
static void assert_all_there(const struct mongo_user *got, const struct mongo_user *want)
{
    assert_true(got->has_own && got->has_next && got->has_old);
    assert_int_equal(got->attempts.n, want->attempts.n);
    assert_int_equal(got->n_resets, want->n_resets);
    assert_int_equal(got->n_mails, want->n_mails);
}

static void test_one_byte_that_is_wrong(void **state)
{
    bson_t doc = BSON_INITIALIZER, damaged;
    struct err_text why;
    struct mongo_user *user = full_user_new();
    unsigned n_unsound = 0;
    (void)state;
    mongo_user_bson_write_new(user, &doc);
    for (uint32_t at = 4; at < doc.len - 1; at++) {
        uint8_t *bytes = malloc(doc.len);
        memcpy(bytes, bson_get_data(&doc), doc.len);
        bytes[at] = 0x1f; /* no type, but part of a name */
        assert_true(bson_init_static(&damaged, bytes, doc.len));
        if (!bson_validate(&damaged, BSON_VALIDATE_NONE, NULL)) {
            struct mongo_user *got = mongo_user_new(full_user_tenant, full_user_id);
            n_unsound++;
            if (mongo_user_bson_read(got, &damaged, MONGO_ALL, &why) == ERR_OK)
                assert_all_there(got, user);
            mongo_user_free(got);
        }
        free(bytes);
    }
    assert_true(n_unsound > 500);
    mongo_user_free(user);
    bson_destroy(&doc);
}

/* Bytes that are wrong here and there, and bytes that are nothing: no crash, no half of a user. */
static void test_garbage(void **state)
{
    bson_t doc = BSON_INITIALIZER, damaged;
    struct mongo_user *user = full_user_new();
    unsigned n_corrupt = 0;
    (void)state;
    srandom(1);
    mongo_user_bson_write_new(user, &doc);
    for (int round = 0; round < 30000; round++) {
        uint8_t *bytes = malloc(doc.len);
        memcpy(bytes, bson_get_data(&doc), doc.len);
        for (int i = 0, n = 1 + (int)(random() % 3); i < n; i++)
            bytes[4 + random() % (doc.len - 5)] = (uint8_t)random();
        if (round % 10 == 0)
            for (uint32_t i = 4; i < doc.len - 1; i++)
                bytes[i] = (uint8_t)random();
        assert_true(bson_init_static(&damaged, bytes, doc.len));
        struct mongo_key key;
        struct err_text why;
        n_corrupt += full_user_try_read(&damaged, MONGO_ALL) == ERR_CORRUPT;
        (void)!mongo_user_bson_read_key(&damaged, &key, &why);
        free(bytes);
    }
    assert_true(n_corrupt > 3000);
    mongo_user_free(user);
    bson_destroy(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_user),
        cmocka_unit_test(test_an_empty_user),
        cmocka_unit_test(test_ids_at_their_limits),
        cmocka_unit_test(test_the_most_that_is_kept),
        cmocka_unit_test(test_next_that_replaces_nothing),
        cmocka_unit_test(test_hot_parts_only),
        cmocka_unit_test(test_keys_tell_the_ids_apart),
        cmocka_unit_test(test_a_log_that_is_too_long),
        cmocka_unit_test(test_the_document_of_another_user),
        cmocka_unit_test(test_keys_that_make_no_sense),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_one_byte_that_is_wrong),
        cmocka_unit_test(test_garbage),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
