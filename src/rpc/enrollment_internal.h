/* SPDX-License-Identifier: ISC */
#ifndef RPC_ENROLLMENT_INTERNAL_H
#define RPC_ENROLLMENT_INTERNAL_H

/* What Enroll and ResetConfirm have in common. A job's args begin with a struct enrollment_args,
 * its answer is a struct enroll_answer, and their responses are alike on the wire. */

#include "domain/enroll.h"

struct buf;
struct job;
struct violations;

struct enrollment_args {
    struct enroll_request request;
    bool draw; /* the QR code, in this format: */
    enum qr_format format;
};

/* Thread: loop, all. */
void rpc_enrollment_read_format(struct violations *v, int wanted, struct enrollment_args *args);
enum err rpc_enrollment_draw(struct job *job, struct err_text *why);
void rpc_enrollment_encode(const struct job *job, struct buf *out);
void rpc_enrollment_release(struct job *job);

#endif
