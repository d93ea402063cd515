/* SPDX-License-Identifier: ISC */
#ifndef GRPC_TLS_H
#define GRPC_TLS_H

/* How a server speaks TLS: its certificate and key, and who signs its clients'
 * certificates. TLS 1.2 with forward secrecy and authenticated encryption, or 1.3
 * (RFC 9113 section 9.2); a client must offer "h2" by ALPN; no renegotiation, no
 * compression, no early data. Sessions resume from tickets, nothing of them is kept
 * here. Made from files whole or not at all, and does not change.
 * Thread: any, one at a time. */

#include "base/err.h"

struct grpc_tls;

struct grpc_tls_files {
    const char *cert_file; /* PEM: the server's certificate, then what leads to its authority */
    const char *key_file;  /* PEM, without a passphrase; mode 0600 or stricter */
    const char *client_ca_file; /* PEM: clients are asked for a certificate that one of these
                                   signed, and may have none; NULL: they are not asked */
};

/* Errors name the file and what is wrong with it. */
MUST_CHECK enum err grpc_tls_load(struct grpc_tls **out, const struct grpc_tls_files *files,
                                  struct err_text *why);
/* Connections that use it go on. Fine with NULL. */
void grpc_tls_free(struct grpc_tls *t);

/* When the certificate ends, in seconds since 1970. */
int64_t grpc_tls_expires_s(const struct grpc_tls *t);

/* What is wrong and yet no reason not to serve, such as a certificate that was over when it
 * was loaded; NULL: nothing. */
const char *grpc_tls_warning(const struct grpc_tls *t);

#endif
