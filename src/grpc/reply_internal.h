/* SPDX-License-Identifier: ISC */
#ifndef GRPC_REPLY_INTERNAL_H
#define GRPC_REPLY_INTERNAL_H

/* Answers as nghttp2 sends them. An answer with a message is HEADERS, DATA and a
 * trailing HEADERS; one without is a single HEADERS ("Trailers-Only"). The message is
 * handed over without a copy while its DATA frame is written.
 * Thread: the call's loop. */

#include "base/str.h"

#include <nghttp2/nghttp2.h>

struct grpc_call;

/* An answer in plain HTTP, for what is not gRPC: 405 or 415. */
void reply_http_error(struct grpc_call *call, int status);

/* Gives up an answer that the peer does not take. */
void reply_cancel(struct grpc_call *call);

/* Frees the answer of a call whose stream is closed. */
void reply_release(struct grpc_call *call);

/* The next n bytes of the call's DATA, which count as sent then. */
struct str reply_take(struct grpc_call *call, size_t n);

#endif
