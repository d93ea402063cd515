/* SPDX-License-Identifier: ISC */
#include "limits_internal.h"

#include "daemon/settings.h"

struct grpc_limits limits_of_edge(const struct settings *s)
{
    struct grpc_limits limits = GRPC_LIMITS_DEFAULT;
    limits.message_bytes = (size_t)s->message_bytes;
    limits.metadata_bytes = (size_t)s->metadata_bytes;
    limits.output_bytes = (size_t)s->output_bytes;
    limits.streams = (uint32_t)s->streams;
    limits.calls = (uint32_t)s->calls;
    limits.connections = (uint32_t)s->connections;
    limits.peer_connections = (uint32_t)s->peer_connections;
    limits.idle_frames = (uint32_t)s->idle_frames;
    limits.stall_s = (uint32_t)s->stall_seconds;
    limits.idle_s = (uint32_t)s->idle_seconds;
    limits.age_s = (uint32_t)s->age_seconds;
    limits.ping_s = (uint32_t)s->ping_seconds;
    return limits;
}

/* Rounded up: one at least. */
static uint32_t share(int64_t of, int64_t percent)
{
    return (uint32_t)((of * percent + 99) / 100);
}

struct rpc_limits limits_of_rpc(const struct settings *s, size_t n_callers)
{
    return (struct rpc_limits){
        .caller_rate = (uint32_t)s->caller_rate,
        .caller_burst = (uint32_t)s->caller_burst,
        .tenant_rate = (uint32_t)s->tenant_rate,
        .tenant_burst = (uint32_t)s->tenant_burst,
        .caller_queue = n_callers > 1 ? share(s->queue_length, s->caller_queue_percent) : 0,
    };
}
