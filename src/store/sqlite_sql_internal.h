/* SPDX-License-Identifier: ISC */
#ifndef STORE_SQLITE_SQL_INTERNAL_H
#define STORE_SQLITE_SQL_INTERNAL_H

/* Every word of SQL that the embedded store says: its tables, version by version, and
 * its statements. Thread: any. */

#include <stddef.h>

/* Marks a database file as ours. */
#define SQLITE_SQL_APPLICATION_ID 0x32737470 /* "2stp" */

/* sqlite_sql_migrations[v] makes version v + 1 of the schema out of version v. A step that
 * was released is never changed. */
extern const char *const sqlite_sql_migrations[];
extern const int sqlite_sql_version; /* of the newest schema: how many steps there are */

/* One statement for many rows in the order of their keys finds the page once. */
#define SQL_MANY 16

enum sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVEPOINT,
    SQL_ROLLBACK_TO,
    SQL_RELEASE,

    SQL_TENANT_GET,
    SQL_TENANT_ADD,
    SQL_POLICY_GET,
    SQL_POLICY_PUT,
    SQL_DATA_KEY_GET,
    SQL_DATA_KEY_NEWEST,
    SQL_DATA_KEY_ADD,

    SQL_USER_FIND,
    SQL_USER_ADD,
    SQL_GENERATION_GET,
    SQL_GENERATION_SET,
    SQL_FACTOR_PUT,
    SQL_PENDING_GET,
    SQL_PENDING_PUT,
    SQL_PENDING_DELETE,
    SQL_PENDING_SWEEP,
    SQL_SUPERSEDED_GET,
    SQL_SUPERSEDED_PUT,

    SQL_SIGN_IN_ADD,
    SQL_SIGN_IN_GET,
    SQL_SIGN_IN_SETTLE,
    SQL_SIGN_IN_TAIL,
    SQL_SIGN_IN_ENDS,
    SQL_SIGN_IN_KEPT,
    SQL_SIGN_IN_DELETE,
    SQL_HOT_GET,
    SQL_HOT_PUT,
    SQL_HOT_PUT_MANY, /* SQL_MANY rows */
    SQL_FOLD_GET,
    SQL_FOLD_SET,
    SQL_PROBE,

    SQL_RESET_REPEATED,
    SQL_RESET_OF_USER,
    SQL_RESET_OF_ADDRESS,
    SQL_RESET_OF_TENANT,
    SQL_RESET_ADD,
    SQL_RESET_GET,
    SQL_RESET_BY_TOKEN,
    SQL_RESET_SET,     /* only while the mail waits */
    SQL_RESET_DAMAGED, /* the reset of a mail */
    SQL_RESET_CONFIRM,
    SQL_RESET_REPLACE, /* those before this one */
    SQL_RESET_SWEEP,

    SQL_OUTBOX_ADD,
    SQL_OUTBOX_DUE,
    SQL_MAIL_TURN_GET,
    SQL_MAIL_TURN_SET,
    SQL_OUTBOX_TENANT, /* the next one with mails that wait */
    SQL_OUTBOX_TURN,
    SQL_OUTBOX_LEASE,
    SQL_OUTBOX_GET,
    SQL_OUTBOX_FIND,
    SQL_OUTBOX_DEFER,
    SQL_OUTBOX_DELETE,
    SQL_OUTBOX_DROP,    /* the mail of a reset */
    SQL_OUTBOX_REPLACE, /* those of the resets before this one */

    SQL_AUDIT_HEAD,
    SQL_AUDIT_ADD,

    SQL_COUNT,
};

extern const char *const sqlite_sql_texts[SQL_COUNT];

#endif
