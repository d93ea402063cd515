/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/random.h"

#include <sys/wait.h>
#include <unistd.h>

#define N 16384

static void test_touches_exactly_what_it_should(void **state)
{
    (void)state;
    uint8_t bytes[N + 2] = {0};
    random_bytes(bytes + 1, N);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[N + 1], 0);
    size_t seen[256] = {0};
    for (size_t i = 1; i <= N; i++)
        seen[bytes[i]]++;
    for (size_t i = 0; i < 256; i++)
        assert_in_range(seen[i], 1, 256); /* 64 expected: neither bound is within reach */
}

static void test_child_draws_other_bytes(void **state)
{
    (void)state;
    uint8_t before[16], mine[16], theirs[16];
    int ends[2];
    random_bytes(before, sizeof before);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        random_bytes(theirs, sizeof theirs);
        _exit(write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    random_bytes(mine, sizeof mine);
    assert_int_equal(read(ends[0], theirs, sizeof theirs), sizeof theirs);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
    assert_memory_not_equal(mine, theirs, sizeof mine);
}

static void test_two_draws_differ(void **state)
{
    (void)state;
    uint8_t a[16], b[16];
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_touches_exactly_what_it_should),
        cmocka_unit_test(test_two_draws_differ),
        cmocka_unit_test(test_child_draws_other_bytes),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
