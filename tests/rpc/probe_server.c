/* SPDX-License-Identifier: ISC */

/* The service of proto/rpctest/v1/probe.proto: answers as it is told, and tells what
 * it was given. */

#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "rpc/serve.h"
#include "rpctest/v1/probe.pb-c.h"

#include <event2/event.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

static atomic_uint_fast64_t served;

static struct str bytes(ProtobufCBinaryData b)
{
    return (struct str){.p = (const char *)b.data, .len = b.len};
}

static void on_time(evutil_socket_t fd, short what, void *arg);

/* An answer that waits for its time. */
struct probe {
    LIST_ENTRY(probe) link;
    struct grpc_call_id id;
    Rpctest__V1__AnswerRequest *request;
};

static LIST_HEAD(, probe) waiting; /* of all loops */
static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;

static void probe_new(struct grpc_call_id id, Rpctest__V1__AnswerRequest *request,
                      struct event_base *base)
{
    struct probe *probe = mem_zalloc(1, sizeof *probe);
    *probe = (struct probe){.id = id, .request = request};
    pthread_mutex_lock(&waiting_lock);
    LIST_INSERT_HEAD(&waiting, probe, link);
    pthread_mutex_unlock(&waiting_lock);
    struct timeval wait = {.tv_sec = request->delay_ms / 1000,
                           .tv_usec = request->delay_ms % 1000 * 1000};
    event_base_once(base, -1, EV_TIMEOUT, on_time, probe, &wait);
}

static void probe_free(struct probe *probe)
{
    pthread_mutex_lock(&waiting_lock);
    LIST_REMOVE(probe, link);
    pthread_mutex_unlock(&waiting_lock);
    rpctest__v1__answer_request__free_unpacked(probe->request, NULL);
    free(probe);
}

static struct grpc_metadata *make_metadata(Rpctest__V1__Field *const *fields, size_t n,
                                           size_t *n_out)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += fields[i]->n_values;
    struct grpc_metadata *out = mem_zalloc(total, sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < fields[i]->n_values; k++)
            out[(*n_out)++] = (struct grpc_metadata){.name = str_from(fields[i]->name),
                                                     .value = bytes(fields[i]->values[k])};
    return out;
}

static ProtobufCBinaryData borrow(struct str s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)(uintptr_t)s.p};
}

/* One metadata entry of the request, as the reply tells it. */
struct seen {
    Rpctest__V1__Field field;
    Rpctest__V1__Field *pointer;
    ProtobufCBinaryData value;
    char name[256];
};

static void tell(struct grpc_call *call, struct grpc_answer *answer,
                 const Rpctest__V1__AnswerRequest *request)
{
    const struct grpc_metadata *metadata;
    size_t n = grpc_call_metadata(call, &metadata);
    struct seen *seen = mem_zalloc(n, sizeof *seen);
    Rpctest__V1__Field **fields = mem_zalloc(n, sizeof(Rpctest__V1__Field *));
    for (size_t i = 0; i < n; i++) {
        rpctest__v1__field__init(&seen[i].field);
        snprintf(seen[i].name, sizeof seen[i].name, "%.*s", (int)metadata[i].name.len,
                 metadata[i].name.p);
        seen[i].value = borrow(metadata[i].value);
        seen[i].field.name = seen[i].name;
        seen[i].field.n_values = 1;
        seen[i].field.values = &seen[i].value;
        fields[i] = &seen[i].field;
    }
    int64_t deadline = grpc_call_deadline_ms(call);
    Rpctest__V1__AnswerReply reply;
    rpctest__v1__answer_reply__init(&reply);
    reply.data = request->data;
    reply.request = fields;
    reply.n_request = n;
    reply.timeout_ms = deadline == INT64_MAX ? -1 : deadline - clock_mono_ms(clock_system());
    reply.peer = (char *)(uintptr_t)grpc_call_peer(call);
    reply.was_compressed = grpc_call_message_was_compressed(call);
    reply.served = atomic_load(&served);
    serve_answer(call, answer, &reply.base);
    free(fields);
    free(seen);
}

static void probe_answer(struct grpc_call *call, const Rpctest__V1__AnswerRequest *request)
{
    struct grpc_answer answer = {.status = (enum grpc_status)request->code,
                                 .status_message = bytes(request->message),
                                 .status_details = bytes(request->details),
                                 .compress = (enum grpc_compress)request->compress};
    struct grpc_metadata *initial =
        make_metadata(request->initial, request->n_initial, &answer.n_initial);
    struct grpc_metadata *trailing =
        make_metadata(request->trailing, request->n_trailing, &answer.n_trailing);
    answer.initial = initial;
    answer.trailing = trailing;
    tell(call, &answer, request);
    free(initial);
    free(trailing);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct probe *probe = arg;
    struct grpc_server *server = serve_server();
    struct grpc_call *call = server != NULL ? grpc_call_find(server, probe->id) : NULL;
    if (call != NULL)
        probe_answer(call, probe->request);
    probe_free(probe);
}

static void probe(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    atomic_fetch_add(&served, 1);
    struct str message = grpc_call_message(call);
    Rpctest__V1__AnswerRequest *request =
        rpctest__v1__answer_request__unpack(NULL, message.len, (const uint8_t *)message.p);
    if (request == NULL) {
        grpc_reply_status(call, GRPC_INTERNAL, "not an AnswerRequest");
    } else if (request->delay_ms > 0) {
        probe_new(grpc_call_id(call), request, loop_base(grpc_call_loop(call)));
    } else {
        probe_answer(call, request);
        rpctest__v1__answer_request__free_unpacked(request, NULL);
    }
}

static void refuse(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    grpc_reply_status(call, GRPC_UNAUTHENTICATED, "who are you?");
}

static const struct grpc_method methods[] = {
    {.path = "/rpctest.v1.Probe/Answer", .serve = probe},
    {.path = "/rpctest.v1.Probe/Refuse", .admit = refuse, .serve = probe},
};

int main(int argc, char **argv)
{
    int code = serve_main(argc, argv, methods, sizeof methods / sizeof methods[0]);
    for (struct probe *p; (p = LIST_FIRST(&waiting)) != NULL;)
        probe_free(p);
    fprintf(stderr, "{\"event\":\"ended\",\"served\":%" PRIu64 "}\n",
            (uint64_t)atomic_load(&served));
    return code;
}
