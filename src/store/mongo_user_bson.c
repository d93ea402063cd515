/* SPDX-License-Identifier: ISC */
#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"

/* ---- reading ------------------------------------------------------------------------------- */

static void read_factor(const struct mongo_in *in, struct factor *f)
{
    mongo_in_fixed(in, "id", f->enrollment.bytes, ENROLLMENT_ID_LEN);
    f->generation = (uint32_t)mongo_in_int(in, "gen", 1, UINT32_MAX);
    f->key_id = (uint32_t)mongo_in_int(in, "key", 1, UINT32_MAX);
    f->algorithm = (uint8_t)mongo_in_int(in, "algorithm", 0, UINT8_MAX);
    f->digits = (uint8_t)mongo_in_int(in, "digits", 0, UINT8_MAX);
    f->period = (uint16_t)mongo_in_int(in, "period", 0, UINT16_MAX);
    f->create_ms = mongo_in_time(in, "created");
    f->confirm_ms = mongo_in_time(in, "confirmed");
    f->expire_ms = mongo_in_time(in, "expires");
    if (mongo_in_has(in, "notify")) {
        mongo_in_text(in, "notify", f->notify_address, sizeof f->notify_address);
        mongo_in_text(in, "locale", f->notify_locale, sizeof f->notify_locale);
    }
    f->sealed_len = (uint16_t)mongo_in_bytes(in, "sealed", f->sealed, sizeof f->sealed);
}

static bool read_factor_at(const struct mongo_in *in, const char *key, struct factor *f)
{
    struct mongo_in sub;
    *f = (struct factor){0};
    if (!mongo_in_doc(in, key, &sub))
        return false;
    read_factor(&sub, f);
    return true;
}

static void read_answer(const struct mongo_in *in, struct answer *a)
{
    struct mongo_in sub;
    *a = (struct answer){0};
    if (!mongo_in_doc(in, "answer", &sub))
        return;
    a->outcome = (uint8_t)mongo_in_int(&sub, "outcome", 0, UINT8_MAX);
    a->time_ms = mongo_in_time(&sub, "time");
    if (mongo_in_has(&sub, "reason"))
        a->reason = (uint8_t)mongo_in_int(&sub, "reason", 0, UINT8_MAX);
    if (mongo_in_has(&sub, "wait"))
        a->retry_after_ms = mongo_in_time(&sub, "wait");
    if (mongo_in_has(&sub, "enrollment"))
        mongo_in_fixed(&sub, "enrollment", a->enrollment.bytes, ENROLLMENT_ID_LEN);
}

static void read_entry(const struct mongo_in *in, struct attempt_entry *e)
{
    *e = (struct attempt_entry){0};
    e->kind = (enum attempt_kind)mongo_in_int(in, "kind", ATTEMPT_TRIED, ATTEMPT_WON);
    mongo_in_fixed(in, "id", e->mark.id, REQUEST_ID_LEN);
    e->time_ms = mongo_in_time(in, "time");
    e->is_request = mongo_in_has(in, "print");
    if (e->is_request)
        mongo_in_fixed(in, "print", e->mark.fingerprint, REQUEST_FINGERPRINT_LEN);
    e->is_named = mongo_in_has(in, "secret");
    if (e->is_named)
        mongo_in_fixed(in, "secret", e->enrollment.bytes, ENROLLMENT_ID_LEN);
    read_answer(in, &e->answer);
}

static void read_attempts(const struct mongo_in *in, struct attempt_log *log)
{
    struct mongo_each each;
    struct mongo_in item;
    log->failures = (uint32_t)mongo_in_int(in, F_FAILURES, 0, UINT32_MAX);
    log->last_attempt_ms = mongo_in_time(in, F_LAST);
    mongo_in_each_init(&each, in, F_LOG);
    while (mongo_in_each_next(&each, &item)) {
        struct attempt_entry e;
        read_entry(&item, &e);
        if (log->n >= ATTEMPT_LOG_READ_MAX)
            *in->bad = true;
        else
            attempt_log_append(log, &e);
    }
}

static void read_secrets(const struct mongo_in *in, struct mongo_user *user)
{
    user->generation = (uint32_t)mongo_in_int(in, F_GEN, 0, UINT32_MAX - 1);
    user->last_step = mongo_in_int(in, F_STEP, -1, INT64_MAX);
    user->has_own = read_factor_at(in, F_OWN, &user->own);
    user->has_next = read_factor_at(in, F_NEXT, &user->next);
    user->has_old = read_factor_at(in, F_OLD, &user->old);
    user->next.replaces = user->has_own;
    /* What was confirmed must say so, or a code of it would be taken for a first one. */
    if ((user->has_own && user->own.confirm_ms == 0) ||
        (user->has_next && user->next.confirm_ms != 0))
        *in->bad = true;
}

static void read_reset(const struct mongo_in *in, struct mongo_reset *r)
{
    struct reset_status *s = &r->status;
    mongo_in_fixed(in, "id", s->id.bytes, RESET_ID_LEN);
    s->state = (enum reset_state)mongo_in_int(in, "state", RESET_QUEUED, RESET_REPLACED);
    s->attempts = (uint32_t)mongo_in_int(in, "attempts", 0, UINT32_MAX);
    s->expire_ms = mongo_in_time(in, "expires");
    mongo_in_text(in, "error", s->last_error, sizeof s->last_error);
    mongo_in_fixed(in, "token", r->token_hash, TOKEN_HASH_LEN);
    r->create_ms = mongo_in_time(in, "created");
    r->has_request = mongo_in_has(in, "request");
    if (r->has_request) {
        mongo_in_fixed(in, "request", r->request.id, REQUEST_ID_LEN);
        mongo_in_fixed(in, "print", r->request.fingerprint, REQUEST_FINGERPRINT_LEN);
    }
}

static void read_mail(const struct mongo_in *in, struct mail *m)
{
    m->id = mongo_in_int(in, "id", 1, INT64_MAX);
    m->kind = (enum mail_kind)mongo_in_int(in, "kind", MAIL_RESET, MAIL_REPLACED);
    mongo_in_text(in, "address", m->address, sizeof m->address);
    mongo_in_text(in, "locale", m->locale, sizeof m->locale);
    m->create_ms = mongo_in_time(in, "created");
    m->due_ms = mongo_in_time(in, "due");
    m->expire_ms = mongo_in_time(in, "expires");
    m->attempts = (uint32_t)mongo_in_int(in, "attempts", 0, UINT32_MAX);
    if (m->kind != MAIL_RESET)
        return;
    mongo_in_fixed(in, "reset", m->reset.bytes, RESET_ID_LEN);
    m->key_id = (uint32_t)mongo_in_int(in, "key", 1, UINT32_MAX);
    m->token_len = (uint16_t)mongo_in_bytes(in, "token", m->token, sizeof m->token);
}

static void read_outbox(const struct mongo_in *in, struct mongo_user *user)
{
    struct mongo_each each;
    struct mongo_in item;
    mongo_in_each_init(&each, in, F_RESETS);
    while (mongo_in_each_next(&each, &item))
        read_reset(&item, mongo_user_add_reset(user));
    mongo_in_each_init(&each, in, F_MAILS);
    while (mongo_in_each_next(&each, &item))
        read_mail(&item, mongo_user_add_mail(user));
}

void mongo_user_bson_put_fields(bson_t *projection, unsigned parts)
{
    if (parts & MONGO_RESETS)
        return;
    mongo_put_int(projection, F_RESETS, 0);
    mongo_put_int(projection, F_MAILS, 0);
}

enum err mongo_user_bson_read(struct mongo_user *user, const bson_t *doc, unsigned parts,
                              struct err_text *why)
{
    bool bad = false;
    struct mongo_in in;
    struct mongo_user got = {.key = user->key, .loaded = parts};
    struct mongo_key key = {.len = 0};
    mongo_in_init(&in, doc, &bad);
    key.len = mongo_in_bytes(&in, "_id", key.bytes, sizeof key.bytes);
    if (!str_equal((struct str){(const char *)key.bytes, key.len},
                   (struct str){(const char *)user->key.bytes, user->key.len}))
        bad = true;
    got.version = mongo_in_version(&in, F_VERSION);
    mongo_writes_read(&in, &got.writes);
    if (parts & MONGO_ATTEMPTS)
        read_attempts(&in, &got.attempts);
    if (parts & MONGO_SECRETS)
        read_secrets(&in, &got);
    if (parts & MONGO_RESETS)
        read_outbox(&in, &got);
    enum err e = mongo_in_check(&in, "a user", why);
    if (e != ERR_OK) {
        mongo_user_release(&got);
        return e;
    }
    mongo_user_release(user);
    *user = got;
    return ERR_OK;
}

enum err mongo_user_bson_read_key(const bson_t *doc, struct mongo_key *out, struct err_text *why)
{
    bool bad = false;
    struct mongo_in in;
    mongo_in_init(&in, doc, &bad);
    out->len = mongo_in_bytes(&in, "_id", out->bytes, sizeof out->bytes);
    size_t tenant_len = out->len > 0 ? out->bytes[0] : 0;
    if (out->len < 1 + tenant_len || tenant_len > ID_MAX || out->len - 1 - tenant_len > ID_MAX)
        bad = true;
    return mongo_in_check(&in, "the key of a user", why);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void write_factor(bson_t *b, const char *key, const struct factor *f)
{
    bson_t child;
    mongo_put_begin(b, key, &child);
    mongo_put_bytes(&child, "id", f->enrollment.bytes, ENROLLMENT_ID_LEN);
    mongo_put_int(&child, "gen", f->generation);
    mongo_put_int(&child, "key", f->key_id);
    mongo_put_int(&child, "algorithm", f->algorithm);
    mongo_put_int(&child, "digits", f->digits);
    mongo_put_int(&child, "period", f->period);
    mongo_put_int(&child, "created", f->create_ms);
    mongo_put_int(&child, "confirmed", f->confirm_ms);
    mongo_put_int(&child, "expires", f->expire_ms);
    if (f->notify_address[0] != '\0') {
        mongo_put_text(&child, "notify", f->notify_address);
        mongo_put_text(&child, "locale", f->notify_locale);
    }
    mongo_put_bytes(&child, "sealed", f->sealed, f->sealed_len);
    mongo_put_end(b, &child);
}

static bool is_zero(const struct enrollment_id *id)
{
    static const struct enrollment_id none;
    return str_equal_bytes(id->bytes, none.bytes, ENROLLMENT_ID_LEN);
}

static void write_answer(bson_t *b, const struct answer *a)
{
    bson_t child;
    mongo_put_begin(b, "answer", &child);
    mongo_put_int(&child, "outcome", a->outcome);
    mongo_put_int(&child, "time", a->time_ms);
    if (a->reason != 0)
        mongo_put_int(&child, "reason", a->reason);
    if (a->retry_after_ms != 0)
        mongo_put_int(&child, "wait", a->retry_after_ms);
    if (!is_zero(&a->enrollment))
        mongo_put_bytes(&child, "enrollment", a->enrollment.bytes, ENROLLMENT_ID_LEN);
    mongo_put_end(b, &child);
}

void mongo_user_bson_write_entry(bson_t *b, const struct attempt_entry *e)
{
    mongo_put_int(b, "kind", e->kind);
    mongo_put_bytes(b, "id", e->mark.id, REQUEST_ID_LEN);
    mongo_put_int(b, "time", e->time_ms);
    if (e->is_request)
        mongo_put_bytes(b, "print", e->mark.fingerprint, REQUEST_FINGERPRINT_LEN);
    if (e->is_named)
        mongo_put_bytes(b, "secret", e->enrollment.bytes, ENROLLMENT_ID_LEN);
    if (e->is_request || e->kind != ATTEMPT_TRIED)
        write_answer(b, &e->answer);
}

static void write_attempts(bson_t *b, const struct attempt_log *log)
{
    bson_t array, child;
    mongo_put_int(b, F_FAILURES, log->failures);
    mongo_put_int(b, F_LAST, log->last_attempt_ms);
    mongo_put_begin_array(b, F_LOG, &array);
    for (uint32_t i = 0; i < log->n; i++) {
        mongo_put_begin_element(&array, i, &child);
        mongo_user_bson_write_entry(&child, &log->entries[i]);
        mongo_put_end(&array, &child);
    }
    mongo_put_end_array(b, &array);
}

static void write_secrets(bson_t *set, bson_t *unset, const struct mongo_user *user)
{
    const struct {
        const char *key;
        bool has;
        const struct factor *f;
    } factors[] = {{F_OWN, user->has_own, &user->own},
                   {F_NEXT, user->has_next, &user->next},
                   {F_OLD, user->has_old, &user->old}};
    mongo_put_int(set, F_GEN, user->generation);
    mongo_put_int(set, F_STEP, user->last_step);
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++)
        if (factors[i].has)
            write_factor(set, factors[i].key, factors[i].f);
        else if (unset != NULL)
            mongo_put_bool(unset, factors[i].key, true);
}

static void write_reset(bson_t *b, const struct mongo_reset *r)
{
    mongo_put_bytes(b, "id", r->status.id.bytes, RESET_ID_LEN);
    mongo_put_int(b, "state", r->status.state);
    mongo_put_int(b, "attempts", r->status.attempts);
    mongo_put_int(b, "expires", r->status.expire_ms);
    mongo_put_text(b, "error", r->status.last_error);
    mongo_put_bytes(b, "token", r->token_hash, TOKEN_HASH_LEN);
    mongo_put_int(b, "created", r->create_ms);
    if (r->has_request) {
        mongo_put_bytes(b, "request", r->request.id, REQUEST_ID_LEN);
        mongo_put_bytes(b, "print", r->request.fingerprint, REQUEST_FINGERPRINT_LEN);
    }
}

static void write_mail(bson_t *b, const struct mail *m)
{
    mongo_put_int(b, "id", m->id);
    mongo_put_int(b, "kind", m->kind);
    mongo_put_text(b, "address", m->address);
    mongo_put_text(b, "locale", m->locale);
    mongo_put_int(b, "created", m->create_ms);
    mongo_put_int(b, "due", m->due_ms);
    mongo_put_int(b, "expires", m->expire_ms);
    mongo_put_int(b, "attempts", m->attempts);
    if (m->kind != MAIL_RESET)
        return;
    mongo_put_bytes(b, "reset", m->reset.bytes, RESET_ID_LEN);
    mongo_put_int(b, "key", m->key_id);
    mongo_put_bytes(b, "token", m->token, m->token_len);
}

static void write_outbox(bson_t *set, bson_t *unset, const struct mongo_user *user)
{
    bson_t array, child;
    int64_t due = INT64_MAX;
    mongo_put_begin_array(set, F_RESETS, &array);
    for (uint32_t i = 0; i < user->n_resets; i++) {
        mongo_put_begin_element(&array, i, &child);
        write_reset(&child, &user->resets[i]);
        mongo_put_end(&array, &child);
    }
    mongo_put_end_array(set, &array);
    mongo_put_begin_array(set, F_MAILS, &array);
    for (uint32_t i = 0; i < user->n_mails; i++) {
        mongo_put_begin_element(&array, i, &child);
        write_mail(&child, &user->mails[i]);
        mongo_put_end(&array, &child);
        if (user->mails[i].due_ms < due)
            due = user->mails[i].due_ms;
    }
    mongo_put_end_array(set, &array);
    if (user->n_mails > 0)
        mongo_put_int(set, F_DUE, due);
    else if (unset != NULL)
        mongo_put_bool(unset, F_DUE, true);
}

static void write_sweep(bson_t *set, bson_t *unset, const struct mongo_user *user)
{
    int64_t sweep_ms = user->loaded == MONGO_ALL ? mongo_user_sweep_ms(user) : 0;
    if (sweep_ms != 0)
        mongo_put_int(set, F_SWEEP, sweep_ms);
    else if (user->loaded == MONGO_ALL && unset != NULL)
        mongo_put_bool(unset, F_SWEEP, true);
}

static void put_id(bson_t *b, const char *key, struct str id)
{
    mongo_put_bytes(b, key, id.p, id.len);
}

void mongo_user_bson_write_new(struct mongo_user *user, bson_t *out)
{
    mongo_put_bytes(out, "_id", user->key.bytes, user->key.len);
    put_id(out, F_TENANT, mongo_user_tenant(&user->key).s);
    put_id(out, F_USER, mongo_user_id(&user->key).s);
    mongo_put_int(out, F_VERSION, 1);
    mongo_writes_write(out, &user->writes);
    write_attempts(out, &user->attempts);
    write_secrets(out, NULL, user);
    write_outbox(out, NULL, user);
    write_sweep(out, NULL, user);
}

static void write_added(bson_t *out, const struct mail *m)
{
    bson_t child, mail;
    mongo_put_begin(out, "$push", &child);
    mongo_put_begin(&child, F_MAILS, &mail);
    write_mail(&mail, m);
    mongo_put_end(&child, &mail);
    mongo_put_end(out, &child);
    mongo_put_op_int(out, "$min", F_DUE, m->due_ms);
}

void mongo_user_bson_write_changes(struct mongo_user *user, bson_t *out)
{
    bson_t set, unset = BSON_INITIALIZER;
    mongo_put_begin(out, "$set", &set);
    mongo_writes_write(&set, &user->writes);
    if (user->changed & MONGO_ATTEMPTS)
        write_attempts(&set, &user->attempts);
    if (user->changed & MONGO_SECRETS)
        write_secrets(&set, &unset, user);
    if (user->changed & MONGO_RESETS)
        write_outbox(&set, &unset, user);
    write_sweep(&set, &unset, user);
    mongo_put_end(out, &set);
    if (!bson_empty(&unset))
        mongo_put_doc(out, "$unset", &unset);
    if (user->added != NULL)
        write_added(out, user->added);
    mongo_put_op_int(out, "$inc", F_VERSION, 1);
    bson_destroy(&unset);
}
