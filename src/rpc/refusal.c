/* SPDX-License-Identifier: ISC */
#include "refusal_internal.h"

#include "base/buf.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "grpc/call.h"
#include "reply_internal.h"
#include "rpc_internal.h"

#define REFUSAL_DOMAIN "twostep"
#define DETAILS_MAX    3

/* The details of one refusal: messages, packed, as Any. */
struct details {
    size_t n;
    struct buf packed[DETAILS_MAX];
    Google__Protobuf__Any any[DETAILS_MAX];
    Google__Protobuf__Any *list[DETAILS_MAX];
};

static void add_detail(struct details *d, const ProtobufCMessage *message, const char *type_url)
{
    size_t i = d->n++;
    reply_pack(&d->packed[i], message);
    google__protobuf__any__init(&d->any[i]);
    d->any[i].type_url = reply_lend(type_url);
    d->any[i].value = (ProtobufCBinaryData){.len = d->packed[i].len, .data = d->packed[i].data};
    d->list[i] = &d->any[i];
}

static void add_error_info(struct details *d, const char *reason)
{
    Google__Rpc__ErrorInfo info;
    google__rpc__error_info__init(&info);
    info.reason = reply_lend(reason);
    info.domain = reply_lend(REFUSAL_DOMAIN);
    add_detail(d, &info.base, "type.googleapis.com/google.rpc.ErrorInfo");
}

static void add_bad_request(struct details *d, const struct violations *v)
{
    Google__Rpc__BadRequest bad;
    google__rpc__bad_request__init(&bad);
    Google__Rpc__BadRequest__FieldViolation fields[VIOLATIONS_MAX];
    Google__Rpc__BadRequest__FieldViolation *list[VIOLATIONS_MAX];
    for (size_t i = 0; i < v->n; i++) {
        google__rpc__bad_request__field_violation__init(&fields[i]);
        fields[i].field = reply_lend(v->list[i].field);
        fields[i].description = reply_lend(v->list[i].text);
        list[i] = &fields[i];
    }
    bad.n_field_violations = v->n;
    bad.field_violations = list;
    add_detail(d, &bad.base, "type.googleapis.com/google.rpc.BadRequest");
}

static void add_retry_info(struct details *d, int64_t retry_ms)
{
    Google__Rpc__RetryInfo retry;
    google__rpc__retry_info__init(&retry);
    Google__Protobuf__Duration delay = reply_duration(retry_ms);
    retry.retry_delay = &delay;
    add_detail(d, &retry.base, "type.googleapis.com/google.rpc.RetryInfo");
}

void refusal_send(struct grpc_call *call, const struct refusal *r)
{
    struct details d = {0};
    add_error_info(&d, r->reason);
    if (r->violations != NULL && r->violations->n > 0)
        add_bad_request(&d, r->violations);
    if (r->retry_ms > 0)
        add_retry_info(&d, r->retry_ms);

    Google__Rpc__Status status;
    google__rpc__status__init(&status);
    status.code = (int32_t)r->status;
    status.message = reply_lend(r->text);
    status.n_details = d.n;
    status.details = d.list;
    struct buf packed = BUF_INIT;
    reply_pack(&packed, &status.base);
    struct grpc_answer answer = {.status = r->status,
                                 .status_message = str_from(r->text),
                                 .status_details = buf_str(&packed)};
    grpc_reply(call, &answer);
    buf_release(&packed);
    for (size_t i = 0; i < d.n; i++)
        buf_release(&d.packed[i]);
}

/* One row for each enum err. text NULL: the words that came with the failure. */
static const struct {
    enum grpc_status status;
    const char *reason, *text;
    int64_t retry_ms;
} rows[] = {
    [ERR_OK] = {GRPC_INTERNAL, "INTERNAL", "could not be decided", 0},
    [ERR_INVALID] = {GRPC_INVALID_ARGUMENT, "FIELD_INVALID", NULL, 0},
    [ERR_NOT_FOUND] = {GRPC_NOT_FOUND, "NOT_FOUND", NULL, 0},
    [ERR_EXISTS] = {GRPC_ALREADY_EXISTS, "ALREADY_EXISTS", NULL, 0},
    [ERR_CONFLICT] = {GRPC_ABORTED, "CONFLICT", NULL, 0},
    [ERR_PRECONDITION] = {GRPC_FAILED_PRECONDITION, "PRECONDITION", NULL, 0},
    [ERR_DENIED] = {GRPC_INTERNAL, "INTERNAL", "could not be decided", 0},
    [ERR_LIMIT] = {GRPC_RESOURCE_EXHAUSTED, "TOO_MUCH", NULL, 1000},
    [ERR_TIMEOUT] = {GRPC_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", NULL, 0},
    [ERR_UNAVAILABLE] =
        {GRPC_UNAVAILABLE, "STORE_UNAVAILABLE",
         "the store cannot be reached; ask again, with the same request_id if there is one", 1000},
    [ERR_CORRUPT] = {GRPC_INTERNAL, "DATA_DAMAGED", "stored data is damaged; nothing was decided",
                     0},
    [ERR_INTERNAL] = {GRPC_INTERNAL, "INTERNAL", "could not be decided", 0},
};

struct refusal refusal_of(enum err e, const struct err_text *why)
{
    return (struct refusal){
        .status = rows[e].status,
        .reason = rows[e].text == NULL && why->reason != NULL ? why->reason : rows[e].reason,
        .text = rows[e].text != NULL ? rows[e].text : why->text,
        .retry_ms = e == ERR_LIMIT && why->retry_ms > 0 ? why->retry_ms : rows[e].retry_ms,
    };
}
