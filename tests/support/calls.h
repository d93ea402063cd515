/* SPDX-License-Identifier: ISC */
#ifndef TEST_CALLS_H
#define TEST_CALLS_H

/* Many unary gRPC calls at once: some connections over h2c, so many calls in flight on each,
 * every answer read. For load; it dies with a message on whatever goes wrong below the call.
 * Thread: one. */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calls;

#define CALLS_MESSAGE_MAX 2048 /* of a request, of a response */

/* What is called, and what is made of an answer. */
struct calls_work {
    const char *path;
    /* The next request, borrowed until the next one is asked for; NULL: no more. *tag comes
     * back with the answer. */
    const ProtobufCMessage *(*next)(size_t *tag);
    /* status is that of gRPC, or -1 when the call ended without; message only with OK. */
    void (*done)(size_t tag, int status, const uint8_t *message, size_t len);
    size_t per_connection; /* at most so many calls on each; 0: no limit */
};

struct calls_times {
    double seconds; /* from the first request to the last answer */
    uint32_t p50_us, p99_us;
};

/* Connects to "IPv4:PORT". Never freed. */
struct calls *calls_open(const char *address, size_t connections, size_t in_flight);

/* Calls until the work has no more and every answer is there. */
struct calls_times calls_run(struct calls *c, const struct calls_work *work);

#endif
