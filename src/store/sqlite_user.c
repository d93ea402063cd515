/* SPDX-License-Identifier: ISC */
#include "lock_internal.h"
#include "sqlite_internal.h"
#include "sqlite_row_internal.h"

#include <sqlite3.h>
#include <string.h>

static void read_factor(struct sqlite_row *row, struct factor *f)
{
    sqlite_row_bytes(row, f->enrollment.bytes, ENROLLMENT_ID_LEN);
    f->generation = sqlite_row_uint(row, UINT32_MAX);
    f->key_id = sqlite_row_uint(row, UINT32_MAX);
    f->algorithm = (uint8_t)sqlite_row_uint(row, UINT8_MAX);
    f->digits = (uint8_t)sqlite_row_uint(row, UINT8_MAX);
    f->period = (uint16_t)sqlite_row_uint(row, UINT16_MAX);
    f->create_ms = sqlite_row_int(row);
    f->confirm_ms = sqlite_row_int(row);
    f->expire_ms = sqlite_row_int(row);
    f->sealed_len = (uint16_t)sqlite_row_blob(row, f->sealed, sizeof f->sealed);
}

/* Into factor or pending; only the latter knows of notices. */
static enum err put_factor(struct sqlite_store *s, enum sql sql, uint32_t user,
                           const struct factor *f, struct err_text *why)
{
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, sql);
    if (sql == SQL_PENDING_PUT) {
        sqlite3_bind_text(stmt, 12, f->notify_address, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 13, f->notify_locale, -1, SQLITE_STATIC);
    }
    sqlite3_bind_int64(stmt, 1, user);
    sqlite_db_bind_bytes(stmt, 2, f->enrollment.bytes, ENROLLMENT_ID_LEN);
    sqlite3_bind_int64(stmt, 3, f->generation);
    sqlite3_bind_int64(stmt, 4, f->key_id);
    sqlite3_bind_int64(stmt, 5, f->algorithm);
    sqlite3_bind_int64(stmt, 6, f->digits);
    sqlite3_bind_int64(stmt, 7, f->period);
    sqlite3_bind_int64(stmt, 8, f->create_ms);
    sqlite3_bind_int64(stmt, 9, f->confirm_ms);
    sqlite3_bind_int64(stmt, 10, f->expire_ms);
    sqlite_db_bind_bytes(stmt, 11, f->sealed, f->sealed_len);
    return sqlite_db_run(&s->db, sql, why);
}

static bool is_this(const struct sqlite_user *user, struct tenant_id t, struct user_id u)
{
    return user->found && str_equal((struct str){user->tenant, user->tenant_len}, t.s) &&
           str_equal((struct str){user->user, user->user_len}, u.s);
}

static enum err note_ids(struct sqlite_user *user, struct tenant_id t, struct user_id u,
                         struct err_text *why)
{
    if (t.s.len > ID_MAX || u.s.len > ID_MAX)
        return err_set(why, ERR_INVALID, NULL, "an id is longer than %d bytes", ID_MAX);
    user->tenant_len = (uint8_t)t.s.len;
    user->user_len = (uint8_t)u.s.len;
    memcpy(user->tenant, t.s.p, t.s.len);
    memcpy(user->user, u.s.p, u.s.len);
    return ERR_OK;
}

static enum err look_up(struct sqlite_store *s, struct sqlite_user *user, struct err_text *why)
{
    bool found;
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_USER_FIND);
    sqlite_db_bind_str(stmt, 1, (struct str){user->tenant, user->tenant_len});
    sqlite_db_bind_str(stmt, 2, (struct str){user->user, user->user_len});
    TRY(sqlite_db_row(&s->db, SQL_USER_FIND, &found, why));
    user->id = 0;
    user->enrolled = false;
    if (!found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = stmt};
    user->id = sqlite_row_uint(&row, UINT32_MAX);
    user->enrolled = !sqlite_row_null(&row);
    if (user->enrolled) {
        (void)sqlite_row_int(&row);
        read_factor(&row, &user->factor);
    }
    sqlite_db_done(&s->db, SQL_USER_FIND);
    return sqlite_row_check(&row, "a user", why);
}

enum err sqlite_user_find(struct sqlite_store *s, struct tenant_id t, struct user_id u,
                          struct sqlite_user **out, struct err_text *why)
{
    struct sqlite_user *user = &s->user;
    if (!is_this(user, t, u)) {
        user->found = false;
        TRY(note_ids(user, t, u, why));
        TRY(look_up(s, user, why));
        user->found = true;
    }
    *out = user;
    return ERR_OK;
}

enum err sqlite_user_make(struct sqlite_store *s, struct sqlite_user *user, struct err_text *why)
{
    if (user->id != 0)
        return ERR_OK;
    int64_t tenant;
    struct tenant_id t = {{user->tenant, user->tenant_len}};
    TRY(sqlite_tenant_id(s, t, true, &tenant, why));
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_USER_ADD);
    sqlite3_bind_int64(stmt, 1, tenant);
    sqlite_db_bind_str(stmt, 2, (struct str){user->user, user->user_len});
    TRY(sqlite_db_run(&s->db, SQL_USER_ADD, why));
    int64_t id = sqlite3_last_insert_rowid(s->db.handle);
    if (id > UINT32_MAX)
        return err_set(why, ERR_LIMIT, NULL, "too many users");
    user->id = (uint32_t)id;
    return ERR_OK;
}

enum err sqlite_user_pending(struct sqlite_store *s, uint32_t user, int64_t now_ms,
                             struct factor *out, bool *found, struct err_text *why)
{
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_PENDING_GET);
    sqlite3_bind_int64(stmt, 1, user);
    TRY(sqlite_db_row(&s->db, SQL_PENDING_GET, found, why));
    if (!*found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = stmt};
    read_factor(&row, out);
    sqlite_row_text(&row, out->notify_address, sizeof out->notify_address);
    sqlite_row_text(&row, out->notify_locale, sizeof out->notify_locale);
    sqlite_db_done(&s->db, SQL_PENDING_GET);
    *found = out->expire_ms > now_ms;
    return sqlite_row_check(&row, "a pending secret", why);
}

enum err sqlite_user_superseded(struct sqlite_store *s, uint32_t user, struct factor *out,
                                bool *found, struct err_text *why)
{
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_SUPERSEDED_GET);
    *out = (struct factor){0};
    sqlite3_bind_int64(stmt, 1, user);
    TRY(sqlite_db_row(&s->db, SQL_SUPERSEDED_GET, found, why));
    if (!*found)
        return ERR_OK;
    struct sqlite_row row = {.stmt = stmt};
    read_factor(&row, out);
    sqlite_db_done(&s->db, SQL_SUPERSEDED_GET);
    return sqlite_row_check(&row, "a superseded secret", why);
}

static enum err delete_pending(struct sqlite_store *s, uint32_t user, struct err_text *why)
{
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_PENDING_DELETE), 1, user);
    return sqlite_db_run(&s->db, SQL_PENDING_DELETE, why);
}

enum err sqlite_user_confirm(struct sqlite_store *s, struct sqlite_user *user,
                             const struct factor *f, int64_t now_ms, struct err_text *why)
{
    if (user->enrolled) {
        TRY(store_sqlite_writes(s, why));
        sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_SUPERSEDED_PUT), 1, user->id);
        TRY(sqlite_db_run(&s->db, SQL_SUPERSEDED_PUT, why));
    }
    user->factor = *f;
    user->factor.confirm_ms = now_ms != 0 ? now_ms : 1; /* 0 is pending */
    user->factor.expire_ms = 0;
    user->factor.replaces = false;
    user->factor.notify_address[0] = '\0';
    user->factor.notify_locale[0] = '\0';
    user->enrolled = true;
    TRY(put_factor(s, SQL_FACTOR_PUT, user->id, &user->factor, why));
    return delete_pending(s, user->id, why);
}

static enum err get_generation(struct sqlite_store *s, uint32_t user, uint32_t *out,
                               struct err_text *why)
{
    bool found;
    sqlite3_bind_int64(sqlite_db_stmt(&s->db, SQL_GENERATION_GET), 1, user);
    TRY(sqlite_db_row(&s->db, SQL_GENERATION_GET, &found, why));
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, SQL_GENERATION_GET)};
    *out = found ? sqlite_row_uint(&row, UINT32_MAX - 1) : 0;
    sqlite_db_done(&s->db, SQL_GENERATION_GET);
    return sqlite_row_check(&row, "a user", why);
}

enum err sqlite_user_get(struct store *base, struct tenant_id t, struct user_id u, int64_t now_ms,
                         const struct lockout_rule *lockout, struct user_state *out,
                         struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    struct hot hot;
    struct factor pending;
    bool has_pending;
    uint32_t generation;
    TRY(sqlite_user_find(s, t, u, &user, why));
    TRY(sqlite_log_state(s, user->id, &hot, why));
    TRY(sqlite_user_pending(s, user->id, now_ms, &pending, &has_pending, why));
    TRY(get_generation(s, user->id, &generation, why));
    struct lock_state lock = lock_look(lockout, hot.failures, hot.last_attempt_ms, now_ms);
    *out = (struct user_state){.enrolled = user->enrolled,
                               .pending = has_pending,
                               .next_generation = generation + 1,
                               .failures = hot.failures,
                               .retry_after_ms = lock.retry_after_ms,
                               .locked_for_good = lock.for_good};
    return ERR_OK;
}

enum err sqlite_user_put_pending(struct sqlite_store *s, struct sqlite_user *user,
                                 const struct factor *f, struct err_text *why)
{
    uint32_t generation;
    TRY(get_generation(s, user->id, &generation, why));
    if (f->generation != generation + 1)
        return err_set(why, ERR_CONFLICT, NULL, "the user's next secret is number %u",
                       generation + 1);
    TRY(sqlite_user_make(s, user, why));
    TRY(put_factor(s, SQL_PENDING_PUT, user->id, f, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_GENERATION_SET);
    sqlite3_bind_int64(stmt, 1, user->id);
    sqlite3_bind_int64(stmt, 2, f->generation);
    return sqlite_db_run(&s->db, SQL_GENERATION_SET, why);
}

enum err sqlite_user_pending_put(struct store *base, struct tenant_id t, struct user_id u,
                                 const struct factor *f, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    TRY(sqlite_user_find(s, t, u, &user, why));
    if (user->enrolled)
        return err_set(why, ERR_EXISTS, NULL, "the user has a secret");
    return sqlite_user_put_pending(s, user, f, why);
}

enum err sqlite_user_other_get(struct store *base, struct tenant_id t, struct user_id u,
                               const struct factor *right, struct factor *out, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct sqlite_user *user;
    bool found;
    TRY(sqlite_user_find(s, t, u, &user, why));
    if (right->confirm_ms == 0) {
        if (!user->enrolled)
            return err_set(why, ERR_NOT_FOUND, NULL, "the user has no confirmed secret");
        *out = user->factor;
        return ERR_OK;
    }
    struct factor f;
    TRY(sqlite_user_superseded(s, user->id, &f, &found, why));
    if (!found)
        return err_set(why, ERR_NOT_FOUND, NULL, "the user's secret is the first one");
    *out = f;
    return ERR_OK;
}

enum err sqlite_user_sweep(struct sqlite_store *s, int64_t now_ms, uint32_t limit, uint32_t *n_out,
                           struct err_text *why)
{
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_PENDING_SWEEP);
    sqlite3_bind_int64(stmt, 1, now_ms);
    sqlite3_bind_int64(stmt, 2, limit);
    TRY(sqlite_db_run(&s->db, SQL_PENDING_SWEEP, why));
    *n_out = (uint32_t)sqlite3_changes(s->db.handle);
    return ERR_OK;
}
