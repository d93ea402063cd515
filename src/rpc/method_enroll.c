/* SPDX-License-Identifier: ISC */
#include "base/buf.h"
#include "check_internal.h"
#include "domain/enroll.h"
#include "enrollment_internal.h"
#include "reply_internal.h"
#include "rpc_internal.h"
#include "twostep/v1/twostep.pb-c.h"

/* How the API's formats are drawn. */
static const struct {
    bool known, draw;
    enum qr_format format;
} formats[] = {
    [TWOSTEP__V1__QR_FORMAT__QR_FORMAT_UNSPECIFIED] = {true, true, QR_PNG},
    [TWOSTEP__V1__QR_FORMAT__QR_FORMAT_PNG] = {true, true, QR_PNG},
    [TWOSTEP__V1__QR_FORMAT__QR_FORMAT_SVG] = {true, true, QR_SVG},
    [TWOSTEP__V1__QR_FORMAT__QR_FORMAT_TEXT] = {true, true, QR_TEXT},
    [TWOSTEP__V1__QR_FORMAT__QR_FORMAT_NONE] = {true, false, QR_PNG},
};
#define N_FORMATS (sizeof formats / sizeof formats[0])

void rpc_enrollment_read_format(struct violations *v, int wanted, struct enrollment_args *args)
{
    if (wanted < 0 || (size_t)wanted >= N_FORMATS || !formats[wanted].known) {
        check_note(v, "qr_format", "unknown");
        return;
    }
    args->draw = formats[wanted].draw;
    args->format = formats[wanted].format;
}

static enum grpc_status decode(struct job *job, const ProtobufCMessage *message,
                               struct violations *v)
{
    const Twostep__V1__EnrollRequest *m = (const void *)message;
    struct enrollment_args *args = job->args;
    struct enroll_request *req = &args->request;
    job->tenant = req->tenant = check_tenant(v, "tenant_id", m->tenant_id);
    job->user = req->user = check_user(v, "user_id", m->user_id);
    req->password_verified = m->password_verified;
    req->account_name = check_label(v, "account_name", m->account_name, ID_MAX);
    rpc_enrollment_read_format(v, (int)m->qr_format, args);
    req->notify_address = check_mail(v, "notify_address", m->notify_address);
    req->locale = check_locale(v, "locale", m->locale);
    req->actor = check_actor(v, job, m->client_address);
    return check_channel(v, job, (int)m->channel, &req->channel);
}

static enum err work(struct job *job, struct domain *d, struct err_text *why)
{
    const struct enrollment_args *args = job->args;
    return enroll_user(d, &args->request, job->answer, why);
}

enum err rpc_enrollment_draw(struct job *job, struct err_text *why)
{
    const struct enrollment_args *args = job->args;
    return args->draw ? enroll_draw(job->answer, args->format, why) : ERR_OK;
}

/* The picture into the field of its format. */
static void place_image(const struct job *job, Twostep__V1__EnrollResponse *m)
{
    const struct enrollment_args *args = job->args;
    const struct enroll_answer *answer = job->answer;
    if (!args->draw)
        return;
    switch (args->format) {
    case QR_PNG:
        m->qr_png = (ProtobufCBinaryData){.len = answer->image.len, .data = answer->image.bytes};
        break;
    case QR_SVG:
        m->qr_svg = (char *)answer->image.bytes;
        break;
    case QR_TEXT:
        m->qr_text = (char *)answer->image.bytes;
        break;
    }
}

void rpc_enrollment_encode(const struct job *job, struct buf *out)
{
    const struct enroll_answer *answer = job->answer;
    Twostep__V1__EnrollResponse m;
    twostep__v1__enroll_response__init(&m);
    char id[2 * ENROLLMENT_ID_LEN + 1];
    str_hex_encode(id, answer->enrollment.bytes, ENROLLMENT_ID_LEN);
    Google__Protobuf__Timestamp expire_time = reply_timestamp(answer->expire_ms);
    char *hints[ENROLL_HINTS_MAX];
    for (size_t i = 0; i < answer->n_hints; i++)
        hints[i] = reply_lend(answer->hints[i]);
    m.enrollment_id = id;
    m.secret_base32 = reply_lend(answer->secret_base32);
    m.otpauth_uri = reply_lend(answer->uri);
    m.expire_time = &expire_time;
    m.n_app_hints = answer->n_hints;
    m.app_hints = hints;
    place_image(job, &m);
    reply_pack(out, &m.base);
}

void rpc_enrollment_release(struct job *job)
{
    enroll_answer_release(job->answer);
}

const struct rpc_method rpc_enroll = {
    .path = "/twostep.v1.TwoStepService/Enroll",
    .permissions = PERMISSION_LOGIN,
    .request = &twostep__v1__enroll_request__descriptor,
    .args_size = sizeof(struct enrollment_args),
    .answer_size = sizeof(struct enroll_answer),
    .decode = decode,
    .work = work,
    .finish = rpc_enrollment_draw,
    .encode = rpc_enrollment_encode,
    .release = rpc_enrollment_release,
};
