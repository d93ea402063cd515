/* SPDX-License-Identifier: ISC */
#ifndef GRPC_GUARD_INTERNAL_H
#define GRPC_GUARD_INTERNAL_H

/* Watches the frames of one connection before nghttp2 sees them.
 *
 * nghttp2 handles PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown and empty DATA
 * frames without end, as fast as they come (CVE-2019-9511, -9512, -9513, -9515, -9518),
 * answers broken streams with resets without end (CVE-2025-8671), and lets a peer start
 * calls and take them back (CVE-2023-44487). Here each costs something from an allowance
 * that refills slowly; useful work refills it too, so that what a busy client needs
 * beside its calls never counts against it.
 *
 * It also keeps frame headers whole: nghttp2 1.52 counts a CONTINUATION whose header
 * comes in pieces as several, and then takes one for a flood. And it drops resets of
 * streams that have not been opened, unless it is the first thing that a peer says:
 * gRPC's C core (1.51) sends one when a deadline passes between the numbering of a call
 * and its headers, and nghttp2 would end the connection with all its other calls.
 * And it looks into PRIORITY and WINDOW_UPDATE, which nghttp2 does not where the stream is
 * over or the old priorities are off, though they are errors nevertheless (RFC 9113 sections
 * 6.3 and 6.9, RFC 7540 section 5.3.1).
 * Embedded: guard_init. Thread: the connection's loop. */

#include "grpc/past_internal.h"

#include <stddef.h>
#include <stdint.h>

#define GUARD_FRAME_HEAD 9                      /* RFC 9113 section 4.1 */
#define GUARD_PART_MAX   (GUARD_FRAME_HEAD + 4) /* with the number that some frames begin with */

struct guard {
    uint32_t left;                /* of the payload that is under way */
    uint8_t head[GUARD_PART_MAX]; /* of a frame's beginning that is not whole yet */
    uint8_t n_head;
    bool dropping; /* the frame that is under way is not handed on */
    struct past past;
    bool in_block; /* a header block is open: HEADERS without END_HEADERS */
    uint32_t code; /* with guard_walk's why: the error code for GOAWAY */
    int32_t allowance, most;
    uint32_t refilled; /* the second of the last refill */
    uint32_t pinged;   /* the second of the last PING that was in order */
    uint8_t strikes;   /* PINGs that came too early since something was sent */
    bool has_pinged;
    uint32_t begun; /* the second in which the unfinished frame or block began */
};

/* now is the loop's count of seconds, here and below; allowance is what a burst may cost, and a
 * tenth of it comes back in a second. */
void guard_init(struct guard *g, uint32_t now, uint32_t allowance);

/* Walks over the next bytes, which begin with what g->head held. *whole_out is how many
 * to hand on, from bytes on; a rest that is less than a frame's beginning is in g->head again.
 * NULL, or why the connection has to end, for GOAWAY with g->code: then hand on nothing. */
const char *guard_walk(struct guard *g, uint32_t now, uint8_t *bytes, size_t n, size_t *whole_out);

/* A frame of an answer has been sent: useful work. */
void guard_earn(struct guard *g);

/* A PING has come. NULL, or why the connection has to end: it was one too many where nothing was
 * sent between and they may come every ping_s seconds (gRPC's doc/keepalive.md). */
const char *guard_ping(struct guard *g, uint32_t now, uint32_t ping_s);

/* A stream was reset for the peer's fault. False when that was one too many. */
bool guard_charge_fault(struct guard *g);

/* Since how many seconds has a frame or header block been waiting for its end?
 * 0: none is. */
uint32_t guard_unfinished(const struct guard *g, uint32_t now);

#endif
