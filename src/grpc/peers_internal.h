/* SPDX-License-Identifier: ISC */
#ifndef GRPC_PEERS_INTERNAL_H
#define GRPC_PEERS_INTERNAL_H

/* How many connections each peer has. A peer is an IPv4 address, or the first 64 bits of an IPv6
 * address: who has one of these has them all. There is an entry only for who is connected, so
 * that the limit of connections bounds the memory. Thread: any. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct peers;

struct peer_key {
    uint64_t net;
    sa_family_t family; /* AF_INET, AF_INET6, or AF_UNSPEC: not counted */
};

struct peers *peers_new(void);
void peers_free(struct peers *p);

struct peer_key peers_key(const struct sockaddr_storage *sa);

/* One connection more; false, and nothing is counted, when it has limit already. limit 0: none. */
bool peers_take(struct peers *p, struct peer_key key, uint32_t limit);

/* One less. */
void peers_give(struct peers *p, struct peer_key key);

#endif
