/* SPDX-License-Identifier: ISC */
#include "cli/explain_internal.h"

#include "base/arena.h"
#include "cli/human_internal.h"
#include "cli/proto_arena_internal.h"
#include "cli/term_internal.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "grpc/client.h"

#define DETAILS_CAP (256 * 1024)

static void tell_error_info(const ProtobufCMessage *message)
{
    const Google__Rpc__ErrorInfo *info = (const Google__Rpc__ErrorInfo *)message;
    term_detail("reason: %s (%s)", info->reason, info->domain);
    for (size_t i = 0; i < info->n_metadata; i++)
        term_detail("%s: %s", info->metadata[i]->key, info->metadata[i]->value);
}

static void tell_bad_request(const ProtobufCMessage *message)
{
    const Google__Rpc__BadRequest *bad = (const Google__Rpc__BadRequest *)message;
    for (size_t i = 0; i < bad->n_field_violations; i++)
        term_detail("field %s: %s", bad->field_violations[i]->field,
                    bad->field_violations[i]->description);
}

static void tell_retry_info(const ProtobufCMessage *message)
{
    const Google__Protobuf__Duration *d = ((const Google__Rpc__RetryInfo *)message)->retry_delay;
    if (d == NULL)
        return;
    char wait[HUMAN_MAX];
    human_duration(wait, d);
    term_detail("try again in %s", wait);
}

static const struct {
    const ProtobufCMessageDescriptor *type;
    void (*tell)(const ProtobufCMessage *message);
} kinds[] = {
    {&google__rpc__error_info__descriptor, tell_error_info},
    {&google__rpc__bad_request__descriptor, tell_bad_request},
    {&google__rpc__retry_info__descriptor, tell_retry_info},
};

static void tell_detail(const Google__Protobuf__Any *any, ProtobufCAllocator *memory)
{
    const char *slash = strrchr(any->type_url, '/');
    const char *name = slash == NULL ? any->type_url : slash + 1;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].type->name, name) != 0)
            continue;
        const ProtobufCMessage *message =
            protobuf_c_message_unpack(kinds[i].type, memory, any->value.len, any->value.data);
        if (message != NULL)
            kinds[i].tell(message);
        return;
    }
    term_detail("and a detail of type %s", name);
}

static void tell_details(struct str serialized)
{
    struct arena *arena = arena_new(DETAILS_CAP);
    ProtobufCAllocator memory = proto_arena(arena);
    const Google__Rpc__Status *status =
        google__rpc__status__unpack(&memory, serialized.len, (const uint8_t *)serialized.p);
    if (status != NULL)
        for (size_t i = 0; i < status->n_details; i++)
            tell_detail(status->details[i], &memory);
    arena_free(arena);
}

static const char *advice(enum grpc_status status)
{
    switch (status) {
    case GRPC_UNAUTHENTICATED:
        return "name the file with this caller's token: --token-file=FILE";
    case GRPC_PERMISSION_DENIED:
        return "this caller lacks the permission, the channel or the tenant: "
               "see 'twostepctl callers list'";
    case GRPC_ALREADY_EXISTS:
        return "the user has a secret already; it is used with 'twostepctl verify'";
    case GRPC_ABORTED:
        return "somebody changed it meanwhile: read it again and use the new revision";
    case GRPC_UNIMPLEMENTED:
        return "this server does not offer that: compare 'twostepd --version' with "
               "'twostepctl --version'";
    case GRPC_INTERNAL:
    case GRPC_DATA_LOSS:
        return "the log of twostepd says more";
    case GRPC_OK:
    case GRPC_CANCELLED:
    case GRPC_UNKNOWN:
    case GRPC_INVALID_ARGUMENT:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_NOT_FOUND:
    case GRPC_RESOURCE_EXHAUSTED:
    case GRPC_FAILED_PRECONDITION:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNAVAILABLE:
        break;
    }
    return NULL;
}

void explain_status(const struct grpc_client_reply *reply)
{
    struct str message = buf_str(&reply->status_message);
    term_problem("%s: %.*s", grpc_status_name((int)reply->status), (int)message.len, message.p);
    if (reply->status_details.len > 0)
        tell_details(buf_str(&reply->status_details));
    if (advice(reply->status) != NULL)
        term_detail("%s", advice(reply->status));
}
