/* SPDX-License-Identifier: ISC */
#include "grpc/stream_internal.h"

#include "grpc/edge_internal.h"
#include "grpc/reply_internal.h"
#include "grpc/scrub_internal.h"
#include "grpc/tally_internal.h"

#include <stdlib.h>

bool stream_has_room(struct grpc_call *call)
{
    if (reply_waiting(call) < call_limits(call)->stream_bytes)
        return true;
    call->flow.full = true;
    return false;
}

static bool takes_messages(struct grpc_call *call)
{
    return call->state == CALL_STREAM && !call->flow.held && stream_has_room(call);
}

static struct refusal deliver(struct grpc_call *call)
{
    struct refusal refusal = frame_open(&call->frame, call_frame_rules(call), &call->edge->gzip);
    if (refusal.status != GRPC_OK)
        return refusal;
    tally_received(call);
    call->flow.handing = true;
    call->method->serve(call, call->method);
    call->flow.handing = false;
    frame_reset(&call->frame);
    return REFUSAL_NONE;
}

/* Hands over what the service takes of the bytes; how many they were. */
static size_t hand_over(struct grpc_call *call, const uint8_t *bytes, size_t n)
{
    size_t done = 0;
    while (done < n && takes_messages(call)) {
        size_t used = 0;
        struct refusal refusal =
            frame_fill(&call->frame, call_frame_rules(call), bytes + done, n - done, &used);
        done += used;
        if (refusal.status == GRPC_OK && frame_is_complete(&call->frame))
            refusal = deliver(call);
        if (refusal.status != GRPC_OK)
            call_refuse(call, refusal);
    }
    return call->state == CALL_STREAM ? done : n;
}

/* The end waits for its turn like a message. */
static void hand_over_end(struct grpc_call *call)
{
    if (!call->request_ended || call->flow.pending.len > 0 || !takes_messages(call))
        return;
    if (frame_is_begun(&call->frame)) {
        call_refuse(call, (struct refusal){GRPC_INTERNAL, "message cut off"});
        return;
    }
    call->state = CALL_SERVED;
    call->method->half_closed(call, call->method);
}

size_t stream_data(struct grpc_call *call, const uint8_t *bytes, size_t n)
{
    struct buf *pending = &call->flow.pending;
    call->flow.heard = call->edge->now_s;
    size_t done = pending->len > 0 ? 0 : hand_over(call, bytes, n);
    buf_append(pending, bytes + done, n - done);
    return done;
}

void stream_end(struct grpc_call *call)
{
    hand_over_end(call);
}

/* Moving what is left to the front costs as much as it frees. */
static void drop_handed(struct stream *s)
{
    if (s->handed == s->pending.len)
        scrub(&s->pending);
    else if (s->handed >= s->pending.len / 2)
        scrub_front(&s->pending, s->handed);
    else
        return;
    s->handed = 0;
}

void stream_continue(struct grpc_call *call)
{
    struct stream *s = &call->flow;
    if (!call_is_open(call))
        return; /* it has been answered since it became due */
    if (s->owes_room && stream_has_room(call)) {
        s->owes_room = false;
        if (call->method->room != NULL)
            call->method->room(call, call->method);
    }
    s->heard = call->edge->now_s;
    if (s->pending.len > 0) {
        size_t n = hand_over(call, s->pending.data + s->handed, s->pending.len - s->handed);
        s->handed += n;
        drop_handed(s);
        session_consume(call, n);
    }
    hand_over_end(call);
    conn_touch(call->conn);
}

void stream_sent(struct grpc_call *call)
{
    if (!call->flow.full || reply_waiting(call) > call_limits(call)->stream_bytes / 2)
        return;
    call->flow.full = false;
    if (call_is_open(call))
        edge_call_again(call);
}

void stream_check(struct grpc_call *call, uint32_t now, uint32_t limit)
{
    if (reply_waiting(call) > 0 && now - call->touched > limit) {
        tally_ended(call, GRPC_CANCELLED);
        call_lose(call);
        reply_cancel(call);
    } else if (call->state == CALL_STREAM && frame_is_begun(&call->frame) && takes_messages(call) &&
               now - call->flow.heard > limit) {
        call_refuse(call, (struct refusal){GRPC_DEADLINE_EXCEEDED, "the message did not come"});
    }
}

void stream_reset(struct grpc_call *call)
{
    if (call->flow.is_due)
        TAILQ_REMOVE(&call->edge->due, call, flow.link);
    scrub(&call->flow.pending);
    call->flow = (struct stream){.pending = call->flow.pending};
}

void stream_release(struct stream *s)
{
    buf_release(&s->pending);
}

/* ---- what the service sees ---- */

void grpc_hold(struct grpc_call *call)
{
    call->flow.held = true;
}

void grpc_resume(struct grpc_call *call)
{
    if (!call->flow.held)
        return;
    call->flow.held = false;
    edge_call_again(call);
}
