/* SPDX-License-Identifier: ISC */
#include "sqlite_sql_internal.h"

/* A secret, in whichever of the three tables it is. */
#define FACTOR_TABLE_COLUMNS                                                                       \
    "  user INTEGER PRIMARY KEY REFERENCES user,"                                                  \
    "  enrollment BLOB NOT NULL,"                                                                  \
    "  generation INTEGER NOT NULL,"                                                               \
    "  key_id INTEGER NOT NULL,"                                                                   \
    "  algorithm INTEGER NOT NULL,"                                                                \
    "  digits INTEGER NOT NULL,"                                                                   \
    "  period INTEGER NOT NULL,"                                                                   \
    "  create_ms INTEGER NOT NULL,"                                                                \
    "  confirm_ms INTEGER NOT NULL,"                                                               \
    "  expire_ms INTEGER NOT NULL,"                                                                \
    "  sealed BLOB NOT NULL"

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
    "CREATE TABLE factor (" FACTOR_TABLE_COLUMNS ") STRICT;"

    /* Secrets that wait for their first right code: at most one a user. */
    "CREATE TABLE pending (" FACTOR_TABLE_COLUMNS ") STRICT;"
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

/* Resets by mail. */
static const char version_2[] =
    /* Secrets that another took the place of: the last one of each user. */
    "CREATE TABLE superseded (" FACTOR_TABLE_COLUMNS ") STRICT;"

    /* Where the notice of a pending secret's first right code goes; empty: nowhere. */
    "ALTER TABLE pending ADD COLUMN notify_address TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE pending ADD COLUMN notify_locale TEXT NOT NULL DEFAULT '';"

    /* Which secret counts, in an answer that names one. */
    "ALTER TABLE sign_in ADD COLUMN answer_enrollment BLOB;"

    /* Resets by mail, until a while after their links have expired. The order of their numbers
     * is the order in which they were asked for. */
    "CREATE TABLE reset ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id BLOB NOT NULL UNIQUE,"
    "  tenant INTEGER NOT NULL REFERENCES tenant,"
    "  user INTEGER NOT NULL REFERENCES user,"
    "  token_hash BLOB NOT NULL UNIQUE,"
    "  address_hash BLOB NOT NULL,"
    "  state INTEGER NOT NULL,"
    "  attempts INTEGER NOT NULL DEFAULT 0,"
    "  create_ms INTEGER NOT NULL,"
    "  expire_ms INTEGER NOT NULL,"
    "  last_error TEXT NOT NULL DEFAULT '',"
    "  request BLOB,"
    "  fingerprint BLOB"
    ") STRICT;"
    "CREATE INDEX reset_user ON reset (user, create_ms);"
    "CREATE INDEX reset_address ON reset (address_hash, create_ms);"
    "CREATE INDEX reset_tenant ON reset (tenant, create_ms);"
    "CREATE INDEX reset_expire ON reset (expire_ms);"

    /* Mails that wait. next_ms: not before; a lease moves it. reset: its number, of the kind
     * that has one. */
    "CREATE TABLE outbox ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  tenant INTEGER NOT NULL REFERENCES tenant,"
    "  user INTEGER NOT NULL REFERENCES user,"
    "  kind INTEGER NOT NULL,"
    "  address TEXT NOT NULL,"
    "  locale TEXT NOT NULL,"
    "  create_ms INTEGER NOT NULL,"
    "  next_ms INTEGER NOT NULL,"
    "  expire_ms INTEGER NOT NULL,"
    "  attempts INTEGER NOT NULL DEFAULT 0,"
    "  reset INTEGER REFERENCES reset,"
    "  key_id INTEGER NOT NULL,"
    "  token BLOB NOT NULL"
    ") STRICT;"
    "CREATE INDEX outbox_turn ON outbox (tenant, next_ms);"
    "CREATE INDEX outbox_next ON outbox (next_ms);"
    "CREATE INDEX outbox_reset ON outbox (reset);"

    /* One row: the tenant whose mail was leased last. */
    "CREATE TABLE mail_turn ("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  tenant INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO mail_turn VALUES (1, 0);";

const char *const sqlite_sql_migrations[] = {version_1, version_2};
const int sqlite_sql_version = sizeof sqlite_sql_migrations / sizeof sqlite_sql_migrations[0];

/* In the order of sqlite_user.c's read_factor. */
#define FACTOR_COLUMNS                                                                             \
    "enrollment, generation, key_id, algorithm, digits, period, create_ms, confirm_ms, "           \
    "expire_ms, sealed"

#define POLICY_COLUMNS                                                                             \
    "revision, enabled, mobile, suspended_until_ms, suspended_reason, issuer, algorithm, digits, " \
    "period, window_steps, enrollment_lifetime, reset_lifetime, reset_link, mail_from, "           \
    "mail_from_name, locale, update_time_ms, updated_by"

/* In the order of sqlite_outbox.c's read_status. */
#define RESET_COLUMNS "id, state, attempts, expire_ms, last_error"

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
    [SQL_PENDING_GET] =
        "SELECT " FACTOR_COLUMNS ", notify_address, notify_locale FROM pending WHERE user = ?1",
    [SQL_PENDING_PUT] = "INSERT OR REPLACE INTO pending (user, " FACTOR_COLUMNS
                        ", notify_address, notify_locale) VALUES "
                        "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [SQL_PENDING_DELETE] = "DELETE FROM pending WHERE user = ?1",
    [SQL_PENDING_SWEEP] = "DELETE FROM pending WHERE user IN "
                          "(SELECT user FROM pending WHERE expire_ms <= ?1 LIMIT ?2)",

    [SQL_SUPERSEDED_GET] = "SELECT " FACTOR_COLUMNS " FROM superseded WHERE user = ?1",
    [SQL_SUPERSEDED_PUT] = "INSERT OR REPLACE INTO superseded SELECT * FROM factor WHERE user = ?1",

    [SQL_SIGN_IN_ADD] = "INSERT INTO sign_in VALUES "
                        "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [SQL_SIGN_IN_GET] =
        "SELECT time_ms, earlier, request, fingerprint, outcome, "
        "reason, retry_after_ms, answer_ms, answer_enrollment FROM sign_in WHERE seq = ?1",
    [SQL_SIGN_IN_SETTLE] = "UPDATE sign_in SET outcome = ?2, reason = ?3, retry_after_ms = ?4, "
                           "answer_ms = ?5, answer_enrollment = ?6 WHERE seq = ?1",
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

    [SQL_RESET_REPEATED] = "SELECT fingerprint, " RESET_COLUMNS " FROM reset WHERE user = ?1 AND "
                           "create_ms > ?2 AND request = ?3",
    [SQL_RESET_OF_USER] =
        "SELECT count(*), min(create_ms) FROM reset WHERE user = ?1 AND create_ms > ?2",
    [SQL_RESET_OF_ADDRESS] =
        "SELECT count(*), min(create_ms) FROM reset WHERE address_hash = ?1 AND create_ms > ?2",
    [SQL_RESET_OF_TENANT] =
        "SELECT count(*), min(create_ms) FROM reset WHERE tenant = ?1 AND create_ms > ?2",
    [SQL_RESET_ADD] = "INSERT INTO reset (id, tenant, user, token_hash, address_hash, state, "
                      "create_ms, expire_ms, request, fingerprint) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [SQL_RESET_GET] =
        "SELECT " RESET_COLUMNS " FROM reset WHERE id = ?2 AND tenant = " TENANT_NUMBER,
    [SQL_RESET_BY_TOKEN] = "SELECT number, user, state, expire_ms FROM reset WHERE token_hash = ?1",
    [SQL_RESET_SET] = "UPDATE reset SET state = ?2, attempts = ?3, last_error = ?4 "
                      "WHERE number = ?1 AND state IN (1, 3)",
    [SQL_RESET_DAMAGED] = "UPDATE reset SET state = 4, last_error = 'the mail is damaged' WHERE "
                          "state IN (1, 3) AND number = (SELECT reset FROM outbox WHERE id = ?1)",
    [SQL_RESET_CONFIRM] = "UPDATE reset SET state = 5 WHERE number = ?1",
    [SQL_RESET_REPLACE] = "UPDATE reset SET state = 7 WHERE user = (SELECT user FROM reset WHERE "
                          "number = ?1) AND number < ?1 AND state IN (1, 2, 3)",
    [SQL_RESET_SWEEP] = "DELETE FROM reset WHERE number IN (SELECT number FROM reset WHERE "
                        "expire_ms <= ?1 AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.reset = "
                        "reset.number) LIMIT ?2)",

    [SQL_OUTBOX_ADD] =
        "INSERT INTO outbox (tenant, user, kind, address, locale, create_ms, next_ms, "
        "expire_ms, reset, key_id, token) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [SQL_OUTBOX_DUE] = "SELECT 1 FROM outbox WHERE next_ms <= ?1 LIMIT 1",
    [SQL_MAIL_TURN_GET] = "SELECT tenant FROM mail_turn",
    [SQL_MAIL_TURN_SET] = "UPDATE mail_turn SET tenant = ?1",
    [SQL_OUTBOX_TENANT] = "SELECT min(tenant) FROM outbox WHERE tenant > ?1",
    [SQL_OUTBOX_TURN] = "SELECT id FROM outbox WHERE tenant = ?1 AND next_ms <= ?2 "
                        "ORDER BY next_ms, id LIMIT 1",
    [SQL_OUTBOX_LEASE] = "UPDATE outbox SET next_ms = ?2 WHERE id = ?1",
    [SQL_OUTBOX_GET] = "SELECT o.kind, o.address, o.locale, o.create_ms, o.next_ms, o.expire_ms, "
                       "o.attempts, o.key_id, o.token, t.name, u.name, r.id FROM outbox o "
                       "JOIN tenant t ON t.id = o.tenant JOIN user u ON u.id = o.user "
                       "LEFT JOIN reset r ON r.number = o.reset WHERE o.id = ?1",
    [SQL_OUTBOX_FIND] =
        "SELECT o.reset, o.attempts FROM outbox o JOIN user u ON u.id = o.user AND u.name = ?3 "
        "WHERE o.id = ?2 AND o.tenant = " TENANT_NUMBER,
    [SQL_OUTBOX_DEFER] = "UPDATE outbox SET next_ms = ?2, attempts = ?3 WHERE id = ?1",
    [SQL_OUTBOX_DELETE] = "DELETE FROM outbox WHERE id = ?1",
    [SQL_OUTBOX_DROP] = "DELETE FROM outbox WHERE reset = ?1",
    [SQL_OUTBOX_REPLACE] =
        "DELETE FROM outbox WHERE reset IN (SELECT number FROM reset WHERE user = "
        "(SELECT user FROM reset WHERE number = ?1) AND number < ?1)",

    [SQL_AUDIT_HEAD] = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
    [SQL_AUDIT_ADD] = "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5)",
};
