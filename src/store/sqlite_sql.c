/* SPDX-License-Identifier: ISC */
#include "sqlite_sql_internal.h"

/* Ids that callers choose are BLOBs, so that they compare as bytes. */
static const char version_1[] =
    /* One row a tenant that anything is kept of; its number stands for it elsewhere. */
    "CREATE TABLE tenant ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name BLOB NOT NULL UNIQUE"
    ") STRICT;"

    "CREATE TABLE policy ("
    "  tenant INTEGER PRIMARY KEY REFERENCES tenant,"
    "  revision INTEGER NOT NULL,"
    "  enabled INTEGER NOT NULL,"
    "  mobile INTEGER NOT NULL,"
    "  suspended_until_ms INTEGER NOT NULL,"
    "  suspended_reason TEXT NOT NULL,"
    "  issuer TEXT NOT NULL,"
    "  algorithm INTEGER NOT NULL,"
    "  digits INTEGER NOT NULL,"
    "  period INTEGER NOT NULL,"
    "  window_steps INTEGER NOT NULL,"
    "  enrollment_lifetime INTEGER NOT NULL,"
    "  reset_lifetime INTEGER NOT NULL,"
    "  reset_link TEXT NOT NULL,"
    "  mail_from TEXT NOT NULL,"
    "  mail_from_name TEXT NOT NULL,"
    "  locale TEXT NOT NULL,"
    "  update_time_ms INTEGER NOT NULL,"
    "  updated_by TEXT NOT NULL"
    ") STRICT;"

    /* The keys that a tenant's secrets are sealed by, themselves sealed. */
    "CREATE TABLE data_key ("
    "  tenant INTEGER NOT NULL REFERENCES tenant,"
    "  id INTEGER NOT NULL,"
    "  kek_id INTEGER NOT NULL,"
    "  sealed BLOB NOT NULL,"
    "  PRIMARY KEY (tenant, id)"
    ") STRICT, WITHOUT ROWID;"

    /* One row a user that anything is kept of. Numbers are never given twice, because
     * hot and sign_in know users by number only. last_generation: of the newest secret. */
    "CREATE TABLE user ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  tenant INTEGER NOT NULL REFERENCES tenant,"
    "  name BLOB NOT NULL,"
    "  last_generation INTEGER NOT NULL DEFAULT 0,"
    "  UNIQUE (tenant, name)"
    ") STRICT;"

    /* Confirmed secrets: at most one a user. A sign-in only reads here. */
    "CREATE TABLE factor ("
    "  user INTEGER PRIMARY KEY REFERENCES user,"
    "  enrollment BLOB NOT NULL,"
    "  generation INTEGER NOT NULL,"
    "  key_id INTEGER NOT NULL,"
    "  algorithm INTEGER NOT NULL,"
    "  digits INTEGER NOT NULL,"
    "  period INTEGER NOT NULL,"
    "  create_ms INTEGER NOT NULL,"
    "  confirm_ms INTEGER NOT NULL,"
    "  expire_ms INTEGER NOT NULL,"
    "  sealed BLOB NOT NULL"
    ") STRICT;"

    /* Secrets that wait for their first right code: at most one a user. */
    "CREATE TABLE pending ("
    "  user INTEGER PRIMARY KEY REFERENCES user,"
    "  enrollment BLOB NOT NULL,"
    "  generation INTEGER NOT NULL,"
    "  key_id INTEGER NOT NULL,"
    "  algorithm INTEGER NOT NULL,"
    "  digits INTEGER NOT NULL,"
    "  period INTEGER NOT NULL,"
    "  create_ms INTEGER NOT NULL,"
    "  confirm_ms INTEGER NOT NULL,"
    "  expire_ms INTEGER NOT NULL,"
    "  sealed BLOB NOT NULL"
    ") STRICT;"
    "CREATE INDEX pending_expire ON pending (expire_ms);"

    /* The log of what sign-ins change: each row is its user's whole state from then on, and
     * the request that it answered, if that is to be remembered. Rows are added at the end,
     * folded into hot, and deleted from the front; see README.md.
     * earlier: the user's row before this one that has a request; 0: none. */
    "CREATE TABLE sign_in ("
    "  seq INTEGER PRIMARY KEY,"
    "  user INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  last_step INTEGER NOT NULL,"
    "  failures INTEGER NOT NULL,"
    "  last_attempt_ms INTEGER NOT NULL,"
    "  earlier INTEGER NOT NULL,"
    "  request BLOB,"
    "  fingerprint BLOB,"
    "  outcome INTEGER,"
    "  reason INTEGER,"
    "  retry_after_ms INTEGER,"
    "  answer_ms INTEGER"
    ") STRICT;"

    /* The newest state of users whose rows in the log were folded. */
    "CREATE TABLE hot ("
    "  user INTEGER PRIMARY KEY,"
    "  time_ms INTEGER NOT NULL,"
    "  last_step INTEGER NOT NULL,"
    "  failures INTEGER NOT NULL,"
    "  last_attempt_ms INTEGER NOT NULL,"
    "  request_seq INTEGER NOT NULL"
    ") STRICT;"

    /* One row: the log is folded up to this seq. */
    "CREATE TABLE fold ("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  seq INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO fold VALUES (1, 0);"

    /* The audit chain. tenant is its name, so that records outlive the tenant. */
    "CREATE TABLE audit ("
    "  seq INTEGER PRIMARY KEY,"
    "  time_ms INTEGER NOT NULL,"
    "  tenant BLOB NOT NULL,"
    "  body TEXT NOT NULL,"
    "  hash BLOB NOT NULL"
    ") STRICT;";

const char *const sqlite_sql_migrations[] = {version_1};
const int sqlite_sql_version = sizeof sqlite_sql_migrations / sizeof sqlite_sql_migrations[0];

/* In the order of sqlite_user.c's read_factor. */
#define FACTOR_COLUMNS                                                                             \
    "enrollment, generation, key_id, algorithm, digits, period, create_ms, confirm_ms, "           \
    "expire_ms, sealed"

#define POLICY_COLUMNS                                                                             \
    "revision, enabled, mobile, suspended_until_ms, suspended_reason, issuer, algorithm, digits, " \
    "period, window_steps, enrollment_lifetime, reset_lifetime, reset_link, mail_from, "           \
    "mail_from_name, locale, update_time_ms, updated_by"

#define TENANT_NUMBER "(SELECT id FROM tenant WHERE name = ?1)"

#define HOT_ROW    "(?, ?, ?, ?, ?, ?)"
#define HOT_ROWS_4 HOT_ROW ", " HOT_ROW ", " HOT_ROW ", " HOT_ROW

const char *const sqlite_sql_texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVEPOINT] = "SAVEPOINT job",
    [SQL_ROLLBACK_TO] = "ROLLBACK TO job",
    [SQL_RELEASE] = "RELEASE job",

    [SQL_TENANT_GET] = "SELECT id FROM tenant WHERE name = ?1",
    [SQL_TENANT_ADD] = "INSERT INTO tenant (name) VALUES (?1)",
    [SQL_POLICY_GET] = "SELECT " POLICY_COLUMNS " FROM policy WHERE tenant = " TENANT_NUMBER,
    [SQL_POLICY_PUT] = "INSERT OR REPLACE INTO policy (tenant, " POLICY_COLUMNS ") VALUES "
                       "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, "
                       "?17, ?18, ?19)",
    [SQL_DATA_KEY_GET] =
        "SELECT id, kek_id, sealed FROM data_key WHERE tenant = " TENANT_NUMBER " AND id = ?2",
    [SQL_DATA_KEY_NEWEST] = "SELECT id, kek_id, sealed FROM data_key WHERE tenant = " TENANT_NUMBER
                            " ORDER BY id DESC LIMIT 1",
    [SQL_DATA_KEY_ADD] =
        "INSERT INTO data_key (tenant, id, kek_id, sealed) VALUES (?1, ?2, ?3, ?4)",

    /* The order of the joins is given: by name, by name, by number. */
    [SQL_USER_FIND] = "SELECT u.id, f.user, " FACTOR_COLUMNS " FROM tenant t"
                      " CROSS JOIN user u ON u.tenant = t.id AND u.name = ?2"
                      " LEFT JOIN factor f ON f.user = u.id WHERE t.name = ?1",
    [SQL_USER_ADD] = "INSERT INTO user (tenant, name) VALUES (?1, ?2)",
    [SQL_GENERATION_GET] = "SELECT last_generation FROM user WHERE id = ?1",
    [SQL_GENERATION_SET] = "UPDATE user SET last_generation = ?2 WHERE id = ?1",
    [SQL_FACTOR_PUT] = "INSERT OR REPLACE INTO factor (user, " FACTOR_COLUMNS ") VALUES "
                       "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [SQL_PENDING_GET] = "SELECT " FACTOR_COLUMNS " FROM pending WHERE user = ?1",
    [SQL_PENDING_PUT] = "INSERT OR REPLACE INTO pending (user, " FACTOR_COLUMNS ") VALUES "
                        "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [SQL_PENDING_DELETE] = "DELETE FROM pending WHERE user = ?1",
    [SQL_PENDING_SWEEP] = "DELETE FROM pending WHERE user IN "
                          "(SELECT user FROM pending WHERE expire_ms <= ?1 LIMIT ?2)",

    [SQL_SIGN_IN_ADD] = "INSERT INTO sign_in VALUES "
                        "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [SQL_SIGN_IN_GET] = "SELECT time_ms, earlier, request, fingerprint, outcome, reason, "
                        "retry_after_ms, answer_ms FROM sign_in WHERE seq = ?1",
    [SQL_SIGN_IN_SETTLE] = "UPDATE sign_in SET outcome = ?2, reason = ?3, retry_after_ms = ?4, "
                           "answer_ms = ?5 WHERE seq = ?1",
    [SQL_SIGN_IN_TAIL] =
        "SELECT seq, user, time_ms, last_step, failures, last_attempt_ms, earlier, "
        "request IS NOT NULL FROM sign_in WHERE seq > ?1 ORDER BY seq",
    [SQL_SIGN_IN_ENDS] = "SELECT (SELECT min(seq) FROM sign_in), (SELECT max(seq) FROM sign_in)",
    [SQL_SIGN_IN_KEPT] = "SELECT seq FROM sign_in WHERE seq <= ?1 AND time_ms > ?2 AND "
                         "time_ms <= ?3 ORDER BY seq LIMIT 1",
    [SQL_SIGN_IN_DELETE] = "DELETE FROM sign_in WHERE seq <= ?1",
    [SQL_HOT_GET] = "SELECT time_ms, last_step, failures, last_attempt_ms, request_seq FROM hot "
                    "WHERE user = ?1",
    [SQL_HOT_PUT] = "INSERT OR REPLACE INTO hot VALUES " HOT_ROW,
    [SQL_HOT_PUT_MANY] = "INSERT OR REPLACE INTO hot VALUES " HOT_ROWS_4 ", " HOT_ROWS_4
                         ", " HOT_ROWS_4 ", " HOT_ROWS_4,
    [SQL_FOLD_GET] = "SELECT seq FROM fold",
    [SQL_FOLD_SET] = "UPDATE fold SET seq = ?1",
    [SQL_PROBE] = "UPDATE fold SET seq = seq",

    [SQL_AUDIT_HEAD] = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
    [SQL_AUDIT_ADD] = "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5)",
};
