/* SPDX-License-Identifier: ISC */
#ifndef GRPC_ADDRESS_INTERNAL_H
#define GRPC_ADDRESS_INTERNAL_H

/* Addresses as text ("host:port", "[v6]:port", "unix:PATH") and as sockets have them.
 * Thread: any. */

#include "grpc/server.h"

#include <sys/socket.h>

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

#define ADDRESS_MAX_OF_NAME 8

/* All addresses that text stands for, at most ADDRESS_MAX_OF_NAME. ERR_INVALID for what
 * is no address, ERR_UNAVAILABLE for a name that does not resolve. Blocks while a name
 * is looked up. */
MUST_CHECK enum err address_resolve(const char *text, struct address out[ADDRESS_MAX_OF_NAME],
                                    size_t *n_out, struct err_text *why);

/* The text of an address, "unix" for an unnamed Unix socket; cut off when it is longer
 * than the room. */
void address_text(const struct address *a, char *out, size_t room);

/* n non-blocking sockets that listen on a, one for each loop: TCP sockets of their own,
 * among which the kernel spreads connections, or one Unix socket n times. *a becomes
 * what is bound. On failure none is open; as grpc_server_listen. */
MUST_CHECK enum err address_listen(struct address *a, int *fds_out, size_t n, struct err_text *why);

/* The same with the listening socket fd, which stays the caller's; *bound_out is its address.
 * The loops share the one socket. ERR_INVALID when it is no listening stream socket. */
MUST_CHECK enum err address_adopt(int fd, struct address *bound_out, int *fds_out, size_t n,
                                  struct err_text *why);

/* The host of "host:port" or "[v6]:port"; false for anything else. */
MUST_CHECK bool address_host(const char *text, char out[static GRPC_ADDRESS_MAX]);

#endif
