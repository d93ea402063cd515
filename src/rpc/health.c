/* SPDX-License-Identifier: ISC */
#include "health_internal.h"

#include "base/arena.h"
#include "base/buf.h"
#include "grpc/call.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/server.h"
#include "refusal_internal.h"
#include "reply_internal.h"
#include "rpc/rpc.h"
#include "rpc_internal.h"
#include "wire_internal.h"

#include <string.h>

/* The names that can be asked for; "" is the whole server. */
static const char *const services[] = {"", "twostep.v1.TwoStepService"};

static bool is_known(const char *service)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (strcmp(service, services[i]) == 0)
            return true;
    return false;
}

static void reply_health(struct grpc_call *call, bool serving)
{
    Grpc__Health__V1__HealthCheckResponse m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    m.status = serving ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                       : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    struct buf packed = BUF_INIT;
    reply_pack(&packed, &m.base);
    struct grpc_answer answer = {.status = GRPC_OK, .message = buf_str(&packed)};
    grpc_reply(call, &answer);
    buf_release(&packed);
}

void health_check(struct grpc_call *call, const struct grpc_method *method)
{
    struct arena *arena = arena_new(JOB_ARENA_CAP);
    struct violations v = {0};
    ProtobufCMessage *message;
    enum err e = wire_unpack(&message, &grpc__health__v1__health_check_request__descriptor,
                             grpc_call_message(call), arena, &v);
    const Grpc__Health__V1__HealthCheckRequest *m = (const void *)message;
    struct refusal unknown = {.status = GRPC_NOT_FOUND,
                              .reason = "UNKNOWN_SERVICE",
                              .text = "no service of this name is served here"};
    if (e != ERR_OK)
        rpc_refuse_message(call, e, &v);
    else if (is_known(m->service))
        reply_health(call, rpc_is_serving(method->ctx));
    else
        refusal_send(call, &unknown);
    arena_free(arena);
}
