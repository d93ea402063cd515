/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_USER_BSON_INTERNAL_H
#define STORE_MONGO_USER_BSON_INTERNAL_H

/* A user's document between BSON and struct mongo_user. Thread: worker. */

#include "mongo_db_internal.h"
#include "mongo_user_internal.h"

/* How the fields of a document are called that others than its reader ask for. */
#define F_TENANT   "tenant"
#define F_USER     "user"
#define F_FAILURES "failures"
#define F_LAST     "last"
#define F_LOG      "log"
#define F_GEN      "gen"
#define F_OWN      "own"
#define F_NEXT     "next"
#define F_OLD      "old"
#define F_STEP     "step"
#define F_RESETS   "resets"
#define F_MAILS    "mails"
#define F_DUE      "due"
#define F_SWEEP    "sweep"

/* A projection to what the parts need; empty when that is all. */
void mongo_user_bson_put_fields(bson_t *projection, unsigned parts);
/* Replaces what user holds with the document; parts says what of it was asked for. */
MUST_CHECK enum err mongo_user_bson_read(struct mongo_user *user, const bson_t *doc, unsigned parts,
                                         struct err_text *why);
/* The key alone, which says whose document it is. */
MUST_CHECK enum err mongo_user_bson_read_key(const bson_t *doc, struct mongo_key *out,
                                             struct err_text *why);

/* The whole of a new document, with version 1. */
void mongo_user_bson_write_new(struct mongo_user *user, bson_t *out);
/* An update for what is changed, to the next version. */
void mongo_user_bson_write_changes(struct mongo_user *user, bson_t *out);
void mongo_user_bson_write_entry(bson_t *b, const struct attempt_entry *e);

#endif
