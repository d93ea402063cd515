/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_SCHEMA_INTERNAL_H
#define STORE_MONGO_SCHEMA_INTERNAL_H

/* What has to be there before the store is used: a server that can keep the promises, the
 * version of the schema, the indexes. Whoever comes first makes it; many may come at once.
 * Thread: worker. */

#include "mongo_db_internal.h"

#define MONGO_SCHEMA_VERSION 1

/* ERR_CONFLICT: a newer version of this program made the database; ERR_DENIED: the server does not
 * let us in, or lets us do too little, or is no replica set (development takes that one);
 * ERR_CORRUPT; ERR_UNAVAILABLE. */
MUST_CHECK enum err mongo_schema_make(struct mongo_db *db, bool development, struct err_text *why);

/* Writes something that changes nothing that matters. */
MUST_CHECK enum err mongo_schema_touch(struct mongo_db *db, struct err_text *why);

#endif
