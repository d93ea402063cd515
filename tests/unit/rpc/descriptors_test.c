/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "rpc/descriptors_internal.h"

#include <string.h>

static void init_builtin(struct descriptors *d)
{
    descriptors_init(
        d, (struct str){.p = (const char *)rpc_descriptor_set, .len = rpc_descriptor_set_len});
}

static void assert_name(const struct descriptors_file *file, const char *name)
{
    assert_non_null(file);
    assert_true(str_equal(file->name, str_from(name)));
}

static void the_built_in_set_is_found(void **state)
{
    (void)state;
    struct descriptors d;
    init_builtin(&d);
    assert_in_range(d.n, 5, DESCRIPTORS_FILES_MAX);
    assert_name(descriptors_named(&d, STR("twostep/v1/twostep.proto")), "twostep/v1/twostep.proto");
    assert_null(descriptors_named(&d, STR("twostep.proto")));
    assert_null(descriptors_named(&d, STR("")));
}

static void symbols_are_found_where_they_are_declared(void **state)
{
    (void)state;
    static const struct {
        const char *symbol, *file; /* NULL: nowhere */
    } cases[] = {
        {"twostep.v1.VerifyRequest", "twostep/v1/twostep.proto"},
        {"twostep.v1.VerifyRequest.code", "twostep/v1/twostep.proto"},
        {"twostep.v1.TwoStepService.Verify", "twostep/v1/twostep.proto"},
        {"twostep.v1.CHANNEL_WEB", "twostep/v1/twostep.proto"},
        {"google.protobuf.Timestamp.nanos", "google/protobuf/timestamp.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"},
        {"grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING", NULL},
        {"twostep.v1.VerifyRequest.code.x", NULL},
        {"twostep.v1.VerifyRequest.", NULL},
        {"twostep.v1.VerifyReques", NULL},
        {"twostep.v1", NULL},
        {"twostep.v1.", NULL},
        {".", NULL},
        {"", NULL},
    };
    struct descriptors d;
    init_builtin(&d);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct descriptors_file *file = descriptors_declaring(&d, str_from(cases[i].symbol));
        if (cases[i].file == NULL)
            assert_null(file);
        else
            assert_name(file, cases[i].file);
    }
    assert_true(descriptors_is_message(&d, STR("twostep.v1.VerifyRequest")));
    assert_false(descriptors_is_message(&d, STR("twostep.v1.VerifyRequest.code")));
    assert_false(descriptors_is_message(&d, STR("twostep.v1.Channel")));
    assert_false(descriptors_is_message(&d, STR("nothing")));
}

/* ---- sets of the test's own ---- */

static void put(struct buf *out, uint8_t number, struct str bytes)
{
    buf_append_byte(out, (uint8_t)(number << 3 | 2));
    buf_append_byte(out, (uint8_t)bytes.len);
    buf_append_str(out, bytes);
}

/* A file without a package that imports the names, up to the first NULL. */
static void put_file(struct buf *set, const char *name, const char *first, const char *second)
{
    struct buf file = BUF_INIT;
    put(&file, 1, str_from(name));
    if (first != NULL)
        put(&file, 3, str_from(first));
    if (second != NULL)
        put(&file, 3, str_from(second));
    put(set, 1, buf_str(&file));
    buf_release(&file);
}

static void imports_follow_once_each(void **state)
{
    (void)state;
    struct buf set = BUF_INIT;
    put_file(&set, "d", NULL, NULL);
    put_file(&set, "b", "d", "missing");
    put_file(&set, "c", "d", "b");
    put_file(&set, "a", "b", "c");
    put_file(&set, "round", "about", NULL);
    put_file(&set, "about", "round", NULL);
    struct descriptors d;
    descriptors_init(&d, buf_str(&set));
    const struct descriptors_file *list[DESCRIPTORS_FILES_MAX];
    static const char *const expected[] = {"a", "b", "c", "d"};
    assert_int_equal(descriptors_with_imports(&d, descriptors_named(&d, STR("a")), list), 4);
    for (size_t i = 0; i < 4; i++)
        assert_name(list[i], expected[i]);
    assert_int_equal(descriptors_with_imports(&d, descriptors_named(&d, STR("d")), list), 1);
    assert_int_equal(descriptors_with_imports(&d, descriptors_named(&d, STR("round")), list), 2);
    buf_release(&set);
}

static void services_are_told_with_their_package(void **state)
{
    (void)state;
    struct descriptors d;
    struct descriptors_service services[DESCRIPTORS_SERVICES_MAX];
    init_builtin(&d);
    assert_int_equal(descriptors_services(&d, services), 4);
    bool found = false;
    for (size_t i = 0; i < 4; i++)
        found = found || (str_equal(services[i].package, STR("twostep.v1")) &&
                          str_equal(services[i].name, STR("TwoStepService")));
    assert_true(found);
}

static void without_a_package_the_name_is_the_symbol(void **state)
{
    (void)state;
    struct buf set = BUF_INIT, file = BUF_INIT, message = BUF_INIT;
    put(&message, 1, STR("M"));
    put(&file, 1, STR("m.proto"));
    put(&file, 4, buf_str(&message));
    put(&set, 1, buf_str(&file));
    struct descriptors d;
    descriptors_init(&d, buf_str(&set));
    assert_name(descriptors_declaring(&d, STR("M")), "m.proto");
    assert_null(descriptors_declaring(&d, STR(".M")));
    buf_release(&message);
    buf_release(&file);
    buf_release(&set);
}

static void what_is_no_set_has_no_files(void **state)
{
    (void)state;
    struct descriptors d;
    descriptors_init(&d, STR(""));
    assert_int_equal(d.n, 0);
    descriptors_init(&d, STR("\x0a\x7f"
                             "cut"));
    assert_int_equal(d.n, 0);
    descriptors_init(&d, STR("\xff\xff"));
    assert_int_equal(d.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_set_is_found),
        cmocka_unit_test(symbols_are_found_where_they_are_declared),
        cmocka_unit_test(imports_follow_once_each),
        cmocka_unit_test(services_are_told_with_their_package),
        cmocka_unit_test(without_a_package_the_name_is_the_symbol),
        cmocka_unit_test(what_is_no_set_has_no_files),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
