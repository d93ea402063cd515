/* SPDX-License-Identifier: ISC */
#ifndef CLI_EXPLAIN_INTERNAL_H
#define CLI_EXPLAIN_INTERNAL_H

/* Tells on standard error why a call could not be decided: the code, the message, the
 * details of google.rpc.Status in words, and what to do next where that is known. */

struct grpc_client_reply;

void explain_status(const struct grpc_client_reply *reply);

#endif
