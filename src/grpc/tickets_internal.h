/* SPDX-License-Identifier: ISC */
#ifndef GRPC_TICKETS_INTERNAL_H
#define GRPC_TICKETS_INTERNAL_H

/* The keys that session tickets are sealed with (RFC 5077 section 4, RFC 8446 section 4.6.1).
 * A key is used for one period and good for one more, so that who gets at it later opens
 * nothing old. Contexts share them, which is how sessions outlive new certificates.
 * Thread: any. */

#include <openssl/ssl.h>
#include <stdint.h>

struct tickets;

/* How long a ticket is good, and a key is used. */
#define TICKETS_PERIOD_S 3600

/* With one hold on it. */
struct tickets *tickets_new(void);
struct tickets *tickets_hold(struct tickets *t);
/* Wiped and freed with the last hold. Fine with NULL. */
void tickets_free(struct tickets *t);

/* ctx makes and opens tickets with t, and has a hold of its own. Instead of those that it had,
 * as long as it has no connections. */
void tickets_attach(struct tickets *t, SSL_CTX *ctx);

/* The keys of ctx, borrowed. */
struct tickets *tickets_of(const SSL_CTX *ctx);

/* A fresh key, when the one in use is a period old at now_s (CLOCK_MONOTONIC). */
void tickets_turn(struct tickets *t, int64_t now_s);

#endif
