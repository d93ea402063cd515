/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "grpc/head_internal.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT 1000

static int setup(void **state)
{
    *state = mem_zalloc(1, sizeof(struct head));
    return 0;
}

static int teardown(void **state)
{
    head_release(*state);
    free(*state);
    return 0;
}

static void take(struct head *h, const char *name, const char *value)
{
    assert_true(head_take(h, str_from(name), str_from(value), LIMIT));
}

/* What every call begins with. */
static void begin(struct head *h)
{
    head_reset(h);
    take(h, ":path", "/a.B/C");
    take(h, ":method", "POST");
    take(h, ":scheme", "http");
    take(h, ":authority", "x");
    take(h, "te", "trailers");
    take(h, "content-type", "application/grpc");
}

static void assert_entry(const struct head *h, size_t i, const char *name, struct str value)
{
    assert_true(i < h->n_entries);
    assert_true(str_equal(h->metadata[i].name, str_from(name)));
    assert_true(str_equal(h->metadata[i].value, value));
}

static void a_plain_head(void **state)
{
    struct head *h = *state;
    begin(h);
    assert_int_equal(head_http_status(h, LIMIT), 200);
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_OK);
    assert_true(str_equal(head_path(h), STR("/a.B/C")));
    assert_int_equal(h->n_entries, 0);
    assert_false(h->has_timeout);
    assert_false(h->takes_gzip);
    assert_int_equal(h->encoding, FRAME_NO_ENCODING);
}

static void metadata_in_order(void **state)
{
    struct head *h = *state;
    for (int round = 0; round < 3; round++) { /* recycled, it starts afresh */
        begin(h);
        take(h, "x-a", "1");
        take(h, "x-b", "");
        take(h, "x-a", "2");
        take(h, "grpc-reserved", "no");
        assert_int_equal(head_finish(h, LIMIT).status, GRPC_OK);
        assert_int_equal(h->n_entries, 3);
        assert_entry(h, 0, "x-a", STR("1"));
        assert_entry(h, 1, "x-b", STR(""));
        assert_entry(h, 2, "x-a", STR("2"));
    }
}

static void many_entries(void **state)
{
    struct head *h = *state;
    head_reset(h);
    for (int i = 0; i < 500; i++)
        assert_true(head_take(h, STR("x"), STR("y"), 100000));
    assert_int_equal(head_finish(h, 100000).status, GRPC_OK);
    for (size_t i = 0; i < 500; i++)
        assert_entry(h, i, "x", STR("y"));
}

static void binary_metadata(void **state)
{
    struct head *h = *state;
    begin(h);
    take(h, "x-bin", "AAE,  Ag== ,");
    take(h, "-bin", "plain");
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_OK);
    assert_int_equal(h->n_entries, 4);
    assert_entry(h, 0, "x-bin", (struct str){.p = "\0\1", .len = 2});
    assert_entry(h, 1, "x-bin", STR("\2"));
    assert_entry(h, 2, "x-bin", STR(""));
    assert_entry(h, 3, "-bin", STR("plain"));
    begin(h);
    take(h, "x-bin", "AAE,A");
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_INTERNAL);
}

/* Each comma makes an entry; their names must not be copied each time. */
static void commas_do_not_expand(void **state)
{
    struct head *h = *state;
    static char name[4000], value[4000];
    memset(name, 'n', sizeof name);
    memset(value, ',', sizeof value);
    memcpy(name + sizeof name - 4, "-bin", 4);
    head_reset(h);
    assert_true(head_take(h, (struct str){.p = name, .len = sizeof name},
                          (struct str){.p = value, .len = sizeof value}, 10000));
    assert_int_equal(h->n_entries, sizeof value + 1);
    assert_in_range(h->text.len, sizeof name, 2 * sizeof name);
}

static void what_is_grpc(void **state)
{
    struct head *h = *state;
    static const struct {
        const char *method, *type;
        int status;
    } cases[] = {
        {"POST", "application/grpc", 200},
        {"POST", "application/grpc+proto", 200},
        {"POST", "application/grpc;x=y", 200},
        {"POST", "application/grpc+proto;x", 200},
        {"POST", "Application/gRPC", 200},
        {"POST", "application/grpc+json", 415},
        {"POST", "application/grpc+protox", 415},
        {"POST", "application/grpc-web", 415},
        {"POST", "application/grpcx", 415},
        {"POST", "application/grp", 415},
        {"POST", "", 415},
        {"GET", "application/grpc", 405},
        {"post", "application/grpc", 405},
        {"HEAD", "text/html", 405},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head_reset(h);
        take(h, ":method", cases[i].method);
        take(h, "content-type", cases[i].type);
        assert_int_equal(head_http_status(h, LIMIT), cases[i].status);
    }
    head_reset(h);
    take(h, ":method", "POST");
    assert_int_equal(head_http_status(h, LIMIT), 415);
}

static void encodings(void **state)
{
    struct head *h = *state;
    static const struct {
        const char *text;
        enum frame_encoding encoding;
    } cases[] = {
        {"identity", FRAME_IDENTITY}, {"gzip", FRAME_GZIP},    {"deflate", FRAME_FOREIGN},
        {"", FRAME_FOREIGN},          {"GZIP", FRAME_FOREIGN}, {"gzip,gzip", FRAME_FOREIGN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(h);
        take(h, "grpc-encoding", cases[i].text);
        assert_int_equal(h->encoding, cases[i].encoding);
        assert_int_equal(head_finish(h, LIMIT).status,
                         cases[i].encoding == FRAME_FOREIGN ? GRPC_UNIMPLEMENTED : GRPC_OK);
    }
    begin(h);
    take(h, "grpc-encoding", "gzip");
    take(h, "grpc-encoding", "gzip");
    assert_int_equal(h->encoding, FRAME_FOREIGN);
}

static void accepted_encodings(void **state)
{
    struct head *h = *state;
    static const struct {
        const char *text;
        bool gzip;
    } cases[] = {
        {"gzip", true}, {"identity,gzip", true}, {"identity , gzip , x", true}, {"identity", false},
        {"", false},    {"xgzip,gzipx", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(h);
        take(h, "grpc-accept-encoding", cases[i].text);
        assert_int_equal(h->takes_gzip, cases[i].gzip);
    }
}

static void timeout(void **state)
{
    struct head *h = *state;
    begin(h);
    take(h, "grpc-timeout", "3S");
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_OK);
    assert_true(h->has_timeout);
    assert_int_equal(h->timeout_ms, 3000);
    take(h, "grpc-timeout", "3S");
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_INTERNAL);
    begin(h);
    take(h, "grpc-timeout", "3");
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_INTERNAL);
}

static void limits(void **state)
{
    struct head *h = *state;
    head_reset(h);
    char value[LIMIT] = {0};
    memset(value, 'v', sizeof value);
    struct str half = {.p = value, .len = LIMIT - 32 - 1};
    assert_true(head_take(h, STR("n"), half, LIMIT));
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_OK);
    assert_int_equal(h->n_entries, 1);

    size_t kept = h->text.len;
    assert_true(head_take(h, STR(""), STR(""), LIMIT));
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_RESOURCE_EXHAUSTED);
    for (int i = 0; i < 6; i++)
        assert_true(head_take(h, STR("n"), half, LIMIT));
    assert_int_equal(h->text.len, kept);
    assert_int_equal(h->n_entries, 1);
    assert_false(head_take(h, STR("n"), half, LIMIT));
    assert_false(head_take_trailer(h, STR("n"), STR(""), LIMIT));
    assert_int_equal(head_http_status(h, LIMIT), 200);
}

static void a_head_is_wiped(void **state)
{
    struct head *h = *state;
    begin(h);
    take(h, "authorization", "Bearer secret");
    assert_int_equal(head_finish(h, LIMIT).status, GRPC_OK);
    const char *secret = h->metadata[0].value.p;
    static const char zeros[13];
    head_reset(h);
    assert_memory_equal(secret, zeros, sizeof zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plain_head, setup, teardown),
        cmocka_unit_test_setup_teardown(metadata_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(many_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(binary_metadata, setup, teardown),
        cmocka_unit_test_setup_teardown(commas_do_not_expand, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_grpc, setup, teardown),
        cmocka_unit_test_setup_teardown(encodings, setup, teardown),
        cmocka_unit_test_setup_teardown(accepted_encodings, setup, teardown),
        cmocka_unit_test_setup_teardown(timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_head_is_wiped, setup, teardown),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
