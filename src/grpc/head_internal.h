/* SPDX-License-Identifier: ISC */
#ifndef GRPC_HEAD_INTERNAL_H
#define GRPC_HEAD_INTERNAL_H

/* What the header fields of one request say: what the transport reads itself, and the
 * metadata for the service. Fields are taken one by one as they are decompressed, and
 * what is wrong with them is told at the end, so that the peer gets an answer instead
 * of a reset. Embedded: zero bytes is an empty one. Thread: any, one at a time. */

#include "base/buf.h"
#include "grpc/call.h"
#include "grpc/frame_internal.h"
#include "grpc/refusal_internal.h"

/* The compressed header block of a few KiB can stand for megabytes. Over the limit the
 * call is answered; over this many times the limit the stream is reset. */
#define HEAD_HARD_LIMIT 8

enum head_http { HEAD_METHOD_OTHER, HEAD_METHOD_POST, HEAD_METHOD_HEAD };

struct head_entry; /* one metadata entry as places in text */

struct head {
    struct buf text; /* path, names and values */
    struct head_entry *entries;
    struct grpc_metadata *metadata; /* the same in the same order, made by head_finish */
    size_t n_entries;
    size_t cap_entries;
    size_t counted;  /* bytes of all fields, as metadata_bytes counts */
    size_t path_len; /* the path stands first in text */
    int64_t timeout_ms;
    enum head_http http_method;
    enum frame_encoding encoding;
    bool is_grpc;    /* content-type */
    bool takes_gzip; /* grpc-accept-encoding */
    bool has_timeout;
    bool bad_timeout;
    bool bad_binary;
};

void head_release(struct head *h);

/* Forgets the request, wipes what it said, keeps the memory. */
void head_reset(struct head *h);

/* Takes one field, a pseudo-header too. False when the block is so far over the limit
 * that the stream has to be reset. Trailers: only counts. */
bool head_take(struct head *h, struct str name, struct str value, size_t limit);
bool head_take_trailer(struct head *h, struct str name, struct str value, size_t limit);

/* Is it gRPC at all? 200, or the status of a plain HTTP answer (405, 415). */
int head_http_status(const struct head *h, size_t limit);

/* The fields are complete: h->metadata is there, or the call is refused. */
struct refusal head_finish(struct head *h, size_t limit);

struct str head_path(const struct head *h);

#endif
