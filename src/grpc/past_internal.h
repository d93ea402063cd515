/* SPDX-License-Identifier: ISC */
#ifndef GRPC_PAST_INTERNAL_H
#define GRPC_PAST_INTERNAL_H

/* What one connection remembers of streams that its peer has ended or has left out.
 *
 * nghttp2 forgets a stream when it is closed and takes no notice of frames that come for it
 * afterwards. That is right when we have reset it, because the peer may not know yet. It is an
 * error when the peer itself has ended it, or has left out its number (RFC 9113 section 5.1).
 * Only the last few are remembered: it is a mistake of the peer's that shows soon or never.
 * Embedded: zero bytes is a new one. Thread: the connection's loop. */

#include <stdbool.h>
#include <stdint.h>

#define PAST_ENDED 8
#define PAST_GAPS  4

struct past {
    uint32_t last; /* the highest stream that has come */
    uint32_t ended[PAST_ENDED];
    struct past_gap {
        uint32_t from, to;
    } gaps[PAST_GAPS]; /* left out */
    uint8_t next_ended, next_gap;
};

/* HEADERS have come for a stream. */
void past_opened(struct past *p, uint32_t stream);

/* The peer has said that it is done with a stream. */
void past_ended(struct past *p, uint32_t stream);

bool past_is_ended(const struct past *p, uint32_t stream);
bool past_is_left_out(const struct past *p, uint32_t stream);

#endif
