/* SPDX-License-Identifier: ISC */
#include "base/buf.h"
#include "check_internal.h"
#include "domain/login.h"
#include "meter_internal.h"
#include "reply_internal.h"
#include "rpc_internal.h"
#include "twostep/v1/twostep.pb-c.h"

struct login_args {
    struct user_id user;
    enum channel channel;
};

static enum grpc_status decode(struct job *job, const ProtobufCMessage *message,
                               struct violations *v)
{
    const Twostep__V1__GetLoginRequirementRequest *m = (const void *)message;
    struct login_args *args = job->args;
    job->tenant = check_tenant(v, "tenant_id", m->tenant_id);
    job->user = args->user = check_user(v, "user_id", m->user_id);
    return check_channel(v, job, (int)m->channel, &args->channel);
}

static enum err work(struct job *job, struct domain *d, struct err_text *why)
{
    const struct login_args *args = job->args;
    return login_requirement(d, job->tenant, args->user, args->channel, job->answer, why);
}

static void count(struct meter *m, const struct job *job)
{
    meter_required(m, job->answer);
}

static void encode(const struct job *job, struct buf *out)
{
    const struct login_answer *answer = job->answer;
    Twostep__V1__GetLoginRequirementResponse m = TWOSTEP__V1__GET_LOGIN_REQUIREMENT_RESPONSE__INIT;
    Google__Protobuf__Duration retry_after = reply_duration(answer->retry_after_ms);
    m.requirement = (Twostep__V1__LoginRequirement)answer->requirement;
    m.reason = (Twostep__V1__Reason)answer->reason;
    m.may_remember_password = answer->may_remember_password;
    m.reset_by_mail_available = answer->reset_by_mail_available;
    m.retry_after = answer->retry_after_ms > 0 ? &retry_after : NULL;
    reply_pack(out, &m.base);
}

const struct rpc_method rpc_get_login_requirement = {
    .path = "/twostep.v1.TwoStepService/GetLoginRequirement",
    .permissions = PERMISSION_LOGIN,
    .request = &twostep__v1__get_login_requirement_request__descriptor,
    .args_size = sizeof(struct login_args),
    .answer_size = sizeof(struct login_answer),
    .decode = decode,
    .work = work,
    .count = count,
    .encode = encode,
};
