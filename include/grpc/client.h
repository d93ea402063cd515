/* SPDX-License-Identifier: ISC */
#ifndef GRPC_CLIENT_H
#define GRPC_CLIENT_H

/* A small blocking gRPC client for command-line programs and tests: one connection,
 * one unary call at a time, over h2c or TLS. Thread: any, one at a time. */

#include "base/buf.h"
#include "grpc/call.h"

struct grpc_client;

/* Connects to "host:port", "[v6]:port" or "unix:PATH". ERR_UNAVAILABLE when nobody
 * answers within timeout_ms. */
MUST_CHECK enum err grpc_client_open(struct grpc_client **out, const char *address,
                                     int64_t timeout_ms, struct err_text *why);

/* How to speak TLS. The server's certificate must have the host's name or address. */
struct grpc_client_tls {
    const char *ca_file;   /* PEM: who signs servers' certificates; NULL: whom the system trusts */
    const char *cert_file; /* PEM: what to show of oneself; NULL: nothing */
    const char *key_file;  /* PEM, mode 0600 or stricter; with cert_file */
};

/* As grpc_client_open over TLS, to "host:port" or "[v6]:port" (ERR_INVALID for others). Errors
 * of a file name it; ERR_DENIED when there is no trust between the two. tls NULL: plaintext. */
MUST_CHECK enum err grpc_client_open_tls(struct grpc_client **out, const char *address,
                                         const struct grpc_client_tls *tls, int64_t timeout_ms,
                                         struct err_text *why);
void grpc_client_close(struct grpc_client *c);

/* What came back. Zero bytes is an empty one. */
struct grpc_client_reply {
    enum grpc_status status;
    struct buf status_message; /* UTF-8, decoded */
    struct buf status_details; /* a serialized google.rpc.Status, decoded; may be empty */
    struct buf message;        /* the response, when status is GRPC_OK */
};
void grpc_client_reply_release(struct grpc_client_reply *r);

struct grpc_client_call {
    const char *path;
    struct str message;
    const struct grpc_metadata *metadata;
    size_t n_metadata;
    int64_t timeout_ms; /* sent as grpc-timeout, and kept by the client itself */
};

/* ERR_OK when there is a status from the server, whatever it is; ERR_UNAVAILABLE or
 * ERR_TIMEOUT when there is none, and then the connection is of no more use. */
MUST_CHECK enum err grpc_client_call(struct grpc_client *c, const struct grpc_client_call *call,
                                     struct grpc_client_reply *out, struct err_text *why);

#endif
