/* SPDX-License-Identifier: ISC */
#ifndef GRPC_TLS_LINK_INTERNAL_H
#define GRPC_TLS_LINK_INTERNAL_H

/* The TLS of one connection, between the bytes of the wire and those of HTTP/2. It does
 * no I/O: what comes from the wire is given to it, what it makes for the wire goes to a
 * function of the owner's, which takes all of it at once.
 * Thread: any, one at a time. */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls_link;

#define TLS_LINK_FIRST_BYTE 22 /* of whoever speaks TLS: a record of the handshake */

/* Takes n bytes for the wire; false when it is broken. */
typedef bool tls_link_out(void *ctx, const void *bytes, size_t n);

struct tls_link *tls_link_new_server(SSL_CTX *tls, tls_link_out *out, void *ctx);
/* host is the name or IP address that the server's certificate must have. */
struct tls_link *tls_link_new_client(SSL_CTX *tls, const char *host, tls_link_out *out, void *ctx);
void tls_link_free(struct tls_link *l);

/* n bytes came from the wire: borrowed until tls_link_shake or tls_link_read has said
 * that there is nothing more in them. */
void tls_link_give(struct tls_link *l, const uint8_t *bytes, size_t n);

/* Goes on with the handshake. A client's first call begins it. */
enum tls_link_state {
    TLS_LINK_SHAKING, /* needs more from the wire */
    TLS_LINK_READY,
    TLS_LINK_BROKEN,
};
enum tls_link_state tls_link_shake(struct tls_link *l);

/* Why it broke; a constant. */
const char *tls_link_problem(const struct tls_link *l);

/* What has come, deciphered: the number of bytes; 0 when there is nothing more for now; -1
 * when the peer has ended, or has broken the rules. */
ssize_t tls_link_read(struct tls_link *l, uint8_t *out, size_t cap);

/* All of it, or false when the wire is broken. */
bool tls_link_write(struct tls_link *l, const void *bytes, size_t n);

/* Tells the peer that nothing more follows. */
void tls_link_end(struct tls_link *l);

/* Has a record come in part? */
bool tls_link_is_amid(const struct tls_link *l);

/* The names in the peer's verified certificate: its URIs, then its DNS names in lower case;
 * at most TLS_LINK_NAMES_MAX of at most TLS_LINK_NAME_MAX bytes, others and those that hold
 * anything but visible ASCII are left out. None when it has shown no certificate, or one that
 * has ended since. Known once the handshake is done; borrowed. */
#define TLS_LINK_NAMES_MAX 32
#define TLS_LINK_NAME_MAX  255
size_t tls_link_names(const struct tls_link *l, const char *const **out);

/* For callbacks of a handshake that refuse it: why, a constant. */
void tls_link_blame(SSL *ssl, const char *why);

#endif
