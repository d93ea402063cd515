/* SPDX-License-Identifier: ISC */
#ifndef GRPC_SESSION_INTERNAL_H
#define GRPC_SESSION_INTERNAL_H

/* nghttp2's side: how sessions are set up, and its callbacks turned into the events of
 * a call. Nothing here sends or receives: that must not happen inside a callback.
 * Thread: startup for the kit; the connection's loop for the rest. */

#include "grpc/server.h"

#include <nghttp2/nghttp2.h>

struct conn;
struct grpc_call;

/* What all sessions of a server share; read only once made. */
struct session_kit {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
};

void session_kit_init(struct session_kit *kit);
void session_kit_release(struct session_kit *kit);

/* A session for c, with our SETTINGS ready to be sent. */
nghttp2_session *session_new(const struct session_kit *kit, const struct grpc_limits *limits,
                             struct conn *c);

/* The peer may send n more bytes on the call's stream. */
void session_consume(struct grpc_call *call, size_t n);

/* Announces the end. A PING follows, whose answer ends the notice (conn_last_calls). */
void session_submit_notice(nghttp2_session *session);

/* For calls to nghttp2 that fail only without memory or by a mistake of ours. */
void session_must(int rv);

#endif
