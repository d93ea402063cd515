/* SPDX-License-Identifier: ISC */
#ifndef STORE_ATTEMPT_H
#define STORE_ATTEMPT_H

/* One attempt at a code, as domain and store tell each other of it: the rule that it is
 * charged by, the request that it answers, what charge found, what accept is to record.
 * Plain data. Thread: any. */

#include "store/types.h"

/* A retry-safe request: the caller's UUID, and a keyed hash of everything else in the
 * request, so that the same id with other fields is noticed. */
#define REQUEST_ID_LEN          16
#define REQUEST_FINGERPRINT_LEN 16
struct request_mark {
    uint8_t id[REQUEST_ID_LEN];
    uint8_t fingerprint[REQUEST_FINGERPRINT_LEN];
};

/* How long a request id is remembered, and how many of one user at the most. */
#define REQUEST_MEMORY_MS  (10 * 60 * 1000)
#define REQUEST_MEMORY_MAX 64

/* What a Verify was answered. outcome and reason are the domain's numbers, from 1. */
struct answer {
    uint8_t outcome; /* ANSWER_OPEN: an attempt that was counted, and nothing more is known */
    uint8_t reason;
    int64_t retry_after_ms; /* a length, not a point in time; 0: none */
    int64_t time_ms;
    struct enrollment_id enrollment; /* zeros: none; ANSWER_OPEN: of the secret it was about */
};
#define ANSWER_OPEN 0

/* How long no code is looked at after the n-th consecutive failure: wait_ms[n], or the
 * last entry when n is larger; 0: no wait. At `limit` failures it is for good. */
#define LOCKOUT_WAITS_MAX 40
struct lockout_rule {
    uint32_t n_waits;
    int64_t wait_ms[LOCKOUT_WAITS_MAX];
    uint32_t limit;
};

/* An attempt that is about to be made. */
struct charge {
    int64_t now_ms;
    const struct lockout_rule *lockout;
    /* The secret that the code is for: NULL the user's own, else the one with this id,
     * pending or already confirmed. */
    const struct enrollment_id *enrollment;
    uint32_t code_digits;               /* of the code; 0: not a code of digits */
    const struct request_mark *request; /* NULL: not retry-safe */
    struct answer if_locked;            /* remembered for the request when it ends so; the store */
    struct answer if_not_enrolled;  /* fills in retry_after_ms of if_locked. An attempt that is */
    struct answer if_no_enrollment; /* counted is remembered as open unless accept follows. */
};

enum charge_result {
    CHARGE_LOCKED = 0,    /* not counted: no code is looked at for retry_after_ms */
    CHARGE_READY,         /* counted; factor and last_step are filled in */
    CHARGE_REPEATED,      /* not counted: this request came before, see `first` */
    CHARGE_REUSED,        /* not counted: the request id came before with other fields */
    CHARGE_NOT_ENROLLED,  /* not counted: the user has no confirmed secret */
    CHARGE_NO_ENROLLMENT, /* not counted: unknown, replaced or expired enrolment */
    CHARGE_WRONG_LENGTH,  /* not counted: the secret's codes have another length */
    CHARGE_TOO_MANY,      /* not counted: REQUEST_MEMORY_MAX request ids are remembered */
};

/* A repeated request whose answer is open is decided again as of first.time_ms: factor is what
 * it was charged with, with sealed_len 0 when that secret is gone, and last_step is -1, as accept
 * knows best. */
struct charged {
    enum charge_result result;
    struct factor factor;
    int64_t last_step;      /* the newest step accepted of this secret; -1: none */
    int64_t retry_after_ms; /* CHARGE_LOCKED; 0 with for_good */
    bool for_good;
    struct answer first;
};

/* A right code: its step, and what its request is answered. */
struct mail;
struct acceptance {
    struct enrollment_id enrollment; /* of the factor that was charged */
    int64_t step;
    int64_t now_ms;
    const struct lockout_rule *lockout;
    const struct request_mark *request;
    struct answer answer;
    const struct mail *notice; /* goes into the outbox with it; NULL: none */
};

#endif
