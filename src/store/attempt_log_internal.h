/* SPDX-License-Identifier: ISC */
#ifndef STORE_ATTEMPT_LOG_INTERNAL_H
#define STORE_ATTEMPT_LOG_INTERNAL_H

/* The attempts of one user, as a log. Whoever attempts appends an entry without having read
 * anything before; how an entry ended follows from the entries before it, the same for everybody
 * who reads them. So an attempt is one atomic append, however many come at once, and no more of
 * them count than the rule grants. An entry that was sent twice, because its answer was lost,
 * counts once: its id tells. Pure. Thread: any. */

#include "lock_internal.h"

enum attempt_kind {
    ATTEMPT_TRIED = 1, /* somebody asked for an attempt */
    ATTEMPT_NOTED = 2, /* an answer that counts nothing, or what was folded */
    ATTEMPT_WON = 3,   /* the attempt with this id was accepted: failures are 0 from here on */
};

struct attempt_entry {
    enum attempt_kind kind;
    bool is_request; /* mark is a caller's; else only mark.id is set, a random one */
    bool is_named;   /* TRIED: about the secret `enrollment`, not the user's own */
    struct request_mark mark;
    struct enrollment_id enrollment;
    int64_t time_ms;
    struct answer answer; /* NOTED, WON: the answer; TRIED: the answer if it was locked out */
};

struct attempt_log {
    uint32_t failures; /* before the first entry */
    int64_t last_attempt_ms;
    struct attempt_entry *entries; /* oldest first */
    size_t n, cap;
};

/* An attempt finds no room in a log with so many entries. */
#define ATTEMPT_LOG_MAX 192
/* Whoever found no room folds a log that has still so many. */
#define ATTEMPT_LOG_FOLD 160
/* WON entries need no room, but come to far less than that again. */
#define ATTEMPT_LOG_READ_MAX (2 * ATTEMPT_LOG_MAX)
/* An acceptance folds a log that is longer than this as it goes. */
#define ATTEMPT_LOG_FOLD_SOON 24

enum attempt_end {
    ATTEMPT_COUNTED,    /* a failure, unless it is WON later */
    ATTEMPT_LOCKED,     /* `lock` says how long */
    ATTEMPT_REMEMBERED, /* NOTED, and WON */
    ATTEMPT_REPEATED,   /* the same as the entry `first` */
    ATTEMPT_REUSED,     /* the same id, but not the same request as `first` */
    ATTEMPT_TOO_MANY,   /* too many requests are remembered */
};

/* What became of one entry. */
struct attempt_view {
    enum attempt_end end;
    size_t first;
    struct lock_state lock;
    /* COUNTED, LOCKED, REMEMBERED: what it is answered, as of the last entry. */
    struct answer answer;
};

/* The log, played. */
struct attempt_play {
    uint32_t failures; /* after the last entry */
    int64_t last_attempt_ms;
    struct attempt_view *views; /* one an entry */
};

void attempt_log_release(struct attempt_log *log);
void attempt_log_append(struct attempt_log *log, const struct attempt_entry *e);

/* own: the user's own secret, or NULL. Release *out. */
void attempt_log_play(const struct attempt_log *log, const struct lockout_rule *rule,
                      const struct enrollment_id *own, struct attempt_play *out);
void attempt_log_play_release(struct attempt_play *p);

/* The newest entry with this id that was not a repetition; log->n: there is none.
 * now_ms: only if it is remembered then; NULL: of whatever age. */
size_t attempt_log_find(const struct attempt_log *log, const struct attempt_play *p,
                        const struct request_mark *mark, const int64_t *now_ms);

/* Are so many requests remembered at now_ms that there is no room for another one? */
bool attempt_log_is_full(const struct attempt_log *log, const struct attempt_play *p,
                         int64_t now_ms);

/* Shortens: entries become answers, those that nobody can ask for any more go. */
void attempt_log_fold(struct attempt_log *log, const struct lockout_rule *rule,
                      const struct enrollment_id *own, int64_t now_ms);

#endif
