/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_FULL_USER_H
#define SUPPORT_FULL_USER_H

/* A user of the store on MongoDB who has one of everything, at the limits of sizes, and his
 * comparison field by field. Thread: the test's. */

#include "store/mongo_user_bson_internal.h"

/* Ids that are any bytes. */
extern const struct tenant_id full_user_tenant;
extern const struct user_id full_user_id;

struct mongo_user *full_user_new(void);
struct attempt_entry full_user_entry(enum attempt_kind kind, unsigned n);
void full_user_add_reset(struct mongo_user *user, unsigned n, bool has_request);
void full_user_add_mail(struct mongo_user *user, enum mail_kind kind, unsigned n);

/* All that a verification reads; everything. */
void full_user_assert_hot(const struct mongo_user *a, const struct mongo_user *b);
void full_user_assert_same(const struct mongo_user *a, const struct mongo_user *b);

/* Reads a document of his into one who is there: ERR_OK, or ERR_CORRUPT and he is as before. */
enum err full_user_try_read(const bson_t *doc, unsigned parts);

#endif
