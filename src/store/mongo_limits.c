/* SPDX-License-Identifier: ISC */
#include "base/mem.h"
#include "mongo_in_internal.h"
#include "mongo_limits_internal.h"
#include "mongo_put_internal.h"

#include <stdlib.h>
#include <string.h>

/* One document for each thing that is counted: when, oldest first, and a part of whose id, so that
 * it is counted once. Changed by compare-and-set. */
#define F_EVENTS "events"

/* More are not counted: the limit is reached then. */
#define EVENTS_MAX 65536

#define EVENT_ID_LEN 8
struct event {
    int64_t time_ms;
    uint8_t id[EVENT_ID_LEN];
};

struct counter {
    int64_t version;
    struct event *events;
    size_t n;
};

static enum err read_counter(const bson_t *doc, struct counter *c, struct err_text *why)
{
    bool bad = false;
    struct mongo_in in;
    mongo_in_init(&in, doc, &bad);
    c->version = mongo_in_version(&in, F_VERSION);
    size_t n = mongo_in_bytes(&in, F_EVENTS, c->events, EVENTS_MAX * sizeof *c->events);
    c->n = n / sizeof *c->events;
    if (n % sizeof *c->events != 0)
        bad = true;
    return mongo_in_check(&in, "a counter", why);
}

static enum err load(struct mongo_store *s, const struct mongo_limit *l, struct counter *c,
                     struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, doc;
    bool found = false;
    c->version = 0;
    c->n = 0;
    mongo_put_bytes(&filter, "_id", l->id, l->id_len);
    struct mongo_find f = {.from = MONGO_LIMITS, .filter = &filter};
    enum err e = mongo_db_find(&s->db, &f, &doc, &found, why);
    if (e == ERR_OK && found) {
        e = read_counter(&doc, c, why);
        bson_destroy(&doc);
    }
    bson_destroy(&filter);
    return e;
}

static enum mongo_end compare_and_set(struct mongo_store *s, const struct mongo_limit *l,
                                      const struct counter *c, int64_t now_ms, bool *mine,
                                      struct err_text *why)
{
    bson_t doc = BSON_INITIALIZER;
    mongo_put_bytes(&doc, "_id", l->id, l->id_len);
    mongo_put_int(&doc, F_VERSION, c->version + 1);
    mongo_put_bytes(&doc, F_EVENTS, c->events, c->n * sizeof *c->events);
    mongo_put_date(&doc, F_EXPIRES, now_ms + l->window_ms);
    struct mongo_document at = {
        .in = MONGO_LIMITS, .id = l->id, .id_len = l->id_len, .version = c->version};
    enum mongo_end end = mongo_db_set(&s->db, &at, &doc, mine, why);
    bson_destroy(&doc);
    return end;
}

static bool is_of(const struct event *e, const struct reset_id *id)
{
    return str_equal_bytes(e->id, id->bytes, EVENT_ID_LEN);
}

static void drop_old(struct counter *c, const struct mongo_limit *l, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->events[i].time_ms > now_ms - l->window_ms)
            c->events[kept++] = c->events[i];
    c->n = kept;
}

/* 0: there is room. */
static int64_t wait_for_room(const struct counter *c, const struct mongo_limit *l, int64_t now_ms)
{
    if (c->n < l->limit && c->n < EVENTS_MAX)
        return 0;
    int64_t oldest = c->n > 0 ? c->events[0].time_ms : now_ms;
    for (size_t i = 1; i < c->n; i++)
        if (c->events[i].time_ms < oldest)
            oldest = c->events[i].time_ms;
    int64_t wait = oldest + l->window_ms - now_ms;
    return wait > 0 ? wait : 1;
}

enum err mongo_limits_look(struct mongo_store *s, const struct mongo_limit *l, int64_t now_ms,
                           int64_t *retry_after_ms, struct err_text *why)
{
    struct counter c = {.events = mem_alloc(EVENTS_MAX * sizeof *c.events)};
    enum err e = load(s, l, &c, why);
    if (e == ERR_OK) {
        drop_old(&c, l, now_ms);
        *retry_after_ms = wait_for_room(&c, l, now_ms);
    }
    free(c.events);
    return e;
}

/* The event with this id is in it, or is not, as asked; *retry_after_ms when there is no room. */
static void change(struct counter *c, const struct mongo_limit *l, const struct reset_id *id,
                   bool taken, int64_t now_ms, int64_t *retry_after_ms)
{
    size_t kept = 0;
    *retry_after_ms = 0;
    drop_old(c, l, now_ms);
    for (size_t i = 0; i < c->n; i++)
        if (!is_of(&c->events[i], id))
            c->events[kept++] = c->events[i];
    c->n = kept;
    if (!taken)
        return;
    *retry_after_ms = wait_for_room(c, l, now_ms);
    if (*retry_after_ms != 0)
        return;
    struct event *e = &c->events[c->n++];
    e->time_ms = now_ms;
    memcpy(e->id, id->bytes, EVENT_ID_LEN);
}

static enum err settle(struct mongo_store *s, const struct mongo_limit *l,
                       const struct reset_id *id, bool taken, int64_t now_ms,
                       int64_t *retry_after_ms, struct err_text *why)
{
    struct counter c = {.events = mem_alloc(EVENTS_MAX * sizeof *c.events)};
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        bool mine;
        e = load(s, l, &c, why);
        if (e != ERR_OK)
            break;
        /* What may have happened already is made to be so again: no harm is done. */
        change(&c, l, id, taken, now_ms, retry_after_ms);
        if (*retry_after_ms != 0)
            break;
        enum mongo_end end = compare_and_set(s, l, &c, now_ms, &mine, why);
        if (end == MONGO_DONE && mine)
            break;
        e = mongo_db_try_again(&s->db, end, why);
        if (e == ERR_OK)
            e = mongo_db_check_time(&s->db, "reset limit", why);
    }
    free(c.events);
    return e;
}

enum err mongo_limits_take(struct mongo_store *s, const struct mongo_limit *l,
                           const struct reset_id *id, int64_t now_ms, int64_t *retry_after_ms,
                           struct err_text *why)
{
    return settle(s, l, id, true, now_ms, retry_after_ms, why);
}

enum err mongo_limits_give(struct mongo_store *s, const struct mongo_limit *l,
                           const struct reset_id *id, int64_t now_ms, struct err_text *why)
{
    int64_t never;
    return settle(s, l, id, false, now_ms, &never, why);
}

enum err mongo_limits_sweep(struct mongo_store *s, int64_t now_ms, struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, child;
    int64_t n;
    mongo_put_begin(&filter, F_EXPIRES, &child);
    mongo_put_date(&child, "$lte", now_ms);
    mongo_put_end(&filter, &child);
    enum mongo_end end = mongo_db_delete(&s->db, MONGO_LIMITS, &filter, true, &n, why);
    bson_destroy(&filter);
    return end == MONGO_DONE ? ERR_OK : mongo_db_failed(why);
}
