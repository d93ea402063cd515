/* SPDX-License-Identifier: ISC */
#ifndef GRPC_STREAM_INTERNAL_H
#define GRPC_STREAM_INTERNAL_H

/* What a call has beside when one of its sides streams: messages handed over one by one as
 * long as the service takes them, and the word to the service that there is room again.
 *
 * What is not taken stays here, and the peer's window stays as much smaller: it cannot send
 * more than one window of it. Embedded: zero bytes is an unused one.
 * Thread: the call's loop. */

#include "base/buf.h"
#include "grpc/call.h"

#include <sys/queue.h>

struct stream {
    TAILQ_ENTRY(grpc_call) link; /* of the loop's calls to go on with in the next turn */
    struct buf pending;          /* what has come and is not handed over */
    size_t handed;               /* of it, is handed over nevertheless */
    uint32_t heard;              /* the second in which the last bytes came */
    enum grpc_compress compress;
    bool is_due;    /* is in that list */
    bool handing;   /* serve has a message at this moment */
    bool held;      /* by grpc_hold */
    bool full;      /* something waits for answers to leave */
    bool owes_room; /* grpc_send has refused a message */
    bool started;   /* the response headers are nghttp2's */
    bool deferred;  /* nghttp2 waits to be told of more DATA */
};

/* The next bytes of the request, and its end. stream_data is how many are done with. */
size_t stream_data(struct grpc_call *call, const uint8_t *bytes, size_t n);
void stream_end(struct grpc_call *call);

/* Some of the answer has left. */
void stream_sent(struct grpc_call *call);

/* Goes on with what waited for room or for grpc_resume. */
void stream_continue(struct grpc_call *call);

/* May one more message be queued for the peer? If not, stream_continue will come. */
bool stream_has_room(struct grpc_call *call);

/* As call_check, for an open stream. */
void stream_check(struct grpc_call *call, uint32_t now, uint32_t limit);

/* Forgets all of it; the second gives the memory back as well. */
void stream_reset(struct grpc_call *call);
void stream_release(struct stream *s);

#endif
