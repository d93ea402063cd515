/* SPDX-License-Identifier: ISC */
#include "base/buf.h"
#include "check_internal.h"
#include "domain/verify.h"
#include "meter_internal.h"
#include "reply_internal.h"
#include "rpc_internal.h"
#include "twostep/v1/twostep.pb-c.h"

#include <string.h>

#define RECOVERY_CODE_MAX   64
#define ENROLLMENT_TEXT_MAX 64

struct verify_args {
    struct verify_request request;
    struct enrollment_id enrollment;
    uint8_t request_id[REQUEST_ID_LEN];
};

/* An id that is not one of ours stands for an enrolment that never was: all zeros. */
static const struct enrollment_id *enrollment_of(struct violations *v, const char *text,
                                                 struct enrollment_id *room)
{
    struct str s = check_text(v, "enrollment_id", text, ENROLLMENT_TEXT_MAX);
    if (s.len == 0)
        return NULL;
    if (!str_hex_decode(room->bytes, ENROLLMENT_ID_LEN, s))
        *room = (struct enrollment_id){0};
    return room;
}

static enum grpc_status decode(struct job *job, const ProtobufCMessage *message,
                               struct violations *v)
{
    const Twostep__V1__VerifyRequest *m = (const void *)message;
    struct verify_args *args = job->args;
    struct verify_request *req = &args->request;
    job->tenant = req->tenant = check_tenant(v, "tenant_id", m->tenant_id);
    job->user = req->user = check_user(v, "user_id", m->user_id);
    req->password_verified = m->password_verified;
    req->code = check_code(v, "code", m->code);
    req->recovery_code = check_text(v, "recovery_code", m->recovery_code, RECOVERY_CODE_MAX);
    if ((m->code[0] != '\0') == (m->recovery_code[0] != '\0'))
        check_note(v, "code", "exactly one of code and recovery_code must be set");
    req->enrollment = enrollment_of(v, m->enrollment_id, &args->enrollment);
    if (check_uuid(v, "request_id", m->request_id, args->request_id)) {
        req->request_id = args->request_id;
        trace_set_request(&job->trace, args->request_id);
    }
    req->actor = check_actor(v, job, m->client_address);
    return check_channel(v, job, (int)m->channel, &req->channel);
}

static enum err work(struct job *job, struct domain *d, struct err_text *why)
{
    const struct verify_args *args = job->args;
    return verify_code(d, &args->request, job->answer, why);
}

static void count(struct meter *m, const struct job *job)
{
    meter_verified(m, job->answer);
}

static void encode(const struct job *job, struct buf *out)
{
    const struct verify_answer *answer = job->answer;
    Twostep__V1__VerifyResponse m;
    twostep__v1__verify_response__init(&m);
    Google__Protobuf__Duration retry_after = reply_duration(answer->retry_after_ms);
    Google__Protobuf__Timestamp verify_time = reply_timestamp(answer->time_ms);
    m.outcome = (Twostep__V1__VerifyOutcome)answer->outcome;
    m.reason = (Twostep__V1__Reason)answer->reason;
    m.retry_after = answer->retry_after_ms > 0 ? &retry_after : NULL;
    m.verify_time = &verify_time;
    char id[2 * ENROLLMENT_ID_LEN + 1];
    str_hex_encode(id, answer->enrollment.bytes, ENROLLMENT_ID_LEN);
    if (answer->outcome == VERIFY_SUPERSEDED_SECRET)
        m.enrollment_id = id;
    reply_pack(out, &m.base);
}

const struct rpc_method rpc_verify = {
    .path = "/twostep.v1.TwoStepService/Verify",
    .permissions = PERMISSION_LOGIN,
    .request = &twostep__v1__verify_request__descriptor,
    .args_size = sizeof(struct verify_args),
    .answer_size = sizeof(struct verify_answer),
    .decode = decode,
    .work = work,
    .count = count,
    .encode = encode,
};
