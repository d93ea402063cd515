/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_APPEND_INTERNAL_H
#define STORE_MONGO_APPEND_INTERNAL_H

/* Entries for the log of attempts of a user, who need not be read before. Thread: worker. */

#include "mongo_internal.h"

/* A condition: there is a log, with room for one more entry. */
void mongo_append_put_room(bson_t *filter);

/* An update: the entry at the end of the log. */
void mongo_append_put_push(bson_t *update, const struct attempt_entry *entry);

/* Appends an entry to the log of whoever the filter finds, and reads the user as of then; s->user
 * is NULL when it found nobody. new_user: what a document that is made for it begins with; NULL:
 * none is made. *read: whether what was read makes sense. */
MUST_CHECK enum mongo_end mongo_append(struct mongo_store *s, struct tenant_id t, struct user_id u,
                                       const struct attempt_entry *entry, const bson_t *filter,
                                       const bson_t *new_user, enum err *read,
                                       struct err_text *why);

/* What MONGO_REFUSED means after mongo_append: ERR_CORRUPT when the user is damaged, as nothing can
 * be appended to what is no log. */
MUST_CHECK enum err mongo_append_refused(struct mongo_store *s, struct tenant_id t,
                                         struct user_id u, struct err_text *why);

/* Folds a log that is nearly full. */
MUST_CHECK enum err mongo_append_make_room(struct mongo_store *s, struct tenant_id t,
                                           struct user_id u, const struct lockout_rule *rule,
                                           int64_t now_ms, struct err_text *why);

/* A request whose id the entry `at` has: CHARGE_REUSED, or CHARGE_REPEATED with *out filled in. */
enum charge_result mongo_append_recall(const struct mongo_user *user,
                                       const struct attempt_play *play, size_t at,
                                       const struct request_mark *mark, int64_t now_ms,
                                       struct charged *out);

#endif
