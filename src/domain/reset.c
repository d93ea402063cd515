/* SPDX-License-Identifier: ISC */
#include "domain/reset.h"

#include "audit_internal.h"
#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypto/token.h"
#include "domain_internal.h"
#include "enroll_internal.h"
#include "keys_internal.h"
#include "outbox_internal.h"
#include "request_internal.h"
#include "store/outbox.h"
#include "store/store.h"

#include <string.h>

bool reset_is_available(const struct domain *d, const struct policy *p)
{
    return d->opt.mail_is_configured && p->mail_from[0] != '\0' && p->reset_link[0] != '\0';
}

static void note(struct domain *d, const char *action, const struct enroll_request *who,
                 const char *outcome, int64_t now)
{
    struct audit_event event = {.action = action,
                                .tenant = who->tenant,
                                .user = who->user,
                                .actor = &who->actor,
                                .outcome = outcome};
    audit_note(d, &event, now);
}

/* ---- a mail is asked for -----------------------------------------------------------------------
 */

/* Counts resets to one address without keeping it: a keyed hash. */
static enum err hash_address(struct domain *d, struct str address,
                             uint8_t out[static TOKEN_HASH_LEN], struct err_text *why)
{
    const struct secret *key;
    uint32_t key_id;
    TRY(keys_get(d, KEYS_SERVICE, 0, &key_id, &key, why));
    struct str parts[] = {STR("address"), address};
    digest_keyed(out, key, parts, 2);
    return ERR_OK;
}

static enum err mark(struct domain *d, const struct reset_mail_request *req,
                     struct request_mark *room, struct reset_request *r, struct err_text *why)
{
    if (req->request_id == NULL)
        return ERR_OK;
    struct str parts[] = {STR("reset"), request_channel(req->channel), req->address, req->locale,
                          req->actor.client_address};
    r->request = room;
    return request_mark_make(d, req->request_id, parts, sizeof parts / sizeof parts[0], room, why);
}

/* The reset with its mail and its token, sealed. */
static enum err make(struct domain *d, const struct reset_mail_request *req,
                     const struct policy *policy, int64_t now, struct reset_request *r,
                     struct err_text *why)
{
    int64_t expire = now + (int64_t)policy->reset_lifetime * 1000;
    *r = (struct reset_request){
        .create_ms = now,
        .expire_ms = expire,
        .limits = d->opt.rules.reset_limits,
        .mail = {.kind = MAIL_RESET, .create_ms = now, .due_ms = now, .expire_ms = expire}};
    random_bytes(r->id.bytes, RESET_ID_LEN);
    r->mail.reset = r->id;
    outbox_address(&r->mail, req->address,
                   req->locale.len > 0 ? req->locale : str_from(policy->locale));
    TRY(hash_address(d, req->address, r->address_hash, why));
    token_make(d->scratch);
    token_hash(r->token_hash, (struct str){(const char *)d->scratch->bytes, d->scratch->len});
    enum err e = outbox_seal_token(d, req->tenant, req->user, &r->mail, d->scratch, why);
    secret_set(d->scratch, NULL, 0);
    return e;
}

static enum err settle(const struct reset_put *put, const struct reset_request *r,
                       struct reset_status *out, struct err_text *why)
{
    switch (put->result) {
    case RESET_PUT:
        *out = (struct reset_status){.id = r->id, .state = RESET_QUEUED, .expire_ms = r->expire_ms};
        return ERR_OK;
    case RESET_REPEATED:
        *out = put->first;
        return ERR_OK;
    case RESET_REUSED:
        return err_invalid(why, "REQUEST_ID_REUSED", "request_id",
                           "request_id: came before with other fields");
    case RESET_USER_LIMIT:
        return err_limit(why, "USER_LIMIT", put->retry_after_ms, "too many resets of this user");
    case RESET_ADDRESS_LIMIT:
        return err_limit(why, "ADDRESS_LIMIT", put->retry_after_ms,
                         "too many resets to this address");
    case RESET_TENANT_LIMIT:
        return err_limit(why, "TENANT_LIMIT", put->retry_after_ms,
                         "too many resets of this tenant");
    }
    return ERR_INTERNAL;
}

enum err reset_request_mail(struct domain *d, const struct reset_mail_request *req,
                            struct reset_status *out, struct err_text *why)
{
    int64_t now = clock_wall_ms(d->opt.clock);
    struct enroll_request who = {.tenant = req->tenant,
                                 .user = req->user,
                                 .channel = req->channel,
                                 .password_verified = req->password_verified,
                                 .actor = req->actor};
    struct policy policy;
    struct reset_request r;
    struct request_mark room;
    struct reset_put put;
    TRY(enroll_check(d, &who, now, &policy, why));
    if (!reset_is_available(d, &policy))
        return err_set(why, ERR_PRECONDITION, "MAIL_NOT_CONFIGURED",
                       "no mail server, or the policy lacks mail_from or reset_link");
    TRY(make(d, req, &policy, now, &r, why));
    TRY(mark(d, req, &room, &r, why));
    struct store *store = d->opt.store;
    TRY(store->outbox->reset_put(store, req->tenant, req->user, &r, &put, why));
    TRY(settle(&put, &r, out, why));
    if (put.result == RESET_PUT)
        outbox_count(d, OUTBOX_EVENT_QUEUED);
    note(d, "reset_request", &who, put.result == RESET_REPEATED ? "repeated" : "queued", now);
    return ERR_OK;
}

/* ---- the token comes back
 * ------------------------------------------------------------------------ */

static enum err confirm_once(struct domain *d, const struct enroll_request *req,
                             const struct policy *policy, struct str token, int64_t now,
                             struct enroll_answer *out, struct err_text *why)
{
    struct store *store = d->opt.store;
    struct user_state state;
    struct factor f;
    uint8_t hash[TOKEN_HASH_LEN];
    bool won = false;
    TRY(store->ops->user_get(store, req->tenant, req->user, now, &d->opt.rules.lockout, &state,
                             why));
    /* The whole work for a token of nobody, too, so that the time tells nothing of it. */
    TRY(enroll_make(d, req, policy, state.next_generation, now, &f, out, why));
    token_hash(hash, token);
    enum err e =
        store->outbox->reset_confirm(store, req->tenant, req->user, hash, &f, now, &won, why);
    if (e == ERR_OK && !won)
        e = err_set(why, ERR_NOT_FOUND, "RESET_NOT_FOUND",
                    "no reset of this user has this token (any more)");
    if (e != ERR_OK)
        enroll_answer_release(out);
    return e;
}

enum err reset_confirm(struct domain *d, const struct enroll_request *req, struct str token,
                       struct enroll_answer *out, struct err_text *why)
{
    *out = (struct enroll_answer){0};
    int64_t now = clock_wall_ms(d->opt.clock);
    struct policy policy;
    TRY(enroll_check(d, req, now, &policy, why));
    enum err e = ERR_CONFLICT;
    for (int i = 0; i < ENROLL_TRIES && e == ERR_CONFLICT; i++)
        e = confirm_once(d, req, &policy, token, now, out, why);
    TRY(e);
    note(d, "reset_confirm", req, "pending", now);
    return ERR_OK;
}

enum err reset_look(struct domain *d, struct tenant_id tenant, const struct reset_id *id,
                    struct reset_status *out, struct err_text *why)
{
    struct store *store = d->opt.store;
    enum err e = store->outbox->reset_get(store, tenant, id, clock_wall_ms(d->opt.clock), out, why);
    if (e == ERR_NOT_FOUND)
        return err_set(why, e, "RESET_NOT_FOUND", "no reset of this tenant has this id");
    return e;
}
