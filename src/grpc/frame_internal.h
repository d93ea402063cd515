/* SPDX-License-Identifier: ISC */
#ifndef GRPC_FRAME_INTERNAL_H
#define GRPC_FRAME_INTERNAL_H

/* A length-prefixed message of a request or response, put together from pieces of any
 * size: the borders of DATA frames mean nothing. Embedded: zero bytes is an empty one.
 * Thread: any, one at a time. */

#include "base/buf.h"
#include "grpc/refusal_internal.h"

struct gzip;

#define FRAME_HEAD 5 /* a flag and the length */

/* What grpc-encoding said. */
enum frame_encoding { FRAME_NO_ENCODING, FRAME_IDENTITY, FRAME_GZIP, FRAME_FOREIGN };

struct frame_rules {
    size_t limit; /* bytes of the message, also after decompression */
    enum frame_encoding encoding;
};

struct frame {
    struct buf body; /* what has come of the message */
    uint32_t length; /* of the message; known when n_head is FRAME_HEAD */
    uint8_t head[FRAME_HEAD];
    uint8_t n_head;
    uint8_t n_extra; /* bytes behind the message, counted to FRAME_HEAD */
    bool compressed;
};
/* Invariant until frame_open: body.len <= length, and body grows only by what has come. */

void frame_release(struct frame *f);

/* Forgets the message and wipes it. */
void frame_reset(struct frame *f);

/* ---- one message of many ---- */

/* Takes what belongs to the message of the next n bytes; *used_out is how many. What is
 * refused is refused at the first byte that shows it, and then no more may be pushed:
 * a declared length over the limit, flags. */
struct refusal frame_fill(struct frame *f, struct frame_rules rules, const uint8_t *bytes, size_t n,
                          size_t *used_out);

/* Has all of the message come? Has any of it? */
bool frame_is_complete(const struct frame *f);
bool frame_is_begun(const struct frame *f);

/* f->body of a complete message is the message now, decompressed. */
struct refusal frame_open(struct frame *f, struct frame_rules rules, struct gzip *gzip);

/* ---- the only message ---- */

/* Takes the next n bytes as frame_fill does, and refuses a second message. */
struct refusal frame_push(struct frame *f, struct frame_rules rules, const uint8_t *bytes,
                          size_t n);

/* The peer has sent everything: f->body is the message now, decompressed, or there
 * was not exactly one. */
struct refusal frame_end(struct frame *f, struct frame_rules rules, struct gzip *gzip);

/* The head of a message of length bytes. */
void frame_write_head(uint8_t out[static FRAME_HEAD], bool compressed, uint32_t length);

#endif
