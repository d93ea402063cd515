/* SPDX-License-Identifier: ISC */
#ifndef GRPC_CALL_H
#define GRPC_CALL_H

/* One call on the server, and the answer to it.
 *
 * A call belongs to its connection, which belongs to one loop; a handler sees it
 * only inside its callback. Work that takes longer keeps the call's id, a number:
 * when the answer is ready the call is looked up again, and is gone when the client
 * cancelled, its deadline passed or the connection died. Thread: the call's loop. */

#include "base/str.h"
#include "grpc/status.h"

struct grpc_call;
struct grpc_server;
struct loop;

/* Names a call for as long as the server lives; never reused. */
struct grpc_call_id {
    uint32_t loop; /* index of the loop */
    uint32_t slot;
    uint64_t serial;
};

/* One metadata entry. Names are lower case. The value of a name that ends in "-bin"
 * is the decoded bytes, on the way in and on the way out. */
struct grpc_metadata {
    struct str name;
    struct str value;
};

struct grpc_call_id grpc_call_id(const struct grpc_call *call);
struct loop *grpc_call_loop(const struct grpc_call *call);

/* The request, all borrowed for the callback: the path, the metadata in the order it
 * came (without pseudo-headers and without what the transport itself reads: content-type,
 * te, grpc-*), the message (the one that serve is called for; where the client streams it
 * is gone after that) and the peer ("127.0.0.1:4711", "unix"). */
struct str grpc_call_path(const struct grpc_call *call);
size_t grpc_call_metadata(const struct grpc_call *call, const struct grpc_metadata **out);
/* The first value of name; false when there is none. */
bool grpc_call_metadata_get(const struct grpc_call *call, const char *name, struct str *out);
struct str grpc_call_message(const struct grpc_call *call);
const char *grpc_call_peer(const struct grpc_call *call);
/* The names (SANs) in the client's certificate, which the server's authorities vouch for: the
 * URIs, then the DNS names, in lower case. None without TLS, or when it has shown no
 * certificate. Borrowed for the callback. */
size_t grpc_call_peer_names(const struct grpc_call *call, const char *const **out);
/* Did the message come compressed? */
bool grpc_call_message_was_compressed(const struct grpc_call *call);

/* When the client stops waiting, on the clock of the server's options (mono_ms);
 * INT64_MAX: never. */
int64_t grpc_call_deadline_ms(const struct grpc_call *call);

/* A pointer of the service's own, kept from admit to serve; NULL at first. */
void grpc_call_set_context(struct grpc_call *call, const void *ctx);
const void *grpc_call_context(const struct grpc_call *call);

/* What a stream remembers from message to message; NULL at first. The service frees it
 * when it replies and in gone. */
void grpc_call_set_state(struct grpc_call *call, void *state);
void *grpc_call_state(const struct grpc_call *call);

enum grpc_compress {
    GRPC_COMPRESS_AUTO, /* gzip when the client takes it and it is worth it */
    GRPC_COMPRESS_NEVER,
    GRPC_COMPRESS_ALWAYS, /* gzip when the client takes it */
};

/* An answer. Everything is copied by grpc_reply. Metadata that HTTP/2 cannot carry (upper
 * case, control characters) or that bears a name of the transport's own is left out. */
struct grpc_answer {
    enum grpc_status status;
    struct str status_message; /* UTF-8; percent-encoded on the wire */
    struct str status_details; /* a serialized google.rpc.Status; empty: none */
    struct str message;        /* the response, sent when status is GRPC_OK; none where the
                                  server streams */
    enum grpc_compress compress;
    const struct grpc_metadata *initial; /* beside the response headers */
    size_t n_initial;
    const struct grpc_metadata *trailing;
    size_t n_trailing;
};

/* The call with this id, or NULL when it is gone. Thread: the loop of id. */
struct grpc_call *grpc_call_find(struct grpc_server *server, struct grpc_call_id id);

/* Answers the call; it is over after that and must not be touched. May be called
 * inside every handler but gone. The bytes leave at the end of the loop's turn, together
 * with those of other calls. Where the server streams, this is the end behind what has
 * been sent. */
void grpc_reply(struct grpc_call *call, const struct grpc_answer *answer);

/* grpc_reply with a status and a text and nothing else. */
void grpc_reply_status(struct grpc_call *call, enum grpc_status status, const char *message);

/* ---- where the server streams, before grpc_reply ---- */

/* Sends the response headers now, and says how messages are compressed. Needed only for
 * that: the first grpc_send does it with none and GRPC_COMPRESS_AUTO. At most once. */
void grpc_start(struct grpc_call *call, const struct grpc_metadata *initial, size_t n_initial,
                enum grpc_compress compress);

/* Sends one message, which is copied. False, and nothing is sent, when limits.stream_bytes
 * are waiting already: the method's room is called when half of them have gone. Where the
 * client streams, too, no message is handed over meanwhile, so that the first answer to a
 * message always has its place. */
bool grpc_send(struct grpc_call *call, struct str message);

/* ---- where the client streams ---- */

/* Neither serve nor half_closed is called until grpc_resume: the service is busy with what
 * it has. The client is slowed down, its other calls are not. */
void grpc_hold(struct grpc_call *call);
void grpc_resume(struct grpc_call *call);

#endif
