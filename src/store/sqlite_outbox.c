/* SPDX-License-Identifier: ISC */
#include "sqlite_internal.h"
#include "sqlite_row_internal.h"
#include "store/outbox.h"

#include <sqlite3.h>

/* A reset can be looked at for so long after its link has expired. */
#define RESET_KEEP_MS (7 * 24 * 60 * 60 * 1000LL)

static void bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
    sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

/* Runs a statement that takes one number. */
static enum err run_with(struct sqlite_store *s, enum sql sql, int64_t number, struct err_text *why)
{
    TRY(store_sqlite_writes(s, why));
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, sql), 1, number);
    return sqlite_db_run(&s->db, sql, why);
}

/* ---- mails
 * --------------------------------------------------------------------------------------- */

static enum err add_mail(struct sqlite_store *s, const struct sqlite_user *user, int64_t tenant,
                         const struct mail *m, int64_t reset, struct err_text *why)
{
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_OUTBOX_ADD);
    sqlite3_bind_int64(stmt, 1, tenant);
    sqlite3_bind_int64(stmt, 2, user->id);
    sqlite3_bind_int64(stmt, 3, m->kind);
    bind_text(stmt, 4, m->address);
    bind_text(stmt, 5, m->locale);
    sqlite3_bind_int64(stmt, 6, m->create_ms);
    sqlite3_bind_int64(stmt, 7, m->due_ms);
    sqlite3_bind_int64(stmt, 8, m->expire_ms);
    if (reset != 0)
        sqlite3_bind_int64(stmt, 9, reset);
    else
        sqlite3_bind_null(stmt, 9);
    sqlite3_bind_int64(stmt, 10, m->key_id);
    sqlite_db_bind_bytes(stmt, 11, m->token, m->token_len);
    return sqlite_db_run(&s->db, SQL_OUTBOX_ADD, why);
}

/* The user with a number, and the tenant's. */
static enum err find_or_make(struct sqlite_store *s, struct tenant_id t, struct user_id u,
                             struct sqlite_user **user, int64_t *tenant, struct err_text *why)
{
    TRY(sqlite_user_find(s, t, u, user, why));
    TRY(sqlite_user_make(s, *user, why));
    return sqlite_tenant_id(s, t, true, tenant, why);
}

enum err sqlite_outbox_put(struct sqlite_store *s, const struct sqlite_user *user,
                           const struct mail *m, struct err_text *why)
{
    int64_t tenant;
    struct tenant_id t = {{user->tenant, user->tenant_len}};
    TRY(sqlite_tenant_id(s, t, true, &tenant, why));
    return add_mail(s, user, tenant, m, 0, why);
}

/* The first column of the only row of a SELECT whose values are bound; 0 when there is none. */
static enum err get_number(struct sqlite_store *s, enum sql sql, int64_t *out, struct err_text *why)
{
    bool found;
    *out = 0;
    TRY(sqlite_db_row(&s->db, sql, &found, why));
    if (!found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, sql)};
    if (!sqlite_row_null(&row))
        *out = sqlite_row_int(&row);
    sqlite_db_done(&s->db, sql);
    return sqlite_row_check(&row, "a number", why);
}

/* The next tenant behind `after` that has mails; 0: there is none. */
static enum err next_tenant(struct sqlite_store *s, int64_t after, int64_t *out,
                            struct err_text *why)
{
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_OUTBOX_TENANT), 1, after);
    return get_number(s, SQL_OUTBOX_TENANT, out, why);
}

/* A due mail of the next tenant behind the last one that has any, round from the beginning.
 * *id is 0: none is due. */
static enum err choose_mail(struct sqlite_store *s, int64_t now_ms, int64_t *id,
                            struct err_text *why)
{
    int64_t tenant, due;
    *id = 0;
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_OUTBOX_DUE), 1, now_ms);
    TRY(get_number(s, SQL_OUTBOX_DUE, &due, why));
    TRY(get_number(s, SQL_MAIL_TURN_GET, &tenant, why));
    for (int rounds = 0; due != 0 && *id == 0 && rounds < 2;) {
        TRY(next_tenant(s, tenant, &tenant, why));
        if (tenant == 0) {
            rounds++;
            continue;
        }
        sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_OUTBOX_TURN);
        sqlite3_bind_int64(stmt, 1, tenant);
        sqlite3_bind_int64(stmt, 2, now_ms);
        TRY(get_number(s, SQL_OUTBOX_TURN, id, why));
    }
    return *id != 0 ? run_with(s, SQL_MAIL_TURN_SET, tenant, why) : ERR_OK;
}

static enum err read_mail(struct sqlite_store *s, int64_t id, struct leased_mail *out,
                          struct err_text *why)
{
    bool found;
    struct mail *m = &out->mail;
    *out = (struct leased_mail){.mail.id = id};
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_OUTBOX_GET), 1, id);
    TRY(sqlite_db_row(&s->db, SQL_OUTBOX_GET, &found, why));
    if (!found)
        return err_set(why, ERR_CORRUPT, NULL, "a mail of nobody is in the outbox");
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, SQL_OUTBOX_GET)};
    m->kind = (enum mail_kind)sqlite_row_uint(&row, MAIL_REPLACED);
    sqlite_row_text(&row, m->address, sizeof m->address);
    sqlite_row_text(&row, m->locale, sizeof m->locale);
    m->create_ms = sqlite_row_int(&row);
    m->due_ms = sqlite_row_int(&row);
    m->expire_ms = sqlite_row_int(&row);
    m->attempts = sqlite_row_uint(&row, UINT32_MAX);
    m->key_id = sqlite_row_uint(&row, UINT32_MAX);
    m->token_len = (uint16_t)sqlite_row_blob(&row, m->token, sizeof m->token);
    out->tenant_len = sqlite_row_blob(&row, (uint8_t *)out->tenant, sizeof out->tenant);
    out->user_len = sqlite_row_blob(&row, (uint8_t *)out->user, sizeof out->user);
    if (!sqlite_row_null(&row))
        sqlite_row_bytes(&row, m->reset.bytes, RESET_ID_LEN);
    sqlite_db_done(&s->db, SQL_OUTBOX_GET);
    return sqlite_row_check(&row, "a mail", why);
}

static enum err drop_damaged(struct sqlite_store *s, int64_t id, struct err_text *why)
{
    TRY(run_with(s, SQL_RESET_DAMAGED, id, why));
    return run_with(s, SQL_OUTBOX_DELETE, id, why);
}

static enum err mail_lease(struct store *base, int64_t now_ms, int64_t until_ms,
                           struct leased_mail *out, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    int64_t id;
    enum err e;
    do {
        TRY(choose_mail(s, now_ms, &id, why));
        if (id == 0)
            return err_set(why, ERR_NOT_FOUND, NULL, "no mail is due");
        e = read_mail(s, id, out, why);
        if (e == ERR_CORRUPT) /* a damaged row would be chosen again and again */
            TRY(drop_damaged(s, id, why));
    } while (e == ERR_CORRUPT);
    TRY(e);
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_OUTBOX_LEASE);
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, until_ms);
    return sqlite_db_run(&s->db, SQL_OUTBOX_LEASE, why);
}

/* A mail of this user that still waits: the number of its reset (0: none), its attempts. */
struct waiting {
    bool found;
    int64_t reset;
    uint32_t attempts;
};

static enum err find_waiting(struct sqlite_store *s, struct tenant_id t, struct user_id u,
                             int64_t id, struct waiting *out, struct err_text *why)
{
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_OUTBOX_FIND);
    *out = (struct waiting){0};
    sqlite_db_bind_str(stmt, 1, t.s);
    sqlite3_bind_int64(stmt, 2, id);
    sqlite_db_bind_str(stmt, 3, u.s);
    TRY(sqlite_db_row(&s->db, SQL_OUTBOX_FIND, &out->found, why));
    if (!out->found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = stmt};
    if (!sqlite_row_null(&row))
        out->reset = sqlite_row_int(&row);
    out->attempts = sqlite_row_uint(&row, UINT32_MAX - 1);
    sqlite_db_done(&s->db, SQL_OUTBOX_FIND);
    return sqlite_row_check(&row, "a mail", why);
}

/* A reset whose mail waits gets a new state. */
static enum err set_reset(struct sqlite_store *s, const struct waiting *w, enum reset_state state,
                          const char *error, struct err_text *why)
{
    if (w->reset == 0)
        return ERR_OK;
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_RESET_SET);
    sqlite3_bind_int64(stmt, 1, w->reset);
    sqlite3_bind_int64(stmt, 2, state);
    sqlite3_bind_int64(stmt, 3, w->attempts + 1);
    bind_text(stmt, 4, error);
    return sqlite_db_run(&s->db, SQL_RESET_SET, why);
}

static enum err mail_sent(struct store *base, struct tenant_id t, struct user_id u, int64_t mail_id,
                          struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct waiting w;
    TRY(find_waiting(s, t, u, mail_id, &w, why));
    if (!w.found)
        return ERR_OK;
    TRY(run_with(s, SQL_OUTBOX_DELETE, mail_id, why));
    TRY(set_reset(s, &w, RESET_SENT, "", why));
    if (w.reset == 0)
        return ERR_OK;
    TRY(run_with(s, SQL_OUTBOX_REPLACE, w.reset, why));
    return run_with(s, SQL_RESET_REPLACE, w.reset, why);
}

static enum err mail_failed(struct store *base, struct tenant_id t, struct user_id u,
                            int64_t mail_id, const char *error, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct waiting w;
    TRY(find_waiting(s, t, u, mail_id, &w, why));
    if (!w.found)
        return ERR_OK;
    TRY(run_with(s, SQL_OUTBOX_DELETE, mail_id, why));
    return set_reset(s, &w, RESET_FAILED, error, why);
}

static enum err mail_deferred(struct store *base, struct tenant_id t, struct user_id u,
                              int64_t mail_id, int64_t due_ms, const char *error,
                              struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct waiting w;
    TRY(find_waiting(s, t, u, mail_id, &w, why));
    if (!w.found)
        return ERR_OK;
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_OUTBOX_DEFER);
    sqlite3_bind_int64(stmt, 1, mail_id);
    sqlite3_bind_int64(stmt, 2, due_ms);
    sqlite3_bind_int64(stmt, 3, w.attempts + 1);
    TRY(sqlite_db_run(&s->db, SQL_OUTBOX_DEFER, why));
    return set_reset(s, &w, RESET_DEFERRED, error, why);
}

/* ---- resets
 * -------------------------------------------------------------------------------------- */

static bool is_open(enum reset_state state)
{
    return state == RESET_QUEUED || state == RESET_SENT || state == RESET_DEFERRED;
}

static void read_status(struct sqlite_row *row, int64_t now_ms, struct reset_status *out)
{
    sqlite_row_bytes(row, out->id.bytes, RESET_ID_LEN);
    out->state = (enum reset_state)sqlite_row_uint(row, RESET_REPLACED);
    out->attempts = sqlite_row_uint(row, UINT32_MAX);
    out->expire_ms = sqlite_row_int(row);
    sqlite_row_text(row, out->last_error, sizeof out->last_error);
    if (is_open(out->state) && out->expire_ms <= now_ms)
        out->state = RESET_EXPIRED;
}

/* Was the request answered before? */
static enum err recall(struct sqlite_store *s, int64_t user, const struct reset_request *r,
                       struct reset_put *out, struct err_text *why)
{
    bool found = false;
    uint8_t fingerprint[REQUEST_FINGERPRINT_LEN];
    out->result = RESET_PUT;
    if (r->request == NULL)
        return ERR_OK;
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_RESET_REPEATED);
    sqlite3_bind_int64(stmt, 1, user);
    sqlite3_bind_int64(stmt, 2, r->create_ms - REQUEST_MEMORY_MS);
    sqlite_db_bind_bytes(stmt, 3, r->request->id, REQUEST_ID_LEN);
    TRY(sqlite_db_row(&s->db, SQL_RESET_REPEATED, &found, why));
    if (!found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = stmt};
    sqlite_row_bytes(&row, fingerprint, sizeof fingerprint);
    read_status(&row, r->create_ms, &out->first);
    sqlite_db_done(&s->db, SQL_RESET_REPEATED);
    TRY(sqlite_row_check(&row, "a reset", why));
    bool same = str_equal_bytes(fingerprint, r->request->fingerprint, sizeof fingerprint);
    out->result = same ? RESET_REPEATED : RESET_REUSED;
    return ERR_OK;
}

/* One of the limits, whose first value is bound: is it reached, and until when? */
static enum err check_limit(struct sqlite_store *s, enum sql sql, const struct reset_request *r,
                            uint32_t limit, enum reset_result reached, struct reset_put *out,
                            struct err_text *why)
{
    bool found;
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, sql);
    sqlite3_bind_int64(stmt, 2, r->create_ms - r->limits.window_ms);
    TRY(sqlite_db_row(&s->db, sql, &found, why));
    struct sqlite_row row = {.stmt = stmt};
    int64_t count = sqlite_row_int(&row);
    int64_t oldest = sqlite_row_null(&row) ? 0 : sqlite_row_int(&row);
    sqlite_db_done(&s->db, sql);
    TRY(sqlite_row_check(&row, "a count", why));
    if (count < limit)
        return ERR_OK;
    out->result = reached;
    out->retry_after_ms = oldest + r->limits.window_ms - r->create_ms;
    return ERR_OK;
}

static enum err check_limits(struct sqlite_store *s, int64_t user, int64_t tenant,
                             const struct reset_request *r, struct reset_put *out,
                             struct err_text *why)
{
    const struct reset_limits *l = &r->limits;
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_RESET_OF_USER), 1, user);
    TRY(check_limit(s, SQL_RESET_OF_USER, r, l->per_user, RESET_USER_LIMIT, out, why));
    if (out->result != RESET_PUT)
        return ERR_OK;
    sqlite_db_bind_bytes(sqlite_db_stmt(&s->db, SQL_RESET_OF_ADDRESS), 1, r->address_hash,
                         TOKEN_HASH_LEN);
    TRY(check_limit(s, SQL_RESET_OF_ADDRESS, r, l->per_address, RESET_ADDRESS_LIMIT, out, why));
    if (out->result != RESET_PUT)
        return ERR_OK;
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_RESET_OF_TENANT), 1, tenant);
    return check_limit(s, SQL_RESET_OF_TENANT, r, l->per_tenant, RESET_TENANT_LIMIT, out, why);
}

static enum err add_reset(struct sqlite_store *s, const struct sqlite_user *user, int64_t tenant,
                          const struct reset_request *r, struct err_text *why)
{
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_RESET_ADD);
    sqlite_db_bind_bytes(stmt, 1, r->id.bytes, RESET_ID_LEN);
    sqlite3_bind_int64(stmt, 2, tenant);
    sqlite3_bind_int64(stmt, 3, user->id);
    sqlite_db_bind_bytes(stmt, 4, r->token_hash, TOKEN_HASH_LEN);
    sqlite_db_bind_bytes(stmt, 5, r->address_hash, TOKEN_HASH_LEN);
    sqlite3_bind_int64(stmt, 6, RESET_QUEUED);
    sqlite3_bind_int64(stmt, 7, r->create_ms);
    sqlite3_bind_int64(stmt, 8, r->expire_ms);
    if (r->request != NULL) {
        sqlite_db_bind_bytes(stmt, 9, r->request->id, REQUEST_ID_LEN);
        sqlite_db_bind_bytes(stmt, 10, r->request->fingerprint, REQUEST_FINGERPRINT_LEN);
    } else {
        sqlite3_bind_null(stmt, 9);
        sqlite3_bind_null(stmt, 10);
    }
    return sqlite_db_run(&s->db, SQL_RESET_ADD, why);
}

static enum err reset_put(struct store *base, struct tenant_id t, struct user_id u,
                          const struct reset_request *r, struct reset_put *out,
                          struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    int64_t tenant;
    struct reset_put got = {.result = RESET_PUT};
    TRY(sqlite_user_find(s, t, u, &user, why));
    TRY(sqlite_tenant_id(s, t, false, &tenant, why));
    TRY(recall(s, user->id, r, &got, why));
    if (got.result == RESET_PUT)
        TRY(check_limits(s, user->id, tenant, r, &got, why));
    if (got.result == RESET_PUT) {
        TRY(find_or_make(s, t, u, &user, &tenant, why));
        TRY(add_reset(s, user, tenant, r, why));
        int64_t number = sqlite3_last_insert_rowid(s->db.handle);
        TRY(add_mail(s, user, tenant, &r->mail, number, why));
    }
    *out = got;
    return ERR_OK;
}

static enum err reset_get(struct store *base, struct tenant_id t, const struct reset_id *id,
                          int64_t now_ms, struct reset_status *out, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    bool found;
    struct reset_status got = {0};
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_RESET_GET);
    sqlite_db_bind_str(stmt, 1, t.s);
    sqlite_db_bind_bytes(stmt, 2, id->bytes, RESET_ID_LEN);
    TRY(sqlite_db_row(&s->db, SQL_RESET_GET, &found, why));
    if (!found)
        return err_set(why, ERR_NOT_FOUND, NULL, "the tenant has no such reset");
    struct sqlite_row row = {.stmt = stmt};
    read_status(&row, now_ms, &got);
    sqlite_db_done(&s->db, SQL_RESET_GET);
    TRY(sqlite_row_check(&row, "a reset", why));
    *out = got;
    return ERR_OK;
}

/* The number of the reset of this user that the token is good for; 0: there is none. */
static enum err find_token(struct sqlite_store *s, const struct sqlite_user *user,
                           const uint8_t hash[TOKEN_HASH_LEN], int64_t now_ms, int64_t *number,
                           struct err_text *why)
{
    bool found;
    *number = 0;
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_RESET_BY_TOKEN);
    sqlite_db_bind_bytes(stmt, 1, hash, TOKEN_HASH_LEN);
    TRY(sqlite_db_row(&s->db, SQL_RESET_BY_TOKEN, &found, why));
    if (!found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = stmt};
    int64_t reset = sqlite_row_int(&row);
    int64_t owner = sqlite_row_int(&row);
    enum reset_state state = (enum reset_state)sqlite_row_uint(&row, RESET_REPLACED);
    int64_t expire_ms = sqlite_row_int(&row);
    sqlite_db_done(&s->db, SQL_RESET_BY_TOKEN);
    TRY(sqlite_row_check(&row, "a reset", why));
    if (owner == user->id && is_open(state) && expire_ms > now_ms)
        *number = reset;
    return ERR_OK;
}

static enum err reset_confirm(struct store *base, struct tenant_id t, struct user_id u,
                              const uint8_t token_hash[TOKEN_HASH_LEN], const struct factor *f,
                              int64_t now_ms, bool *won, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    int64_t number;
    TRY(sqlite_user_find(s, t, u, &user, why));
    TRY(find_token(s, user, token_hash, now_ms, &number, why));
    if (number != 0) {
        TRY(run_with(s, SQL_RESET_CONFIRM, number, why));
        TRY(run_with(s, SQL_OUTBOX_DROP, number, why));
        TRY(sqlite_user_put_pending(s, user, f, why));
    }
    *won = number != 0;
    return ERR_OK;
}

enum err sqlite_outbox_sweep(struct sqlite_store *s, int64_t now_ms, uint32_t limit,
                             uint32_t *n_out, struct err_text *why)
{
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_RESET_SWEEP);
    sqlite3_bind_int64(stmt, 1, now_ms - RESET_KEEP_MS);
    sqlite3_bind_int64(stmt, 2, limit);
    TRY(sqlite_db_run(&s->db, SQL_RESET_SWEEP, why));
    *n_out = (uint32_t)sqlite3_changes(s->db.handle);
    return ERR_OK;
}

const struct outbox_ops sqlite_outbox_ops = {
    .reset_put = reset_put,
    .reset_get = reset_get,
    .reset_confirm = reset_confirm,
    .mail_lease = mail_lease,
    .mail_sent = mail_sent,
    .mail_failed = mail_failed,
    .mail_deferred = mail_deferred,
};
