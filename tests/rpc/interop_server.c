/* SPDX-License-Identifier: ISC */

/* The unary half of grpc.testing.TestService, as gRPC's interop test descriptions ask
 * for it, and an echo of bytes for benches. */

#include "base/mem.h"
#include "grpc/testing/unary.pb-c.h"
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

static const struct grpc_method methods[] = {
    {.path = "/bench.Echo/Echo", .serve = echo},
    {.path = "/grpc.testing.TestService/EmptyCall", .serve = empty_call},
    {.path = "/grpc.testing.TestService/UnaryCall", .serve = unary_call},
};

int main(int argc, char **argv)
{
    return serve_main(argc, argv, methods, sizeof methods / sizeof methods[0]);
}
