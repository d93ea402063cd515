/* SPDX-License-Identifier: ISC */
#ifndef GRPC_FIELDS_INTERNAL_H
#define GRPC_FIELDS_INTERNAL_H

/* Header fields of an answer, encoded, with the bytes that they point to in the same
 * piece of memory: made once with room enough, filled, submitted. Free with free().
 * Thread: any, one at a time. */

#include "grpc/call.h"

#include <nghttp2/nghttp2.h>

struct fields {
    size_t n;
    char *free_at; /* where the next bytes go */
    nghttp2_nv nv[];
};

/* Initializes an nghttp2_nv of two literals, which nghttp2 does not copy. */
#define FIELDS_FIXED(n, v)                                                                         \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v),                     \
        .namelen = sizeof(n) - 1, .valuelen = sizeof(v) - 1,                                       \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                      \
    }

extern const nghttp2_nv fields_status_ok; /* grpc-status: 0 */

/* Room for n_fixed fixed fields and what is not NULL or 0 of the rest. */
struct fields *fields_new(size_t n_fixed, const struct grpc_answer *status,
                          const struct grpc_metadata *metadata, size_t n_metadata);

void fields_add_fixed(struct fields *f, const nghttp2_nv *field);

/* grpc-status, grpc-message and grpc-status-details-bin. */
void fields_add_status(struct fields *f, const struct grpc_answer *answer);

/* Leaves out what grpc/call.h says. */
void fields_add_metadata(struct fields *f, const struct grpc_metadata *metadata, size_t n);

#endif
