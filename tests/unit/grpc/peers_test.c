/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grpc/peers_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define LIMIT 3
#define MANY  5000

static struct peer_key key_of(int family, const char *text)
{
    struct sockaddr_storage sa = {.ss_family = (sa_family_t)family};
    void *at = family == AF_INET ? (void *)&((struct sockaddr_in *)&sa)->sin_addr
                                 : (void *)&((struct sockaddr_in6 *)&sa)->sin6_addr;
    if (family != AF_UNIX)
        assert_int_equal(inet_pton(family, text, at), 1);
    return peers_key(&sa);
}

static int taken(struct peers *p, struct peer_key key)
{
    int n = 0;
    while (n < 2 * LIMIT && peers_take(p, key, LIMIT))
        n++;
    return n;
}

static void each_peer_has_its_own(void **state)
{
    (void)state;
    struct peers *p = peers_new();
    assert_int_equal(taken(p, key_of(AF_INET, "192.0.2.1")), LIMIT);
    assert_int_equal(taken(p, key_of(AF_INET, "192.0.2.2")), LIMIT);
    assert_int_equal(taken(p, key_of(AF_INET6, "2001:db8:0:1::1")), LIMIT);
    assert_int_equal(taken(p, key_of(AF_INET6, "2001:db8:0:1:ffff::")), 0); /* the same network */
    assert_int_equal(taken(p, key_of(AF_INET6, "2001:db8:0:2::1")), LIMIT);
    assert_int_equal(taken(p, key_of(AF_INET6, "::ffff:192.0.2.1")), 0); /* the first one again */
    assert_int_equal(taken(p, key_of(AF_UNIX, NULL)), 2 * LIMIT);
    peers_free(p);
}

static void a_place_comes_back(void **state)
{
    (void)state;
    struct peers *p = peers_new();
    struct peer_key key = key_of(AF_INET, "192.0.2.1");
    assert_int_equal(taken(p, key), LIMIT);
    peers_give(p, key);
    assert_int_equal(taken(p, key), 1);
    for (int i = 0; i < LIMIT; i++)
        peers_give(p, key);
    assert_int_equal(taken(p, key), LIMIT);
    assert_true(peers_take(p, key, 0)); /* no limit */
    assert_false(peers_take(p, key, LIMIT));
    peers_free(p);
}

static void many_peers(void **state)
{
    (void)state;
    struct peers *p = peers_new();
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(peers_take(p, (struct peer_key){.family = AF_INET, .net = i}, 1));
    for (uint32_t i = 0; i < MANY; i++)
        assert_false(peers_take(p, (struct peer_key){.family = AF_INET, .net = i}, 1));
    for (uint32_t i = 0; i < MANY; i++)
        peers_give(p, (struct peer_key){.family = AF_INET, .net = i});
    peers_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_peer_has_its_own),
        cmocka_unit_test(a_place_comes_back),
        cmocka_unit_test(many_peers),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
