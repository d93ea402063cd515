/* SPDX-License-Identifier: ISC */
#include "rpc/rpc.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "grpc/server.h"
#include "health_internal.h"
#include "meter_internal.h"
#include "quota_internal.h"
#include "reflection_internal.h"
#include "refusal_internal.h"
#include "roster_internal.h"
#include "rpc_internal.h"
#include "wire_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct rpc_method *const methods[] = {
    &rpc_get_login_requirement, &rpc_enroll,    &rpc_verify,     &rpc_reset_request,
    &rpc_reset_confirm,         &rpc_get_reset, &rpc_set_policy, &rpc_get_policy,
};
/* After so long a caller with too many waiting calls may come again. */
#define QUEUE_RETRY_MS 1000
#define N_METHODS      (sizeof methods / sizeof methods[0])

/* What every gRPC server has; their ctx is the struct rpc. */
static const struct grpc_method standard_methods[] = {
    {.path = HEALTH_CHECK_PATH, .message_bytes = OPEN_MESSAGE_MAX, .serve = health_check},
    {.path = HEALTH_WATCH_PATH,
     .streams = GRPC_SERVER_STREAMS,
     .message_bytes = OPEN_MESSAGE_MAX,
     .serve = health_watch,
     .room = health_watch_room,
     .gone = health_watch_gone,
     .draining = health_watch_draining},
    {.path = REFLECTION_PATH,
     .streams = GRPC_BOTH_STREAM,
     .message_bytes = OPEN_MESSAGE_MAX,
     .serve = reflection_answer,
     .half_closed = reflection_half_closed,
     .draining = reflection_draining},
    {.path = REFLECTION_ALPHA_PATH,
     .streams = GRPC_BOTH_STREAM,
     .message_bytes = OPEN_MESSAGE_MAX,
     .serve = reflection_answer,
     .half_closed = reflection_half_closed,
     .draining = reflection_draining},
};
#define N_STANDARD_METHODS (sizeof standard_methods / sizeof standard_methods[0])

/* A loop's jobs of this turn, until its end. Thread: that loop. */
struct turn {
    struct rpc *rpc;
    struct loop *loop;
    struct loop_hook hook;
    struct queue_list jobs;
};

/* A row as grpc sees it. */
struct bound_method {
    struct rpc *rpc;
    const struct rpc_method *method;
};

struct rpc {
    struct rpc_options opt;
    struct grpc_server *server;
    struct turn *turns; /* by loop */
    struct meter meter;
    struct quota *quota;
    struct bound_method bound[N_METHODS];
    struct grpc_method table[N_METHODS + N_STANDARD_METHODS];
    struct health *health;
    struct roster *roster;
    _Atomic bool stopping;
};

/* ---- on the loop: a call becomes a job ---- */

static void log_refused(struct grpc_call *call, const struct trace *trace, const struct refusal *r)
{
    struct log_field fields[4 + TRACE_FIELDS_MAX] = {
        log_s("path", grpc_call_path(call)),
        log_c("peer", grpc_call_peer(call)),
        log_c("code", grpc_status_name((int)r->status)),
        log_c("reason", r->reason),
    };
    log_write(LOG_INFO, "refused", fields, 4 + trace_fields(trace, fields + 4));
}

static void refuse_caller(struct grpc_call *call, const struct trace *trace,
                          const struct refusal *r)
{
    log_refused(call, trace, r);
    refusal_send(call, r);
}

/* A token is what the caller says in this call, a certificate what its connection has: the
 * token decides alone, even a wrong one. */
static const struct caller *who_calls(const struct callers *callers, const struct grpc_call *call)
{
    struct str authorization;
    if (grpc_call_metadata_get(call, "authorization", &authorization))
        return callers_authenticate(callers, authorization);
    const char *const *names;
    size_t n = grpc_call_peer_names(call, &names);
    return callers_by_certificate(callers, names, n);
}

static void refuse_admission(struct grpc_call *call, const struct refusal *r)
{
    struct trace trace;
    trace_read(&trace, call);
    refuse_caller(call, &trace, r);
}

/* Its caller or its tenant has too much of the service already. */
static void refuse_limited(struct grpc_call *call, struct rpc *r, enum meter_limit limit,
                           int64_t retry_ms)
{
    static const struct {
        const char *reason, *text;
    } rows[METER_LIMITS] = {
        [METER_CALLER_RATE] = {"CALLER_RATE", "this caller sends too many requests"},
        [METER_TENANT_RATE] = {"TENANT_RATE", "too many requests for this tenant"},
        [METER_CALLER_QUEUE] = {"CALLER_QUEUE", "too many calls of this caller are waiting"},
    };
    const struct caller *caller = grpc_call_context(call);
    meter_limited(&r->meter, limit);
    log_event(LOG_INFO, "limited", log_s("path", grpc_call_path(call)),
              log_c("caller", caller->name), log_c("reason", rows[limit].reason));
    refusal_send(call, &(struct refusal){.status = GRPC_RESOURCE_EXHAUSTED,
                                         .reason = rows[limit].reason,
                                         .text = rows[limit].text,
                                         .retry_ms = retry_ms});
}

static int64_t take_quota(struct rpc *r, enum quota_kind kind, struct str name)
{
    return quota_take(r->quota, kind, name, clock_mono_ms(r->opt.clock));
}

static void admit_caller(struct grpc_call *call, struct rpc *r, const struct caller *caller)
{
    grpc_call_set_context(call, caller);
    int64_t retry_ms = take_quota(r, QUOTA_CALLER, str_from(caller->name));
    if (retry_ms > 0)
        refuse_limited(call, r, METER_CALLER_RATE, retry_ms);
    else
        grpc_call_set_state(call, roster_hold(r->roster, grpc_call_id(call).loop));
}

static void admit(struct grpc_call *call, const struct grpc_method *row)
{
    static const struct refusal unknown = {.status = GRPC_UNAUTHENTICATED,
                                           .reason = "CREDENTIAL_REJECTED",
                                           .text = "no valid credential: send authorization: "
                                                   "Bearer <id>.<secret>, or show a client "
                                                   "certificate that names a caller"};
    static const struct refusal denied = {.status = GRPC_PERMISSION_DENIED,
                                          .reason = "PERMISSION_MISSING",
                                          .text = "this caller may not call this method"};
    const struct bound_method *bound = row->ctx;
    uint32_t loop = grpc_call_id(call).loop;
    const struct caller *caller = who_calls(roster_callers(bound->rpc->roster, loop), call);
    if (caller == NULL) {
        refuse_admission(call, &unknown);
    } else if (!(caller->permissions & bound->method->permissions)) {
        refuse_admission(call, &denied);
    } else {
        admit_caller(call, bound->rpc, caller);
    }
}

/* Before there was a job, which would hold the caller itself. */
static void gone(struct grpc_call *call, const struct grpc_method *row)
{
    (void)row;
    struct roll *roll = grpc_call_state(call);
    if (roll != NULL)
        roster_let_go(roll);
}

static void finish_job(struct loop_task *task);
static enum err decide(struct work *w, struct domain *d, struct err_text *why);

static void free_job(struct job *job)
{
    if (job->method->release != NULL && job->answer != NULL)
        job->method->release(job);
    if (job->has_place)
        quota_leave(job->rpc->quota, job->place);
    arena_free(job->arena);
    roster_let_go(job->roll);
    free(job);
}

static struct job *new_job(struct grpc_call *call, const struct bound_method *bound)
{
    struct job *job = mem_zalloc(1, sizeof *job);
    job->work.task.run = finish_job;
    job->work.decide = decide;
    job->rpc = bound->rpc;
    job->method = bound->method;
    job->caller = grpc_call_context(call);
    job->roll = grpc_call_state(call);
    grpc_call_set_state(call, NULL);
    job->work.home = grpc_call_loop(call);
    job->call = grpc_call_id(call);
    trace_read(&job->trace, call);
    job->work.deadline_ms = grpc_call_deadline_ms(call);
    job->arena = arena_new(JOB_ARENA_CAP);
    return job;
}

void rpc_refuse_message(struct grpc_call *call, enum err e, const struct violations *v)
{
    struct err_text why = {0};
    if (e == ERR_LIMIT)
        err_set(&why, e, "MESSAGE_TOO_COMPLEX", "the message takes too much memory");
    if (e == ERR_INVALID)
        err_set(&why, e, NULL, "%s: %s", v->list[0].field, v->list[0].text);
    struct refusal r = refusal_of(e, &why);
    if (e == ERR_CORRUPT) {
        r.reason = "MESSAGE_MALFORMED";
        r.text = "the message is not one of this method's request type";
    }
    r.retry_ms = 0;
    r.violations = v;
    refusal_send(call, &r);
}

void rpc_refuse_draining(struct grpc_call *call)
{
    static const struct refusal draining = {.status = GRPC_UNAVAILABLE,
                                            .reason = "SERVER_STOPPING",
                                            .text = "the server is stopping; connect anew",
                                            .retry_ms = 1000};
    refusal_send(call, &draining);
}

/* Zeroed memory of the job. Only for what is taken before the message, whose size is the
 * client's: a few thousand bytes always fit then. */
static void *job_memory(struct job *job, size_t n)
{
    uint8_t *p = arena_alloc(job->arena, n);
    if (p == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        p[i] = 0;
    return p;
}

/* Decodes and checks; false when the call has been refused. */
static bool fill_job(struct job *job, struct grpc_call *call)
{
    static const struct refusal not_its_channel = {.status = GRPC_PERMISSION_DENIED,
                                                   .reason = "CHANNEL_NOT_ALLOWED",
                                                   .text =
                                                       "this caller does not have this channel"};
    static const struct refusal not_its_tenant = {.status = GRPC_PERMISSION_DENIED,
                                                  .reason = "TENANT_NOT_ALLOWED",
                                                  .text = "this caller may not reach this tenant"};
    struct violations v = {0};
    job->args = job_memory(job, job->method->args_size);
    job->answer = job_memory(job, job->method->answer_size);
    ProtobufCMessage *message;
    enum err e =
        wire_unpack(&message, job->method->request, grpc_call_message(call), job->arena, &v);
    enum grpc_status allowed = GRPC_OK;
    if (e == ERR_OK) {
        allowed = job->method->decode(job, message, &v);
        e = v.n > 0 ? ERR_INVALID : ERR_OK;
    }
    if (e != ERR_OK) {
        rpc_refuse_message(call, e, &v);
        return false;
    }
    if (!caller_may_reach(job->caller, job->tenant.s)) {
        refuse_caller(call, &job->trace, &not_its_tenant);
        return false;
    }
    if (allowed != GRPC_OK) {
        refuse_caller(call, &job->trace, &not_its_channel);
        return false;
    }
    return true;
}

/* False when the call has been refused. */
static bool is_within_limits(struct job *job, struct grpc_call *call)
{
    struct rpc *r = job->rpc;
    int64_t retry_ms = take_quota(r, QUOTA_TENANT, job->tenant.s);
    if (retry_ms > 0) {
        refuse_limited(call, r, METER_TENANT_RATE, retry_ms);
        return false;
    }
    job->has_place = quota_enter(r->quota, str_from(job->caller->name), &job->place);
    if (!job->has_place)
        refuse_limited(call, r, METER_CALLER_QUEUE, QUEUE_RETRY_MS);
    return job->has_place;
}

static void serve(struct grpc_call *call, const struct grpc_method *row)
{
    const struct bound_method *bound = row->ctx;
    struct job *job = new_job(call, bound);
    if (!fill_job(job, call) || !is_within_limits(job, call)) {
        free_job(job);
        return;
    }
    struct turn *turn = &bound->rpc->turns[job->call.loop];
    queue_list_append(&turn->jobs, &job->work.task.item);
    loop_arm(turn->loop, &turn->hook);
}

/* The end of a turn: its jobs go to the executor at once; those that do not fit are refused. */
static void hand_over(void *ctx)
{
    struct turn *turn = ctx;
    executor_submit(turn->rpc->opt.executor, &turn->jobs);
    for (struct queue_item *i; (i = queue_list_pop(&turn->jobs)) != NULL;) {
        struct job *job = (struct job *)i;
        struct grpc_call *call = grpc_call_find(turn->rpc->server, job->call);
        struct err_text why;
        err_set(&why, ERR_LIMIT, "OVERLOADED", "too many calls are waiting");
        struct refusal r = refusal_of(ERR_LIMIT, &why);
        if (call != NULL)
            refuse_caller(call, &job->trace, &r);
        free_job(job);
    }
}

/* ---- on the worker: a job becomes a decision ---- */

static enum err decide(struct work *w, struct domain *d, struct err_text *why)
{
    struct job *job = (struct job *)w;
    if (clock_mono_ms(job->rpc->opt.clock) >= w->deadline_ms)
        return err_set(why, ERR_TIMEOUT, NULL, "the deadline passed before the work began");
    return job->method->work(job, d, why);
}

/* ---- on the loop again: decisions become answers ---- */

/* What only the operator can mend is logged; what the caller can see is not. That the store counts
 * as failed was logged once. */
static void log_failure(const struct job *job)
{
    bool ours = job->work.result == ERR_CORRUPT || job->work.result == ERR_INTERNAL ||
                job->work.result == ERR_DENIED || job->work.result == ERR_UNAVAILABLE;
    if (!ours || job->work.refused)
        return;
    struct log_field fields[6 + TRACE_FIELDS_MAX] = {
        log_c("path", job->method->path),   log_c("error", err_name(job->work.result)),
        log_s("tenant", job->tenant.s),     log_s("user", job->user.s),
        log_c("caller", job->caller->name), log_c("detail", job->work.why.text),
    };
    log_write(LOG_ERROR, "call_failed", fields, 6 + trace_fields(&job->trace, fields + 6));
}

static void answer_call(const struct job *job, struct grpc_call *call)
{
    if (job->work.result != ERR_OK) {
        struct refusal r = refusal_of(job->work.result, &job->work.why);
        if (job->work.refused)
            r.text = job->work.why.text;
        struct violations v = {0};
        if (job->work.result == ERR_INVALID && job->work.why.field != NULL)
            v = (struct violations){.n = 1, .list = {{job->work.why.field, job->work.why.text}}};
        r.violations = &v;
        refusal_send(call, &r);
        return;
    }
    struct buf packed = BUF_INIT;
    job->method->encode(job, &packed);
    /* A compressor keeps what it has read, and that may be a secret. */
    struct grpc_answer answer = {
        .status = GRPC_OK, .message = buf_str(&packed), .compress = GRPC_COMPRESS_NEVER};
    grpc_reply(call, &answer);
    buf_wipe(&packed);
}

static void finish_job(struct loop_task *task)
{
    struct job *job = (struct job *)task;
    if (job->work.result == ERR_OK && job->method->finish != NULL)
        job->work.result = job->method->finish(job, &job->work.why);
    log_failure(job);
    if (job->method->count != NULL && job->work.result == ERR_OK)
        job->method->count(&job->rpc->meter, job);
    if (job->method->queues_mail && job->work.result == ERR_OK)
        job->rpc->opt.mail_queued(job->rpc->opt.mail_ctx);
    struct grpc_call *call = grpc_call_find(job->rpc->server, job->call);
    if (call != NULL)
        answer_call(job, call);
    else
        log_event(LOG_DEBUG, "answer_dropped", log_c("path", job->method->path));
    free_job(job);
}

/* ---- the whole ---- */

static void bind_methods(struct rpc *r)
{
    for (size_t i = 0; i < N_METHODS; i++) {
        r->bound[i] = (struct bound_method){.rpc = r, .method = methods[i]};
        r->table[i] = (struct grpc_method){.path = methods[i]->path,
                                           .admit = admit,
                                           .serve = serve,
                                           .gone = gone,
                                           .ctx = &r->bound[i]};
    }
    for (size_t i = 0; i < N_STANDARD_METHODS; i++) {
        r->table[N_METHODS + i] = standard_methods[i];
        r->table[N_METHODS + i].ctx = r;
    }
}

struct rpc *rpc_new(const struct rpc_options *opt)
{
    struct rpc *r = mem_zalloc(1, sizeof *r);
    r->opt = *opt;
    r->roster = roster_new(opt->loops, opt->n_loops, opt->callers);
    meter_init(&r->meter, opt->metrics);
    r->turns = mem_zalloc(opt->n_loops, sizeof *r->turns);
    for (size_t i = 0; i < opt->n_loops; i++) {
        struct turn *turn = &r->turns[i];
        *turn = (struct turn){.rpc = r, .loop = opt->loops[i]};
        turn->hook = (struct loop_hook){.run = hand_over, .ctx = turn};
        turn->jobs = QUEUE_LIST_INIT(turn->jobs);
    }
    r->quota = quota_new(&opt->limits);
    bind_methods(r);
    r->health = health_new(r, opt->loops, opt->n_loops);
    executor_on_change(opt->executor, health_changed, r->health);
    return r;
}

void rpc_free(struct rpc *r)
{
    if (r == NULL)
        return;
    health_free(r->health);
    roster_free(r->roster);
    quota_free(r->quota);
    free(r->turns);
    free(r);
}

const struct grpc_method *rpc_methods(const struct rpc *r, size_t *n_out)
{
    *n_out = N_METHODS + N_STANDARD_METHODS;
    return r->table;
}

void rpc_set_limits(struct rpc *r, const struct rpc_limits *limits)
{
    quota_set_limits(r->quota, limits);
}

void rpc_attach(struct rpc *r, struct grpc_server *server)
{
    r->server = server;
}

void rpc_set_callers(struct rpc *r, struct callers *fresh)
{
    roster_replace(r->roster, fresh);
}

void rpc_stop_serving(struct rpc *r)
{
    atomic_store(&r->stopping, true);
}

bool rpc_is_stopping(const struct rpc *r)
{
    return atomic_load(&r->stopping);
}

struct grpc_server *rpc_server(const struct rpc *r)
{
    return r->server;
}

struct health *rpc_health(const struct rpc *r)
{
    return r->health;
}

bool rpc_is_serving(const struct rpc *r)
{
    return !rpc_is_stopping(r) && executor_store_works(r->opt.executor);
}
