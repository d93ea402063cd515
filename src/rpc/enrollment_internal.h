/* SPDX-License-Identifier: ISC */
#ifndef RPC_ENROLLMENT_INTERNAL_H
#define RPC_ENROLLMENT_INTERNAL_H

/* What Enroll and ResetConfirm have in common. A job's args begin with a struct enroll_request,
 * its answer is a struct enroll_answer, and their responses are alike on the wire. */

struct buf;
struct enroll_request;
struct job;
struct violations;

/* Thread: loop, all. */
void rpc_enrollment_read_format(struct violations *v, int wanted, struct enroll_request *req);
void rpc_enrollment_encode(const struct job *job, struct buf *out);
void rpc_enrollment_release(struct job *job);

#endif
