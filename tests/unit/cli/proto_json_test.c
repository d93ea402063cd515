/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/proto_json_internal.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "twostep/v1/twostep.pb-c.h"

#include <string.h>

static void assert_json(const ProtobufCMessage *message, const char *expected)
{
    json_t *value = proto_json_from(message);
    assert_non_null(value);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(text, expected);
    free(text);
    json_decref(value);
}

static void assert_no_json(const ProtobufCMessage *message)
{
    assert_null(proto_json_from(message));
}

static void an_empty_message_is_an_empty_object(void **state)
{
    (void)state;
    Twostep__V1__Policy policy;
    twostep__v1__policy__init(&policy);
    assert_json(&policy.base, "{}");
}

static void names_are_camel_case_in_the_order_of_the_proto(void **state)
{
    (void)state;
    Twostep__V1__VerifyRequest r;
    twostep__v1__verify_request__init(&r);
    r.client_address = (char[]){"192.0.2.1"};
    r.tenant_id = (char[]){"acme"};
    r.request_id = (char[]){"x"};
    r.password_verified = 1;
    r.channel = TWOSTEP__V1__CHANNEL__CHANNEL_MOBILE;
    assert_json(&r.base, "{\"tenantId\":\"acme\",\"channel\":\"CHANNEL_MOBILE\","
                         "\"passwordVerified\":true,\"requestId\":\"x\","
                         "\"clientAddress\":\"192.0.2.1\"}");
}

static void presence_keeps_default_values(void **state)
{
    (void)state;
    Twostep__V1__Policy p;
    twostep__v1__policy__init(&p);
    p.enabled_presence_case = TWOSTEP__V1__POLICY__ENABLED_PRESENCE_ENABLED;
    p.window_steps_presence_case = TWOSTEP__V1__POLICY__WINDOW_STEPS_PRESENCE_WINDOW_STEPS;
    Google__Protobuf__Duration zero;
    google__protobuf__duration__init(&zero);
    p.period = &zero;
    assert_json(&p.base, "{\"enabled\":false,\"period\":\"0s\",\"windowSteps\":0}");
}

static void numbers_of_64_bits_are_strings(void **state)
{
    (void)state;
    Twostep__V1__Policy p;
    twostep__v1__policy__init(&p);
    p.digits = UINT32_MAX;
    p.revision = INT64_MIN;
    assert_json(&p.base, "{\"revision\":\"-9223372036854775808\",\"digits\":4294967295}");
}

static void an_enum_value_without_a_name_is_its_number(void **state)
{
    (void)state;
    Twostep__V1__VerifyResponse r;
    twostep__v1__verify_response__init(&r);
    r.outcome = (Twostep__V1__VerifyOutcome)77;
    assert_json(&r.base, "{\"outcome\":77}");
}

static void bytes_are_base64_with_padding(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *json;
    } cases[] = {
        {"f", 1, "{\"qrPng\":\"Zg==\"}"},         {"fo", 2, "{\"qrPng\":\"Zm8=\"}"},
        {"foo", 3, "{\"qrPng\":\"Zm9v\"}"},       {"foob", 4, "{\"qrPng\":\"Zm9vYg==\"}"},
        {"fooba", 5, "{\"qrPng\":\"Zm9vYmE=\"}"}, {"\xfb\xff\x00", 3, "{\"qrPng\":\"+/8A\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Twostep__V1__EnrollResponse r;
        twostep__v1__enroll_response__init(&r);
        r.qr_png.data = (uint8_t *)(uintptr_t)cases[i].bytes;
        r.qr_png.len = cases[i].n;
        assert_json(&r.base, cases[i].json);
    }
}

static void repeated_fields_are_arrays(void **state)
{
    (void)state;
    char *hints[] = {(char[]){"one"}, (char[]){""}};
    Twostep__V1__EnrollResponse r;
    twostep__v1__enroll_response__init(&r);
    r.app_hints = hints;
    r.n_app_hints = 2;
    assert_json(&r.base, "{\"appHints\":[\"one\",\"\"]}");

    Google__Rpc__BadRequest__FieldViolation violation;
    google__rpc__bad_request__field_violation__init(&violation);
    violation.field = (char[]){"code"};
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};
    Google__Rpc__BadRequest bad;
    google__rpc__bad_request__init(&bad);
    bad.field_violations = violations;
    bad.n_field_violations = 1;
    assert_json(&bad.base, "{\"fieldViolations\":[{\"field\":\"code\"}]}");
}

static void times_are_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
        const char *json; /* NULL: none */
    } cases[] = {
        {0, 0, "\"1970-01-01T00:00:00Z\""},
        {1772355600, 0, "\"2026-03-01T09:00:00Z\""},
        {1772355600, 500000000, "\"2026-03-01T09:00:00.500Z\""},
        {1772355600, 1000, "\"2026-03-01T09:00:00.000001Z\""},
        {1772355600, 1, "\"2026-03-01T09:00:00.000000001Z\""},
        {-62135596800, 0, "\"0001-01-01T00:00:00Z\""},
        {253402300799, 999999999, "\"9999-12-31T23:59:59.999999999Z\""},
        {-62135596801, 0, NULL},
        {253402300800, 0, NULL},
        {INT64_MAX, 0, NULL},
        {0, 1000000000, NULL},
        {0, -1, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Google__Protobuf__Timestamp t;
        google__protobuf__timestamp__init(&t);
        t.seconds = cases[i].seconds;
        t.nanos = cases[i].nanos;
        if (cases[i].json == NULL)
            assert_no_json(&t.base);
        else
            assert_json(&t.base, cases[i].json);
    }
}

static void durations_are_seconds(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
        const char *json;
    } cases[] = {
        {0, 0, "\"0s\""},
        {1, 500000000, "\"1.500s\""},
        {3, 1000, "\"3.000001s\""},
        {3, 1, "\"3.000000001s\""},
        {-1, -500000000, "\"-1.500s\""},
        {0, -1000000, "\"-0.001s\""},
        {315576000000, 0, "\"315576000000s\""},
        {315576000001, 0, NULL},
        {INT64_MIN, 0, NULL},
        {1, -1, NULL},
        {0, INT32_MIN, NULL},
        {0, 1000000000, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Google__Protobuf__Duration d;
        google__protobuf__duration__init(&d);
        d.seconds = cases[i].seconds;
        d.nanos = cases[i].nanos;
        if (cases[i].json == NULL)
            assert_no_json(&d.base);
        else
            assert_json(&d.base, cases[i].json);
    }
}

static void a_field_mask_is_its_paths(void **state)
{
    (void)state;
    char *paths[] = {(char[]){"enabled"}, (char[]){"policy.suspended_until"}};
    Google__Protobuf__FieldMask mask;
    google__protobuf__field_mask__init(&mask);
    assert_json(&mask.base, "\"\"");
    mask.paths = paths;
    mask.n_paths = 2;
    assert_json(&mask.base, "\"enabled,policy.suspendedUntil\"");
}

static void what_has_no_json_form_fails_as_a_whole(void **state)
{
    (void)state;
    Twostep__V1__Policy p;
    twostep__v1__policy__init(&p);
    p.tenant_id = (char[]){"acme"};
    p.issuer = (char[]){"\xff"};
    assert_no_json(&p.base);

    Google__Protobuf__Duration bad;
    google__protobuf__duration__init(&bad);
    bad.seconds = INT64_MAX;
    p.issuer = (char[]){"Acme"};
    p.period = &bad;
    Twostep__V1__GetPolicyResponse response;
    twostep__v1__get_policy_response__init(&response);
    response.policy = &p;
    assert_no_json(&response.base);
}

static void texts_are_escaped(void **state)
{
    (void)state;
    Twostep__V1__Policy p;
    twostep__v1__policy__init(&p);
    p.issuer = (char[]){"a\"b\\\n\x1b\xc3\xa9"};
    assert_json(&p.base, "{\"issuer\":\"a\\\"b\\\\\\n\\u001B\xc3\xa9\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_message_is_an_empty_object),
        cmocka_unit_test(names_are_camel_case_in_the_order_of_the_proto),
        cmocka_unit_test(presence_keeps_default_values),
        cmocka_unit_test(numbers_of_64_bits_are_strings),
        cmocka_unit_test(an_enum_value_without_a_name_is_its_number),
        cmocka_unit_test(bytes_are_base64_with_padding),
        cmocka_unit_test(repeated_fields_are_arrays),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(durations_are_seconds),
        cmocka_unit_test(a_field_mask_is_its_paths),
        cmocka_unit_test(what_has_no_json_form_fails_as_a_whole),
        cmocka_unit_test(texts_are_escaped),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
