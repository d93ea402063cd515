/* SPDX-License-Identifier: ISC */
#ifndef GRPC_DIAL_INTERNAL_H
#define GRPC_DIAL_INTERNAL_H

/* A client's end of a connection, over TLS or not, as grpc/client.h takes addresses.
 * Thread: any, one at a time; blocks. */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dial;
struct grpc_client_tls;

/* Connects. Tries all that a host name stands for, up to deadline_ms on the system's monotonic
 * clock. tls: NULL for plaintext. ERR_INVALID for what is no address, ERR_UNAVAILABLE when
 * nobody takes the connection, ERR_DENIED when the peer cannot prove that it is the one. */
MUST_CHECK enum err dial_open(struct dial **out, const char *address,
                              const struct grpc_client_tls *tls, int64_t deadline_ms,
                              struct err_text *why);

/* Fine with NULL. */
void dial_close(struct dial *d);

/* Until when what follows may block. */
void dial_set_deadline(struct dial *d, int64_t deadline_ms);

bool dial_is_tls(const struct dial *d);

MUST_CHECK enum err dial_send(struct dial *d, const uint8_t *bytes, size_t n, struct err_text *why);

/* Waits until something comes and hands it to take, in pieces, with the wire's lengths or
 * those of TLS records; take wipes it. Nothing may come: no failure. */
typedef enum err dial_take(void *ctx, uint8_t *bytes, size_t n, struct err_text *why);
MUST_CHECK enum err dial_receive(struct dial *d, dial_take *take, void *ctx, struct err_text *why);

#endif
