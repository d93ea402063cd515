/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/full_user.h"

#include <stdio.h>
#include <string.h>

/* A document as JSON is named: the fields on the way, indexes of arrays left out. */
#define PATH_MAX_LEN 64
struct path {
    char text[PATH_MAX_LEN];
};

static struct path join(const struct path *at, const char *key, bool of_array)
{
    struct path p = *at;
    size_t n = strlen(p.text);
    if (!of_array)
        snprintf(p.text + n, sizeof p.text - n, "%s%s", n > 0 ? "." : "", key);
    return p;
}

/* Copies a document, and the number-th value in it (depth first) otherwise: `change` puts what
 * it likes, or nothing. Returns false when there are fewer. */
struct surgery {
    unsigned number;
    bool (*change)(bson_t *out, const bson_iter_t *value, unsigned variant);
    unsigned variant;
    bool found, done; /* done: there was such a variant */
    struct path path;
    bson_type_t type;
};

static void copy(struct surgery *s, const bson_iter_t *first, bson_t *out, const struct path *at,
                 bool of_array)
{
    bson_iter_t it = *first;
    while (bson_iter_next(&it)) {
        const char *key = bson_iter_key(&it);
        struct path here = join(at, key, of_array);
        if (s->number-- == 0) {
            s->found = true;
            s->path = here;
            s->type = bson_iter_type(&it);
            s->done = s->change(out, &it, s->variant);
            continue;
        }
        bool array = BSON_ITER_HOLDS_ARRAY(&it);
        if (!array && !BSON_ITER_HOLDS_DOCUMENT(&it)) {
            assert_true(bson_append_iter(out, NULL, 0, &it));
            continue;
        }
        bson_iter_t inner;
        bson_t child;
        assert_true(bson_iter_recurse(&it, &inner));
        assert_true(array ? bson_append_array_begin(out, key, -1, &child)
                          : bson_append_document_begin(out, key, -1, &child));
        copy(s, &inner, &child, &here, array);
        assert_true(array ? bson_append_array_end(out, &child)
                          : bson_append_document_end(out, &child));
    }
}

static bool operate(struct surgery *s, const bson_t *doc, bson_t *out)
{
    static const struct path root = {""};
    bson_iter_t it;
    bson_init(out);
    assert_true(bson_iter_init(&it, doc));
    copy(s, &it, out, &root, false);
    if (!s->found || !s->done) {
        bson_destroy(out);
        return false;
    }
    assert_true(bson_validate(out, BSON_VALIDATE_NONE, NULL));
    return true;
}

static bool is_one_of(const struct path *p, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(p->text, *list) == 0)
            return true;
    return false;
}

/* Every value of the full user's document is changed in every variant, and `check` looks at what
 * reading it gave. */
static unsigned each_change(bool (*change)(bson_t *out, const bson_iter_t *value, unsigned variant),
                            void (*check)(const struct surgery *s, enum err e))
{
    bson_t doc = BSON_INITIALIZER, damaged;
    struct mongo_user *user = full_user_new();
    unsigned n = 0;
    mongo_user_bson_write_new(user, &doc);
    for (unsigned number = 0;; number++) {
        bool found = false;
        for (unsigned variant = 0;; variant++) {
            struct surgery s = {.number = number, .change = change, .variant = variant};
            bool done = operate(&s, &doc, &damaged);
            found = found || s.found;
            if (!done)
                break;
            check(&s, full_user_try_read(&damaged, MONGO_ALL));
            bson_destroy(&damaged);
            n++;
        }
        if (!found)
            break;
    }
    mongo_user_free(user);
    bson_destroy(&doc);
    return n;
}

static void expect(const struct surgery *s, enum err got, bool good)
{
    if ((got == ERR_OK) != good)
        fail_msg("%s, variant %u: %s", s->path.text, s->variant, err_name(got));
}

/* Only for the server to find the document by. */
static const char *const not_read[] = {F_TENANT, F_USER, F_DUE, F_SWEEP, NULL};

static bool drop(bson_t *out, const bson_iter_t *value, unsigned variant)
{
    (void)out;
    (void)value;
    return variant == 0;
}

static void check_dropped(const struct surgery *s, enum err e)
{
    static const char *const optional[] = {
        F_OWN, F_NEXT, F_OLD,
        /* the locale of a notice that goes nowhere is not read */
        "own.notify", "next.notify", "old.notify",
        /* an attempt that nobody asks for again, about the user's own secret */
        F_LOG ".print", F_LOG ".secret", F_LOG ".answer", F_LOG ".answer.reason",
        F_LOG ".answer.wait", F_LOG ".answer.enrollment", F_RESETS ".request",
        /* an element of an array */
        F_LOG, F_RESETS, F_MAILS, NULL};
    bool of_array = strcmp(s->path.text, F_LOG) == 0 || strcmp(s->path.text, F_RESETS) == 0 ||
                    strcmp(s->path.text, F_MAILS) == 0;
    bool whole_array = of_array && s->type == BSON_TYPE_ARRAY;
    expect(s, e, !whole_array && (is_one_of(&s->path, optional) || is_one_of(&s->path, not_read)));
}

static void test_a_field_that_is_missing(void **state)
{
    (void)state;
    assert_true(each_change(drop, check_dropped) > 100);
}

static bool put_type(bson_t *out, const bson_iter_t *value, unsigned variant)
{
    const char *key = bson_iter_key(value);
    bson_oid_t oid = {{0}};
    bson_decimal128_t decimal = {0};
    bson_t empty = BSON_INITIALIZER;
    static const uint8_t bytes[16] = {1};
    switch (variant) {
    case 0:
        return bson_append_double(out, key, -1, 1.0);
    case 1:
        return bson_append_utf8(out, key, -1, "1", -1);
    case 2:
        return bson_append_document(out, key, -1, &empty);
    case 3:
        return bson_append_array(out, key, -1, &empty);
    case 4:
        return bson_append_binary(out, key, -1, BSON_SUBTYPE_BINARY, bytes, sizeof bytes);
    case 5:
        return bson_append_undefined(out, key, -1);
    case 6:
        return bson_append_oid(out, key, -1, &oid);
    case 7:
        return bson_append_bool(out, key, -1, true);
    case 8:
        return bson_append_date_time(out, key, -1, 1);
    case 9:
        return bson_append_null(out, key, -1);
    case 10:
        return bson_append_regex(out, key, -1, "1", "");
    case 11:
        return bson_append_dbpointer(out, key, -1, "1", &oid);
    case 12:
        return bson_append_code(out, key, -1, "1");
    case 13:
        return bson_append_symbol(out, key, -1, "1", -1);
    case 14:
        return bson_append_code_with_scope(out, key, -1, "1", &empty);
    case 15:
        return bson_append_timestamp(out, key, -1, 1, 1);
    case 16:
        return bson_append_decimal128(out, key, -1, &decimal);
    case 17:
        return bson_append_minkey(out, key, -1);
    case 18:
        return bson_append_maxkey(out, key, -1);
    case 19:
        return bson_append_int32(out, key, -1, 1);
    case 20:
        return bson_append_int64(out, key, -1, 1);
    default:
        return false;
    }
}

static const bson_type_t put_types[] = {
    BSON_TYPE_DOUBLE,     BSON_TYPE_UTF8,      BSON_TYPE_DOCUMENT,   BSON_TYPE_ARRAY,
    BSON_TYPE_BINARY,     BSON_TYPE_UNDEFINED, BSON_TYPE_OID,        BSON_TYPE_BOOL,
    BSON_TYPE_DATE_TIME,  BSON_TYPE_NULL,      BSON_TYPE_REGEX,      BSON_TYPE_DBPOINTER,
    BSON_TYPE_CODE,       BSON_TYPE_SYMBOL,    BSON_TYPE_CODEWSCOPE, BSON_TYPE_TIMESTAMP,
    BSON_TYPE_DECIMAL128, BSON_TYPE_MINKEY,    BSON_TYPE_MAXKEY,     BSON_TYPE_INT32,
    BSON_TYPE_INT64};

/* The value 1 of the right type may be right or not: the other tests look at values. */
static void check_type(const struct surgery *s, enum err e)
{
    bson_type_t type = put_types[s->variant];
    bool whole = type == BSON_TYPE_INT32 || type == BSON_TYPE_INT64;
    if (is_one_of(&s->path, not_read))
        expect(s, e, true);
    else if (type != s->type && !(whole && s->type == BSON_TYPE_INT64))
        expect(s, e, false);
}

static void test_a_value_of_another_type(void **state)
{
    (void)state;
    assert_true(each_change(put_type, check_type) > 2000);
}

#define FAR (INT64_C(1) << 60)
/* What numbers may be, where that is less than any. */
static const struct range {
    const char *path;
    int64_t least, most;
} ranges[] = {
    {F_VERSION, 1, FAR},
    {F_DUE, INT64_MIN, INT64_MAX}, /* found by, not read */
    {F_SWEEP, INT64_MIN, INT64_MAX},
    {F_FAILURES, 0, UINT32_MAX},
    {F_GEN, 0, UINT32_MAX - 1LL},
    {F_STEP, -1, INT64_MAX},
    {F_LOG ".kind", ATTEMPT_TRIED, ATTEMPT_WON},
    {F_LOG ".answer.outcome", 0, UINT8_MAX},
    {F_LOG ".answer.reason", 0, UINT8_MAX},
    {F_RESETS ".state", RESET_QUEUED, RESET_REPLACED},
    {F_RESETS ".attempts", 0, UINT32_MAX},
    {F_MAILS ".id", 1, INT64_MAX},
    {F_MAILS ".kind", MAIL_RESET, MAIL_REPLACED},
    {F_MAILS ".attempts", 0, UINT32_MAX},
    {F_MAILS ".key", 1, UINT32_MAX},
};
static const struct range factor_ranges[] = {
    {".gen", 1, UINT32_MAX},   {".key", 1, UINT32_MAX},    {".algorithm", 0, UINT8_MAX},
    {".digits", 0, UINT8_MAX}, {".period", 0, UINT16_MAX},
};

static struct range range_of(const struct path *p)
{
    static const char *const factors[] = {F_OWN, F_NEXT, F_OLD};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (strcmp(p->text, ranges[i].path) == 0)
            return ranges[i];
    for (size_t k = 0; k < sizeof factors / sizeof factors[0]; k++) {
        size_t n = strlen(factors[k]);
        for (size_t i = 0; i < sizeof factor_ranges / sizeof factor_ranges[0]; i++)
            if (strncmp(p->text, factors[k], n) == 0 &&
                strcmp(p->text + n, factor_ranges[i].path) == 0)
                return factor_ranges[i];
    }
    return (struct range){p->text, -FAR, FAR}; /* a time */
}

static const int64_t numbers[] = {INT64_MIN,
                                  -FAR - 1,
                                  -FAR,
                                  -2,
                                  -1,
                                  0,
                                  1,
                                  MAIL_REPLACED,
                                  MAIL_REPLACED + 1,
                                  RESET_REPLACED,
                                  RESET_REPLACED + 1,
                                  UINT8_MAX,
                                  UINT8_MAX + 1,
                                  UINT16_MAX,
                                  UINT16_MAX + 1,
                                  INT32_MAX,
                                  UINT32_MAX - 1LL,
                                  UINT32_MAX,
                                  UINT32_MAX + 1LL,
                                  FAR,
                                  FAR + 1,
                                  INT64_MAX};

static bool put_number(bson_t *out, const bson_iter_t *value, unsigned variant)
{
    if (!BSON_ITER_HOLDS_INT64(value) || variant == sizeof numbers / sizeof numbers[0])
        return false;
    return bson_append_int64(out, bson_iter_key(value), -1, numbers[variant]);
}

static void check_number(const struct surgery *s, enum err e)
{
    struct range r = range_of(&s->path);
    int64_t n = numbers[s->variant];
    bool good = n >= r.least && n <= r.most;
    if (strcmp(s->path.text, F_OWN ".confirmed") == 0)
        good &= n != 0; /* or a code of it would be taken for a first one */
    else if (strcmp(s->path.text, F_NEXT ".confirmed") == 0)
        good = n == 0;
    else if (strcmp(s->path.text, F_MAILS ".kind") == 0 && n == MAIL_RESET)
        return; /* right for the mail that is one */
    expect(s, e, good);
}

static void test_a_number_out_of_range(void **state)
{
    (void)state;
    assert_true(each_change(put_number, check_number) > 500);
}

/* Bytes and texts of another length. */
static const uint32_t lengths[] = {0,   1,   15,  16,  17,  31,  32,  33,  96,   97,     128,
                                   129, 160, 161, 254, 255, 256, 257, 272, 4096, 1 << 20};

static bool put_length(bson_t *out, const bson_iter_t *value, unsigned variant)
{
    static uint8_t room[1 << 20];
    const char *key = bson_iter_key(value);
    if (variant == sizeof lengths / sizeof lengths[0])
        return false;
    uint32_t n = lengths[variant];
    memset(room, 'y', sizeof room);
    if (BSON_ITER_HOLDS_BINARY(value))
        return bson_append_binary(out, key, -1, BSON_SUBTYPE_BINARY, room, n);
    return BSON_ITER_HOLDS_UTF8(value) && bson_append_utf8(out, key, -1, (char *)room, (int)n);
}

/* What may have more than one length; everything else is REQUEST_ID_LEN bytes. */
static const struct range length_ranges[] = {
    {"_id", 1, 0}, /* none of these */
    {"own.sealed", 0, FACTOR_SEALED_MAX},
    {"next.sealed", 0, FACTOR_SEALED_MAX},
    {"old.sealed", 0, FACTOR_SEALED_MAX},
    {"next.notify", 0, MAIL_ADDRESS_MAX},
    {"next.locale", 0, POLICY_LOCALE_MAX},
    {F_RESETS ".token", TOKEN_HASH_LEN, TOKEN_HASH_LEN},
    {F_RESETS ".error", 0, MAIL_ERROR_MAX},
    {F_MAILS ".token", 0, MAIL_TOKEN_SEALED_MAX},
    {F_MAILS ".address", 0, MAIL_ADDRESS_MAX},
    {F_MAILS ".locale", 0, POLICY_LOCALE_MAX},
};

static void check_length(const struct surgery *s, enum err e)
{
    const uint32_t n = lengths[s->variant];
    bool good = n == REQUEST_ID_LEN;
    for (size_t i = 0; i < sizeof length_ranges / sizeof length_ranges[0]; i++)
        if (strcmp(s->path.text, length_ranges[i].path) == 0)
            good = n >= length_ranges[i].least && n <= length_ranges[i].most;
    if (strcmp(s->path.text, "writes") == 0)
        good = n % MONGO_WRITE_ID_LEN == 0 && n <= MONGO_WRITE_ID_LEN * MONGO_WRITES_KEPT;
    expect(s, e, good || is_one_of(&s->path, not_read));
}

static void test_bytes_of_another_length(void **state)
{
    (void)state;
    assert_true(each_change(put_length, check_length) > 500);
}

static bool put_nul(bson_t *out, const bson_iter_t *value, unsigned variant)
{
    return variant == 0 && BSON_ITER_HOLDS_UTF8(value) &&
           bson_append_utf8(out, bson_iter_key(value), -1, "a\0b", 3);
}

static void check_nul(const struct surgery *s, enum err e)
{
    expect(s, e, false);
}

static void test_text_with_nul(void **state)
{
    (void)state;
    assert_true(each_change(put_nul, check_nul) > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_field_that_is_missing),
        cmocka_unit_test(test_a_value_of_another_type),
        cmocka_unit_test(test_a_number_out_of_range),
        cmocka_unit_test(test_bytes_of_another_length),
        cmocka_unit_test(test_text_with_nul),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
