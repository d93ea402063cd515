/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rpc/check_internal.h"
#include "rpc/rpc_internal.h"

#include <string.h>

/* How many things the rule found wrong with each value. */
#define ASSERT_ALL(rule, count, ...)                                                               \
    do {                                                                                           \
        static const char *const values[] = {__VA_ARGS__};                                         \
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {                            \
            struct violations v = {0};                                                             \
            rule(&v, "f", values[i]);                                                              \
            if (v.n != (count))                                                                    \
                fail_msg("%s: \"%s\": %zu violations", #rule, values[i], v.n);                     \
        }                                                                                          \
    } while (0)

#define A16  "aaaaaaaaaaaaaaaa"
#define A64  A16 A16 A16 A16
#define A128 A64 A64

static void ids(void **state)
{
    (void)state;
    ASSERT_ALL(check_tenant, 0, "a", A128, " ", "a|b", "\xe2\x80\x8f", "\xef\xbb\xbf", "*", "..");
    ASSERT_ALL(check_tenant, 1, "", A128 "a", "a\n", "\x7f", "a\xc2\x85", "\x1b[2J",
               "\xe2\x80\xa8");
}

static void codes(void **state)
{
    (void)state;
    ASSERT_ALL(check_code, 0, "", "123456", "00000000");
    ASSERT_ALL(check_code, 1, "123456 ", " 123456", "123 456", "+123456", "0123456", "12345",
               "123456789", "12345a", "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x93", "-12345", "1e5000",
               "\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4\xd9\xa5\xd9\xa6", "123456\n");
}

static void addresses(void **state)
{
    (void)state;
    ASSERT_ALL(check_ip, 0, "", "192.0.2.1", "2001:db8::1", "::1");
    ASSERT_ALL(check_ip, 1, "192.0.2", "localhost", "192.0.2.1:80", "[::1]", "1.2.3.4\n");
    ASSERT_ALL(check_mail, 0, "", "a@b.example", "a.b+c@xn--bcher-kva.example", A64 "@b.example");
    ASSERT_ALL(check_mail, 1, "a", "a@", "@b", "a@b@c", "a b@c.d", "<a@b.c>",
               "a@b.c>\r\nRCPT TO:<x@y>", "a@b.c\n", "a@b.c,d@e.f", "\xc3\xa9@b.c", "a@b..",
               ".a@b.c", "\"a\"@b.c", A64 "a@b.c", "a@" A128 A128);
}

static void links(void **state)
{
    (void)state;
    ASSERT_ALL(check_link, 0, "", "https://crm.example/reset?token={token}",
               "http://127.0.0.1:8080/{token}", "http://localhost/{token}", "http://[::1]/{token}");
    ASSERT_ALL(check_link, 1, "https://crm.example/reset", "http://crm.example/{token}",
               "ftp://x/{token}", "javascript:alert({token})", "https://", "{token}",
               "http://localhost.evil.example/{token}", "http://127.0.0.1@evil.example/{token}",
               "https://x/{token}\n", "https://x/{token}\"><b>", "https://x/ {token}");
}

static void texts(void **state)
{
    (void)state;
    struct violations found = {0};
    assert_int_equal(check_text(&found, "f", A64, 64).len, 64);
    assert_int_equal(check_text(&found, "f", A64 "a", 64).len, 0);
    assert_int_equal(check_label(&found, "f", "a:b", 64).len, 0);
    assert_int_equal(found.n, 2);
    ASSERT_ALL(check_locale, 0, "", "en", "nl", "de");
    ASSERT_ALL(check_locale, 1, "fr", "EN", "en-US", "e");
}

static void uuids(void **state)
{
    (void)state;
    uint8_t id[REQUEST_ID_LEN];
    struct violations v = {0};
    assert_true(check_uuid(&v, "f", "00112233-4455-6677-8899-AABBccddeeff", id));
    assert_int_equal(id[15], 0xff);
    assert_false(check_uuid(&v, "f", "", id));
    assert_int_equal(v.n, 0);
    static const char *const bad[] = {
        "00000000-0000-0000-0000-000000000000", "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef",  "00112233-4455-6677-8899-aabbccddeefff",
        "00112233-4455-6677-8899-aabbccddeefg", "0011223-34455-6677-8899-aabbccddeeff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(check_uuid(&v, "f", bad[i], id));
    assert_int_equal(v.n, sizeof bad / sizeof bad[0]);
}

/* What a caller has against what it asks for. */
static void channels(void **state)
{
    (void)state;
    static const struct {
        uint32_t has;
        int asked;
        size_t violations;
        enum grpc_status status;
        enum channel channel;
    } cases[] = {
        {PERMISSION_LOGIN_WEB, 0, 0, GRPC_OK, CHANNEL_WEB},
        {PERMISSION_LOGIN_MOBILE, 0, 0, GRPC_OK, CHANNEL_MOBILE},
        {PERMISSION_LOGIN, 0, 1, GRPC_OK, CHANNEL_WEB},
        {PERMISSION_LOGIN, 1, 0, GRPC_OK, CHANNEL_WEB},
        {PERMISSION_LOGIN, 2, 0, GRPC_OK, CHANNEL_MOBILE},
        {PERMISSION_LOGIN_WEB, 1, 0, GRPC_OK, CHANNEL_WEB},
        {PERMISSION_LOGIN_WEB, 2, 0, GRPC_PERMISSION_DENIED, CHANNEL_MOBILE},
        {PERMISSION_LOGIN_MOBILE, 1, 0, GRPC_PERMISSION_DENIED, CHANNEL_WEB},
        {PERMISSION_LOGIN_MOBILE, 2, 0, GRPC_OK, CHANNEL_MOBILE},
        {PERMISSION_LOGIN, 3, 1, GRPC_OK, CHANNEL_WEB},
        {PERMISSION_LOGIN, -1, 1, GRPC_OK, CHANNEL_WEB},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct caller caller = {.permissions = cases[i].has};
        struct job job = {.caller = &caller};
        struct violations v = {0};
        enum channel channel;
        assert_int_equal(check_channel(&v, &job, cases[i].asked, &channel), cases[i].status);
        assert_int_equal(v.n, cases[i].violations);
        assert_int_equal(channel, cases[i].channel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids),      cmocka_unit_test(codes), cmocka_unit_test(addresses),
        cmocka_unit_test(links),    cmocka_unit_test(texts), cmocka_unit_test(uuids),
        cmocka_unit_test(channels),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
