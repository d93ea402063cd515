/* SPDX-License-Identifier: ISC */
#ifndef STORE_SQLITE_LOG_INTERNAL_H
#define STORE_SQLITE_LOG_INTERNAL_H

/* What sign-ins change, kept as a log: a job's rows wait here until the job is kept, then
 * go to the end of the table sign_in. The newest state of a user is that of
 * - the present job's newest row of the user, else
 * - the map, else
 * - the table hot, else
 * - HOT_NONE(user).
 * Requests are found by walking back through the user's rows that have one.
 * sqlite_fold_internal.h keeps the log short. Thread: worker. */

#include "base/err.h"
#include "hot_map_internal.h"
#include "store/attempt.h"

struct sqlite_store;

/* How far the clock may step back without a request being forgotten early. */
#define LOG_CLOCK_SLACK_MS (60 * 1000)
#define LOG_KEEP_MS        (REQUEST_MEMORY_MS + LOG_CLOCK_SLACK_MS)

struct log_row {
    struct hot hot;   /* the user's state from here on */
    int64_t earlier;  /* the user's row with a request before this one; 0: none */
    bool has_request; /* then hot.request_seq is this row's seq, else it is earlier */
    struct request_mark request;
    struct answer answer;
};

struct sqlite_log {
    struct hot_map map;
    int64_t first_seq; /* the oldest row in the table */
    int64_t next_seq;  /* the next row's; the job's rows will have this one and those after */
    int64_t folded;    /* rows up to this one are folded */

    struct log_row *rows; /* of the present job, oldest first */
    size_t n_rows;
    size_t cap_rows;

    uint32_t batch_rows; /* that this batch has added to the table */
    int64_t now_ms;      /* the time of the newest of them */

    struct fold {
        uint32_t after; /* begin when so many rows are not folded */
        uint32_t share; /* of a batch: so many, and two for each row that it has added */
        uint64_t *due;  /* the set of users to be folded, a bit each; NULL: none under way */
        size_t n_due;
        size_t word;  /* due[0..word) is empty */
        int64_t upto; /* the newest row when it began */
    } fold;
};
/* Invariants, outside of a failed batch:
 * - first_seq <= folded + 1 <= next_seq: what is not folded is not deleted;
 * - a user with a row after `folded` whose state is not in hot is in the map;
 * - whoever is in the map is there with the newest state of the kept jobs;
 * - playing the rows after `folded`, oldest first, over hot gives every user's state. */

void sqlite_log_init(struct sqlite_log *log);
void sqlite_log_release(struct sqlite_log *log);

/* User 0 is one without a number, of whom nothing is kept. */
MUST_CHECK enum err sqlite_log_state(struct sqlite_store *s, uint32_t user, struct hot *out,
                                     struct err_text *why);

/* Adds a row to the job: a user's state from now on, and the request that it is about with
 * its answer (NULL: none). */
void sqlite_log_append(struct sqlite_log *log, const struct hot *hot, int64_t now_ms,
                       const struct request_mark *request, const struct answer *answer);

/* Gives a user a new state: in the job's newest row when that is the user's, else in a row
 * more. */
void sqlite_log_update(struct sqlite_log *log, const struct hot *hot, int64_t now_ms);

enum log_found {
    LOG_NEW,   /* not remembered */
    LOG_SAME,  /* *first is its answer */
    LOG_OTHER, /* remembered with another fingerprint */
    LOG_FULL,  /* not remembered, and no more can be */
};

/* Is the request remembered at now_ms? hot is the user's state. */
MUST_CHECK enum err sqlite_log_find(struct sqlite_store *s, const struct hot *hot,
                                    const struct request_mark *request, int64_t now_ms,
                                    enum log_found *out, struct answer *first,
                                    struct err_text *why);

/* Changes the answer of a request that is in the log; nothing when it is not. */
MUST_CHECK enum err sqlite_log_settle(struct sqlite_store *s, const struct hot *hot,
                                      const struct request_mark *request,
                                      const struct answer *answer, struct err_text *why);

/* The end of a job. keep: its rows go into the table, and are to be dropped here. */
MUST_CHECK enum err sqlite_log_keep(struct sqlite_store *s, struct err_text *why);
void sqlite_log_drop(struct sqlite_log *log);

#endif
