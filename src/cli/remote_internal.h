/* SPDX-License-Identifier: ISC */
#ifndef CLI_REMOTE_INTERNAL_H
#define CLI_REMOTE_INTERNAL_H

/* One call to the service: connection, credential, request, answer. What goes wrong is
 * told on standard error here, so that a command has only answers to look at. One
 * thread; blocks, at most for the timeout of the options. */

#include "cli/cli_internal.h"

#include "base/err.h"

#include <protobuf-c/protobuf-c.h>

struct arena;

/* An answer in memory that is wiped with it. */
struct remote_answer {
    const ProtobufCMessage *message; /* of the method's output type */
    struct arena *arena;
};

/* CLI_DONE and *out, or after saying why CLI_UNDECIDED, or CLI_USAGE for a server's address
 * that is none. */
MUST_CHECK enum cli_exit remote_call(struct remote_answer *out, const struct cli_options *options,
                                     const ProtobufCServiceDescriptor *service, const char *method,
                                     const ProtobufCMessage *request);

/* Prints the answer as JSON: CLI_DONE, or CLI_UNDECIDED after saying that it has no JSON
 * form. */
MUST_CHECK enum cli_exit remote_print_json(const struct remote_answer *answer);

void remote_answer_release(struct remote_answer *answer);

#endif
