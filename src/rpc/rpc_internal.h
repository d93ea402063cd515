/* SPDX-License-Identifier: ISC */
#ifndef RPC_RPC_INTERNAL_H
#define RPC_RPC_INTERNAL_H

/* What the files of this folder share: the row of a method, and the job that carries one
 * call through the house. */

#include "base/arena.h"
#include "domain/domain.h"
#include "grpc/call.h"
#include "rpc/callers.h"
#include "rpc/executor.h"
#include "trace_internal.h"

#include <protobuf-c/protobuf-c.h>

struct buf;
struct grpc_call;
struct meter;
struct grpc_server;
struct health;
struct roll;
struct rpc;

/* A request decodes into at most this much memory. */
#define JOB_ARENA_CAP (256 * 1024)

/* A message of a method that asks for no credential. */
#define OPEN_MESSAGE_MAX 4096

/* What is wrong with the fields of a request: all of it at once. */
#define VIOLATIONS_MAX 16
struct violations {
    size_t n;
    struct violation {
        const char *field; /* "policy.issuer"; a constant, or in the job's arena */
        const char *text;  /* a constant */
    } list[VIOLATIONS_MAX];
};

/* One call, from its message to its answer. */
struct job {
    struct work work; /* first */
    struct rpc *rpc;
    const struct rpc_method *method;
    struct roll *roll;           /* holds the caller */
    const struct caller *caller; /* borrowed from the callers */
    struct grpc_call_id call;
    uint32_t place; /* in the queue, of quota_enter */
    bool has_place;
    struct trace trace;
    struct arena *arena; /* everything below that is a pointer */
    struct tenant_id tenant;
    struct user_id user; /* empty: the call is about the tenant */
    void *args;          /* the method's own, from decode to work */
    void *answer;        /* the method's own, from work to encode */
};

/* A row of the table. */
struct rpc_method {
    const char *path;
    uint32_t permissions; /* any of these */
    const ProtobufCMessageDescriptor *request;
    size_t args_size, answer_size;
    bool queues_mail; /* the mail thread is woken when it went well */

    /* Copies nothing: the message lives as long as the job. Sets job->tenant and user and fills the
     * zeroed job->args; what is wrong goes to v. A status other than GRPC_OK refuses the call
     * when nothing is wrong with the fields. Thread: loop. */
    enum grpc_status (*decode)(struct job *job, const ProtobufCMessage *message,
                               struct violations *v);

    /* Fills the zeroed job->answer. Thread: worker. */
    enum err (*work)(struct job *job, struct domain *d, struct err_text *why);

    /* What the answer still lacks and the worker has no time for; NULL: nothing. Thread: loop. */
    enum err (*finish)(struct job *job, struct err_text *why);

    /* Counts the answer; NULL: the call alone is counted. Thread: loop. */
    void (*count)(struct meter *m, const struct job *job);

    /* Appends the response message. Thread: loop. */
    void (*encode)(const struct job *job, struct buf *out);

    /* Frees what the answer owns beyond the arena; NULL: nothing. */
    void (*release)(struct job *job);
};

extern const struct rpc_method rpc_get_login_requirement;
extern const struct rpc_method rpc_enroll;
extern const struct rpc_method rpc_verify;
extern const struct rpc_method rpc_set_policy;
extern const struct rpc_method rpc_get_policy;
extern const struct rpc_method rpc_reset_request;
extern const struct rpc_method rpc_reset_confirm;
extern const struct rpc_method rpc_get_reset;

/* Refuses a message that wire_unpack or the rules of its fields did not take. */
void rpc_refuse_message(struct grpc_call *call, enum err e, const struct violations *v);

/* What health says, and whether it will never say anything else. Thread: any. */
bool rpc_is_serving(const struct rpc *r);
bool rpc_is_stopping(const struct rpc *r);

/* Ends a stream because the server drains. */
void rpc_refuse_draining(struct grpc_call *call);

struct grpc_server *rpc_server(const struct rpc *r);
struct health *rpc_health(const struct rpc *r);

#endif
