/* SPDX-License-Identifier: ISC */
#ifndef GRPC_TLS_INTERNAL_H
#define GRPC_TLS_INTERNAL_H

/* What server and client have in common. Thread: any. */

#include "grpc/client.h"
#include "grpc/tls.h"

#include <openssl/ssl.h>

/* ALPN (RFC 7301): the only protocol that is offered or taken. */
#define TLS_PROTOCOLS "\x02h2"

/* The server's side of grpc/tls.h, as OpenSSL has it; borrowed. */
SSL_CTX *tls_server_context(const struct grpc_tls *t);

/* Tickets that were given out under old are good under t, too. */
void tls_inherit(struct grpc_tls *t, const struct grpc_tls *old);

/* A context for clients that speaks what our servers speak. The caller frees it. */
MUST_CHECK enum err tls_client_context(SSL_CTX **out, const struct grpc_client_tls *files,
                                       struct err_text *why);

#endif
