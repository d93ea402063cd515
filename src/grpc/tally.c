/* SPDX-License-Identifier: ISC */
#include "grpc/tally_internal.h"

#include "base/mem.h"
#include "base/metric.h"
#include "grpc/edge_internal.h"

#include <stdlib.h>
#include <string.h>

#define MICROSECONDS 1000000

/* grpc_type, grpc_service and grpc_method. */
#define METHOD_LABELS 3

/* Microseconds. Those from 5 ms on are what dashboards expect. */
static const int64_t bounds[] = {250,    500,    1000,   2500,    5000,    10000,   25000,   50000,
                                 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

/* As gRPC's Go and its dashboards write them. */
static const char *const codes[] = {
    [GRPC_OK] = "OK",
    [GRPC_CANCELLED] = "Canceled",
    [GRPC_UNKNOWN] = "Unknown",
    [GRPC_INVALID_ARGUMENT] = "InvalidArgument",
    [GRPC_DEADLINE_EXCEEDED] = "DeadlineExceeded",
    [GRPC_NOT_FOUND] = "NotFound",
    [GRPC_ALREADY_EXISTS] = "AlreadyExists",
    [GRPC_PERMISSION_DENIED] = "PermissionDenied",
    [GRPC_RESOURCE_EXHAUSTED] = "ResourceExhausted",
    [GRPC_FAILED_PRECONDITION] = "FailedPrecondition",
    [GRPC_ABORTED] = "Aborted",
    [GRPC_OUT_OF_RANGE] = "OutOfRange",
    [GRPC_UNIMPLEMENTED] = "Unimplemented",
    [GRPC_INTERNAL] = "Internal",
    [GRPC_UNAVAILABLE] = "Unavailable",
    [GRPC_DATA_LOSS] = "DataLoss",
    [GRPC_UNAUTHENTICATED] = "Unauthenticated",
};
#define N_CODES (sizeof codes / sizeof codes[0])

static const char *const faults[TALLY_FAULTS] = {
    [TALLY_FLOOD] = "flood",
    [TALLY_CONNECTION_ERROR] = "connection_error",
    [TALLY_STREAM_ERROR] = "stream_error",
    [TALLY_TOO_MANY_STREAMS] = "too_many_streams",
    [TALLY_STALLED] = "stalled",
    [TALLY_NOT_GRPC] = "not_grpc",
    [TALLY_HANDSHAKE] = "handshake",
    [TALLY_TOO_MANY_CALLS] = "too_many_calls",
    [TALLY_IDLE] = "idle",
    [TALLY_AGE] = "age",
    [TALLY_ACCEPT_PAUSED] = "accept_paused",
};

static const char *const refusals[TALLY_REFUSED] = {
    [TALLY_ALL] = "connections",
    [TALLY_OF_PEER] = "peer_connections",
};

/* ---- making them ---- */

/* "/package.Service/Method" into three labels; the service's is one more piece of memory. */
static const struct grpc_method unknown = {.path = "/unknown/unknown"};

static void label_method(const char **out, const struct grpc_method *method)
{
    static const char *const types[] = {[GRPC_UNARY] = "unary",
                                        [GRPC_CLIENT_STREAMS] = "client_stream",
                                        [GRPC_SERVER_STREAMS] = "server_stream",
                                        [GRPC_BOTH_STREAM] = "bidi_stream"};
    char *service = mem_strdup(method->path + 1);
    char *end = strchr(service, '/');
    if (end == NULL)
        abort();
    *end = '\0';
    out[0] = types[method->streams];
    out[1] = service;
    out[2] = strrchr(method->path, '/') + 1;
}

static void add_method_metrics(struct tally *t, struct metrics *m,
                               const struct metric_labels *methods)
{
    t->started = metric_new(m, &(struct metric_options){.name = "grpc_server_started_total",
                                                        .help = "Calls started on the server.",
                                                        .rows = *methods});
    t->handled = metric_new(
        m, &(struct metric_options){
               .name = "grpc_server_handled_total",
               .help = "Calls completed on the server, whatever their status.",
               .rows = *methods,
               .columns = {.n_names = 1, .names = {"grpc_code"}, .n = N_CODES, .values = codes}});
    t->received = metric_new(m, &(struct metric_options){.name = "grpc_server_msg_received_total",
                                                         .help = "Messages received by the server.",
                                                         .rows = *methods});
    t->sent = metric_new(m, &(struct metric_options){.name = "grpc_server_msg_sent_total",
                                                     .help = "Messages sent by the server.",
                                                     .rows = *methods});
    t->handling = metric_new(
        m, &(struct metric_options){.name = "grpc_server_handling_seconds",
                                    .help = "From a call's complete headers to its answer.",
                                    .kind = METRIC_HISTOGRAM,
                                    .rows = *methods,
                                    .unit = MICROSECONDS,
                                    .bounds = bounds,
                                    .n_bounds = sizeof bounds / sizeof bounds[0]});
}

static void add_connection_metrics(struct tally *t, struct metrics *m)
{
    t->open = metric_new(m, &(struct metric_options){.name = "grpc_server_connections_open",
                                                     .help = "Open connections.",
                                                     .kind = METRIC_GAUGE});
    t->accepted =
        metric_new(m, &(struct metric_options){.name = "grpc_server_connections_accepted_total",
                                               .help = "Connections accepted."});
    t->refused = metric_new(
        m, &(struct metric_options){
               .name = "grpc_server_connections_refused_total",
               .help = "Connections closed at once, by the limit that was reached.",
               .rows = {.n_names = 1, .names = {"limit"}, .n = TALLY_REFUSED, .values = refusals}});
    t->streams = metric_new(m, &(struct metric_options){.name = "grpc_server_streams_open",
                                                        .help = "Open streams of HTTP/2.",
                                                        .kind = METRIC_GAUGE});
    t->faults = metric_new(
        m, &(struct metric_options){
               .name = "grpc_server_faults_total",
               .help = "What peers did wrong or too much of, and limits reached.",
               .rows = {.n_names = 1, .names = {"kind"}, .n = TALLY_FAULTS, .values = faults}});
}

void tally_init(struct tally *t, const struct grpc_server_options *opt)
{
    t->methods = opt->methods;
    t->n_methods = opt->n_methods;
    if (opt->metrics == NULL)
        return;
    const char **values = mem_zalloc((opt->n_methods + 1) * METHOD_LABELS, sizeof *values);
    for (size_t i = 0; i < opt->n_methods; i++)
        label_method(&values[i * METHOD_LABELS], &opt->methods[i]);
    label_method(&values[opt->n_methods * METHOD_LABELS], &unknown);
    struct metric_labels methods = {.n_names = METHOD_LABELS,
                                    .names = {"grpc_type", "grpc_service", "grpc_method"},
                                    .n = opt->n_methods + 1,
                                    .values = values};
    add_method_metrics(t, opt->metrics, &methods);
    add_connection_metrics(t, opt->metrics);
    for (size_t i = 0; i < methods.n; i++)
        free((char *)(uintptr_t)values[i * METHOD_LABELS + 1]);
    free(values);
}

/* ---- counting ---- */

void tally_connection_opened(struct tally *t)
{
    metric_add(t->accepted, 0, 1);
    metric_add(t->open, 0, 1);
}

void tally_connection_closed(struct tally *t)
{
    metric_add(t->open, 0, -1);
}

void tally_connection_refused(struct tally *t, enum tally_refused why)
{
    metric_add(t->refused, why, 1);
}

void tally_fault(struct tally *t, enum tally_fault fault)
{
    metric_add(t->faults, fault, 1);
}

void tally_frame_sent(struct tally *t, const nghttp2_frame *frame)
{
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        tally_fault(t, frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM
                           ? TALLY_FLOOD
                           : TALLY_CONNECTION_ERROR);
    if (frame->hd.type != NGHTTP2_RST_STREAM)
        return;
    uint32_t code = frame->rst_stream.error_code;
    if (code == NGHTTP2_REFUSED_STREAM)
        tally_fault(t, TALLY_TOO_MANY_STREAMS);
    else if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL)
        tally_fault(t, TALLY_STREAM_ERROR);
}

static struct tally *tally_of(const struct grpc_call *call)
{
    return &call->edge->server->tally;
}

static size_t row_of(const struct tally *t, const struct grpc_call *call)
{
    return call->method != NULL ? (size_t)(call->method - t->methods) : t->n_methods;
}

/* The time of this turn of the loop, for all its calls. */
static int64_t now_us(struct edge *edge)
{
    if (edge->turn_us == 0) {
        edge->turn_us = metric_now_us();
        loop_arm(edge->loop, &edge->turn_over);
    }
    return edge->turn_us;
}

void tally_opened(struct grpc_call *call)
{
    metric_add(tally_of(call)->streams, 0, 1);
}

void tally_closed(struct grpc_call *call)
{
    metric_add(tally_of(call)->streams, 0, -1);
}

void tally_started(struct grpc_call *call)
{
    struct tally *t = tally_of(call);
    if (t->started == NULL)
        return;
    call->began_us = now_us(call->edge);
    metric_add(t->started, row_of(t, call), 1);
}

void tally_received(struct grpc_call *call)
{
    struct tally *t = tally_of(call);
    metric_add(t->received, row_of(t, call), 1);
}

void tally_sent(struct grpc_call *call)
{
    struct tally *t = tally_of(call);
    metric_add(t->sent, row_of(t, call), 1);
}

void tally_ended(struct grpc_call *call, enum grpc_status status)
{
    struct tally *t = tally_of(call);
    if (t->started == NULL)
        return;
    size_t row = row_of(t, call);
    metric_add(t->handled, row * N_CODES + (size_t)status, 1);
    metric_observe(t->handling, row, now_us(call->edge) - call->began_us);
}
