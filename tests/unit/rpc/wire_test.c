/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "rpc/rpc_internal.h"
#include "rpc/wire_internal.h"
#include "twostep/v1/twostep.pb-c.h"

#include <stdio.h>
#include <string.h>

#define VERIFY     (&twostep__v1__verify_request__descriptor)
#define SET_POLICY (&twostep__v1__set_policy_request__descriptor)

/* Unpacks and gives the result; what is needed of the message is copied out. */
static enum err unpack(const ProtobufCMessageDescriptor *type, struct str bytes, size_t cap,
                       struct violations *v, char tenant[64])
{
    struct arena *arena = arena_new(cap);
    ProtobufCMessage *m = NULL;
    *v = (struct violations){0};
    enum err e = wire_unpack(&m, type, bytes, arena, v);
    if (e == ERR_OK && type == VERIFY)
        snprintf(tenant, 64, "%s", ((Twostep__V1__VerifyRequest *)m)->tenant_id);
    if (v->n > 0) /* the name lives in the arena */
        snprintf(tenant, 64, "%s", v->list[0].field);
    arena_free(arena);
    return e;
}

static void the_last_value_of_a_field_wins(void **state)
{
    (void)state;
    struct violations v;
    char tenant[64];
    assert_int_equal(unpack(VERIFY,
                            STR("\x0a\x01"
                                "a"
                                "\x0a\x01"
                                "b"),
                            65536, &v, tenant),
                     ERR_OK);
    assert_string_equal(tenant, "b");
    assert_int_equal(unpack(VERIFY, STR(""), 65536, &v, tenant), ERR_OK);
    assert_string_equal(tenant, "");
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct violations v;
    char tenant[64];
    /* fields 1000 (varint), 1001 (bytes), 1002 (32 bits), 1003 (64 bits) */
    struct str bytes = STR("\xc0\x3e\x05"
                           "\xca\x3e\x02\xff\x00"
                           "\xd5\x3e\x01\x02\x03\x04"
                           "\xd9\x3e\x01\x02\x03\x04\x05\x06\x07\x08"
                           "\x0a\x01"
                           "a");
    assert_int_equal(unpack(VERIFY, bytes, 65536, &v, tenant), ERR_OK);
    assert_string_equal(tenant, "a");
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    static const struct str bad[] = {
        {"\x0a", 1}, /* no length */
        {"\x0a\x05"
         "abc",
         5},                             /* shorter than it says */
        {"\x0a\xff\xff\xff\xff\x0f", 6}, /* 4 GiB long */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\x02\x01"
         "a",
         3},                                                  /* field 0 */
        {"\x0b\x0c", 2},                                      /* a group */
        {"\x0e", 1},                                          /* wire type 6 */
        {"\x08\x01", 2},                                      /* tenant_id as a varint */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* an endless tag */
        {"\x20\x80", 2},                                      /* an unfinished varint */
    };
    struct violations v;
    char tenant[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(unpack(VERIFY, bad[i], 65536, &v, tenant), ERR_CORRUPT);
}

static void strings_are_utf8_without_nul(void **state)
{
    (void)state;
    static const struct str bad[] = {{"\x0a\x03"
                                      "a\0b",
                                      5},
                                     {"\x0a\x01\xff", 3},
                                     {"\x0a\x02\xc0\x80", 4},
                                     {"\x0a\x01\0", 3}};
    struct violations v;
    char field[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(unpack(VERIFY, bad[i], 65536, &v, field), ERR_INVALID);
        assert_string_equal(field, "tenant_id");
    }
    /* An overwritten value is looked at, too; and a field inside a message is named with it. */
    assert_int_equal(unpack(VERIFY,
                            STR("\x0a\x01\xff\x0a\x01"
                                "a"),
                            65536, &v, field),
                     ERR_INVALID);
    assert_int_equal(unpack(SET_POLICY, STR("\x0a\x03\x3a\x01\xff"), 65536, &v, field),
                     ERR_INVALID);
    assert_string_equal(field, "policy.issuer");
}

/* 64 KiB of two-byte fields would become megabytes in protobuf-c. */
static void expansion_ends_at_the_cap(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    for (int i = 0; i < 32768; i++)
        buf_append(&bytes, "\x78\x01", 2); /* field 15: unknown */
    struct violations v;
    char tenant[64];
    assert_int_equal(unpack(VERIFY, buf_str(&bytes), JOB_ARENA_CAP, &v, tenant), ERR_LIMIT);
    buf_release(&bytes);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    /* policy in policy in policy … is no such type, but the bytes may claim anything. */
    for (int i = 0; i < 20; i++) {
        struct buf outer = BUF_INIT;
        buf_append_byte(&outer, 0x0a);
        buf_append_byte(&outer, (uint8_t)bytes.len);
        buf_append(&outer, bytes.data, bytes.len);
        buf_release(&bytes);
        bytes = outer;
    }
    struct violations v;
    char tenant[64];
    assert_int_not_equal(unpack(SET_POLICY, buf_str(&bytes), 65536, &v, tenant), ERR_LIMIT);
    buf_release(&bytes);
}

/* Every cut of a valid message is a message or is refused; nothing reads past the end (ASan). */
static void every_prefix_is_safe(void **state)
{
    (void)state;
    static const char whole[] = "\x0a\x04"
                                "acme\x12\x05"
                                "alice\x18\x01\x20\x01\x2a\x06"
                                "123456";
    struct violations v;
    char tenant[64];
    for (size_t n = 0; n < sizeof whole; n++) {
        char *copy = test_malloc(n + 1);
        memcpy(copy, whole, n);
        enum err e = unpack(VERIFY, (struct str){copy, n}, 65536, &v, tenant);
        assert_true(e == ERR_OK || e == ERR_CORRUPT);
        test_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_value_of_a_field_wins),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(strings_are_utf8_without_nul),
        cmocka_unit_test(expansion_ends_at_the_cap),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(every_prefix_is_safe),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
