/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/seal_internal.h"
#include "crypto/secret.h"
#include "support/child.h"
#include "support/vectors.h"

#include <stdlib.h>
#include <string.h>

#define PLAIN_LEN  20
#define SEALED_LEN (PLAIN_LEN + SEAL_OVERHEAD)

static struct secret *key, *other_key, *plain, *opened;

static const struct seal_binding binding = {
    .purpose = "factor",
    .tenant = {.p = "acme", .len = 4},
    .user = {.p = "jan", .len = 3},
    .generation = 7,
    .key_id = 2,
};

static int setup(void **state)
{
    (void)state;
    if (secret_init(NULL) != ERR_OK)
        return -1;
    key = secret_new();
    other_key = secret_new();
    plain = secret_new();
    opened = secret_new();
    secret_random(key, SEAL_KEY_LEN);
    secret_random(other_key, SEAL_KEY_LEN);
    secret_random(plain, PLAIN_LEN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(key);
    secret_free(other_key);
    secret_free(plain);
    secret_free(opened);
    return 0;
}

static void assert_opens(const struct seal_binding *b, const uint8_t *sealed, size_t n)
{
    assert_int_equal(seal_open(opened, key, b, sealed, n), ERR_OK);
    assert_int_equal(opened->len, plain->len);
    assert_memory_equal(opened->bytes, plain->bytes, SECRET_MAX);
}

/* Nothing of an earlier success may be left in the secret that was reused. */
static void assert_stays_closed(const struct secret *k, const struct seal_binding *b,
                                const uint8_t *sealed, size_t n)
{
    static const uint8_t zeros[SECRET_MAX];
    secret_set(opened, plain->bytes, plain->len);
    assert_int_equal(seal_open(opened, k, b, sealed, n), ERR_CORRUPT);
    assert_int_equal(opened->len, 0);
    assert_memory_equal(opened->bytes, zeros, SECRET_MAX);
}

static void test_round_trip_of_every_length(void **state)
{
    (void)state;
    static const uint8_t full[SECRET_MAX] = {1, 2, 3};
    uint8_t sealed[SECRET_MAX + SEAL_OVERHEAD + 1];
    for (size_t n = 0; n <= SECRET_MAX; n++) {
        secret_random(plain, n);
        secret_set(opened, full, sizeof full);
        sealed[n + SEAL_OVERHEAD] = 0xee;
        seal_close(sealed, key, &binding, plain);
        assert_int_equal(sealed[0], 0x01);
        assert_int_equal(sealed[n + SEAL_OVERHEAD], 0xee);
        assert_opens(&binding, sealed, n + SEAL_OVERHEAD);
    }
    secret_random(plain, PLAIN_LEN);
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    uint8_t sealed[SEALED_LEN];
    seal_close(sealed, key, &binding, plain);
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_stays_closed(key, &binding, sealed, sizeof sealed);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_opens(&binding, sealed, sizeof sealed);
}

static void test_every_length_but_its_own(void **state)
{
    (void)state;
    uint8_t sealed[SECRET_MAX + SEAL_OVERHEAD + 1] = {0};
    seal_close(sealed, key, &binding, plain);
    for (size_t n = 0; n <= sizeof sealed; n++) {
        if (n != SEALED_LEN)
            assert_stays_closed(key, &binding, sealed, n);
    }
    assert_stays_closed(key, &binding, NULL, 0);
}

static void test_wrong_key(void **state)
{
    (void)state;
    uint8_t sealed[SEALED_LEN];
    seal_close(sealed, key, &binding, plain);
    assert_stays_closed(other_key, &binding, sealed, sizeof sealed);
    struct secret *short_key = secret_new();
    assert_stays_closed(short_key, &binding, sealed, sizeof sealed);
    secret_set(short_key, key->bytes, SEAL_KEY_LEN - 1);
    assert_stays_closed(short_key, &binding, sealed, sizeof sealed);
    secret_free(short_key);
}

/* Sealed under one binding, opened under another. */
static void test_bound_to_its_place(void **state)
{
    (void)state;
    struct seal_binding others[9];
    for (size_t i = 0; i < 9; i++)
        others[i] = binding;
    others[0].tenant = STR("acmf");
    others[1].user = STR("jam");
    others[2].tenant = binding.user, others[2].user = binding.tenant;
    others[3].generation = 8;
    others[4].key_id = 3;
    others[5].purpose = "data-key";
    others[6].user = STR("");
    others[7].tenant = STR("");
    others[8].generation = binding.key_id, others[8].key_id = binding.generation;
    uint8_t sealed[SEALED_LEN];
    seal_close(sealed, key, &binding, plain);
    for (size_t i = 0; i < 9; i++)
        assert_stays_closed(key, &others[i], sealed, sizeof sealed);
    assert_opens(&binding, sealed, sizeof sealed);
}

/* The same bytes cut elsewhere are other ids. */
static void test_ids_cannot_be_shifted(void **state)
{
    (void)state;
    static const struct {
        const char *purpose;
        struct str tenant, user;
    } same[] = {
        {"p", {"a|bc", 4}, {"", 0}},   {"p", {"a|b", 3}, {"c", 1}}, {"p", {"a|", 2}, {"bc", 2}},
        {"p", {"a", 1}, {"|bc", 3}},   {"p", {"", 0}, {"a|bc", 4}}, {"pa", {"|b", 2}, {"c", 1}},
        {"pa|", {"b", 1}, {"c", 1}},   {"", {"pa|", 3}, {"bc", 2}}, {"pa|bc", {"", 0}, {"", 0}},
        {"p", {"a|bc\0", 5}, {"", 0}}, {"p", {"ab", 2}, {"c", 1}},  {"p", {"a", 1}, {"bc", 2}},
    };
    const size_t n = sizeof same / sizeof *same;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            uint8_t sealed[SEALED_LEN];
            struct seal_binding closing = binding, opening = binding;
            closing.purpose = same[i].purpose, opening.purpose = same[j].purpose;
            closing.tenant = same[i].tenant, opening.tenant = same[j].tenant;
            closing.user = same[i].user, opening.user = same[j].user;
            seal_close(sealed, key, &closing, plain);
            if (i == j)
                assert_opens(&opening, sealed, sizeof sealed);
            else
                assert_stays_closed(key, &opening, sealed, sizeof sealed);
        }
}

static int compare_nonces(const void *a, const void *b)
{
    return memcmp(a, b, SEAL_NONCE_LEN);
}

#define SEALS 200000

static void test_nonces_are_unique(void **state)
{
    (void)state;
    uint8_t(*nonces)[SEAL_NONCE_LEN] = calloc(SEALS, SEAL_NONCE_LEN);
    assert_non_null(nonces);
    for (size_t i = 0; i < SEALS; i++) {
        uint8_t sealed[SEALED_LEN];
        seal_close(sealed, key, &binding, plain);
        memcpy(nonces[i], sealed + 1, SEAL_NONCE_LEN);
    }
    qsort(nonces, SEALS, SEAL_NONCE_LEN, compare_nonces);
    size_t twice = 0;
    for (size_t i = 1; i < SEALS; i++)
        twice += memcmp(nonces[i - 1], nonces[i], SEAL_NONCE_LEN) == 0;
    free(nonces);
    assert_int_equal(twice, 0);
}

static void test_longest_binding(void **state)
{
    (void)state;
    static char id[SEAL_BINDING_MAX];
    memset(id, 'x', sizeof id);
    struct seal_binding longest = {.purpose = "factor",
                                   .tenant = {.p = id, .len = 256},
                                   .user = {.p = id, .len = SEAL_BINDING_MAX - 256 - 6}};
    uint8_t sealed[SEALED_LEN];
    seal_close(sealed, key, &longest, plain);
    assert_opens(&longest, sealed, sizeof sealed);
    longest.user.len--;
    assert_stays_closed(key, &longest, sealed, sizeof sealed);
}

static void close_with(const struct seal_binding *b, size_t key_len)
{
    uint8_t sealed[SEALED_LEN];
    secret_random(key, key_len);
    seal_close(sealed, key, b, plain);
}

static void close_with_long_ids(void *unused)
{
    (void)unused;
    static const char id[SEAL_BINDING_MAX];
    const struct seal_binding too_long = {.purpose = "p", .tenant = {.p = id, .len = sizeof id}};
    close_with(&too_long, SEAL_KEY_LEN);
}

static void close_with_wrapping_ids(void *unused)
{
    (void)unused;
    const struct seal_binding wrapping = {
        .purpose = "", .tenant = {.p = "", .len = SIZE_MAX}, .user = {.p = "", .len = 1}};
    close_with(&wrapping, SEAL_KEY_LEN);
}

static void close_with_short_key(void *unused)
{
    (void)unused;
    close_with(&binding, SEAL_KEY_LEN - 1);
}

static void test_misuse_aborts(void **state)
{
    (void)state;
    assert_true(child_dies(close_with_long_ids, NULL));
    assert_true(child_dies(close_with_wrapping_ids, NULL));
    assert_true(child_dies(close_with_short_key, NULL));
}

struct tally {
    size_t valid, invalid, other_nonce;
};

static void run_aead_case(void *ctx, char *const *words)
{
    struct tally *tally = ctx;
    struct vector_bytes k, nonce, aad, message, sealed, tag;
    uint8_t got[VECTORS_BYTES_MAX];
    bool valid = strcmp(words[1], "valid") == 0;
    vectors_bytes(&k, words[2]);
    vectors_bytes(&nonce, words[3]);
    vectors_bytes(&aad, words[4]);
    vectors_bytes(&message, words[5]);
    vectors_bytes(&sealed, words[6]);
    vectors_bytes(&tag, words[7]);
    assert_int_equal(k.len, SEAL_KEY_LEN);
    if (nonce.len != SEAL_NONCE_LEN) { /* our format has no room for one */
        assert_false(valid);
        tally->other_nonce++;
        return;
    }
    const struct seal_raw raw = {.key = k.bytes,
                                 .nonce = nonce.bytes,
                                 .aad = {.p = (const char *)aad.bytes, .len = aad.len}};
    memcpy(sealed.bytes + sealed.len, tag.bytes, tag.len);
    sealed.len += tag.len;
    assert_int_equal(seal_raw_open(got, &raw, sealed.bytes, sealed.len), valid);
    if (valid) {
        assert_memory_equal(got, message.bytes, message.len);
        seal_raw_close(got, &raw, message.bytes, message.len);
        assert_memory_equal(got, sealed.bytes, sealed.len);
    }
    tally->valid += valid;
    tally->invalid += !valid;
}

static void test_wycheproof_aead(void **state)
{
    (void)state;
    struct tally tally = {0};
    assert_int_equal(
        vectors_each("tests/vectors/wycheproof_xchacha20_poly1305.txt", 8, run_aead_case, &tally),
        315);
    assert_int_equal(tally.valid, 246);
    assert_int_equal(tally.invalid, 60);
    assert_int_equal(tally.other_nonce, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_of_every_length),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_every_length_but_its_own),
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_bound_to_its_place),
        cmocka_unit_test(test_ids_cannot_be_shifted),
        cmocka_unit_test(test_nonces_are_unique),
        cmocka_unit_test(test_longest_binding),
        cmocka_unit_test(test_misuse_aborts),
        cmocka_unit_test(test_wycheproof_aead),
    };
    return !!cmocka_run_group_tests(tests, setup, teardown);
}
