/* SPDX-License-Identifier: ISC */
#include "meter_internal.h"

#include "base/metric.h"

#define MICROSECONDS 1000000

/* Microseconds: a commit on a good disk takes tens of them, one that waits for a disk seconds. */
static const int64_t times[] = {100,   250,    500,    1000,   2500,    5000,    10000,  25000,
                                50000, 100000, 250000, 500000, 1000000, 2500000, 5000000};
static const int64_t counts[] = {1, 2, 5, 10, 20, 50, 100, 200, 500};

/* In the order of enum verify_outcome, from the first that is sent. */
static const char *const outcomes[] = {
    "accepted",     "wrong_code",        "replayed_code",      "locked",          "not_enrolled",
    "not_required", "superseded_secret", "enrollment_expired", "locked_for_good",
};
#define FIRST_OUTCOME   VERIFY_ACCEPTED
#define LOCKED_FOR_GOOD (VERIFY_ENROLLMENT_EXPIRED + 1) /* until an administrator helps */

/* In the order of enum login_requirement. */
static const char *const requirements[] = {"nothing", "code", "enroll"};
#define FIRST_REQUIREMENT LOGIN_REQUIREMENT_NOTHING

static const char *const reasons[] = {
    [LOGIN_REASON_NONE] = "none",
    [LOGIN_REASON_POLICY_OFF] = "policy_off",
    [LOGIN_REASON_CHANNEL_OFF] = "channel_off",
    [LOGIN_REASON_SUSPENDED] = "suspended",
};

/* Those that are the store's fault. */
enum fault { FAULT_UNAVAILABLE, FAULT_CORRUPT, FAULT_INTERNAL, N_FAULTS };
static const char *const faults[N_FAULTS] = {
    [FAULT_UNAVAILABLE] = "unavailable",
    [FAULT_CORRUPT] = "corrupt",
    [FAULT_INTERNAL] = "internal",
};

static const char *const limits[METER_LIMITS] = {
    [METER_CALLER_RATE] = "caller_rate",
    [METER_TENANT_RATE] = "tenant_rate",
    [METER_CALLER_QUEUE] = "caller_queue",
};

#define LABELS(label, table)                                                                       \
    {                                                                                              \
        .n_names = 1, .names = {label}, .n = sizeof(table) / sizeof(table)[0], .values = table     \
    }

static void init_answers(struct meter *m, struct metrics *metrics)
{
    m->verified = metric_new(
        metrics,
        &(struct metric_options){.name = "twostep_verify_total",
                                 .help = "Verify calls that were decided, by their outcome.",
                                 .rows = LABELS("outcome", outcomes)});
    m->required = metric_new(
        metrics, &(struct metric_options){
                     .name = "twostep_login_requirement_total",
                     .help = "GetLoginRequirement calls by what was required, and why nothing.",
                     .rows = LABELS("requirement", requirements),
                     .columns = LABELS("reason", reasons)});
}

static struct metric *histogram(struct metrics *metrics, const char *name, const char *help,
                                bool of_times)
{
    return metric_new(
        metrics, &(struct metric_options){.name = name,
                                          .help = help,
                                          .kind = METRIC_HISTOGRAM,
                                          .unit = of_times ? MICROSECONDS : 1,
                                          .bounds = of_times ? times : counts,
                                          .n_bounds = of_times ? sizeof times / sizeof times[0]
                                                               : sizeof counts / sizeof counts[0]});
}

void meter_init(struct meter *m, struct metrics *metrics)
{
    init_answers(m, metrics);
    m->waiting =
        metric_new(metrics, &(struct metric_options){.name = "twostep_queue_length",
                                                     .help = "Jobs that wait for the store.",
                                                     .kind = METRIC_GAUGE});
    m->turned_away = metric_new(
        metrics, &(struct metric_options){.name = "twostep_queue_refused_total",
                                          .help = "Jobs for which the queue had no room."});
    m->limited = metric_new(
        metrics, &(struct metric_options){.name = "twostep_limited_total",
                                          .help = "Calls refused by a limit of their caller or "
                                                  "tenant, by the limit.",
                                          .rows = LABELS("limit", limits)});
    m->waited = histogram(metrics, "twostep_queue_wait_seconds",
                          "How long a job waited for the store.", true);
    m->commit_jobs =
        histogram(metrics, "twostep_commit_jobs", "Jobs that shared one commit.", false);
    m->commit_time = histogram(metrics, "twostep_commit_seconds",
                               "How long a commit took; without transactions, all of a job.", true);
    m->store_errors = metric_new(
        metrics, &(struct metric_options){
                     .name = "twostep_store_errors_total",
                     .help = "Jobs and commits that failed by the store's or the data's fault.",
                     .rows = LABELS("error", faults)});
}

void meter_verified(struct meter *m, const struct verify_answer *answer)
{
    bool for_good = answer->outcome == VERIFY_LOCKED && answer->retry_after_ms == 0;
    size_t outcome = for_good ? LOCKED_FOR_GOOD : (size_t)answer->outcome;
    metric_add(m->verified, outcome - FIRST_OUTCOME, 1);
}

void meter_required(struct meter *m, const struct login_answer *answer)
{
    size_t row = (size_t)answer->requirement - FIRST_REQUIREMENT;
    size_t n_reasons = sizeof reasons / sizeof reasons[0];
    metric_add(m->required, row * n_reasons + (size_t)answer->reason, 1);
}

void meter_limited(struct meter *m, enum meter_limit limit)
{
    metric_add(m->limited, limit, 1);
}

int64_t meter_now_us(const struct meter *m)
{
    return m->waited != NULL ? metric_now_us() : 0;
}

void meter_queued(struct meter *m, size_t n)
{
    metric_add(m->waiting, 0, (int64_t)n);
}

void meter_turned_away(struct meter *m, size_t n)
{
    metric_add(m->waiting, 0, -(int64_t)n);
    metric_add(m->turned_away, 0, (int64_t)n);
}

void meter_taken(struct meter *m, size_t n)
{
    metric_add(m->waiting, 0, -(int64_t)n);
}

void meter_waited(struct meter *m, int64_t since_us, int64_t now_us)
{
    metric_observe(m->waited, 0, now_us - since_us);
}

void meter_committed(struct meter *m, size_t n, int64_t since_us)
{
    if (m->commit_time == NULL)
        return;
    metric_observe(m->commit_jobs, 0, (int64_t)n);
    metric_observe(m->commit_time, 0, metric_now_us() - since_us);
}

void meter_ended(struct meter *m, enum err e)
{
    if (e == ERR_UNAVAILABLE)
        metric_add(m->store_errors, FAULT_UNAVAILABLE, 1);
    else if (e == ERR_CORRUPT)
        metric_add(m->store_errors, FAULT_CORRUPT, 1);
    else if (e == ERR_INTERNAL)
        metric_add(m->store_errors, FAULT_INTERNAL, 1);
}
