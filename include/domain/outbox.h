/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_OUTBOX_H
#define DOMAIN_OUTBOX_H

/* The mails that wait, as the mail thread sees them: it leases one with everything that its
 * text needs, tries to hand it over, and reports. Thread: worker. */

#include "domain/domain.h"
#include "store/reset.h"

/* A lease is longer than any try takes. */
#define OUTBOX_LEASE_MS (5 * 60 * 1000)

/* base64url of 256 bits, without padding. */
#define OUTBOX_TOKEN_LEN      43
#define OUTBOX_LINK_MAX       (POLICY_LINK_MAX + OUTBOX_TOKEN_LEN)
#define OUTBOX_MESSAGE_ID_MAX 64

/* A mail with what its text needs. link carries a token: outbox_parcel_wipe. */
struct outbox_parcel {
    struct leased_mail leased;
    char from[POLICY_TEXT_MAX + 1];
    char from_name[POLICY_NAME_MAX + 1];
    char issuer[POLICY_NAME_MAX + 1];
    char message_id[OUTBOX_MESSAGE_ID_MAX]; /* the left part: the same at every try */
    char link[OUTBOX_LINK_MAX + 1];         /* MAIL_RESET */
};

enum outbox_end {
    OUTBOX_SENT,     /* the server took it */
    OUTBOX_DEFERRED, /* not this time */
    OUTBOX_FAILED,   /* never */
};

struct outbox_report {
    struct outbox_parcel *parcel; /* as it was leased */
    enum outbox_end end;
    const char *error; /* what the server said, without addresses; not with SENT */
};

/* Leases the next mail that is due; the mail's id is 0 when none is. What cannot be sent any
 * more (expired, no sender in the policy) is ended here and not handed out. */
MUST_CHECK enum err outbox_lease(struct domain *d, struct outbox_parcel *out, struct err_text *why);

/* Records what became of it. A deferred mail is due again after a wait that doubles with each
 * attempt, with full jitter, or fails when it would expire before. */
MUST_CHECK enum err outbox_report(struct domain *d, const struct outbox_report *report,
                                  struct err_text *why);

void outbox_parcel_wipe(struct outbox_parcel *p);

#endif
