/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_OUTBOX_INTERNAL_H
#define DOMAIN_OUTBOX_INTERNAL_H

/* Mails on their way into the outbox. Thread: worker. */

#include "domain/outbox.h"

struct metrics;
struct secret;

/* Both are checked values of at most their fields' sizes. */
void outbox_address(struct mail *m, struct str address, struct str locale);

/* Seals the token into m for its tenant, user and reset. */
MUST_CHECK enum err outbox_seal_token(struct domain *d, struct tenant_id t, struct user_id u,
                                      struct mail *m, const struct secret *token,
                                      struct err_text *why);

/* Writes the notice that f was confirmed; false when nobody gave an address for it. */
bool outbox_notice(const struct domain *d, const struct factor *f, int64_t now_ms,
                   struct mail *out);

enum outbox_event {
    OUTBOX_EVENT_QUEUED,
    OUTBOX_EVENT_SENT,
    OUTBOX_EVENT_DEFERRED,
    OUTBOX_EVENT_FAILED,
    OUTBOX_EVENTS
};

/* From now on events are counted there; metrics may be NULL. An event counts when it is decided:
 * if its batch then fails, it counts again with the next try. */
void outbox_count_into(struct domain *d, struct metrics *metrics);
void outbox_count(struct domain *d, enum outbox_event event);

#endif
