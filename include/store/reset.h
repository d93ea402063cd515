/* SPDX-License-Identifier: ISC */
#ifndef STORE_RESET_H
#define STORE_RESET_H

/* A reset by mail and the outbox, as domain and store tell each other of them. Plain data;
 * times as in store/types.h. Thread: any. */

#include "store/attempt.h"

#define RESET_ID_LEN 16
struct reset_id {
    uint8_t bytes[RESET_ID_LEN];
};

/* The numbers are those of the API. */
enum reset_state {
    RESET_QUEUED = 1,    /* the mail waits */
    RESET_SENT = 2,      /* the mail server took it */
    RESET_DEFERRED = 3,  /* tried, and to be tried again */
    RESET_FAILED = 4,    /* refused for good */
    RESET_CONFIRMED = 5, /* the link was used */
    RESET_EXPIRED = 6,   /* too old, in whatever of the first three it was */
    RESET_REPLACED = 7,  /* a newer mail was handed over */
};

enum mail_kind {
    MAIL_RESET = 1,    /* carries a link */
    MAIL_ENROLLED = 2, /* notices: a secret was confirmed, */
    MAIL_REPLACED = 3, /* or confirmed in place of another */
};

#define MAIL_TOKEN_SEALED_MAX 96
#define MAIL_ERROR_MAX        160

/* A mail that waits. Nothing of it stays when it was sent or failed. */
struct mail {
    int64_t id; /* the store's; 0 before it is put */
    enum mail_kind kind;
    char address[MAIL_ADDRESS_MAX + 1];
    char locale[POLICY_LOCALE_MAX + 1];
    int64_t create_ms;
    int64_t due_ms;    /* not to be tried before */
    int64_t expire_ms; /* not worth sending after */
    uint32_t attempts;
    struct reset_id reset; /* MAIL_RESET */
    uint32_t key_id;       /* the data key that sealed the token */
    uint16_t token_len;
    uint8_t token[MAIL_TOKEN_SEALED_MAX]; /* MAIL_RESET: sealed */
};

/* A mail that was leased, with whose it is. */
struct leased_mail {
    struct mail mail;
    char tenant[ID_MAX];
    size_t tenant_len;
    char user[ID_MAX];
    size_t user_len;
};

/* At most so many resets in `window_ms` of one user, to one address, of one tenant. */
struct reset_limits {
    int64_t window_ms;
    uint32_t per_user, per_address, per_tenant;
};

#define TOKEN_HASH_LEN 32
struct reset_request {
    struct reset_id id;
    uint8_t token_hash[TOKEN_HASH_LEN];   /* what the link's token is found by */
    uint8_t address_hash[TOKEN_HASH_LEN]; /* what resets to one address are counted by */
    int64_t create_ms;
    int64_t expire_ms;
    const struct request_mark *request; /* NULL: not retry-safe */
    struct reset_limits limits;
    struct mail mail; /* MAIL_RESET */
};

enum reset_result {
    RESET_PUT = 0,
    RESET_REPEATED,   /* this request was answered before: the reset is in `first` */
    RESET_REUSED,     /* the request id came before with other fields */
    RESET_USER_LIMIT, /* one of the limits: again after retry_after_ms */
    RESET_ADDRESS_LIMIT,
    RESET_TENANT_LIMIT,
};

/* Where a reset stands. */
struct reset_status {
    struct reset_id id;
    enum reset_state state; /* as of the time it was asked for: RESET_EXPIRED by the clock, too */
    uint32_t attempts;
    int64_t expire_ms;
    char last_error[MAIL_ERROR_MAX + 1];
};

struct reset_put {
    enum reset_result result;
    struct reset_status first;
    int64_t retry_after_ms;
};

#endif
