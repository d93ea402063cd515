/* SPDX-License-Identifier: ISC */
#ifndef RPC_METER_INTERNAL_H
#define RPC_METER_INTERNAL_H

/* What rpc and its executor count beside the calls themselves. Made twice from the same metrics,
 * it is the same. Thread: startup for meter_init, any for the rest. */

#include "base/err.h"
#include "domain/login.h"
#include "domain/verify.h"

struct metric;
struct metrics;

/* All NULL: nothing is counted. */
struct meter {
    struct metric *verified, *required;
    struct metric *waiting, *waited, *turned_away, *limited;
    struct metric *commit_jobs, *commit_time, *store_errors;
};

/* With metrics NULL nothing is counted. */
void meter_init(struct meter *m, struct metrics *metrics);

/* An answer that counts: it is in the store, whether or not its caller still waits for it. */
void meter_verified(struct meter *m, const struct verify_answer *answer);
void meter_required(struct meter *m, const struct login_answer *answer);

/* A call was refused by a limit of its caller or tenant. */
enum meter_limit {
    METER_CALLER_RATE,
    METER_TENANT_RATE,
    METER_CALLER_QUEUE,
    METER_LIMITS,
};
void meter_limited(struct meter *m, enum meter_limit limit);

/* The time for meter_waited and meter_committed; 0 when nothing is counted. */
int64_t meter_now_us(const struct meter *m);

/* So many works go into the queue; of them, found no room in it; left it. */
void meter_queued(struct meter *m, size_t n);
void meter_turned_away(struct meter *m, size_t n);
void meter_taken(struct meter *m, size_t n);
/* How long one of them was in it. */
void meter_waited(struct meter *m, int64_t since_us, int64_t now_us);

/* A batch of n works was committed, or not, by a commit that began then. */
void meter_committed(struct meter *m, size_t n, int64_t since_us);

/* A work or a whole batch ended like this; counted when it is the store's fault. */
void meter_ended(struct meter *m, enum err e);

#endif
