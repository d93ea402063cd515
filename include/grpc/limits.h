/* SPDX-License-Identifier: ISC */
#ifndef GRPC_LIMITS_H
#define GRPC_LIMITS_H

/* What a peer may make a server hold or do. Beyond a limit of connections one is closed at once,
 * beyond one of calls a call is refused with RESOURCE_EXHAUSTED before anything is done for it,
 * and a connection that breaks a rule ends with GOAWAY; all of it is counted. */

#include <stddef.h>
#include <stdint.h>

struct grpc_limits {
    size_t message_bytes;      /* one received message, also after decompression */
    size_t metadata_bytes;     /* all names and values, 32 more for each entry */
    uint32_t streams;          /* concurrent calls on one connection */
    uint32_t calls;            /* concurrent calls on one loop; 0: no limit */
    uint32_t connections;      /* open connections on one loop */
    uint32_t peer_connections; /* of one IPv4 address or IPv6 network of 64 bits, on all loops;
                                  Unix sockets are not counted; 0: no limit */
    size_t output_bytes;       /* waiting for a slow peer before reading from it stops */
    size_t stream_bytes;       /* of one call's messages waiting before grpc_send takes no more */
    uint32_t idle_frames;      /* frames that do nothing, in a burst; a tenth of it a second. A
                                  call that is taken back is one, a stream that the peer broke
                                  is ten */
    uint32_t stall_s;          /* a peer may leave a handshake, a frame, a request or an answer
                                  unfinished for so many seconds; 0: for ever */
    uint32_t idle_s;           /* a connection without calls ends after so long; 0: never */
    uint32_t age_s;            /* every connection ends after so long, a tenth more or less; its
                                  calls are answered first; 0: never */
    uint32_t ping_s;           /* PINGs may come so often where nothing was sent to the peer
                                  between them; two more are forgiven; 0: as often as they like */
};
#define GRPC_LIMITS_DEFAULT                                                                        \
    ((struct grpc_limits){.message_bytes = 64 * 1024,                                              \
                          .metadata_bytes = 8 * 1024,                                              \
                          .streams = 100,                                                          \
                          .calls = 100000,                                                         \
                          .connections = 10000,                                                    \
                          .peer_connections = 5000,                                                \
                          .output_bytes = 256 * 1024,                                              \
                          .stream_bytes = 64 * 1024,                                               \
                          .idle_frames = 1000,                                                     \
                          .stall_s = 30})

#endif
