/* SPDX-License-Identifier: ISC */
#include "grpc/peers_internal.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>

#define BUCKET_BITS 12
#define BUCKETS     (1u << BUCKET_BITS)

struct peer {
    SLIST_ENTRY(peer) link;
    struct peer_key key;
    uint32_t connections;
};
SLIST_HEAD(peer_list, peer);

struct peers {
    pthread_mutex_t lock; /* for the lists */
    uint64_t seed;        /* so that nobody can choose addresses of one bucket */
    struct peer_list buckets[BUCKETS];
};

struct peers *peers_new(void)
{
    struct peers *p = mem_zalloc(1, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    if (getrandom(&p->seed, sizeof p->seed, 0) != (ssize_t)sizeof p->seed)
        abort();
    return p;
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct peer *peer; (peer = SLIST_FIRST(&p->buckets[i])) != NULL;) {
            SLIST_REMOVE_HEAD(&p->buckets[i], link);
            free(peer);
        }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static uint64_t big_endian(const uint8_t *bytes, size_t n)
{
    uint64_t out = 0;
    for (size_t i = 0; i < n; i++)
        out = out << 8 | bytes[i];
    return out;
}

struct peer_key peers_key(const struct sockaddr_storage *sa)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)sa)->sin6_addr;
    if (sa->ss_family == AF_INET)
        return (struct peer_key){.family = AF_INET, .net = ntohl(in->sin_addr.s_addr)};
    if (sa->ss_family != AF_INET6)
        return (struct peer_key){.family = AF_UNSPEC};
    if (IN6_IS_ADDR_V4MAPPED(six))
        return (struct peer_key){.family = AF_INET, .net = big_endian(six->s6_addr + 12, 4)};
    return (struct peer_key){.family = AF_INET6, .net = big_endian(six->s6_addr, 8)};
}

static struct peer_list *bucket_of(struct peers *p, struct peer_key key)
{
    uint64_t mixed = (key.net ^ p->seed) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 32) ^ p->seed) * UINT64_C(0xd6e8feb86659fd93);
    return &p->buckets[mixed >> (64 - BUCKET_BITS)];
}

static struct peer *find(struct peer_list *bucket, struct peer_key key)
{
    struct peer *peer;
    SLIST_FOREACH (peer, bucket, link)
        if (peer->key.net == key.net && peer->key.family == key.family)
            return peer;
    return NULL;
}

bool peers_take(struct peers *p, struct peer_key key, uint32_t limit)
{
    if (key.family == AF_UNSPEC)
        return true;
    pthread_mutex_lock(&p->lock);
    struct peer_list *bucket = bucket_of(p, key);
    struct peer *peer = find(bucket, key);
    bool fits = limit == 0 || peer == NULL || peer->connections < limit;
    if (fits && peer == NULL) {
        peer = mem_zalloc(1, sizeof *peer);
        peer->key = key;
        SLIST_INSERT_HEAD(bucket, peer, link);
    }
    if (fits)
        peer->connections++;
    pthread_mutex_unlock(&p->lock);
    return fits;
}

void peers_give(struct peers *p, struct peer_key key)
{
    if (key.family == AF_UNSPEC)
        return;
    pthread_mutex_lock(&p->lock);
    struct peer_list *bucket = bucket_of(p, key);
    struct peer *peer = find(bucket, key);
    if (--peer->connections == 0) {
        SLIST_REMOVE(bucket, peer, peer, link);
        free(peer);
    }
    pthread_mutex_unlock(&p->lock);
}
