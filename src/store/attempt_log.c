/* SPDX-License-Identifier: ISC */
#include "attempt_log_internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>

#define ENTRIES_MIN 8

/* How far the clocks of several machines, or one that steps back, may be apart without a request
 * being forgotten early. */
#define CLOCK_SLACK_MS (60 * 1000)
/* An attempt without a request id is asked for again by the store itself only. */
#define NAMELESS_KEEP_MS (2 * 60 * 1000)
/* So many are left at the most; those without a request id go first. */
#define FOLDED_MAX (ATTEMPT_LOG_FOLD - ATTEMPT_LOG_FOLD_SOON)

void attempt_log_release(struct attempt_log *log)
{
    free(log->entries);
    *log = (struct attempt_log){0};
}

void attempt_log_append(struct attempt_log *log, const struct attempt_entry *e)
{
    if (log->n == log->cap) {
        log->cap = log->cap > 0 ? 2 * log->cap : ENTRIES_MIN;
        log->entries = mem_realloc(log->entries, log->cap * sizeof *log->entries);
    }
    log->entries[log->n++] = *e;
}

/* An entry from far ahead was written under a clock that was wrong. */
static bool is_remembered(const struct attempt_entry *e, int64_t now_ms, int64_t slack_ms)
{
    return e->time_ms > now_ms - REQUEST_MEMORY_MS - slack_ms &&
           e->time_ms <= now_ms + REQUEST_MEMORY_MS;
}

static bool is_original(enum attempt_end end)
{
    return end == ATTEMPT_COUNTED || end == ATTEMPT_LOCKED || end == ATTEMPT_REMEMBERED;
}

/* The newest of the first n entries with this id that was not a repetition, else n. */
static size_t find_before(const struct attempt_log *log, const struct attempt_view *views, size_t n,
                          const struct request_mark *mark, const int64_t *now_ms)
{
    for (size_t i = n; i-- > 0;) {
        const struct attempt_entry *e = &log->entries[i];
        if (e->kind != ATTEMPT_WON && is_original(views[i].end) &&
            str_equal_bytes(e->mark.id, mark->id, REQUEST_ID_LEN) &&
            (now_ms == NULL || !e->is_request || is_remembered(e, *now_ms, 0)))
            return i;
    }
    return n;
}

static bool is_full_before(const struct attempt_log *log, const struct attempt_view *views,
                           size_t n, int64_t now_ms)
{
    unsigned count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct attempt_entry *e = &log->entries[i];
        count += e->kind != ATTEMPT_WON && e->is_request && is_original(views[i].end) &&
                 is_remembered(e, now_ms, 0);
    }
    return count >= REQUEST_MEMORY_MAX;
}

/* An attempt that is none of an earlier one. */
static void judge(const struct attempt_entry *e, const struct lockout_rule *rule,
                  const struct enrollment_id *own, struct attempt_play *p, struct attempt_view *v)
{
    v->answer = e->answer;
    v->end = ATTEMPT_REMEMBERED;
    if (e->kind == ATTEMPT_NOTED)
        return;
    v->lock = lock_look(rule, p->failures, p->last_attempt_ms, e->time_ms);
    if (v->lock.locked) {
        v->end = ATTEMPT_LOCKED;
        v->answer.retry_after_ms = v->lock.retry_after_ms;
        return;
    }
    v->end = ATTEMPT_COUNTED;
    v->answer = (struct answer){.outcome = ANSWER_OPEN, .time_ms = e->time_ms};
    if (e->is_named)
        v->answer.enrollment = e->enrollment;
    else if (own != NULL)
        v->answer.enrollment = *own;
    p->failures += p->failures < UINT32_MAX;
    p->last_attempt_ms = e->time_ms;
}

static void win(const struct attempt_log *log, size_t i, struct attempt_play *p)
{
    const struct attempt_entry *e = &log->entries[i];
    size_t at = find_before(log, p->views, i, &e->mark, NULL);
    p->views[i].end = ATTEMPT_REMEMBERED;
    p->failures = 0;
    if (at < i)
        p->views[at].answer = e->answer;
}

void attempt_log_play(const struct attempt_log *log, const struct lockout_rule *rule,
                      const struct enrollment_id *own, struct attempt_play *out)
{
    *out = (struct attempt_play){.failures = log->failures,
                                 .last_attempt_ms = log->last_attempt_ms,
                                 .views = mem_zalloc(log->n + 1, sizeof *out->views)};
    for (size_t i = 0; i < log->n; i++) {
        const struct attempt_entry *e = &log->entries[i];
        struct attempt_view *v = &out->views[i];
        if (e->kind == ATTEMPT_WON) {
            win(log, i, out);
            continue;
        }
        v->first = find_before(log, out->views, i, &e->mark, &e->time_ms);
        if (v->first < i)
            v->end = str_equal_bytes(log->entries[v->first].mark.fingerprint, e->mark.fingerprint,
                                     REQUEST_FINGERPRINT_LEN)
                         ? ATTEMPT_REPEATED
                         : ATTEMPT_REUSED;
        else if (e->is_request && is_full_before(log, out->views, i, e->time_ms))
            v->end = ATTEMPT_TOO_MANY;
        else
            judge(e, rule, own, out, v);
    }
}

void attempt_log_play_release(struct attempt_play *p)
{
    free(p->views);
    *p = (struct attempt_play){0};
}

size_t attempt_log_find(const struct attempt_log *log, const struct attempt_play *p,
                        const struct request_mark *mark, const int64_t *now_ms)
{
    return find_before(log, p->views, log->n, mark, now_ms);
}

bool attempt_log_is_full(const struct attempt_log *log, const struct attempt_play *p,
                         int64_t now_ms)
{
    return is_full_before(log, p->views, log->n, now_ms);
}

static bool is_kept(const struct attempt_entry *e, const struct attempt_view *v, int64_t now_ms)
{
    if (e->kind == ATTEMPT_WON || !is_original(v->end))
        return false;
    return e->is_request ? is_remembered(e, now_ms, CLOCK_SLACK_MS)
                         : e->time_ms > now_ms - NAMELESS_KEEP_MS;
}

/* Drops the oldest entries of one kind until there is room for a while. */
static void thin_out(struct attempt_log *log, bool requests)
{
    size_t excess = log->n > FOLDED_MAX ? log->n - FOLDED_MAX : 0;
    size_t kept = 0;
    for (size_t i = 0; i < log->n; i++)
        if (excess > 0 && log->entries[i].is_request == requests)
            excess--;
        else
            log->entries[kept++] = log->entries[i];
    log->n = kept;
}

void attempt_log_fold(struct attempt_log *log, const struct lockout_rule *rule,
                      const struct enrollment_id *own, int64_t now_ms)
{
    struct attempt_play p;
    size_t kept = 0;
    attempt_log_play(log, rule, own, &p);
    for (size_t i = 0; i < log->n; i++) {
        struct attempt_entry e = log->entries[i];
        if (!is_kept(&e, &p.views[i], now_ms))
            continue;
        e.kind = ATTEMPT_NOTED;
        e.is_named = false;
        e.answer = p.views[i].answer;
        log->entries[kept++] = e;
    }
    log->n = kept;
    log->failures = p.failures;
    log->last_attempt_ms = p.last_attempt_ms;
    attempt_log_play_release(&p);
    thin_out(log, false);
    thin_out(log, true);
}
