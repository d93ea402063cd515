/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_DOMAIN_H
#define DOMAIN_DOMAIN_H

/* The decisions of two-step verification: synchronous, straight down, on one worker.
 *
 * A struct domain is what the decisions stand on: the store, the keys, the clock, the
 * rule of the lockout. It belongs to one worker, as its store does. The decisions are in
 * login.h, enroll.h, verify.h and policy.h.
 *
 * What the workers of one process have in common is a struct domain_shared: the keyring,
 * the policies and data keys that were read a moment ago, and the head of the audit chain. What one
 * worker changes there, the others see at once. Thread of that: any.
 *
 * Work goes in batches of jobs: begin, then job_begin, one decision, job_end for each,
 * then commit. An answer may leave the process after commit returned ERR_OK, and not
 * before. On a transactional store the audit records of a batch are part of it; on any other, a
 * job's records follow what it did. A job whose records could not be written fails, though what it
 * did stays; they are written with the domain's next job. Thread: the worker. */

#include "base/err.h"
#include "base/str.h"
#include "store/reset.h"

#include <stdbool.h>

struct clock;
struct domain;
struct domain_shared;
struct keyring;
struct metrics;
struct store;

/* What an operator may change while calls are decided. */
struct domain_rules {
    struct lockout_rule lockout;
    struct reset_limits reset_limits;
};

/* For all domains of a process the same, but the store. */
struct domain_options {
    struct store *store;          /* borrowed */
    struct domain_shared *shared; /* borrowed */
    struct clock *clock;          /* borrowed */
    struct domain_rules rules;    /* until domain_shared_set_rules */
    bool mail_is_configured;      /* is there a mail server to hand mails to? */
    struct metrics *metrics;      /* borrowed; mails are counted there. NULL: they are not */
};

/* Thread: startup, all of these. Fine with NULL, but for the keyring, which is borrowed. */
struct domain_shared *domain_shared_new(const struct keyring *keyring);
/* After its domains. */
void domain_shared_free(struct domain_shared *s);
/* Does not touch the store. */
struct domain *domain_new(const struct domain_options *opt);
void domain_free(struct domain *d);

/* Opens, in a batch of its own, what the service itself needs in the store: its own data key,
 * which is made when there is none, and the head of the audit chain. Once for all domains that
 * share; budget_ms as in domain_job_begin. ERR_DENIED: the keyring does not fit this store. Thread:
 * startup, before the worker runs. */
MUST_CHECK enum err domain_prepare(struct domain *d, int64_t budget_ms, struct err_text *why);

/* Would the keyring do in place of the present one? ERR_DENIED when it lacks a key that the service
 * or a tenant of a moment ago is known to need, or has another under an id of the present one.
 * Tenants that have not called for a second are not known. Thread: any. */
MUST_CHECK enum err domain_shared_check_keyring(struct domain_shared *s,
                                                const struct keyring *keyring,
                                                struct err_text *why);

/* From the return on keyring, which is borrowed, is the one, and nobody uses the last. The kept
 * data keys are forgotten. Thread: any. */
void domain_shared_set_keyring(struct domain_shared *s, const struct keyring *keyring);

/* Every batch that begins from now on goes by these. Thread: any. */
void domain_shared_set_rules(struct domain_shared *s, const struct domain_rules *rules);

/* Before that has succeeded nothing but domain_probe may be asked. Thread: any. */
bool domain_is_prepared(const struct domain *d);

/* Can the store undo what a job did? If not, each step of it is durable at once. Thread: any. */
bool domain_is_transactional(const struct domain *d);

MUST_CHECK enum err domain_batch_begin(struct domain *d, struct err_text *why);
/* The job waits not much longer than budget_ms for another machine in any one step. */
void domain_job_begin(struct domain *d, int64_t budget_ms);
/* result is what the job's decision returned: on any but ERR_OK nothing of it stays, if the store
 * is transactional. */
MUST_CHECK enum err domain_job_end(struct domain *d, enum err result, struct err_text *why);
MUST_CHECK enum err domain_batch_commit(struct domain *d, struct err_text *why);

/* Writes something that changes nothing: does the store take writes? Prepares when nobody has. */
MUST_CHECK enum err domain_probe(struct domain *d, struct err_text *why);

/* Deletes some of what has expired: one job's worth. */
MUST_CHECK enum err domain_sweep(struct domain *d, struct err_text *why);

/* Who asks: for the audit log, and to choose the channel. All borrowed for the call. */
struct actor {
    struct str caller;         /* the caller's name */
    struct str client_address; /* of the end user; may be empty */
    struct str on_behalf_of;   /* the person behind an administrative call; may be empty */
};

enum channel { CHANNEL_WEB = 1, CHANNEL_MOBILE = 2 };

/* Why no code is asked. The numbers are those of the API. */
enum login_reason {
    LOGIN_REASON_NONE = 0,
    LOGIN_REASON_POLICY_OFF = 1,
    LOGIN_REASON_CHANNEL_OFF = 2,
    LOGIN_REASON_SUSPENDED = 3,
};

#endif
