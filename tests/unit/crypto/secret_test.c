/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/secret.h"
#include "support/child.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int setup(void **state)
{
    (void)state;
    return secret_init(NULL) == ERR_OK ? 0 : -1;
}

static const uint8_t zeros[SECRET_MAX];

static void test_new_is_empty(void **state)
{
    (void)state;
    struct secret *s = secret_new();
    assert_int_equal(s->len, 0);
    assert_memory_equal(s->bytes, zeros, SECRET_MAX);
    secret_free(s);
    secret_free(NULL);
}

static void test_set_leaves_nothing_of_the_longer_one(void **state)
{
    (void)state;
    struct secret *s = secret_new();
    uint8_t full[SECRET_MAX];
    memset(full, 0xa5, sizeof full);
    secret_set(s, full, sizeof full);
    assert_int_equal(s->len, SECRET_MAX);
    assert_memory_equal(s->bytes, full, sizeof full);
    secret_set(s, full, 3);
    assert_int_equal(s->len, 3);
    assert_memory_equal(s->bytes + 3, zeros, SECRET_MAX - 3);
    secret_set(s, s->bytes + 1, 2);
    assert_memory_equal(s->bytes, full, 2);
    secret_set(s, NULL, 0);
    assert_int_equal(s->len, 0);
    assert_memory_equal(s->bytes, zeros, SECRET_MAX);
    secret_free(s);
}

static void test_random_is_fresh(void **state)
{
    (void)state;
    struct secret *a = secret_new(), *b = secret_new();
    uint8_t full[SECRET_MAX] = {1};
    secret_set(a, full, sizeof full);
    secret_random(a, 20);
    secret_random(b, 20);
    assert_int_equal(a->len, 20);
    assert_false(secret_equal(a->bytes, b->bytes, 20));
    assert_memory_equal(a->bytes + 20, zeros, SECRET_MAX - 20);
    secret_free(a);
    secret_free(b);
}

static void set_too_much(void *s)
{
    uint8_t bytes[SECRET_MAX + 1] = {0};
    secret_set(s, bytes, sizeof bytes);
}

static void random_too_much(void *s)
{
    secret_random(s, SECRET_MAX + 1);
}

static void write_beyond(void *s)
{
    volatile uint8_t *bytes = s;
    bytes[sizeof(struct secret)] = 1;
}

static void test_bounds(void **state)
{
    (void)state;
    struct secret *s = secret_new();
    assert_true(child_dies(set_too_much, s));
    assert_true(child_dies(random_too_much, s));
    assert_true(child_dies(write_beyond, s));
    secret_free(s);
}

static void read_after_free(void *s)
{
    secret_free(s);
    volatile const uint8_t *bytes = s;
    (void)bytes[0];
}

static void test_freed_memory_is_gone(void **state)
{
    (void)state;
    struct secret *s = secret_new();
    assert_true(child_dies(read_after_free, s));
    secret_free(s);
}

static void test_equal(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    assert_true(secret_equal(a, b, sizeof a));
    assert_true(secret_equal(a, b, 0));
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(secret_equal(a, b, sizeof a));
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    b[31] = 1;
    assert_true(secret_equal(a, b, 31));
}

static void test_wipe(void **state)
{
    (void)state;
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    secret_wipe(bytes, 7);
    assert_memory_equal(bytes, zeros, 7);
    assert_int_equal(bytes[7], 8);
    secret_wipe(NULL, 0);
}

static bool works_without_locked_memory(void *unused)
{
    (void)unused;
    /* The superuser locks whatever the limit is. */
    const struct rlimit none = {0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        return false;
    struct secret *s = secret_new();
    secret_random(s, 32);
    bool works = s->len == 32;
    secret_free(s);
    return works;
}

static bool protects_the_process(void *unused)
{
    (void)unused;
    struct rlimit core;
    return secret_protect_process(NULL) == ERR_OK && prctl(PR_GET_DUMPABLE) == 0 &&
           getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0;
}

static void test_works_where_memory_cannot_be_locked(void **state)
{
    (void)state;
    assert_true(child_says(works_without_locked_memory, NULL));
}

static void test_process_is_protected(void **state)
{
    (void)state;
    assert_true(child_says(protects_the_process, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_is_empty),
        cmocka_unit_test(test_set_leaves_nothing_of_the_longer_one),
        cmocka_unit_test(test_random_is_fresh),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_freed_memory_is_gone),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_works_where_memory_cannot_be_locked),
        cmocka_unit_test(test_process_is_protected),
    };
    return !!cmocka_run_group_tests(tests, setup, NULL);
}
