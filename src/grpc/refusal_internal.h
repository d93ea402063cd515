/* SPDX-License-Identifier: ISC */
#ifndef GRPC_REFUSAL_INTERNAL_H
#define GRPC_REFUSAL_INTERNAL_H

/* Why the transport answers a call itself instead of its method. The text is a
 * constant: it never repeats what the peer sent. */

#include "grpc/status.h"

struct refusal {
    enum grpc_status status; /* GRPC_OK: nothing to refuse */
    const char *text;
};

#define REFUSAL_NONE ((struct refusal){.status = GRPC_OK})

#endif
