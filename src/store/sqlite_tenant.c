/* SPDX-License-Identifier: ISC */
#include "sqlite_internal.h"
#include "sqlite_row_internal.h"

#include <sqlite3.h>

enum err sqlite_tenant_id(struct sqlite_store *s, struct tenant_id t, bool make, int64_t *out,
                          struct err_text *why)
{
    bool found;
    sqlite_db_bind_str(sqlite_db_stmt(&s->db, SQL_TENANT_GET), 1, t.s);
    TRY(sqlite_db_row(&s->db, SQL_TENANT_GET, &found, why));
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, SQL_TENANT_GET)};
    int64_t id = found ? sqlite_row_int(&row) : 0;
    sqlite_db_done(&s->db, SQL_TENANT_GET);
    TRY(sqlite_row_check(&row, "a tenant", why));
    if (id == 0 && make) {
        TRY(store_sqlite_writes(s, why));
        sqlite_db_bind_str(sqlite_db_stmt(&s->db, SQL_TENANT_ADD), 1, t.s);
        TRY(sqlite_db_run(&s->db, SQL_TENANT_ADD, why));
        id = sqlite3_last_insert_rowid(s->db.handle);
    }
    *out = id;
    return ERR_OK;
}

static void read_policy(struct sqlite_row *row, struct policy *p)
{
    p->revision = sqlite_row_int(row);
    p->enabled = sqlite_row_uint(row, 1) != 0;
    p->mobile = sqlite_row_uint(row, 1) != 0;
    p->suspended_until_ms = sqlite_row_int(row);
    sqlite_row_text(row, p->suspended_reason, sizeof p->suspended_reason);
    sqlite_row_text(row, p->issuer, sizeof p->issuer);
    p->algorithm = (uint8_t)sqlite_row_uint(row, UINT8_MAX);
    p->digits = (uint8_t)sqlite_row_uint(row, UINT8_MAX);
    p->period = (uint16_t)sqlite_row_uint(row, UINT16_MAX);
    p->window_steps = (uint8_t)sqlite_row_uint(row, UINT8_MAX);
    p->enrollment_lifetime = sqlite_row_uint(row, UINT32_MAX);
    p->reset_lifetime = sqlite_row_uint(row, UINT32_MAX);
    sqlite_row_text(row, p->reset_link, sizeof p->reset_link);
    sqlite_row_text(row, p->mail_from, sizeof p->mail_from);
    sqlite_row_text(row, p->mail_from_name, sizeof p->mail_from_name);
    sqlite_row_text(row, p->locale, sizeof p->locale);
    p->update_time_ms = sqlite_row_int(row);
    sqlite_row_text(row, p->updated_by, sizeof p->updated_by);
}

enum err sqlite_tenant_policy_get(struct store *base, struct tenant_id t, struct policy *out,
                                  struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    bool found;
    struct policy p;
    sqlite_db_bind_str(sqlite_db_stmt(&s->db, SQL_POLICY_GET), 1, t.s);
    TRY(sqlite_db_row(&s->db, SQL_POLICY_GET, &found, why));
    if (!found)
        return err_set(why, ERR_NOT_FOUND, NULL, "the tenant has no policy");
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, SQL_POLICY_GET)};
    read_policy(&row, &p);
    sqlite_db_done(&s->db, SQL_POLICY_GET);
    TRY(sqlite_row_check(&row, "a policy", why));
    *out = p;
    return ERR_OK;
}

static void bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
    sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

static void bind_policy(sqlite3_stmt *stmt, int64_t tenant, const struct policy *p)
{
    sqlite3_bind_int64(stmt, 1, tenant);
    sqlite3_bind_int64(stmt, 2, p->revision);
    sqlite3_bind_int64(stmt, 3, p->enabled);
    sqlite3_bind_int64(stmt, 4, p->mobile);
    sqlite3_bind_int64(stmt, 5, p->suspended_until_ms);
    bind_text(stmt, 6, p->suspended_reason);
    bind_text(stmt, 7, p->issuer);
    sqlite3_bind_int64(stmt, 8, p->algorithm);
    sqlite3_bind_int64(stmt, 9, p->digits);
    sqlite3_bind_int64(stmt, 10, p->period);
    sqlite3_bind_int64(stmt, 11, p->window_steps);
    sqlite3_bind_int64(stmt, 12, p->enrollment_lifetime);
    sqlite3_bind_int64(stmt, 13, p->reset_lifetime);
    bind_text(stmt, 14, p->reset_link);
    bind_text(stmt, 15, p->mail_from);
    bind_text(stmt, 16, p->mail_from_name);
    bind_text(stmt, 17, p->locale);
    sqlite3_bind_int64(stmt, 18, p->update_time_ms);
    bind_text(stmt, 19, p->updated_by);
}

enum err sqlite_tenant_policy_put(struct store *base, struct tenant_id t, const struct policy *p,
                                  struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    struct policy now = {0};
    int64_t tenant;
    enum err e = sqlite_tenant_policy_get(base, t, &now, why);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (p->revision != now.revision + 1)
        return err_set(why, ERR_CONFLICT, NULL, "the policy has revision %lld",
                       (long long)now.revision);
    TRY(sqlite_tenant_id(s, t, true, &tenant, why));
    TRY(store_sqlite_writes(s, why));
    bind_policy(sqlite_db_stmt(&s->db, SQL_POLICY_PUT), tenant, p);
    return sqlite_db_run(&s->db, SQL_POLICY_PUT, why);
}

enum err sqlite_tenant_data_key_get(struct store *base, struct tenant_id t, uint32_t id,
                                    struct data_key *out, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    enum sql sql = id != 0 ? SQL_DATA_KEY_GET : SQL_DATA_KEY_NEWEST;
    bool found;
    struct data_key key;
    sqlite_db_bind_str(sqlite_db_stmt(&s->db, sql), 1, t.s);
    if (id != 0)
        sqlite3_bind_int64(sqlite_db_stmt(&s->db, sql), 2, id);
    TRY(sqlite_db_row(&s->db, sql, &found, why));
    if (!found)
        return err_set(why, ERR_NOT_FOUND, NULL, "the tenant has no data key %u", id);
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, sql)};
    key.id = sqlite_row_uint(&row, UINT32_MAX);
    key.kek_id = sqlite_row_uint(&row, UINT32_MAX);
    key.sealed_len = (uint16_t)sqlite_row_blob(&row, key.sealed, sizeof key.sealed);
    sqlite_db_done(&s->db, sql);
    TRY(sqlite_row_check(&row, "a data key", why));
    *out = key;
    return ERR_OK;
}

enum err sqlite_tenant_data_key_add(struct store *base, struct tenant_id t,
                                    const struct data_key *key, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    int64_t tenant;
    struct data_key present;
    enum err e = sqlite_tenant_data_key_get(base, t, key->id, &present, why);
    if (e == ERR_OK)
        return err_set(why, ERR_EXISTS, NULL, "the tenant has a data key %u", key->id);
    if (e != ERR_NOT_FOUND)
        return e;
    TRY(sqlite_tenant_id(s, t, true, &tenant, why));
    TRY(store_sqlite_writes(s, why));
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_DATA_KEY_ADD);
    sqlite3_bind_int64(stmt, 1, tenant);
    sqlite3_bind_int64(stmt, 2, key->id);
    sqlite3_bind_int64(stmt, 3, key->kek_id);
    sqlite_db_bind_bytes(stmt, 4, key->sealed, key->sealed_len);
    return sqlite_db_run(&s->db, SQL_DATA_KEY_ADD, why);
}
