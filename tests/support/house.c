/* SPDX-License-Identifier: ISC */
#include "support/house.h"

#include "crypto/keyring.h"
#include "crypto/totp.h"
#include "domain/lockout.h"
#include "store/store.h"
#include "store/store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct lockout_settings lockout = {
    .free_tries = 5, .first_wait_s = 30, .longest_wait_s = 3600, .limit = 100};

static void must(struct house *h, enum err e)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", err_name(e), h->why.text);
    abort();
}

static int64_t wall(struct clock *c)
{
    return ((struct house *)c)->wall_ms;
}

static int64_t mono(struct clock *c)
{
    return ((struct house *)c)->mono_ms;
}

struct domain_options house_options(struct house *h)
{
    return (struct domain_options){
        .store = h->store,
        .shared = h->shared,
        .clock = &h->clock,
        .mail_is_configured = true,
        .rules = {.lockout = lockout_rule(&lockout),
                  .reset_limits = {.window_ms = 3600000,
                                   .per_user = HOUSE_RESETS_OF_USER,
                                   .per_address = HOUSE_RESETS_TO_ADDRESS,
                                   .per_tenant = HOUSE_RESETS_OF_TENANT}}};
}

bool house_is_sqlite(void)
{
    return getenv("TWOSTEP_TEST_STORE") == NULL;
}

static void choose_mongo(struct house *h)
{
    bool java = strcmp(getenv("TWOSTEP_TEST_STORE"), "java") == 0;
    enum mongo_server which = java ? MONGO_SERVER_JAVA : MONGO_SERVER_REAL;
    const char *missing;
    if (!mongo_server_start(which, &missing)) {
        fprintf(stderr, "%s\n", missing);
        abort();
    }
    mongo_place_init(&h->place, which);
}

static void open_store(struct house *h)
{
    if (house_is_sqlite()) {
        must(h, store_sqlite_open(&h->store, scratch_path(&h->scratch, "db"), &h->why));
        return;
    }
    h->place.mongo = mongo_place_open(&h->place, 1);
    h->store = store_mongo_new(h->place.mongo);
}

void house_open(struct house *h)
{
    open_store(h);
    h->shared = domain_shared_new(h->keyring);
    struct domain_options opt = house_options(h);
    h->domain = domain_new(&opt);
    must(h, domain_prepare(h->domain, 1000, &h->why));
}

void house_close(struct house *h)
{
    domain_free(h->domain);
    domain_shared_free(h->shared);
    h->store->ops->close(h->store);
    if (!house_is_sqlite())
        mongo_place_release(&h->place);
}

void house_init(struct house *h)
{
    *h = (struct house){.clock = {.wall_ms = wall, .mono_ms = mono}, .wall_ms = HOUSE_START_MS};
    must(h, secret_init(&h->why));
    must(h, totp_init(&h->why));
    scratch_init(&h->scratch);
    must(h, keyring_create(scratch_path(&h->scratch, "keyring"), &h->why));
    must(h, keyring_load(&h->keyring, scratch_path(&h->scratch, "keyring"), &h->why));
    if (!house_is_sqlite())
        choose_mongo(h);
    house_open(h);
}

void house_release(struct house *h)
{
    house_close(h);
    keyring_free(h->keyring);
    scratch_release(&h->scratch);
}

void house_reopen(struct house *h)
{
    house_close(h);
    house_open(h);
}

void house_advance(struct house *h, int64_t ms)
{
    h->wall_ms += ms;
    h->mono_ms += ms;
}

static void begin(struct house *h)
{
    must(h, domain_batch_begin(h->domain, &h->why));
    domain_job_begin(h->domain, 1000);
}

static enum err end(struct house *h, enum err result)
{
    struct err_text why = {0};
    enum err ended = domain_job_end(h->domain, result, &why);
    enum err committed = domain_batch_commit(h->domain, &why);
    if (result == ERR_OK)
        h->why = why;
    return result != ERR_OK ? result : ended != ERR_OK ? ended : committed;
}

enum err house_decide(struct house *h, enum err (*decide)(struct house *h, void *ctx), void *ctx)
{
    begin(h);
    return end(h, decide(h, ctx));
}

static struct actor tester(void)
{
    return (struct actor){.caller = STR("test")};
}

static struct tenant_id tenant_of(const char *name)
{
    return (struct tenant_id){str_from(name)};
}

static struct user_id user_of(const char *name)
{
    return (struct user_id){str_from(name)};
}

enum err house_set_policy(struct house *h, const char *tenant, uint32_t fields,
                          const struct policy *values)
{
    struct policy_change change = {
        .tenant = tenant_of(tenant), .values = *values, .fields = fields, .actor = tester()};
    struct policy out;
    begin(h);
    return end(h, policy_set(h->domain, &change, &out, &h->why));
}

void house_enable(struct house *h, const char *tenant)
{
    struct policy values = {.enabled = true, .mobile = true};
    must(h, house_set_policy(h, tenant, POLICY_ENABLED | POLICY_MOBILE, &values));
}

enum err house_login(struct house *h, const char *tenant, const char *user, enum channel channel,
                     struct login_answer *out)
{
    begin(h);
    return end(
        h, login_requirement(h->domain, tenant_of(tenant), user_of(user), channel, out, &h->why));
}

enum err house_enroll(struct house *h, const char *tenant, const char *user,
                      struct enroll_answer *out)
{
    struct enroll_request req = {.tenant = tenant_of(tenant),
                                 .user = user_of(user),
                                 .channel = CHANNEL_WEB,
                                 .password_verified = true,
                                 .actor = tester()};
    begin(h);
    return end(h, enroll_user(h->domain, &req, out, &h->why));
}

void house_enroll_confirmed(struct house *h, const char *tenant, const char *user,
                            struct secret **secret_out)
{
    struct enroll_answer enrolled;
    must(h, house_enroll(h, tenant, user, &enrolled));
    uint8_t bytes[ENROLL_SECRET_MAX];
    size_t n;
    must(h, base32_decode(bytes, sizeof bytes, &n, str_from(enrolled.secret_base32)));
    *secret_out = secret_new();
    secret_set(*secret_out, bytes, n);
    struct house_request r = HOUSE_REQUEST(tenant, user, house_code(h, *secret_out, 0));
    r.enrollment = &enrolled.enrollment;
    struct verify_answer answer;
    must(h, house_verify(h, &r, &answer));
    if (answer.outcome != VERIFY_ACCEPTED)
        abort();
    enroll_answer_release(&enrolled);
}

enum err house_verify(struct house *h, const struct house_request *r, struct verify_answer *out)
{
    struct verify_request req = {.tenant = tenant_of(r->tenant),
                                 .user = user_of(r->user),
                                 .channel = r->channel,
                                 .password_verified = r->password_verified,
                                 .code = str_from(r->code),
                                 .enrollment = r->enrollment,
                                 .request_id = r->request_id,
                                 .actor = tester()};
    begin(h);
    return end(h, verify_code(h->domain, &req, out, &h->why));
}

enum verify_outcome house_outcome(struct house *h, const char *tenant, const char *user,
                                  const char *code)
{
    struct house_request r = HOUSE_REQUEST(tenant, user, code);
    struct verify_answer answer;
    must(h, house_verify(h, &r, &answer));
    return answer.outcome;
}

const char *house_code(struct house *h, const struct secret *secret, int64_t steps)
{
    static char code[TOTP_DIGITS_MAX + 1];
    must(h, totp_code(code, secret, TOTP_SHA1, 6, totp_step(h->wall_ms, 30) + steps));
    return code;
}

const char *house_wrong_code(struct house *h, const struct secret *secret)
{
    static char code[TOTP_DIGITS_MAX + 1];
    for (unsigned candidate = 0;; candidate++) {
        snprintf(code, sizeof code, "%06u", candidate % 1000000);
        bool fits = false;
        for (int64_t step = -3; step <= 3; step++)
            fits |= strcmp(house_code(h, secret, step), code) == 0;
        if (!fits)
            return code;
    }
}
