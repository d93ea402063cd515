/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_AUDIT_INTERNAL_H
#define DOMAIN_AUDIT_INTERNAL_H

/* The audit log: what was decided, for whom, for which caller, as a chain of records in
 * which each carries the hash of the one before; the workers of a process write one. A record is a
 * flat JSON object; its hash is BLAKE2b-256 over (hash before, seq as 8 bytes big-endian, the
 * JSON), each with its length. Never a code, a secret or a token. Thread: worker. */

#include "domain/domain.h"

struct audit_event {
    const char *action; /* "verify", "enroll", "policy_set" */
    struct tenant_id tenant;
    struct user_id user; /* empty: about the tenant */
    const struct actor *actor;
    const char *outcome;       /* NULL: there is none */
    struct str reason;         /* given by the caller; empty: none */
    const uint8_t *request_id; /* NULL: none */
    struct str change;         /* a JSON object of what has which value now; empty: none */
    int64_t number;            /* of what changed: a revision, a generation; 0: none */
    bool repeated;             /* an answer that was given before */
};

/* Reads the head of the chain. */
MUST_CHECK enum err audit_open(struct domain *d, struct err_text *why);
void audit_release(struct domain *d);

/* Notes a record for the present job. */
void audit_note(struct domain *d, const struct audit_event *e, int64_t now_ms);

/* The present job's records count, or are forgotten. */
void audit_job_end(struct domain *d, bool keep);

/* Takes the chain and appends what the batch's jobs noted; audit_batch_end follows, whatever this
 * returns. On failure the batch must be abandoned. For a transactional store. */
MUST_CHECK enum err audit_append_batch(struct domain *d, struct err_text *why);

/* Gives the chain back: the batch did or did not commit, so the head is the new or the old one. */
void audit_batch_end(struct domain *d, bool committed);

/* Appends what the job that has ended noted, each record for good. On failure the rest is owed:
 * this domain's next job appends it before its own, and what was of unknown end may then be there
 * twice. For a store that is not transactional. */
MUST_CHECK enum err audit_append_job(struct domain *d, struct err_text *why);

#endif
