/* SPDX-License-Identifier: ISC */
#ifndef GRPC_REPLY_INTERNAL_H
#define GRPC_REPLY_INTERNAL_H

/* Answers as nghttp2 sends them. An answer with messages is HEADERS, DATA and a
 * trailing HEADERS; one without is a single HEADERS ("Trailers-Only"). Messages are
 * handed over without a copy while their DATA frames are written. A stream whose
 * messages have all left is deferred until there is another.
 * Thread: the call's loop. */

#include "base/str.h"

#include <nghttp2/nghttp2.h>

struct grpc_answer;
struct grpc_call;

/* The answer of a call that has been left. */
void reply_submit(struct grpc_call *call, const struct grpc_answer *answer);

/* An answer in plain HTTP, for what is not gRPC: 405 or 415. */
void reply_http_error(struct grpc_call *call, int status);

/* Gives up an answer that the peer does not take. */
void reply_cancel(struct grpc_call *call);

/* Frees the answer of a call whose stream is closed. */
void reply_release(struct grpc_call *call);

/* Bytes of the answer that nghttp2 has not taken. */
size_t reply_waiting(const struct grpc_call *call);

/* The next n bytes of the call's DATA, which count as sent then. */
struct str reply_take(struct grpc_call *call, size_t n);

#endif
