/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_URI_INTERNAL_H
#define STORE_MONGO_URI_INTERNAL_H

/* What the operator wrote as the store's URI: refused where it promises less than this store
 * does, completed where it says nothing. No text of an error holds a password. Thread: startup. */

#include "mongo_db_internal.h"
#include "store/store_mongo.h"

#define MONGO_DATABASE_DEFAULT "twostep"

/* *out and *durable (what every write asks for) are to be destroyed; name gets the database's.
 * ERR_INVALID: does not parse, or asks for too little. */
MUST_CHECK enum err mongo_uri_read(mongoc_uri_t **out, const struct mongo_options *opt, char *name,
                                   size_t name_cap, mongoc_write_concern_t **durable,
                                   struct err_text *why);

#endif
