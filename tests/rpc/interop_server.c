/* SPDX-License-Identifier: ISC */

/* grpc.testing.TestService as gRPC's interop test descriptions ask for it, without pauses
 * between the messages of a stream, and an echo of bytes for benches. */

#include "base/mem.h"
#include "grpc/testing/interop.pb-c.h"
#include "rpc/serve.h"

#include <stdlib.h>

/* ---- bench.Echo ---- */

static void echo(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    grpc_reply(call, &(struct grpc_answer){.message = grpc_call_message(call),
                                           .compress = GRPC_COMPRESS_NEVER});
}

/* ---- grpc.testing.TestService ---- */

static void empty_call(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    grpc_reply(call, &(struct grpc_answer){.status = GRPC_OK});
}

/* "Echo Metadata" of the interop description. */
static void echo_metadata(const struct grpc_call *call, struct grpc_answer *answer,
                          struct grpc_metadata both[static 2])
{
    both[0].name = STR("x-grpc-test-echo-initial");
    both[1].name = STR("x-grpc-test-echo-trailing-bin");
    answer->initial = &both[0];
    answer->trailing = &both[1];
    answer->n_initial = grpc_call_metadata_get(call, both[0].name.p, &both[0].value);
    answer->n_trailing = grpc_call_metadata_get(call, both[1].name.p, &both[1].value);
}

static void unary_answer(struct grpc_call *call, const Grpc__Testing__SimpleRequest *request)
{
    struct grpc_answer answer = {.compress = GRPC_COMPRESS_NEVER};
    struct grpc_metadata both[2];
    echo_metadata(call, &answer, both);
    if (request->response_compressed != NULL && request->response_compressed->value)
        answer.compress = GRPC_COMPRESS_ALWAYS;
    if (request->response_status != NULL && request->response_status->code != 0) {
        answer.status = (enum grpc_status)request->response_status->code;
        answer.status_message = str_from(request->response_status->message);
    }
    Grpc__Testing__Payload payload;
    Grpc__Testing__SimpleResponse response;
    grpc__testing__payload__init(&payload);
    grpc__testing__simple_response__init(&response);
    payload.body.len = (size_t)request->response_size;
    payload.body.data = mem_zalloc(payload.body.len, 1);
    response.payload = &payload;
    serve_answer(call, &answer, &response.base);
    free(payload.body.data);
}

static void unary_call(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct str message = grpc_call_message(call);
    Grpc__Testing__SimpleRequest *request =
        grpc__testing__simple_request__unpack(NULL, message.len, (const uint8_t *)message.p);
    if (request == NULL)
        grpc_reply_status(call, GRPC_INTERNAL, "not a SimpleRequest");
    else if (request->response_size < 0 || request->response_size > SERVE_MESSAGE_LIMIT ||
             request->response_type != GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE)
        grpc_reply_status(call, GRPC_INVALID_ARGUMENT, "no such response");
    else if (request->expect_compressed != NULL &&
             (bool)request->expect_compressed->value != grpc_call_message_was_compressed(call))
        grpc_reply_status(call, GRPC_INVALID_ARGUMENT, "compression is not as expected");
    else
        unary_answer(call, request);
    grpc__testing__simple_request__free_unpacked(request, NULL);
}

/* ---- its streams ---- */

/* What a stream still has to answer. */
struct answering {
    Grpc__Testing__StreamingOutputCallRequest *request; /* NULL: nothing */
    size_t next;                                        /* of its response_parameters */
};

static void forget_request(struct answering *a)
{
    if (a->request != NULL)
        grpc__testing__streaming_output_call_request__free_unpacked(a->request, NULL);
    *a = (struct answering){0};
}

static void end_stream(struct grpc_call *call, enum grpc_status status, const char *text)
{
    struct answering *a = grpc_call_state(call);
    if (a != NULL)
        forget_request(a);
    free(a);
    struct grpc_answer answer = {.status = status, .status_message = str_from(text)};
    struct grpc_metadata both[2];
    echo_metadata(call, &answer, both);
    grpc_reply(call, &answer);
}

static void on_gone(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct answering *a = grpc_call_state(call);
    if (a != NULL)
        forget_request(a);
    free(a);
}

static void on_half_closed(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    end_stream(call, GRPC_OK, "");
}

static bool send_one(struct grpc_call *call, size_t size)
{
    Grpc__Testing__Payload payload;
    Grpc__Testing__StreamingOutputCallResponse response;
    grpc__testing__payload__init(&payload);
    grpc__testing__streaming_output_call_response__init(&response);
    payload.body.len = size;
    payload.body.data = mem_zalloc(size, 1);
    response.payload = &payload;
    struct buf packed = serve_pack(&response.base);
    bool sent = grpc_send(call, buf_str(&packed));
    buf_release(&packed);
    free(payload.body.data);
    return sent;
}

/* Sends what there is room for; then the next message may come, or the stream ends. */
static void go_on(struct grpc_call *call, const struct grpc_method *method)
{
    struct answering *a = grpc_call_state(call);
    for (; a->next < a->request->n_response_parameters; a->next++) {
        int32_t size = a->request->response_parameters[a->next]->size;
        if (size < 0 || size > SERVE_MESSAGE_LIMIT) {
            end_stream(call, GRPC_INVALID_ARGUMENT, "no such response");
            return;
        }
        if (!send_one(call, (size_t)size))
            return;
    }
    if (a->request->response_status != NULL && a->request->response_status->code != 0) {
        struct str text = str_from(a->request->response_status->message);
        grpc_reply(call, &(struct grpc_answer){
                             .status = (enum grpc_status)a->request->response_status->code,
                             .status_message = text});
        forget_request(a);
        free(a);
        return;
    }
    forget_request(a);
    if (method->streams & GRPC_CLIENT_STREAMS)
        grpc_resume(call);
    else
        end_stream(call, GRPC_OK, "");
}

static void streaming_call(struct grpc_call *call, const struct grpc_method *method)
{
    struct str message = grpc_call_message(call);
    struct answering *a = grpc_call_state(call);
    if (a == NULL) {
        a = mem_zalloc(1, sizeof *a);
        grpc_call_set_state(call, a);
        struct grpc_answer answer = {0};
        struct grpc_metadata both[2];
        echo_metadata(call, &answer, both);
        grpc_start(call, answer.initial, answer.n_initial, GRPC_COMPRESS_AUTO);
    }
    a->request = grpc__testing__streaming_output_call_request__unpack(NULL, message.len,
                                                                      (const uint8_t *)message.p);
    if (a->request == NULL) {
        end_stream(call, GRPC_INTERNAL, "not a StreamingOutputCallRequest");
        return;
    }
    if (method->streams & GRPC_CLIENT_STREAMS)
        grpc_hold(call);
    go_on(call, method);
}

/* StreamingInputCall: the sum of the sizes. */
static void add_up(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct str message = grpc_call_message(call);
    Grpc__Testing__StreamingInputCallRequest *request =
        grpc__testing__streaming_input_call_request__unpack(NULL, message.len,
                                                            (const uint8_t *)message.p);
    int32_t *sum = grpc_call_state(call);
    if (sum == NULL) {
        sum = mem_zalloc(1, sizeof *sum);
        grpc_call_set_state(call, sum);
    }
    bool fits = request != NULL &&
                (request->expect_compressed == NULL ||
                 (bool)request->expect_compressed->value == grpc_call_message_was_compressed(call));
    if (fits && request->payload != NULL)
        *sum += (int32_t)request->payload->body.len;
    if (request != NULL)
        grpc__testing__streaming_input_call_request__free_unpacked(request, NULL);
    if (!fits) {
        free(sum);
        grpc_reply_status(call, GRPC_INVALID_ARGUMENT, "not a request as expected");
    }
}

static void tell_sum(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    int32_t *sum = grpc_call_state(call);
    Grpc__Testing__StreamingInputCallResponse response;
    grpc__testing__streaming_input_call_response__init(&response);
    response.aggregated_payload_size = sum != NULL ? *sum : 0;
    free(sum);
    serve_answer(call, &(struct grpc_answer){0}, &response.base);
}

static void forget_sum(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    free(grpc_call_state(call));
}

#define SERVICE "/grpc.testing.TestService/"

static const struct grpc_method methods[] = {
    {.path = "/bench.Echo/Echo", .serve = echo},
    {.path = SERVICE "EmptyCall", .serve = empty_call},
    {.path = SERVICE "UnaryCall", .serve = unary_call},
    {.path = SERVICE "StreamingInputCall",
     .streams = GRPC_CLIENT_STREAMS,
     .serve = add_up,
     .half_closed = tell_sum,
     .gone = forget_sum},
    {.path = SERVICE "StreamingOutputCall",
     .streams = GRPC_SERVER_STREAMS,
     .serve = streaming_call,
     .room = go_on,
     .gone = on_gone},
    {.path = SERVICE "FullDuplexCall",
     .streams = GRPC_BOTH_STREAM,
     .serve = streaming_call,
     .half_closed = on_half_closed,
     .room = go_on,
     .gone = on_gone},
};

int main(int argc, char **argv)
{
    return serve_main(argc, argv, methods, sizeof methods / sizeof methods[0]);
}
