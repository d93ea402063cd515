/* SPDX-License-Identifier: ISC */
#ifndef STORE_MONGO_LIMITS_INTERNAL_H
#define STORE_MONGO_LIMITS_INTERNAL_H

/* How many resets there were to one address and of one tenant, of all users together: a document
 * for each that is counted. Thread: worker. */

#include "mongo_internal.h"

/* A date: from then on nothing in the document counts. The server deletes by it, where it can. */
#define F_EXPIRES "expires"

struct mongo_limit {
    uint8_t id[1 + ID_MAX]; /* what is counted */
    size_t id_len;
    uint32_t limit;
    int64_t window_ms;
};
/* Is there room for one more at now_ms? Else *retry_after_ms is not 0. */
MUST_CHECK enum err mongo_limits_look(struct mongo_store *s, const struct mongo_limit *l,
                                      int64_t now_ms, int64_t *retry_after_ms,
                                      struct err_text *why);
/* Counts one that has this id, once however often it is said; unless there is no room. */
MUST_CHECK enum err mongo_limits_take(struct mongo_store *s, const struct mongo_limit *l,
                                      const struct reset_id *id, int64_t now_ms,
                                      int64_t *retry_after_ms, struct err_text *why);
/* The one with this id is not counted any more. */
MUST_CHECK enum err mongo_limits_give(struct mongo_store *s, const struct mongo_limit *l,
                                      const struct reset_id *id, int64_t now_ms,
                                      struct err_text *why);
/* Deletes what nothing counts in any more. */
MUST_CHECK enum err mongo_limits_sweep(struct mongo_store *s, int64_t now_ms, struct err_text *why);

#endif
