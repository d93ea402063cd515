/* SPDX-License-Identifier: ISC */
#include "sqlite_internal.h"
#include "sqlite_row_internal.h"

#include <sqlite3.h>
#include <string.h>

enum err sqlite_audit_head(struct store *base, int64_t *seq, uint8_t hash[AUDIT_HASH_LEN],
                           struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    bool found;
    uint8_t got[AUDIT_HASH_LEN] = {0};
    TRY(sqlite_db_row(&s->db, SQL_AUDIT_HEAD, &found, why));
    struct sqlite_row row = {.stmt = sqlite_db_stmt(&s->db, SQL_AUDIT_HEAD)};
    int64_t newest = found ? sqlite_row_int(&row) : 0;
    if (found)
        sqlite_row_bytes(&row, got, AUDIT_HASH_LEN);
    sqlite_db_done(&s->db, SQL_AUDIT_HEAD);
    TRY(sqlite_row_check(&row, "an audit record", why));
    *seq = newest;
    memcpy(hash, got, AUDIT_HASH_LEN);
    return ERR_OK;
}

enum err sqlite_audit_load(struct sqlite_store *s, struct err_text *why)
{
    uint8_t hash[AUDIT_HASH_LEN];
    return sqlite_audit_head(&s->base, &s->audit_seq, hash, why);
}

enum err sqlite_audit_append(struct store *base, const struct audit_record *r, struct err_text *why)
{
    struct sqlite_store *s = sqlite_store_of(base);
    if (r->seq != s->audit_seq + 1)
        return err_set(why, ERR_CONFLICT, NULL, "audit record %lld does not follow record %lld",
                       (long long)r->seq, (long long)s->audit_seq);
    sqlite3_stmt *stmt = sqlite_db_stmt(&s->db, SQL_AUDIT_ADD);
    sqlite3_bind_int64(stmt, 1, r->seq);
    sqlite3_bind_int64(stmt, 2, r->time_ms);
    sqlite_db_bind_str(stmt, 3, r->tenant.s);
    sqlite3_bind_text(stmt, 4, r->body.p, (int)r->body.len, SQLITE_STATIC);
    sqlite_db_bind_bytes(stmt, 5, r->hash, AUDIT_HASH_LEN);
    TRY(sqlite_db_run(&s->db, SQL_AUDIT_ADD, why));
    s->audit_seq = r->seq;
    return ERR_OK;
}
