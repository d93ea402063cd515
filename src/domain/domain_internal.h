/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_DOMAIN_INTERNAL_H
#define DOMAIN_DOMAIN_INTERNAL_H

/* What the files of this folder share. */

#include "base/buf.h"
#include "domain/domain.h"

struct keys;
struct metric;
struct policy_cache;
struct secret;

/* The audit chain as this instance writes it. Records wait in `pending` until their batch
 * commits. */
struct audit {
    struct audit_head {
        int64_t seq; /* of the newest record */
        uint8_t hash[AUDIT_HASH_LEN];
    } committed, appended; /* in the store for good; with this batch */
    struct buf pending;    /* framed records of the batch's kept jobs, and the present job's */
    size_t job_start;      /* where the present job's records begin in pending */
};

struct domain {
    struct domain_options opt;
    struct keys *keys;
    struct policy_cache *policies;
    struct secret *scratch; /* one opened TOTP secret at a time; empty between jobs */
    struct audit audit;
    struct metric *mails; /* by enum outbox_event */
    bool caches_touched;  /* the present job put something into a cache that is not committed */
};

#endif
