/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/attempt_log_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NOW    INT64_C(1750000000000)
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)

/* Three tries, then waits, ten for good. */
static const struct lockout_rule rule = {
    .n_waits = 5, .wait_ms = {0, 0, 0, 30 * SECOND, 60 * SECOND}, .limit = 10};
#define FREE_TRIES 3

static const struct enrollment_id own = {{'o', 'w', 'n'}};
static const struct enrollment_id other = {{'o', 't', 'h', 'e', 'r'}};

/* ---- making entries ------------------------------------------------------------------------ */

static struct request_mark mark_of(uint32_t id, uint8_t fingerprint)
{
    struct request_mark m = {.fingerprint = {fingerprint}};
    memcpy(m.id, &id, sizeof id);
    return m;
}

static struct answer answer_of(uint8_t outcome, int64_t time_ms)
{
    return (struct answer){.outcome = outcome, .reason = 3, .time_ms = time_ms};
}

enum { ACCEPTED = 1, IF_LOCKED = 4, NOTED = 5 };

static struct attempt_entry nameless(uint32_t id, int64_t time_ms)
{
    return (struct attempt_entry){.kind = ATTEMPT_TRIED,
                                  .mark = mark_of(id, 0),
                                  .time_ms = time_ms,
                                  .answer = answer_of(IF_LOCKED, time_ms)};
}

static struct attempt_entry request(uint32_t id, uint8_t fingerprint, int64_t time_ms)
{
    struct attempt_entry e = nameless(id, time_ms);
    e.is_request = true;
    e.mark = mark_of(id, fingerprint);
    return e;
}

static struct attempt_entry noted(uint32_t id, uint8_t fingerprint, int64_t time_ms)
{
    struct attempt_entry e = request(id, fingerprint, time_ms);
    e.kind = ATTEMPT_NOTED;
    e.answer = answer_of(NOTED, time_ms);
    return e;
}

static struct attempt_entry won(struct attempt_entry of, int64_t time_ms)
{
    return (struct attempt_entry){.kind = ATTEMPT_WON,
                                  .mark = of.mark,
                                  .time_ms = time_ms,
                                  .answer = answer_of(ACCEPTED, time_ms)};
}

static void add(struct attempt_log *log, struct attempt_entry e)
{
    attempt_log_append(log, &e);
}

static void play(const struct attempt_log *log, struct attempt_play *p)
{
    attempt_log_play(log, &rule, &own, p);
}

static void assert_answer(struct answer got, struct answer want)
{
    assert_int_equal(got.outcome, want.outcome);
    assert_int_equal(got.reason, want.reason);
    assert_int_equal(got.retry_after_ms, want.retry_after_ms);
    assert_int_equal(got.time_ms, want.time_ms);
    assert_memory_equal(&got.enrollment, &want.enrollment, sizeof got.enrollment);
}

static void assert_lock(struct lock_state got, struct lock_state want)
{
    assert_int_equal(got.locked, want.locked);
    assert_int_equal(got.for_good, want.for_good);
    assert_int_equal(got.retry_after_ms, want.retry_after_ms);
}

static void assert_ends(const struct attempt_log *log, const enum attempt_end *want, size_t n)
{
    struct attempt_play p;
    play(log, &p);
    assert_int_equal(log->n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p.views[i].end, want[i]);
    attempt_log_play_release(&p);
}

static void assert_failures(const struct attempt_log *log, uint32_t failures, int64_t last_ms)
{
    struct attempt_play p;
    play(log, &p);
    assert_int_equal(p.failures, failures);
    assert_int_equal(p.last_attempt_ms, last_ms);
    attempt_log_play_release(&p);
}

/* ---- one thing at a time ------------------------------------------------------------------- */

static void test_an_attempt_counts(void **state)
{
    struct attempt_log log = {0};
    struct attempt_play p;
    (void)state;
    assert_failures(&log, 0, 0);
    add(&log, nameless(1, NOW));
    struct attempt_entry named = request(2, 'f', NOW + 5);
    named.is_named = true;
    named.enrollment = other;
    add(&log, named);
    play(&log, &p);
    assert_int_equal(p.failures, 2);
    assert_int_equal(p.last_attempt_ms, NOW + 5);
    assert_int_equal(p.views[0].end, ATTEMPT_COUNTED);
    assert_answer(p.views[0].answer, (struct answer){.time_ms = NOW, .enrollment = own});
    assert_answer(p.views[1].answer, (struct answer){.time_ms = NOW + 5, .enrollment = other});
    attempt_log_play_release(&p);
    attempt_log_play(&log, &rule, NULL, &p);
    assert_answer(p.views[0].answer, (struct answer){.time_ms = NOW});
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

/* Each attempt is judged by lock_look as of its own time, and one that is locked out neither
 * counts nor moves the lock. */
static void test_locks_as_the_rule_says(void **state)
{
    struct attempt_log log = {0};
    struct attempt_play p;
    uint32_t failures = 0;
    int64_t last_ms = 0, now_ms = NOW;
    (void)state;
    for (uint32_t i = 0; i < 60; i++, now_ms += 20 * SECOND) {
        struct lock_state want = lock_look(&rule, failures, last_ms, now_ms);
        add(&log, nameless(i, now_ms));
        play(&log, &p);
        const struct attempt_view *v = &p.views[i];
        assert_int_equal(v->end, want.locked ? ATTEMPT_LOCKED : ATTEMPT_COUNTED);
        assert_lock(v->lock, want);
        if (want.locked) {
            struct answer told = answer_of(IF_LOCKED, now_ms);
            told.retry_after_ms = want.retry_after_ms;
            assert_answer(v->answer, told);
        } else {
            failures++;
            last_ms = now_ms;
        }
        assert_int_equal(p.failures, failures);
        assert_int_equal(p.last_attempt_ms, last_ms);
        attempt_log_play_release(&p);
    }
    assert_int_equal(failures, rule.limit);
    attempt_log_release(&log);
}

static void test_the_lock_of_before_the_log_counts(void **state)
{
    struct attempt_log log = {.failures = 3, .last_attempt_ms = NOW};
    (void)state;
    add(&log, nameless(1, NOW + 30 * SECOND - 1));
    add(&log, nameless(2, NOW + 30 * SECOND));
    assert_ends(&log, (enum attempt_end[]){ATTEMPT_LOCKED, ATTEMPT_COUNTED}, 2);
    attempt_log_release(&log);
    log = (struct attempt_log){.failures = UINT32_MAX, .last_attempt_ms = NOW};
    add(&log, nameless(1, NOW + 24 * 60 * MINUTE));
    assert_failures(&log, UINT32_MAX, NOW);
    attempt_log_release(&log);
}

static void test_a_win_counts_from_its_place_on(void **state)
{
    static const enum attempt_end ends[] = {
        ATTEMPT_COUNTED, ATTEMPT_COUNTED, ATTEMPT_COUNTED, ATTEMPT_LOCKED, ATTEMPT_REMEMBERED,
        ATTEMPT_COUNTED, ATTEMPT_COUNTED, ATTEMPT_COUNTED, ATTEMPT_LOCKED, ATTEMPT_REMEMBERED,
    };
    struct attempt_log log = {0};
    struct attempt_play p;
    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        add(&log, nameless(i, NOW));
    add(&log, won(nameless(1, NOW), NOW));
    for (uint32_t i = 5; i < 9; i++)
        add(&log, nameless(i, NOW));
    assert_failures(&log, 3, NOW);
    add(&log, won(nameless(99, NOW), NOW)); /* of an attempt that nobody remembers */
    assert_ends(&log, ends, sizeof ends / sizeof ends[0]);
    play(&log, &p);
    assert_int_equal(p.failures, 0);
    assert_answer(p.views[1].answer, answer_of(ACCEPTED, NOW));
    assert_int_equal(p.views[0].answer.outcome, ANSWER_OPEN);
    assert_int_equal(p.views[3].answer.outcome, IF_LOCKED);
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

static void test_a_repetition_counts_nothing(void **state)
{
    static const enum attempt_end ends[] = {ATTEMPT_COUNTED, ATTEMPT_COUNTED,    ATTEMPT_REPEATED,
                                            ATTEMPT_REUSED,  ATTEMPT_REPEATED,   ATTEMPT_REMEMBERED,
                                            ATTEMPT_REUSED,  ATTEMPT_REMEMBERED, ATTEMPT_REPEATED};
    struct attempt_log log = {0};
    struct attempt_play p;
    (void)state;
    add(&log, request(1, 'a', NOW));
    add(&log, nameless(2, NOW));
    add(&log, request(1, 'a', NOW + 1));
    add(&log, request(1, 'b', NOW + 2));
    add(&log, nameless(2, NOW));
    add(&log, noted(3, 'n', NOW + 3));
    add(&log, request(3, 'x', NOW + 4));
    add(&log, won(request(1, 'a', NOW), NOW + 5));
    add(&log, request(1, 'a', NOW + 6));
    assert_ends(&log, ends, sizeof ends / sizeof ends[0]);
    play(&log, &p);
    assert_int_equal(p.views[2].first, 0);
    assert_int_equal(p.views[3].first, 0);
    assert_int_equal(p.views[4].first, 1);
    assert_int_equal(p.views[6].first, 5);
    assert_int_equal(p.views[8].first, 0);
    assert_answer(p.views[0].answer, answer_of(ACCEPTED, NOW + 5));
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

static void test_a_request_is_forgotten_after_its_time(void **state)
{
    struct attempt_log log = {0};
    struct attempt_play p;
    const struct request_mark mark = mark_of(1, 'a');
    (void)state;
    add(&log, request(1, 'a', NOW));
    add(&log, request(1, 'b', NOW + REQUEST_MEMORY_MS - 1));
    add(&log, request(1, 'b', NOW + REQUEST_MEMORY_MS));
    add(&log, request(1, 'b', NOW + REQUEST_MEMORY_MS + 1));
    assert_ends(
        &log,
        (enum attempt_end[]){ATTEMPT_COUNTED, ATTEMPT_REUSED, ATTEMPT_COUNTED, ATTEMPT_REPEATED},
        4);
    play(&log, &p);
    int64_t then = NOW - 1, late = NOW + 2 * REQUEST_MEMORY_MS;
    assert_int_equal(attempt_log_find(&log, &p, &mark, NULL), 2);
    assert_int_equal(attempt_log_find(&log, &p, &mark, &then), 0);
    assert_int_equal(attempt_log_find(&log, &p, &mark, &late), log.n);
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

/* A clock that was wrong once: what it wrote does not shut the user out of his request ids. */
static void test_an_entry_from_far_ahead(void **state)
{
    const int64_t ahead = NOW + REQUEST_MEMORY_MS + 1;
    struct attempt_log log = {0};
    struct attempt_play p;
    (void)state;
    add(&log, request(1, 'a', ahead));
    add(&log, request(1, 'b', NOW));
    add(&log, request(2, 'a', ahead - 1));
    add(&log, request(2, 'b', NOW));
    assert_ends(
        &log,
        (enum attempt_end[]){ATTEMPT_COUNTED, ATTEMPT_COUNTED, ATTEMPT_COUNTED, ATTEMPT_REUSED}, 4);
    attempt_log_fold(&log, &rule, &own, NOW);
    assert_int_equal(log.n, 2);
    assert_memory_equal(log.entries[0].mark.fingerprint, "b", 1);
    play(&log, &p);
    assert_int_equal(p.failures, 3);
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

static void test_wins_of_far_ahead_do_not_fill_it(void **state)
{
    struct attempt_log log = {0};
    struct attempt_play p;
    (void)state;
    for (uint32_t i = 0; i < REQUEST_MEMORY_MAX; i++)
        add(&log, noted(i, 'n', NOW + REQUEST_MEMORY_MS + 1));
    play(&log, &p);
    assert_false(attempt_log_is_full(&log, &p, NOW));
    assert_true(attempt_log_is_full(&log, &p, NOW + 1));
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

static void test_too_many_requests(void **state)
{
    struct attempt_log log = {0};
    struct attempt_play p;
    (void)state;
    for (uint32_t i = 0; i < REQUEST_MEMORY_MAX; i++) {
        play(&log, &p);
        assert_false(attempt_log_is_full(&log, &p, NOW + i));
        attempt_log_play_release(&p);
        add(&log, noted(i, 'n', NOW + i));
    }
    size_t n = log.n;
    int64_t room_ms = NOW + REQUEST_MEMORY_MS;
    add(&log, request(1000, 'r', NOW + 100));
    add(&log, noted(1001, 'r', NOW + 100));
    add(&log, request(0, 'n', NOW + 100));
    add(&log, nameless(1002, NOW + 100));
    add(&log, request(1000, 'r', room_ms - 1));
    add(&log, request(1000, 'r', room_ms)); /* was never remembered, so this is the first */
    add(&log, request(1003, 'r', room_ms));
    static const enum attempt_end ends[] = {ATTEMPT_TOO_MANY, ATTEMPT_TOO_MANY, ATTEMPT_REPEATED,
                                            ATTEMPT_COUNTED,  ATTEMPT_TOO_MANY, ATTEMPT_COUNTED,
                                            ATTEMPT_TOO_MANY};
    play(&log, &p);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        assert_int_equal(p.views[n + i].end, ends[i]);
    assert_int_equal(p.failures, 2);
    assert_true(attempt_log_is_full(&log, &p, room_ms));
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

/* ---- folding ------------------------------------------------------------------------------- */

static void test_fold_keeps_ten_minutes_of_requests(void **state)
{
    struct attempt_log log = {0};
    struct attempt_play p;
    const int64_t now_ms = NOW + REQUEST_MEMORY_MS - 1;
    (void)state;
    for (uint32_t i = 0; i < REQUEST_MEMORY_MAX; i++)
        add(&log, noted(i, 'n', NOW + i * 9 * SECOND));
    for (uint32_t i = 0; i < 120; i++)
        add(&log, nameless(1000 + i, now_ms));
    attempt_log_fold(&log, &rule, &own, now_ms);
    assert_true(log.n < ATTEMPT_LOG_FOLD - ATTEMPT_LOG_FOLD_SOON + 1);
    play(&log, &p);
    assert_int_equal(p.failures, FREE_TRIES);
    for (uint32_t i = 0; i < REQUEST_MEMORY_MAX; i++) {
        const struct request_mark mark = mark_of(i, 'n');
        size_t at = attempt_log_find(&log, &p, &mark, &now_ms);
        assert_true(at < log.n);
        assert_answer(p.views[at].answer, answer_of(NOTED, NOW + i * 9 * SECOND));
    }
    size_t kept = log.n - REQUEST_MEMORY_MAX;
    assert_true(kept > 0);
    for (uint32_t i = 0; i < 120; i++) { /* the newest of the nameless */
        const struct request_mark mark = mark_of(1000 + i, 0);
        assert_int_equal(attempt_log_find(&log, &p, &mark, &now_ms) < log.n, i >= 120 - kept);
    }
    attempt_log_play_release(&p);
    attempt_log_release(&log);
}

static void test_fold_drops_what_nobody_can_ask_for(void **state)
{
    const int64_t slack = MINUTE;
    struct attempt_log log = {0};
    (void)state;
    add(&log, request(1, 'a', NOW));
    add(&log, request(1, 'a', NOW));
    add(&log, request(1, 'b', NOW));
    add(&log, won(request(1, 'a', NOW), NOW));
    attempt_log_fold(&log, &rule, &own, NOW + REQUEST_MEMORY_MS + slack - 1);
    assert_int_equal(log.n, 1);
    assert_int_equal(log.entries[0].kind, ATTEMPT_NOTED);
    assert_answer(log.entries[0].answer, answer_of(ACCEPTED, NOW));
    attempt_log_fold(&log, &rule, &own, NOW + REQUEST_MEMORY_MS + slack);
    assert_int_equal(log.n, 0);
    add(&log, nameless(2, NOW));
    attempt_log_fold(&log, &rule, &own, NOW + 2 * MINUTE - 1);
    assert_int_equal(log.n, 1);
    attempt_log_fold(&log, &rule, &own, NOW + 2 * MINUTE);
    assert_int_equal(log.n, 0);
    assert_failures(&log, 1, NOW);
    attempt_log_release(&log);
}

static void test_fold_twice_is_fold_once(void **state)
{
    struct attempt_log log = {0};
    (void)state;
    for (uint32_t i = 0; i < 30; i++)
        add(&log, i % 3 == 0 ? request(i, 'r', NOW + i) : nameless(i, NOW + i));
    attempt_log_fold(&log, &rule, &own, NOW + 30);
    size_t n = log.n;
    struct attempt_entry *was = malloc(n * sizeof *was);
    memcpy(was, log.entries, n * sizeof *was);
    attempt_log_fold(&log, &rule, &own, NOW + 30);
    assert_int_equal(log.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(log.entries[i].kind, was[i].kind);
        assert_answer(log.entries[i].answer, was[i].answer);
    }
    free(was);
    assert_failures(&log, FREE_TRIES, NOW + 2);
    attempt_log_release(&log);
}

/* ---- at random ----------------------------------------------------------------------------- */

static uint64_t random_state;

/* splitmix64 */
static uint32_t draw(uint32_t below)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * below >> 32);
}

/* The same again: TWOSTEP_TEST_SEED. */
static void seed_random(const char *what)
{
    const char *given = getenv("TWOSTEP_TEST_SEED");
    if (given != NULL)
        random_state = strtoull(given, NULL, 10);
    else if (getrandom(&random_state, sizeof random_state, 0) != sizeof random_state)
        abort();
    print_message("%s: seed %llu\n", what, (unsigned long long)random_state);
}

static void test_parallel_attempts_get_the_budget(void **state)
{
    (void)state;
    seed_random("parallel attempts");
    for (int round = 0; round < 3000; round++) {
        struct attempt_log log = {0};
        struct attempt_play p;
        uint32_t n = 1 + draw(40), counted = 0;
        for (uint32_t i = 0; i < n; i++)
            add(&log, draw(2) ? nameless(i, NOW - draw(1000)) : request(i, 'r', NOW - draw(1000)));
        for (uint32_t i = 0, more = draw(10); i < more; i++) /* sent twice */
            add(&log, log.entries[draw((uint32_t)log.n)]);
        for (size_t i = log.n; i-- > 1;) { /* in any order */
            size_t j = draw((uint32_t)i + 1);
            struct attempt_entry e = log.entries[i];
            log.entries[i] = log.entries[j];
            log.entries[j] = e;
        }
        play(&log, &p);
        for (size_t i = 0; i < log.n; i++)
            counted += p.views[i].end == ATTEMPT_COUNTED;
        assert_int_equal(counted, n < FREE_TRIES ? n : FREE_TRIES);
        assert_int_equal(p.failures, counted);
        attempt_log_play_release(&p);
        attempt_log_release(&log);
    }
}

/* The plain way: one after the other, with a table of what is remembered. */
#define MODEL_MAX 400
struct model {
    uint32_t failures;
    int64_t last_ms;
    size_t n;
    struct {
        struct request_mark mark;
        bool is_request;
        int64_t time_ms;
        struct answer answer;
    } known[MODEL_MAX];
};

static bool model_remembers(const struct model *m, size_t i, int64_t now_ms)
{
    int64_t age = now_ms - m->known[i].time_ms;
    return !m->known[i].is_request || (age < REQUEST_MEMORY_MS && -age <= REQUEST_MEMORY_MS);
}

static size_t model_find(const struct model *m, const struct request_mark *mark,
                         const int64_t *now_ms)
{
    size_t found = m->n;
    for (size_t i = 0; i < m->n; i++)
        if (memcmp(m->known[i].mark.id, mark->id, REQUEST_ID_LEN) == 0 &&
            (now_ms == NULL || model_remembers(m, i, *now_ms)))
            found = i;
    return found;
}

static unsigned model_requests(const struct model *m, int64_t now_ms)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->known[i].is_request && model_remembers(m, i, now_ms);
    return n;
}

static void model_win(struct model *m, const struct attempt_entry *e)
{
    size_t at = model_find(m, &e->mark, NULL);
    m->failures = 0;
    if (at < m->n)
        m->known[at].answer = e->answer;
}

static enum attempt_end model_judge(struct model *m, const struct attempt_entry *e,
                                    struct answer *answer)
{
    struct lock_state lock = lock_look(&rule, m->failures, m->last_ms, e->time_ms);
    *answer = e->answer;
    if (e->kind == ATTEMPT_NOTED)
        return ATTEMPT_REMEMBERED;
    if (lock.locked) {
        answer->retry_after_ms = lock.retry_after_ms;
        return ATTEMPT_LOCKED;
    }
    *answer =
        (struct answer){.time_ms = e->time_ms, .enrollment = e->is_named ? e->enrollment : own};
    m->failures++;
    m->last_ms = e->time_ms;
    return ATTEMPT_COUNTED;
}

static enum attempt_end model_step(struct model *m, const struct attempt_entry *e)
{
    struct answer answer;
    if (e->kind == ATTEMPT_WON) {
        model_win(m, e);
        return ATTEMPT_REMEMBERED;
    }
    size_t at = model_find(m, &e->mark, &e->time_ms);
    if (at < m->n)
        return memcmp(&m->known[at].mark, &e->mark, sizeof e->mark) == 0 ? ATTEMPT_REPEATED
                                                                         : ATTEMPT_REUSED;
    if (e->is_request && model_requests(m, e->time_ms) >= REQUEST_MEMORY_MAX)
        return ATTEMPT_TOO_MANY;
    enum attempt_end end = model_judge(m, e, &answer);
    m->known[m->n].mark = e->mark;
    m->known[m->n].is_request = e->is_request;
    m->known[m->n].time_ms = e->time_ms;
    m->known[m->n++].answer = answer;
    return end;
}

/* Time that goes on, read from clocks that are up to a minute late. */
struct walk {
    int64_t base_ms;
    uint32_t next_id;
    uint32_t step_ms; /* at the most, but for a leap now and then */
};

static int64_t tick(struct walk *w)
{
    w->base_ms += draw(w->step_ms);
    if (draw(50) == 0)
        w->base_ms += draw(5 * MINUTE);
    return draw(3) == 0 ? w->base_ms - draw(MINUTE + 1) : w->base_ms;
}

/* One of the last few entries that can still be sent again: nobody waits longer for an answer than
 * clocks may be apart. */
static const struct attempt_entry *recent(const struct walk *w, const struct attempt_log *log)
{
    size_t few = log->n < 40 ? log->n : 40;
    if (few == 0)
        return NULL;
    const struct attempt_entry *e = &log->entries[log->n - 1 - draw((uint32_t)few)];
    return e->kind != ATTEMPT_WON && e->time_ms > w->base_ms - MINUTE ? e : NULL;
}

/* What somebody does next, who saw `log`. */
static struct attempt_entry next_entry(struct walk *w, const struct attempt_log *log)
{
    int64_t now_ms = tick(w);
    const struct attempt_entry *old = draw(2) ? recent(w, log) : NULL;
    uint32_t what = draw(8);
    if (old != NULL && what < 2)
        return *old; /* the very same once more */
    if (old != NULL && what < 5)
        return won(*old, now_ms);
    if (draw(4) == 0)
        return nameless(w->next_id++, now_ms);
    /* A small set of ids, so that some come again, later or with other fields. */
    uint32_t id = 1000000 + (draw(3) == 0 ? draw(20) : w->next_id++);
    struct attempt_entry e =
        draw(4) == 0 ? noted(id, (uint8_t)draw(2), now_ms) : request(id, (uint8_t)draw(2), now_ms);
    if (e.kind == ATTEMPT_TRIED && draw(3) == 0) {
        e.is_named = true;
        e.enrollment = other;
    }
    return e;
}

static void assert_as_model(const struct attempt_log *log, const struct attempt_play *p,
                            const struct model *m, int64_t now_ms)
{
    assert_int_equal(p->failures, m->failures);
    assert_int_equal(p->last_attempt_ms, m->last_ms);
    assert_int_equal(attempt_log_is_full(log, p, now_ms),
                     model_requests(m, now_ms) >= REQUEST_MEMORY_MAX);
    for (size_t i = 0; i < m->n; i++) {
        size_t want = model_find(m, &m->known[i].mark, &now_ms);
        size_t got = attempt_log_find(log, p, &m->known[i].mark, &now_ms);
        assert_int_equal(got < log->n, want < m->n);
        if (want < m->n)
            assert_answer(p->views[got].answer, m->known[want].answer);
    }
}

static void test_as_the_model(void **state)
{
    static struct model m;
    static enum attempt_end want[MODEL_MAX];
    (void)state;
    seed_random("as the model");
    for (int round = 0; round < 20000; round++) {
        struct walk w = {.base_ms = NOW, .step_ms = 1 + draw(30 * SECOND)};
        struct attempt_log log = {0};
        struct attempt_play p;
        size_t n = round % 20 == 0 ? 150 : draw(50);
        memset(&m, 0, sizeof m);
        for (size_t i = 0; i < n; i++) {
            struct attempt_entry e = next_entry(&w, &log);
            add(&log, e);
            want[i] = model_step(&m, &e);
        }
        play(&log, &p);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p.views[i].end, want[i]);
        assert_as_model(&log, &p, &m, w.base_ms);
        attempt_log_play_release(&p);
        attempt_log_release(&log);
    }
}

static void test_later_entries_change_no_judgement(void **state)
{
    (void)state;
    seed_random("later entries");
    for (int round = 0; round < 3000; round++) {
        struct walk w = {.base_ms = NOW, .step_ms = 1 + draw(20 * SECOND)};
        struct attempt_log log = {0};
        struct attempt_play all, part;
        for (size_t i = 0; i < 60; i++)
            add(&log, next_entry(&w, &log));
        play(&log, &all);
        for (size_t n = 1 + draw(3); n < log.n; n += 1 + draw(5)) {
            struct attempt_log shorter = log;
            shorter.n = n;
            play(&shorter, &part);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(part.views[i].end, all.views[i].end);
                assert_int_equal(part.views[i].first, all.views[i].first);
                assert_lock(part.views[i].lock, all.views[i].lock);
            }
            attempt_log_play_release(&part);
        }
        attempt_log_play_release(&all);
        attempt_log_release(&log);
    }
}

/* ---- folded or not: nobody can tell -------------------------------------------------------- */

#define WALK_LEN 250
struct twins {
    struct walk w;
    struct attempt_log whole;  /* never folded */
    struct attempt_log folded; /* its last `fresh` entries are the last ones of whole */
    size_t fresh;
    struct attempt_view seen[WALK_LEN]; /* how each entry ended in folded */
    int n_folds;
};

/* Notes how those entries ended that came since the last fold. */
static void look(struct twins *t)
{
    struct attempt_play p;
    play(&t->folded, &p);
    for (size_t i = 0; i < t->fresh; i++)
        t->seen[t->whole.n - t->fresh + i] = p.views[t->folded.n - t->fresh + i];
    attempt_log_play_release(&p);
    t->fresh = 0;
}

static void fold_twin(struct twins *t)
{
    look(t);
    attempt_log_fold(&t->folded, &rule, &own, t->w.base_ms - (draw(2) ? draw(MINUTE) : 0));
    t->n_folds++;
}

static void assert_twins(struct twins *t)
{
    struct attempt_play whole, folded;
    int64_t now_ms = t->w.base_ms - draw(MINUTE);
    look(t);
    play(&t->whole, &whole);
    play(&t->folded, &folded);
    assert_int_equal(whole.failures, folded.failures);
    assert_int_equal(whole.last_attempt_ms, folded.last_attempt_ms);
    assert_int_equal(attempt_log_is_full(&t->whole, &whole, now_ms),
                     attempt_log_is_full(&t->folded, &folded, now_ms));
    for (size_t i = 0; i < t->whole.n; i++) {
        const struct attempt_entry *e = &t->whole.entries[i];
        assert_int_equal(t->seen[i].end, whole.views[i].end);
        assert_lock(t->seen[i].lock, whole.views[i].lock);
        if (e->kind == ATTEMPT_WON || (!e->is_request && e->time_ms <= t->w.base_ms - 2 * MINUTE))
            continue;
        size_t a = attempt_log_find(&t->whole, &whole, &e->mark, &now_ms);
        size_t b = attempt_log_find(&t->folded, &folded, &e->mark, &now_ms);
        assert_int_equal(a < t->whole.n, b < t->folded.n);
        if (a == t->whole.n)
            continue;
        assert_answer(whole.views[a].answer, folded.views[b].answer);
        assert_memory_equal(&t->whole.entries[a].mark, &t->folded.entries[b].mark, sizeof e->mark);
    }
    attempt_log_play_release(&whole);
    attempt_log_play_release(&folded);
}

static void test_folding_changes_nothing(void **state)
{
    static struct twins t;
    int n_folds = 0;
    (void)state;
    seed_random("folding");
    for (int round = 0; round < 3000; round++) {
        uint32_t seldom = 5 + draw(60);
        memset(&t, 0, sizeof t);
        t.w = (struct walk){.base_ms = NOW, .step_ms = 6 * SECOND + draw(20 * SECOND)};
        while (t.whole.n < WALK_LEN) {
            struct attempt_entry e = next_entry(&t.w, &t.whole);
            add(&t.whole, e);
            add(&t.folded, e);
            t.fresh++;
            if (draw(seldom) == 0 || t.folded.n >= ATTEMPT_LOG_FOLD)
                fold_twin(&t);
            assert_true(t.folded.n < ATTEMPT_LOG_MAX);
        }
        assert_twins(&t);
        n_folds += t.n_folds;
        attempt_log_release(&t.whole);
        attempt_log_release(&t.folded);
    }
    assert_true(n_folds > 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_attempt_counts),
        cmocka_unit_test(test_locks_as_the_rule_says),
        cmocka_unit_test(test_the_lock_of_before_the_log_counts),
        cmocka_unit_test(test_a_win_counts_from_its_place_on),
        cmocka_unit_test(test_a_repetition_counts_nothing),
        cmocka_unit_test(test_a_request_is_forgotten_after_its_time),
        cmocka_unit_test(test_an_entry_from_far_ahead),
        cmocka_unit_test(test_wins_of_far_ahead_do_not_fill_it),
        cmocka_unit_test(test_too_many_requests),
        cmocka_unit_test(test_fold_keeps_ten_minutes_of_requests),
        cmocka_unit_test(test_fold_drops_what_nobody_can_ask_for),
        cmocka_unit_test(test_fold_twice_is_fold_once),
        cmocka_unit_test(test_parallel_attempts_get_the_budget),
        cmocka_unit_test(test_as_the_model),
        cmocka_unit_test(test_later_entries_change_no_judgement),
        cmocka_unit_test(test_folding_changes_nothing),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
