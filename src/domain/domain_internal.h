/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_DOMAIN_INTERNAL_H
#define DOMAIN_DOMAIN_INTERNAL_H

/* What the files of this folder share. */

#include "base/buf.h"
#include "domain/domain.h"

#include <pthread.h>
#include <stdatomic.h>

struct keys;
struct metric;
struct policy_cache;
struct secret;

/* The audit chain as this process writes it. */
struct audit_chain {
    pthread_mutex_t lock; /* from reading the head until it is settled what became of a record */
    struct audit_head {
        bool known;  /* or else the store is asked before the next record */
        int64_t seq; /* of the newest record */
        uint8_t hash[AUDIT_HASH_LEN];
    } head; /* guarded by lock */
};

/* Records wait here until their batch commits, or on a store that is not transactional, until their
 * job ends. */
struct audit {
    struct buf pending;       /* framed records: owed, of kept jobs, and the present job's */
    size_t job_start;         /* where the present job's records begin in pending */
    struct audit_head before; /* while this domain has the chain: where the head was */
};

struct domain_shared {
    struct keys *keys;
    struct policy_cache *policies;
    struct audit_chain chain;
    _Atomic bool prepared;
    _Atomic uint64_t rules_changes; /* counted after a change of rules */
    pthread_mutex_t rules_lock;
    struct domain_rules rules; /* guarded by rules_lock; none before the first change */
};

struct domain {
    struct domain_options opt;
    struct domain_shared *shared;
    uint64_t rules_changes; /* as of opt.rules */
    struct secret *scratch; /* one opened TOTP secret at a time; empty between jobs */
    struct secret *key;     /* the data key that keys_get gave out last */
    struct audit audit;
    struct metric *mails; /* by enum outbox_event */
    int64_t budget_ms;    /* of the present job */
    bool caches_touched;  /* the present job changed what caches hold, and may be undone */
    bool opened;          /* this batch has opened what domain_prepare opens */
};

#endif
