/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/digest.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "support/child.h"

#include <string.h>

static struct secret *key;

static int setup(void **state)
{
    (void)state;
    if (secret_init(NULL) != ERR_OK)
        return -1;
    key = secret_new();
    for (size_t i = 0; i < SEAL_KEY_LEN; i++)
        key->bytes[i] = (uint8_t)i;
    key->len = SEAL_KEY_LEN;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(key);
    return 0;
}

static void assert_hex(const uint8_t digest[static DIGEST_LEN], const char *want)
{
    char got[2 * DIGEST_LEN + 1];
    str_hex_encode(got, digest, DIGEST_LEN);
    assert_string_equal(got, want);
}

/* Made with another implementation of BLAKE2b, each part behind eight bytes of length. */
static void test_known_values(void **state)
{
    (void)state;
    const struct str abc[] = {STR("abc")}, a_bc[] = {STR("a"), STR(""), STR("bc")};
    uint8_t out[DIGEST_LEN];
    digest_parts(out, NULL, 0);
    assert_hex(out, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    digest_parts(out, abc, 1);
    assert_hex(out, "7481e9dc42d8247a21e3207b4865a791d7ab7f7119c932efd03508b1148efc29");
    digest_parts(out, a_bc, 3);
    assert_hex(out, "91fcc32356d476046e572810491a45bec7b3b6f97145f378e095b3bbdd8e407f");
    digest_keyed(out, key, abc, 1);
    assert_hex(out, "df958f23df8292f2ee9cbe4041ee177bb48d00ee465b2c9d2fa10109496de908");
    digest_keyed(out, key, NULL, 0);
    assert_hex(out, "4e51e7a913fc80137da52880fecca175bf81e117d5c68126dc2774033517ea0d");
}

/* The same bytes in other parts are something else. */
static void test_parts_cannot_be_shifted(void **state)
{
    (void)state;
    static const struct {
        struct str parts[3];
        size_t n;
    } cases[] = {
        {{{"abc", 3}}, 1},
        {{{"a", 1}, {"bc", 2}}, 2},
        {{{"ab", 2}, {"c", 1}}, 2},
        {{{"", 0}, {"abc", 3}}, 2},
        {{{"abc", 3}, {"", 0}}, 2},
        {{{"a", 1}, {"b", 1}, {"c", 1}}, 3},
        {{{"abc\0", 4}}, 1},
        {{{"\0\0\0\0\0\0\0\3abc", 11}}, 1},
        {{{"", 0}}, 1},
        {{{"", 0}}, 0},
    };
    const size_t n = sizeof cases / sizeof *cases;
    uint8_t plain[sizeof cases / sizeof *cases][DIGEST_LEN];
    uint8_t keyed[sizeof cases / sizeof *cases][DIGEST_LEN];
    for (size_t i = 0; i < n; i++) {
        digest_parts(plain[i], cases[i].parts, cases[i].n);
        digest_keyed(keyed[i], key, cases[i].parts, cases[i].n);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(plain[i], plain[j], DIGEST_LEN);
            assert_memory_not_equal(keyed[i], keyed[j], DIGEST_LEN);
        }
        assert_memory_not_equal(plain[i], keyed[i], DIGEST_LEN);
    }
}

static void test_key_matters(void **state)
{
    (void)state;
    const struct str parts[] = {STR("abc")};
    uint8_t one[DIGEST_LEN], other[DIGEST_LEN];
    digest_keyed(one, key, parts, 1);
    key->bytes[SEAL_KEY_LEN - 1] ^= 1;
    digest_keyed(other, key, parts, 1);
    key->bytes[SEAL_KEY_LEN - 1] ^= 1;
    assert_memory_not_equal(one, other, DIGEST_LEN);
}

static void with_short_key(void *unused)
{
    (void)unused;
    uint8_t out[DIGEST_LEN];
    key->len = SEAL_KEY_LEN - 1;
    digest_keyed(out, key, NULL, 0);
}

static void test_short_key_aborts(void **state)
{
    (void)state;
    assert_true(child_dies(with_short_key, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_parts_cannot_be_shifted),
        cmocka_unit_test(test_key_matters),
        cmocka_unit_test(test_short_key_aborts),
    };
    return !!cmocka_run_group_tests(tests, setup, teardown);
}
