/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_PAGE_INTERNAL_H
#define DAEMON_PAGE_INTERNAL_H

/* A small HTTP server on a thread of its own, for programs that watch the daemon: /metrics and
 * /healthz, GET and HEAD, one request a connection. Whatever is done to it stays with it: a
 * request has a size and a time, connections have a number, and the oldest has to go when there
 * are too many. Thread: startup. */

#include "base/err.h"
#include "grpc/server.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct page;

#define PAGE_REQUEST_MAX     4096
#define PAGE_SECONDS         5 /* of one connection, from its beginning to its end */
#define PAGE_CONNECTIONS_MAX 32

struct page_options {
    const char *address; /* see grpc_address_listen */
    /* Appends what /metrics says. Thread: the page's. */
    void (*render)(void *ctx, struct buf *out);
    /* Does the daemon serve? Thread: the page's. */
    bool (*is_serving)(void *ctx);
    void *ctx;
};

/* bound_out is the address as it is. ERR_UNAVAILABLE when it cannot be bound. */
MUST_CHECK enum err page_start(struct page **out, const struct page_options *opt,
                               char bound_out[static GRPC_ADDRESS_MAX], struct err_text *why);

/* Closes everything. Fine with NULL. */
void page_stop(struct page *p);

#endif
