/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/secret.h"
#include "crypto/totp.h"
#include "crypto/totp_internal.h"
#include "support/vectors.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define N_HASHES 3
#define PERIOD   30
#define STEP_MS  30000

/* The secrets of RFC 6238 appendix B: "1234567890" again and again, as long as the
 * hash. The first is that of RFC 4226 appendix D as well. */
static struct secret *keys[N_HASHES + 1];

static int setup(void **state)
{
    (void)state;
    if (secret_init(NULL) != ERR_OK || totp_init(NULL) != ERR_OK || totp_init(NULL) != ERR_OK)
        return -1;
    for (enum totp_hash h = TOTP_SHA1; h <= TOTP_SHA512; h++) {
        keys[h] = secret_new();
        keys[h]->len = totp_secret_len(h);
        for (size_t i = 0; i < keys[h]->len; i++)
            keys[h]->bytes[i] = (uint8_t)('0' + (i + 1) % 10);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (enum totp_hash h = TOTP_SHA1; h <= TOTP_SHA512; h++)
        secret_free(keys[h]);
    return 0;
}

static void assert_code(enum totp_hash hash, uint32_t digits, int64_t step, const char *want)
{
    char code[TOTP_DIGITS_MAX + 1];
    assert_int_equal(totp_code(code, keys[hash], hash, digits, step), ERR_OK);
    assert_string_equal(code, want);
}

/* Every length at once: shorter codes are the end of longer ones. */
static void assert_codes(enum totp_hash hash, int64_t step, const char *eight)
{
    assert_code(hash, 8, step, eight);
    assert_code(hash, 7, step, eight + 1);
    assert_code(hash, 6, step, eight + 2);
}

static void test_rfc4226(void **state)
{
    (void)state;
    static const char *const codes[] = {"755224", "287082", "359152", "969429", "338314",
                                        "254676", "287922", "162583", "399871", "520489"};
    for (int64_t i = 0; i < 10; i++)
        assert_code(TOTP_SHA1, 6, i, codes[i]);
}

static void test_rfc6238(void **state)
{
    (void)state;
    static const struct {
        int64_t time;
        const char *codes[N_HASHES];
    } rows[] = {
        {59, {"94287082", "46119246", "90693936"}},
        {1111111109, {"07081804", "68084774", "25091201"}},
        {1111111111, {"14050471", "67062674", "99943326"}},
        {1234567890, {"89005924", "91819424", "93441116"}},
        {2000000000, {"69279037", "90698825", "38618901"}},
        {20000000000, {"65353130", "77737706", "47863826"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (enum totp_hash h = TOTP_SHA1; h <= TOTP_SHA512; h++)
            assert_codes(h, totp_step(rows[i].time * 1000, PERIOD), rows[i].codes[h - TOTP_SHA1]);
}

/* Made with two other implementations: the counter has 64 bits, all of them count. */
static void test_counters_beyond_32_bits(void **state)
{
    (void)state;
    static const struct {
        int64_t step;
        const char *codes[N_HASHES];
    } rows[] = {
        {4294967295, {"57117190", "40114512", "69006271"}},
        {4294967296, {"55999456", "66351443", "82894678"}},
        {4294967297, {"39108930", "99447045", "69375526"}},
        {1099511627783, {"81658338", "26386732", "44181181"}},
        {INT64_MAX, {"50181742", "52643611", "78761491"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (enum totp_hash h = TOTP_SHA1; h <= TOTP_SHA512; h++)
            assert_codes(h, rows[i].step, rows[i].codes[h - TOTP_SHA1]);
}

static void test_leading_zeros(void **state)
{
    (void)state;
    int64_t step;
    assert_code(TOTP_SHA1, 6, 26383, "000066");
    assert_code(TOTP_SHA1, 6, 25193, "000039");
    assert_code(TOTP_SHA1, 8, 37037036, "07081804");
    assert_int_equal(totp_match(&step, "000066", keys[TOTP_SHA1], TOTP_SHA1, 6, 26383, 0), ERR_OK);
    assert_int_equal(step, 26383);
    assert_int_equal(totp_match(&step, "66", keys[TOTP_SHA1], TOTP_SHA1, 6, 26383, 0), ERR_OK);
    assert_int_equal(step, -1);
}

static void test_step(void **state)
{
    (void)state;
    assert_int_equal(totp_step(INT64_MIN, PERIOD), 0);
    assert_int_equal(totp_step(-1, PERIOD), 0);
    assert_int_equal(totp_step(0, PERIOD), 0);
    assert_int_equal(totp_step(29999, PERIOD), 0);
    assert_int_equal(totp_step(30000, PERIOD), 1);
    assert_int_equal(totp_step(59999, PERIOD), 1);
    assert_int_equal(totp_step(59999, 60), 0);
    assert_int_equal(totp_step(2147483648000, PERIOD), 71582788);  /* 2038 */
    assert_int_equal(totp_step(4294967296000, PERIOD), 143165576); /* 2106 */
    assert_int_equal(totp_step(INT64_MAX, 1), INT64_MAX / 1000);
}

static void test_secret_len(void **state)
{
    (void)state;
    assert_int_equal(totp_secret_len(TOTP_SHA1), 20);
    assert_int_equal(totp_secret_len(TOTP_SHA256), 32);
    assert_int_equal(totp_secret_len(TOTP_SHA512), 64);
}

/* Exactly the steps of the window match, up to the millisecond at either border. */
static void check_window(enum totp_hash hash, int64_t now_ms, int64_t now_step, uint32_t window)
{
    assert_int_equal(totp_step(now_ms, PERIOD), now_step);
    for (int64_t skew = -3; skew <= 3; skew++) {
        char code[TOTP_DIGITS_MAX + 1];
        int64_t got = 4711;
        bool inside = skew >= -(int64_t)window && skew <= (int64_t)window;
        assert_int_equal(totp_code(code, keys[hash], hash, 6, now_step + skew), ERR_OK);
        assert_int_equal(totp_match(&got, code, keys[hash], hash, 6, now_step, window), ERR_OK);
        assert_int_equal(got, inside ? now_step + skew : -1);
    }
}

static void test_window_at_step_borders(void **state)
{
    (void)state;
    const int64_t step = 59310000; /* in 2026; codes around it differ */
    for (enum totp_hash h = TOTP_SHA1; h <= TOTP_SHA512; h++)
        for (uint32_t window = 0; window <= 2; window++) {
            check_window(h, step * STEP_MS - 1, step - 1, window);
            check_window(h, step * STEP_MS, step, window);
            check_window(h, step * STEP_MS + 1, step, window);
            check_window(h, (step + 1) * STEP_MS - 1, step, window);
            check_window(h, (step + 1) * STEP_MS, step + 1, window);
        }
}

/* Steps 910737 and 910738 of the RFC's secret have one code. */
static void test_newest_of_two_steps_with_one_code(void **state)
{
    (void)state;
    int64_t step = 0;
    assert_code(TOTP_SHA1, 6, 910737, "911617");
    assert_code(TOTP_SHA1, 6, 910738, "911617");
    for (int64_t center = 910737; center <= 910738; center++) {
        assert_int_equal(totp_match(&step, "911617", keys[TOTP_SHA1], TOTP_SHA1, 6, center, 1),
                         ERR_OK);
        assert_int_equal(step, 910738);
    }
    assert_int_equal(totp_match(&step, "911617", keys[TOTP_SHA1], TOTP_SHA1, 6, 910736, 1), ERR_OK);
    assert_int_equal(step, 910737);
}

/* A step before 1970 has a code as any 64-bit number has, but never matches. */
static void test_nothing_matches_before_step_zero(void **state)
{
    (void)state;
    uint8_t mac[TOTP_MAC_MAX], counter[8];
    size_t len;
    int64_t step = 0;
    memset(counter, 0xff, sizeof counter);
    counter[7] = 0xfe; /* step -2 */
    assert_int_equal(totp_hmac(mac, &len, keys[TOTP_SHA1], TOTP_SHA1, counter, sizeof counter),
                     ERR_OK);
    const uint8_t *at = mac + (mac[len - 1] & 15);
    uint32_t value =
        (uint32_t)(at[0] & 127) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    char code[16];
    snprintf(code, sizeof code, "%06u", value % 1000000);
    assert_int_equal(totp_match(&step, code, keys[TOTP_SHA1], TOTP_SHA1, 6, 0, 2), ERR_OK);
    assert_int_equal(step, -1);
    assert_int_equal(totp_match(&step, "755224", keys[TOTP_SHA1], TOTP_SHA1, 6, 0, 2), ERR_OK);
    assert_int_equal(step, 0);
}

static void test_every_wrong_digit(void **state)
{
    (void)state;
    for (size_t place = 0; place < 6; place++)
        for (char digit = '0'; digit <= '9'; digit++) {
            char code[] = "287082"; /* step 1 */
            int64_t step = 0;
            bool right = code[place] == digit;
            code[place] = digit;
            assert_int_equal(totp_match(&step, code, keys[TOTP_SHA1], TOTP_SHA1, 6, 1, 0), ERR_OK);
            assert_int_equal(step, right ? 1 : -1);
        }
}

static void assert_match_fails(const struct secret *key, enum totp_hash hash, uint32_t digits,
                               int64_t center, uint32_t window)
{
    int64_t step = 4711;
    assert_int_equal(totp_match(&step, "00000000", key, hash, digits, center, window),
                     ERR_INTERNAL);
    assert_int_equal(step, 4711);
}

static void test_out_of_range_fails_closed(void **state)
{
    (void)state;
    char code[TOTP_DIGITS_MAX + 1] = "kept";
    struct secret *empty = secret_new(), *key = keys[TOTP_SHA1];
    assert_match_fails(empty, TOTP_SHA1, 6, 1, 1);
    assert_match_fails(key, (enum totp_hash)0, 6, 1, 1);
    assert_match_fails(key, (enum totp_hash)4, 6, 1, 1);
    assert_match_fails(key, TOTP_SHA1, 5, 1, 1);
    assert_match_fails(key, TOTP_SHA1, 9, 1, 1);
    assert_match_fails(key, TOTP_SHA1, 6, 1, 3);
    assert_match_fails(key, TOTP_SHA1, 6, -1, 1);
    assert_match_fails(key, TOTP_SHA1, 6, INT64_MAX, 1);
    assert_int_equal(totp_code(code, empty, TOTP_SHA1, 6, 1), ERR_INTERNAL);
    assert_int_equal(totp_code(code, key, (enum totp_hash)0, 6, 1), ERR_INTERNAL);
    assert_int_equal(totp_code(code, key, TOTP_SHA1, 5, 1), ERR_INTERNAL);
    assert_int_equal(totp_code(code, key, TOTP_SHA1, 9, 1), ERR_INTERNAL);
    assert_int_equal(totp_code(code, key, TOTP_SHA1, 6, -1), ERR_INTERNAL);
    assert_string_equal(code, "kept");
    secret_free(empty);
}

static void test_longest_secret(void **state)
{
    (void)state;
    struct secret *long_key = secret_new();
    int64_t step = -1;
    char code[TOTP_DIGITS_MAX + 1];
    secret_random(long_key, SECRET_MAX);
    assert_int_equal(totp_code(code, long_key, TOTP_SHA256, 8, 5), ERR_OK);
    assert_int_equal(totp_match(&step, code, long_key, TOTP_SHA256, 8, 6, 1), ERR_OK);
    assert_int_equal(step, 5);
    secret_free(long_key);
}

#define N_THREADS 8
#define TURNS     2000

/* Each thread works with all hashes in turn; a context shared by mistake would mix
 * up their keys. */
static void *many_codes(void *failed_out)
{
    bool *failed = failed_out;
    static const char *const of_step_1[] = {"94287082", "46119246", "90693936"};
    for (size_t i = 0; i < TURNS; i++) {
        enum totp_hash h = (enum totp_hash)(TOTP_SHA1 + i % N_HASHES);
        int64_t step = -1;
        enum err e = totp_match(&step, of_step_1[h - TOTP_SHA1], keys[h], h, 8, 2, 1);
        *failed = *failed || e != ERR_OK || step != 1;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    bool failed[N_THREADS] = {0};
    for (size_t i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_codes, &failed[i]), 0);
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(failed[i]);
    }
}

struct tally {
    struct secret *key;
    size_t valid, invalid;
};

/* Their tags may be cut short, then the first bytes count. */
static void run_hmac_case(void *ctx, char *const *words)
{
    struct tally *tally = ctx;
    struct vector_bytes key, message, tag;
    uint8_t mac[TOTP_MAC_MAX];
    size_t len = 0;
    enum totp_hash hash = strcmp(words[0], "sha1") == 0     ? TOTP_SHA1
                          : strcmp(words[0], "sha256") == 0 ? TOTP_SHA256
                                                            : TOTP_SHA512;
    bool valid = strcmp(words[2], "valid") == 0;
    vectors_bytes(&key, words[3]);
    vectors_bytes(&message, words[4]);
    vectors_bytes(&tag, words[5]);
    secret_set(tally->key, key.bytes, key.len);
    assert_int_equal(totp_hmac(mac, &len, tally->key, hash, message.bytes, message.len), ERR_OK);
    assert_int_equal(len, totp_secret_len(hash));
    assert_in_range(tag.len, 1, len);
    assert_int_equal(secret_equal(mac, tag.bytes, tag.len), valid);
    tally->valid += valid;
    tally->invalid += !valid;
}

static void test_wycheproof_hmac(void **state)
{
    (void)state;
    struct tally tally = {.key = secret_new()};
    assert_int_equal(vectors_each("tests/vectors/wycheproof_hmac.txt", 6, run_hmac_case, &tally),
                     518);
    assert_int_equal(tally.valid, 198);
    assert_int_equal(tally.invalid, 320);
    secret_free(tally.key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4226),
        cmocka_unit_test(test_rfc6238),
        cmocka_unit_test(test_counters_beyond_32_bits),
        cmocka_unit_test(test_leading_zeros),
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_secret_len),
        cmocka_unit_test(test_window_at_step_borders),
        cmocka_unit_test(test_newest_of_two_steps_with_one_code),
        cmocka_unit_test(test_nothing_matches_before_step_zero),
        cmocka_unit_test(test_every_wrong_digit),
        cmocka_unit_test(test_out_of_range_fails_closed),
        cmocka_unit_test(test_longest_secret),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_wycheproof_hmac),
    };
    return !!cmocka_run_group_tests(tests, setup, teardown);
}
