/* SPDX-License-Identifier: ISC */
#include "domain/enroll.h"

#include "audit_internal.h"
#include "base/clock.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypto/totp.h"
#include "domain_internal.h"
#include "enroll_internal.h"
#include "factor_internal.h"
#include "store/store.h"

#include <string.h>

static const char HINT_HASH[] =
    "Google Authenticator and Microsoft Authenticator may ignore this secret's hash and show codes "
    "that are wrong; FreeOTP and Aegis show right ones.";
static const char HINT_FORM[] =
    "Google Authenticator and Microsoft Authenticator may ignore this secret's number of digits or "
    "its period and show codes that are wrong; FreeOTP and Aegis show right ones.";

void enroll_answer_release(struct enroll_answer *out)
{
    qr_image_release(&out->image);
    secret_wipe(out, sizeof *out);
}

enum err enroll_check(struct domain *d, const struct enroll_request *req, int64_t now_ms,
                      struct policy *policy, struct err_text *why)
{
    enum login_reason reason;
    if (!req->password_verified)
        return err_set(why, ERR_PRECONDITION, "PASSWORD_NOT_VERIFIED",
                       "the caller has not verified the user's password");
    TRY(policy_load(d, req->tenant, policy, why));
    if (!policy_asks(policy, req->channel, now_ms, &reason))
        return err_set(why, ERR_PRECONDITION, "POLICY_OFF",
                       "two-step verification is not asked of this user now");
    return ERR_OK;
}

/* The account's name for the app: as given, or the user's id with dashes for colons. */
static struct str account_of(const struct enroll_request *req, char room[static ID_MAX])
{
    if (req->account_name.len > 0)
        return req->account_name;
    memcpy(room, req->user.s.p, req->user.s.len);
    for (size_t i = 0; i < req->user.s.len; i++)
        if (room[i] == ':')
            room[i] = '-';
    return (struct str){.p = room, .len = req->user.s.len};
}

/* Everything that shows the secret. */
static enum err show(struct domain *d, const struct enroll_request *req,
                     const struct policy *policy, struct enroll_answer *out, struct err_text *why)
{
    char room[ID_MAX];
    struct key_uri uri = {.issuer = str_from(policy->issuer),
                          .account = account_of(req, room),
                          .secret = d->scratch,
                          .hash = (enum totp_hash)policy->algorithm,
                          .digits = policy->digits,
                          .period = policy->period};
    TRY(key_uri_write(out->uri, &uri, why));
    base32_encode(out->secret_base32, d->scratch->bytes, d->scratch->len);
    if (policy->algorithm != TOTP_SHA1)
        out->hints[out->n_hints++] = HINT_HASH;
    if (policy->digits != 6 || policy->period != 30)
        out->hints[out->n_hints++] = HINT_FORM;
    return ERR_OK;
}

enum err enroll_draw(struct enroll_answer *answer, enum qr_format format, struct err_text *why)
{
    return qr_draw(&answer->image, answer->uri, format, why);
}

static void copy_text(char *to, struct str from)
{
    if (from.len > 0)
        memcpy(to, from.p, from.len);
    to[from.len] = '\0';
}

static enum err seal_new(struct domain *d, const struct enroll_request *req,
                         const struct policy *policy, uint32_t generation, int64_t now_ms,
                         struct factor *f, struct err_text *why)
{
    *f = (struct factor){.generation = generation,
                         .algorithm = policy->algorithm,
                         .digits = policy->digits,
                         .period = policy->period,
                         .create_ms = now_ms,
                         .expire_ms = now_ms + (int64_t)policy->enrollment_lifetime * 1000};
    random_bytes(f->enrollment.bytes, ENROLLMENT_ID_LEN);
    copy_text(f->notify_address, req->notify_address);
    copy_text(f->notify_locale, req->locale.len > 0 ? req->locale : str_from(policy->locale));
    return factor_seal(d, req->tenant, req->user, f, d->scratch, why);
}

enum err enroll_make(struct domain *d, const struct enroll_request *req,
                     const struct policy *policy, uint32_t generation, int64_t now_ms,
                     struct factor *f, struct enroll_answer *out, struct err_text *why)
{
    *out = (struct enroll_answer){0};
    secret_random(d->scratch, totp_secret_len((enum totp_hash)policy->algorithm));
    enum err e = show(d, req, policy, out, why);
    if (e == ERR_OK)
        e = seal_new(d, req, policy, generation, now_ms, f, why);
    secret_set(d->scratch, NULL, 0);
    if (e != ERR_OK) {
        enroll_answer_release(out);
        return e;
    }
    out->enrollment = f->enrollment;
    out->expire_ms = f->expire_ms;
    return ERR_OK;
}

static enum err enroll_once(struct domain *d, const struct enroll_request *req,
                            const struct policy *policy, int64_t now, struct factor *f,
                            struct enroll_answer *out, struct err_text *why)
{
    struct store *store = d->opt.store;
    struct user_state state;
    TRY(store->ops->user_get(store, req->tenant, req->user, now, &d->opt.rules.lockout, &state,
                             why));
    if (state.enrolled)
        return err_set(why, ERR_EXISTS, "ALREADY_ENROLLED", "the user has a secret already");
    TRY(enroll_make(d, req, policy, state.next_generation, now, f, out, why));
    enum err e = store->ops->pending_put(store, req->tenant, req->user, f, why);
    if (e != ERR_OK)
        enroll_answer_release(out);
    return e;
}

enum err enroll_user(struct domain *d, const struct enroll_request *req, struct enroll_answer *out,
                     struct err_text *why)
{
    *out = (struct enroll_answer){0};
    int64_t now = clock_wall_ms(d->opt.clock);
    struct policy policy;
    struct factor f;
    TRY(enroll_check(d, req, now, &policy, why));
    enum err e = ERR_CONFLICT;
    for (int i = 0; i < ENROLL_TRIES && e == ERR_CONFLICT; i++)
        e = enroll_once(d, req, &policy, now, &f, out, why);
    TRY(e);
    struct audit_event event = {.action = "enroll",
                                .tenant = req->tenant,
                                .user = req->user,
                                .actor = &req->actor,
                                .outcome = "pending",
                                .number = f.generation};
    audit_note(d, &event, now);
    return ERR_OK;
}
