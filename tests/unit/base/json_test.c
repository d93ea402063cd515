/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"

#include <jansson.h>
#include <string.h>

static void assert_json(struct buf *b, const char *want)
{
    json_end(b);
    buf_append_byte(b, '\0');
    assert_string_equal((char *)b->data, want);
    buf_release(b);
}

static void one_object(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    json_begin(&b);
    json_str(&b, "a", STR("x"));
    json_int(&b, "b", -5);
    json_bool(&b, "c", true);
    json_time(&b, "t", 1);
    assert_json(&b, "{\"a\":\"x\",\"b\":-5,\"c\":true,\"t\":\"1970-01-01T00:00:00.001Z\"}");
}

static void times_before_1970_and_after_2106(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    json_begin(&b);
    json_time(&b, "t", -1);
    json_time(&b, "u", 4294967296000);
    assert_json(&b, "{\"t\":\"1969-12-31T23:59:59.999Z\",\"u\":\"2106-02-07T06:28:16.000Z\"}");
}

static void what_could_break_a_line_is_escaped(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    json_begin(&b);
    json_str(&b, "a", STR("\"\\\n\x1b\x7f\xc2\x85\xe2\x80\xa8\xc3\xa9\xf0\x9f\x98\x88"));
    assert_json(&b,
                "{\"a\":\"\\\"\\\\\\u000a\\u001b\\u007f\\u0085\\u2028\xc3\xa9\xf0\x9f\x98\x88\"}");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    json_begin(&b);
    json_str(&b, "a", STR("x\xffy\xc3"));
    assert_json(&b, "{\"a\":\"x\xef\xbf\xbdy\xef\xbf\xbd\"}");
}

/* Any two bytes in a row give one line that another JSON reader takes. */
static void every_pair_of_bytes_is_valid_json(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        char pair[4] = {(char)(i >> 8), (char)(i & 255), '\x80', 'z'};
        struct buf b = BUF_INIT;
        json_begin(&b);
        json_str(&b, "a", (struct str){pair, sizeof pair});
        json_end(&b);
        assert_null(memchr(b.data, '\n', b.len));
        json_t *read = json_loadb((char *)b.data, b.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        json_decref(read);
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_object),
        cmocka_unit_test(times_before_1970_and_after_2106),
        cmocka_unit_test(what_could_break_a_line_is_escaped),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(every_pair_of_bytes_is_valid_json),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
