/* SPDX-License-Identifier: ISC */
#ifndef STORE_OUTBOX_H
#define STORE_OUTBOX_H

/* The second half of what every store can do: resets by mail, and the mails that wait. The
 * rules of store/store.h hold here, too: batches and jobs, one atomic step each, the tenant
 * first, sealed bytes only. Thread: the worker that opened the store. */

#include "base/err.h"
#include "store/reset.h"

struct store;

/* Call as s->outbox->reset_put(s, …). */
struct outbox_ops {
    /* Unless the request was answered before or a limit of r is reached (checked in this
     * order): writes the reset and its mail, in one atomic step. Resets count for limits
     * whatever became of them. */
    MUST_CHECK enum err (*reset_put)(struct store *s, struct tenant_id t, struct user_id u,
                                     const struct reset_request *r, struct reset_put *out,
                                     struct err_text *why);
    /* ERR_NOT_FOUND. */
    MUST_CHECK enum err (*reset_get)(struct store *s, struct tenant_id t, const struct reset_id *id,
                                     int64_t now_ms, struct reset_status *out,
                                     struct err_text *why);
    /* If the token is of a reset of this very user that is queued, sent or deferred and has not
     * expired: it becomes confirmed, its waiting mail goes, f becomes the pending secret
     * (enrolled or not), and *won is true. Else nothing changes. One atomic step. ERR_CONFLICT
     * when f->generation is not the next. */
    MUST_CHECK enum err (*reset_confirm)(struct store *s, struct tenant_id t, struct user_id u,
                                         const uint8_t token_hash[TOKEN_HASH_LEN],
                                         const struct factor *f, int64_t now_ms, bool *won,
                                         struct err_text *why);

    /* The next mail that is due and not leased, of the tenants in turn, is leased until
     * until_ms. ERR_NOT_FOUND: none is due. */
    MUST_CHECK enum err (*mail_lease)(struct store *s, int64_t now_ms, int64_t until_ms,
                                      struct leased_mail *out, struct err_text *why);
    /* The end of a lease; nothing happens when the mail is gone. Sent: the mail goes, its reset
     * is sent if it was queued or deferred, and older resets of the user that were queued, sent
     * or deferred are replaced, with their mails gone. Failed: the mail goes, its reset is failed.
     * Deferred: one attempt more, due again at due_ms. */
    MUST_CHECK enum err (*mail_sent)(struct store *s, struct tenant_id t, struct user_id u,
                                     int64_t mail_id, struct err_text *why);
    MUST_CHECK enum err (*mail_failed)(struct store *s, struct tenant_id t, struct user_id u,
                                       int64_t mail_id, const char *error, struct err_text *why);
    MUST_CHECK enum err (*mail_deferred)(struct store *s, struct tenant_id t, struct user_id u,
                                         int64_t mail_id, int64_t due_ms, const char *error,
                                         struct err_text *why);
};

#endif
