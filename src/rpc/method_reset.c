/* SPDX-License-Identifier: ISC */
#include "base/buf.h"
#include "check_internal.h"
#include "domain/reset.h"
#include "enrollment_internal.h"
#include "reply_internal.h"
#include "rpc_internal.h"
#include "twostep/v1/twostep.pb-c.h"

#define RESET_TOKEN_MAX   128
#define RESET_ID_TEXT_MAX 64

/* ---- ResetRequest */

struct request_args {
    struct reset_mail_request request;
    uint8_t request_id[REQUEST_ID_LEN];
};

static enum grpc_status decode_request(struct job *job, const ProtobufCMessage *message,
                                       struct violations *v)
{
    const Twostep__V1__ResetRequestRequest *m = (const void *)message;
    struct request_args *args = job->args;
    struct reset_mail_request *req = &args->request;
    job->tenant = req->tenant = check_tenant(v, "tenant_id", m->tenant_id);
    job->user = req->user = check_user(v, "user_id", m->user_id);
    req->password_verified = m->password_verified;
    req->address = check_mail(v, "mail_address", m->mail_address);
    if (m->mail_address[0] == '\0')
        check_note(v, "mail_address", "missing");
    req->locale = check_locale(v, "locale", m->locale);
    if (check_uuid(v, "request_id", m->request_id, args->request_id)) {
        req->request_id = args->request_id;
        trace_set_request(&job->trace, args->request_id);
    }
    req->actor = check_actor(v, job, m->client_address);
    return check_channel(v, job, (int)m->channel, &req->channel);
}

static enum err work_request(struct job *job, struct domain *d, struct err_text *why)
{
    const struct request_args *args = job->args;
    return reset_request_mail(d, &args->request, job->answer, why);
}

static void encode_request(const struct job *job, struct buf *out)
{
    const struct reset_status *answer = job->answer;
    Twostep__V1__ResetRequestResponse m;
    twostep__v1__reset_request_response__init(&m);
    char id[2 * RESET_ID_LEN + 1];
    str_hex_encode(id, answer->id.bytes, RESET_ID_LEN);
    Google__Protobuf__Timestamp expire_time = reply_timestamp(answer->expire_ms);
    m.reset_id = id;
    m.state = (Twostep__V1__ResetState)answer->state;
    m.expire_time = &expire_time;
    reply_pack(out, &m.base);
}

const struct rpc_method rpc_reset_request = {
    .path = "/twostep.v1.TwoStepService/ResetRequest",
    .permissions = PERMISSION_LOGIN,
    .request = &twostep__v1__reset_request_request__descriptor,
    .args_size = sizeof(struct request_args),
    .answer_size = sizeof(struct reset_status),
    .queues_mail = true,
    .decode = decode_request,
    .work = work_request,
    .encode = encode_request,
};

/* ---- ResetConfirm */

struct confirm_args {
    struct enrollment_args enrollment; /* first */
    struct str token;
};

static enum grpc_status decode_confirm(struct job *job, const ProtobufCMessage *message,
                                       struct violations *v)
{
    const Twostep__V1__ResetConfirmRequest *m = (const void *)message;
    struct confirm_args *args = job->args;
    struct enroll_request *req = &args->enrollment.request;
    job->tenant = req->tenant = check_tenant(v, "tenant_id", m->tenant_id);
    job->user = req->user = check_user(v, "user_id", m->user_id);
    req->password_verified = m->password_verified;
    args->token = check_text(v, "token", m->token, RESET_TOKEN_MAX);
    if (m->token[0] == '\0')
        check_note(v, "token", "missing");
    req->account_name = check_label(v, "account_name", m->account_name, ID_MAX);
    rpc_enrollment_read_format(v, (int)m->qr_format, &args->enrollment);
    req->notify_address = check_mail(v, "notify_address", m->notify_address);
    req->locale = check_locale(v, "locale", m->locale);
    req->actor = check_actor(v, job, m->client_address);
    return check_channel(v, job, (int)m->channel, &req->channel);
}

static enum err work_confirm(struct job *job, struct domain *d, struct err_text *why)
{
    const struct confirm_args *args = job->args;
    return reset_confirm(d, &args->enrollment.request, args->token, job->answer, why);
}

const struct rpc_method rpc_reset_confirm = {
    .path = "/twostep.v1.TwoStepService/ResetConfirm",
    .permissions = PERMISSION_LOGIN,
    .request = &twostep__v1__reset_confirm_request__descriptor,
    .args_size = sizeof(struct confirm_args),
    .answer_size = sizeof(struct enroll_answer),
    .decode = decode_confirm,
    .work = work_confirm,
    .finish = rpc_enrollment_draw,
    .encode = rpc_enrollment_encode,
    .release = rpc_enrollment_release,
};

/* ---- GetReset */

static enum grpc_status decode_get(struct job *job, const ProtobufCMessage *message,
                                   struct violations *v)
{
    const Twostep__V1__GetResetRequest *m = (const void *)message;
    struct reset_id *id = job->args;
    job->tenant = check_tenant(v, "tenant_id", m->tenant_id);
    struct str text = check_text(v, "reset_id", m->reset_id, RESET_ID_TEXT_MAX);
    if (m->reset_id[0] == '\0')
        check_note(v, "reset_id", "missing");
    /* What is not one of ours stands for a reset that never was: all zeros. */
    if (!str_hex_decode(id->bytes, RESET_ID_LEN, text))
        *id = (struct reset_id){0};
    return GRPC_OK;
}

static enum err work_get(struct job *job, struct domain *d, struct err_text *why)
{
    return reset_look(d, job->tenant, job->args, job->answer, why);
}

static void encode_get(const struct job *job, struct buf *out)
{
    const struct reset_status *answer = job->answer;
    Twostep__V1__GetResetResponse m;
    twostep__v1__get_reset_response__init(&m);
    char id[2 * RESET_ID_LEN + 1];
    str_hex_encode(id, answer->id.bytes, RESET_ID_LEN);
    Google__Protobuf__Timestamp expire_time = reply_timestamp(answer->expire_ms);
    m.reset_id = id;
    m.state = (Twostep__V1__ResetState)answer->state;
    m.attempts = answer->attempts;
    m.last_error = reply_lend(answer->last_error);
    m.expire_time = &expire_time;
    reply_pack(out, &m.base);
}

const struct rpc_method rpc_get_reset = {
    .path = "/twostep.v1.TwoStepService/GetReset",
    .permissions = PERMISSION_LOGIN,
    .request = &twostep__v1__get_reset_request__descriptor,
    .args_size = sizeof(struct reset_id),
    .answer_size = sizeof(struct reset_status),
    .decode = decode_get,
    .work = work_get,
    .encode = encode_get,
};
