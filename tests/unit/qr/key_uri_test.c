/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/base32.h"
#include "crypto/secret.h"
#include "qr/key_uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define SECRET20 "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

static struct secret *secret;

static int setup(void **state)
{
    (void)state;
    if (secret_init(NULL) != ERR_OK)
        return -1;
    secret = secret_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(secret);
    return 0;
}

/* SHA-1, 6 digits, 30 s and the secret of RFC 6238. */
static struct key_uri usual(struct str issuer, struct str account)
{
    secret_set(secret, (const uint8_t *)"12345678901234567890", 20);
    return (struct key_uri){.issuer = issuer,
                            .account = account,
                            .secret = secret,
                            .hash = TOTP_SHA1,
                            .digits = 6,
                            .period = 30};
}

static void assert_uri(const struct key_uri *u, const char *want)
{
    char uri[KEY_URI_MAX];
    struct err_text why = {0};
    if (key_uri_write(uri, u, &why) != ERR_OK)
        fail_msg("%s", why.text);
    assert_string_equal(uri, want);
}

static void test_usual(void **state)
{
    (void)state;
    struct key_uri u = usual(STR("ACME CRM"), STR("jan@example.com"));
    assert_uri(&u, "otpauth://totp/ACME%20CRM:jan%40example.com?secret=" SECRET20
                   "&issuer=ACME%20CRM&algorithm=SHA1&digits=6&period=30");
}

static void test_other_parameters(void **state)
{
    (void)state;
    struct key_uri u = usual(STR("A"), STR("b"));
    u.hash = TOTP_SHA256, u.digits = 7, u.period = 60;
    assert_uri(&u, "otpauth://totp/A:b?secret=" SECRET20
                   "&issuer=A&algorithm=SHA256&digits=7&period=60");
    u.hash = TOTP_SHA512, u.digits = 8, u.period = UINT32_MAX;
    assert_uri(&u, "otpauth://totp/A:b?secret=" SECRET20
                   "&issuer=A&algorithm=SHA512&digits=8&period=4294967295");
    secret_set(secret, (const uint8_t *)"f", 1);
    u.hash = TOTP_SHA1, u.digits = 6, u.period = 1;
    assert_uri(&u, "otpauth://totp/A:b?secret=MY&issuer=A&algorithm=SHA1&digits=6&period=1");
}

static void test_encoding(void **state)
{
    (void)state;
    struct key_uri u = usual(STR("Caf\xc3\xa9 & Co?"), STR("a/b+c%41#=\"<'\\"));
    assert_uri(&u, "otpauth://totp/Caf%C3%A9%20%26%20Co%3F:a%2Fb%2Bc%2541%23%3D%22%3C%27%5C"
                   "?secret=" SECRET20
                   "&issuer=Caf%C3%A9%20%26%20Co%3F&algorithm=SHA1&digits=6&period=30");
    u = usual(STR("~._-"), STR("azAZ09"));
    assert_uri(&u, "otpauth://totp/~._-:azAZ09?secret=" SECRET20
                   "&issuer=~._-&algorithm=SHA1&digits=6&period=30");
}

static void assert_refused(struct str issuer, struct str account, const char *field)
{
    char uri[KEY_URI_MAX] = "kept";
    struct err_text why = {0};
    struct key_uri u = usual(issuer, account);
    assert_int_equal(key_uri_write(uri, &u, &why), ERR_INVALID);
    assert_string_equal(why.field, field);
    assert_non_null(strstr(why.text, field));
    assert_int_equal(key_uri_write(uri, &u, NULL), ERR_INVALID);
    assert_string_equal(uri, "kept");
}

static void test_refused_names(void **state)
{
    (void)state;
    char x[129];
    memset(x, 'x', sizeof x);
    const struct str bad[] = {
        STR(""),        STR("a:b"),      STR(":"),        STR("a\nb"),
        STR("a\0b"),    STR("a\x7f"),    STR("\xc2\x85"), STR("\xe2\x80\xa8"),
        STR("caf\xe9"), STR("\xc0\xba"), STR("\xe2\x80"), STR("\xed\xa0\x80"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_refused(bad[i], STR("account"), "issuer");
        assert_refused(STR("issuer"), bad[i], "account_name");
    }
    assert_refused((struct str){.p = x, .len = 65}, STR("account"), "issuer");
    assert_refused(STR("issuer"), (struct str){.p = x, .len = 129}, "account_name");
    char uri[KEY_URI_MAX];
    struct key_uri longest =
        usual((struct str){.p = x, .len = 64}, (struct str){.p = x, .len = 128});
    assert_int_equal(key_uri_write(uri, &longest, NULL), ERR_OK);
}

static void test_unusable_factor_is_our_bug(void **state)
{
    (void)state;
    struct key_uri broken[5];
    for (size_t i = 0; i < 5; i++)
        broken[i] = usual(STR("A"), STR("b"));
    struct secret *empty = secret_new();
    broken[0].secret = empty;
    broken[1].hash = (enum totp_hash)0;
    broken[2].digits = 5;
    broken[3].digits = 9;
    broken[4].period = 0;
    for (size_t i = 0; i < 5; i++) {
        char uri[KEY_URI_MAX];
        assert_int_equal(key_uri_write(uri, &broken[i], NULL), ERR_INTERNAL);
    }
    secret_free(empty);
}

/* The account as it stands in the label, without percents. */
static void read_account(char *out, const char *uri)
{
    const char *at = strchr(uri + strlen("otpauth://totp/"), ':') + 1;
    for (; *at != '?'; at++) {
        if (*at != '%') {
            *out++ = *at;
            continue;
        }
        const char hex[] = {at[1], at[2], '\0'};
        *out++ = (char)strtol(hex, NULL, 16);
        at += 2;
    }
    *out = '\0';
}

/* The other parts of this one are 98 characters, and two more for a one-letter issuer. */
#define ROOM (KEY_URI_SHORT - 100)

static void test_cut_at_the_limit(void **state)
{
    (void)state;
    char account[129] = {0}, uri[KEY_URI_MAX], got[129];
    memset(account, 'x', 128);
    struct key_uri u = usual(STR("I"), (struct str){.p = account, .len = ROOM});
    assert_int_equal(key_uri_write(uri, &u, NULL), ERR_OK);
    assert_int_equal(strlen(uri), KEY_URI_SHORT);
    read_account(got, uri);
    assert_int_equal(strlen(got), ROOM);

    for (size_t len = ROOM + 1; len <= 128; len++) {
        u.account.len = len;
        assert_int_equal(key_uri_write(uri, &u, NULL), ERR_OK);
        assert_int_equal(strlen(uri), KEY_URI_SHORT);
        read_account(got, uri);
        assert_memory_equal(got, account, ROOM - 9);
        assert_string_equal(got + ROOM - 9, ELLIPSIS);
    }
}

static void test_cut_between_characters(void **state)
{
    (void)state;
    /* 20 characters of 2, 3 and 4 bytes: 6, 9 and 12 places each. */
    static const struct {
        const char *character;
        size_t kept;
    } cases[] = {{"\xc3\xa9", 11}, {"\xe2\x82\xac", 8}, {"\xf0\x9f\x98\x80", 8}};
    for (size_t i = 0; i < 3; i++) {
        char account[129] = "", want[129] = "", got[129], uri[KEY_URI_MAX];
        for (size_t n = 0; n < 20; n++)
            strcat(account, cases[i].character);
        for (size_t n = 0; n < cases[i].kept; n++)
            strcat(want, cases[i].character);
        strcat(want, ELLIPSIS);
        struct key_uri u = usual(STR("I"), str_from(account));
        assert_int_equal(key_uri_write(uri, &u, NULL), ERR_OK);
        read_account(got, uri);
        assert_string_equal(got, want);
    }
}

/* No room at all: eight characters stay, the issuer and the secret are whole. */
static void test_never_cut_below_eight(void **state)
{
    (void)state;
    char uri[KEY_URI_MAX], got[129], text[BASE32_LEN(64) + 1];
    struct key_uri u = usual(STR("A company with a long name and more of it, Ltd."),
                             STR("jan.peeters@example.com"));
    secret_random(secret, 64);
    u.hash = TOTP_SHA512;
    assert_int_equal(key_uri_write(uri, &u, NULL), ERR_OK);
    read_account(got, uri);
    assert_string_equal(got, "jan.peet" ELLIPSIS);
    base32_encode(text, secret->bytes, 64);
    assert_non_null(strstr(uri, text));
    assert_non_null(strstr(uri, "&issuer=A%20company%20with%20a%20long%20name%20and%20more%20of"
                                "%20it%2C%20Ltd.&algorithm"));
    assert_true(strlen(uri) > KEY_URI_SHORT);

    /* Ten letters: the sign for what is left out would take more than it saves. */
    u.account = STR("abcdefghij");
    assert_int_equal(key_uri_write(uri, &u, NULL), ERR_OK);
    read_account(got, uri);
    assert_string_equal(got, "abcdefghij");
}

static void test_longest_fits(void **state)
{
    (void)state;
    char issuer[65] = "", account[129] = "", uri[KEY_URI_MAX];
    for (size_t n = 0; n < 16; n++)
        strcat(issuer, "\xf0\x9f\x98\x80");
    for (size_t n = 0; n < 32; n++)
        strcat(account, "\xf0\x9f\x98\x80");
    struct key_uri u = usual(str_from(issuer), str_from(account));
    secret_random(secret, SECRET_MAX);
    u.hash = TOTP_SHA512, u.digits = 8, u.period = UINT32_MAX;
    assert_int_equal(key_uri_write(uri, &u, NULL), ERR_OK);
    assert_true(strlen(uri) < KEY_URI_MAX);
    assert_non_null(strstr(uri, "&period=4294967295"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),
        cmocka_unit_test(test_other_parameters),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_refused_names),
        cmocka_unit_test(test_unusable_factor_is_our_bug),
        cmocka_unit_test(test_cut_at_the_limit),
        cmocka_unit_test(test_cut_between_characters),
        cmocka_unit_test(test_never_cut_below_eight),
        cmocka_unit_test(test_longest_fits),
    };
    return !!cmocka_run_group_tests(tests, setup, teardown);
}
