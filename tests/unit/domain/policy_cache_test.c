/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "domain/policy_cache_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct tenant_id acme = {{"acme", 4}}, other = {{"other", 5}};

static int setup(void **state)
{
    *state = policy_cache_new();
    return 0;
}

static int teardown(void **state)
{
    policy_cache_free(*state);
    return 0;
}

static struct policy_read read_at(struct policy_cache *c, int64_t now)
{
    struct policy out;
    struct policy_read read;
    policy_cache_get(c, acme, now, &out, &read);
    return read;
}

static void put(struct policy_cache *c, int64_t revision, const struct policy_read *read)
{
    struct policy p = {.revision = revision};
    policy_cache_put(c, acme, &p, read);
}

/* The revision that is kept; -1: none. */
static int64_t kept(struct policy_cache *c, int64_t now)
{
    struct policy out;
    struct policy_read read;
    return policy_cache_get(c, acme, now, &out, &read) ? out.revision : -1;
}

static void it_is_kept_from_before_it_was_read(void **state)
{
    struct policy_cache *c = *state;
    struct policy_read read = read_at(c, 5000);
    assert_int_equal(kept(c, 5000), -1);
    put(c, 1, &read); /* however long the read took */
    assert_int_equal(kept(c, 5999), 1);
    assert_int_equal(kept(c, 6000), -1);
    struct policy out;
    assert_false(policy_cache_get(c, other, 5000, &out, &read));
}

static void a_read_that_began_earlier_replaces_nothing(void **state)
{
    struct policy_cache *c = *state;
    struct policy_read early = read_at(c, 1000), late = read_at(c, 1500);
    put(c, 1, &late);
    put(c, 1, &early);
    assert_int_equal(kept(c, 2499), 1); /* not 1999 */
    assert_int_equal(kept(c, 2500), -1);
    put(c, 1, &early);
    assert_int_equal(kept(c, 2500), -1);
}

static void an_older_revision_replaces_no_newer_one(void **state)
{
    struct policy_cache *c = *state;
    struct policy_read first = read_at(c, 1000), second = read_at(c, 1000);
    put(c, 8, &first);
    put(c, 7, &second);
    assert_int_equal(kept(c, 1000), 8);
    /* But one that was read after the newer one had its time: the tenant may have begun anew. */
    struct policy_read third = read_at(c, 2000);
    put(c, 1, &third);
    assert_int_equal(kept(c, 2000), 1);
}

static void a_read_that_a_change_overtook_is_not_kept(void **state)
{
    struct policy_cache *c = *state;
    struct policy_read before = read_at(c, 1000);
    policy_cache_changed(c, acme);
    put(c, 1, &before);
    assert_int_equal(kept(c, 1000), -1);
    struct policy_read after = read_at(c, 1000);
    put(c, 2, &after);
    assert_int_equal(kept(c, 1000), 2);
    policy_cache_changed(c, acme);
    assert_int_equal(kept(c, 1000), -1);
}

/* Also when the change's own entry is gone, because another tenant has the place. */
static void nor_when_another_tenant_took_the_place(void **state)
{
    struct policy_cache *c = *state;
    char name[16] = "";
    struct tenant_id neighbour = {{name, 0}};
    for (unsigned i = 0; str_hash(neighbour.s) % 256 != str_hash(acme.s) % 256; i++)
        neighbour.s.len = (size_t)snprintf(name, sizeof name, "n%u", i);
    struct policy_read before = read_at(c, 1000), neighbours;
    policy_cache_changed(c, acme);
    struct policy p = {.revision = 5};
    assert_false(policy_cache_get(c, neighbour, 1000, &p, &neighbours));
    policy_cache_put(c, neighbour, &p, &neighbours);
    put(c, 1, &before);
    assert_int_equal(kept(c, 1000), -1);
    assert_true(policy_cache_get(c, neighbour, 1000, &p, &neighbours));
}

static void after_forget_nothing_is_kept(void **state)
{
    struct policy_cache *c = *state;
    struct policy_read read = read_at(c, 1000);
    put(c, 1, &read);
    policy_cache_forget(c);
    assert_int_equal(kept(c, 1000), -1);
    put(c, 1, &read);
    assert_int_equal(kept(c, 1000), -1);
}

/* ---- many threads ------------------------------------------------------------------------------
 */

#define THREADS 4
#define ROUNDS  20000

struct hammer {
    struct policy_cache *cache;
    _Atomic int64_t revision; /* as in the store */
    _Atomic bool wrong;
};

static void *change_policy(void *arg)
{
    struct hammer *h = arg;
    for (int i = 0; i < ROUNDS; i++) {
        h->revision++;
        policy_cache_changed(h->cache, acme);
    }
    return NULL;
}

/* Whatever was changed before the question is obeyed, and no policy is half of another. */
static void *ask_policy(void *arg)
{
    struct hammer *h = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct policy p;
        struct policy_read read;
        if (!policy_cache_get(h->cache, acme, i, &p, &read)) {
            p = (struct policy){.revision = h->revision};
            snprintf(p.issuer, sizeof p.issuer, "%lld", (long long)p.revision);
            policy_cache_put(h->cache, acme, &p, &read);
        }
        char want[sizeof p.issuer];
        snprintf(want, sizeof want, "%lld", (long long)p.revision);
        if (strcmp(want, p.issuer) != 0)
            h->wrong = true;
    }
    return NULL;
}

static void what_was_changed_is_obeyed_by_every_thread(void **state)
{
    struct hammer h = {.cache = *state};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i == 0 ? change_policy : ask_policy, &h),
                         0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(h.wrong);
    int64_t last = kept(h.cache, ROUNDS - 1);
    assert_true(last == -1 || last == ROUNDS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_kept_from_before_it_was_read),
        TEST(a_read_that_began_earlier_replaces_nothing),
        TEST(an_older_revision_replaces_no_newer_one),
        TEST(a_read_that_a_change_overtook_is_not_kept),
        TEST(nor_when_another_tenant_took_the_place),
        TEST(after_forget_nothing_is_kept),
        TEST(what_was_changed_is_obeyed_by_every_thread),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
