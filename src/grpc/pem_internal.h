/* SPDX-License-Identifier: ISC */
#ifndef GRPC_PEM_INTERNAL_H
#define GRPC_PEM_INTERNAL_H

/* Certificates and keys from files in PEM, with errors that name the file.
 * Thread: any; blocks on the disk. */

#include "base/err.h"

#include <openssl/ssl.h>

typedef STACK_OF(X509) pem_list;

/* All certificates of a file, at least one. The caller frees them. */
MUST_CHECK enum err pem_certificates(pem_list **out, const char *path, struct err_text *why);

/* Gives ctx the certificate and chain of one file and the private key of another.
 * *expires_s_out is when the certificate ends. */
MUST_CHECK enum err pem_identity(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                                 int64_t *expires_s_out, struct err_text *why);

/* Gives ctx the authorities of a file to verify the peer with. */
MUST_CHECK enum err pem_authorities(SSL_CTX *ctx, const char *ca_file, struct err_text *why);

/* What OpenSSL says of the failure; a constant. Forgets it. */
const char *pem_problem(void);

#endif
