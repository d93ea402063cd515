/* SPDX-License-Identifier: ISC */
#include "base/mem.h"
#include "mongo_internal.h"
#include "mongo_put_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* So many records wait to be written; while there is no room for more, decisions fail. */
#define WAITING_MAX 8192
#define INSERT_MAX  256
#define CHAIN_LEN   12
/* How long a clean stop waits for the store. */
#define STOP_MS  5000
#define WRITE_MS 2000

struct record {
    struct record *next;
    bson_t *doc; /* which has an alignment of its own */
};

struct mongo_audit {
    struct mongo *shared;
    struct mongo_db db;       /* the writer's own */
    uint8_t chain[CHAIN_LEN]; /* what this chain is called: random */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    struct record *first, **last; /* guarded by lock */
    size_t n;                     /* guarded by lock */
    int64_t seq;                  /* guarded by lock: of the newest record */
    uint8_t hash[AUDIT_HASH_LEN]; /* guarded by lock */
    bool stopping;                /* guarded by lock */
    bool begun;                   /* the writer's: the chain's own document is there */
};

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the chain's own document: an end that is missing is a process that died ---------------- */

static enum mongo_end begin_chain(struct mongo_audit *a, struct err_text *why)
{
    bson_t doc = BSON_INITIALIZER;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    mongo_put_bytes(&doc, "_id", a->chain, CHAIN_LEN);
    mongo_put_text(&doc, "host", bson_utf8_validate(host, strlen(host), false) ? host : "?");
    mongo_put_int(&doc, "pid", getpid());
    mongo_put_int(&doc, "began", wall_ms());
    enum mongo_end end = mongo_db_insert(&a->db, MONGO_CHAINS, &doc, why);
    bson_destroy(&doc);
    return end;
}

static enum mongo_end end_chain(struct mongo_audit *a, struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    bool matched;
    mongo_put_bytes(&filter, "_id", a->chain, CHAIN_LEN);
    mongo_put_begin(&update, "$set", &set);
    mongo_put_int(&set, "ended", wall_ms());
    mongo_put_int(&set, "records", a->seq);
    mongo_put_bytes(&set, "hash", a->hash, AUDIT_HASH_LEN);
    mongo_put_end(&update, &set);
    struct mongo_change c = {.in = MONGO_CHAINS, .filter = &filter, .update = &update};
    enum mongo_end end = mongo_db_update(&a->db, &c, &matched, why);
    bson_destroy(&filter);
    bson_destroy(&update);
    return end;
}

/* ---- the writer ---------------------------------------------------------------------------- */

/* Up to INSERT_MAX of what waits, oldest first; they stay in the list. */
static size_t peek(struct mongo_audit *a, const bson_t **docs)
{
    size_t n = 0;
    pthread_mutex_lock(&a->lock);
    for (struct record *r = a->first; r != NULL && n < INSERT_MAX; r = r->next)
        docs[n++] = r->doc;
    pthread_mutex_unlock(&a->lock);
    return n;
}

static void drop(struct mongo_audit *a, size_t n)
{
    pthread_mutex_lock(&a->lock);
    for (; n > 0; n--) {
        struct record *r = a->first;
        a->first = r->next;
        if (a->first == NULL)
            a->last = &a->first;
        a->n--;
        bson_destroy(r->doc);
        free(r);
    }
    pthread_mutex_unlock(&a->lock);
}

/* In order, and each only when those before it are durable. What was sent twice, because the answer
 * was lost, is there once: then they go one by one. *done: so many from the first are there; over
 * a slow network one by one takes longer than there is, and must not begin anew each time. */
static enum mongo_end write_batch(struct mongo_audit *a, const bson_t *const *docs, size_t n,
                                  size_t *done)
{
    struct err_text why;
    enum mongo_end end = mongo_db_insert_many(&a->db, MONGO_AUDIT, docs, n, &why);
    *done = end == MONGO_DONE ? n : 0;
    while (end == MONGO_DUPLICATE && *done < n) {
        enum mongo_end one = mongo_db_insert(&a->db, MONGO_AUDIT, docs[*done], &why);
        if (one != MONGO_DONE && one != MONGO_DUPLICATE)
            return one;
        ++*done;
    }
    return end == MONGO_DUPLICATE ? MONGO_DONE : end;
}

/* False: the store does not take it now. */
static bool write_waiting(struct mongo_audit *a)
{
    const bson_t *docs[INSERT_MAX];
    struct err_text why;
    size_t n;
    mongo_db_set_budget(&a->db, WRITE_MS);
    if (!a->begun) {
        enum mongo_end end = begin_chain(a, &why);
        a->begun = end == MONGO_DONE || end == MONGO_DUPLICATE;
    }
    while (a->begun && (n = peek(a, docs)) > 0) {
        size_t done;
        mongo_db_set_budget(&a->db, WRITE_MS);
        enum mongo_end end = write_batch(a, docs, n, &done);
        drop(a, done);
        if (end != MONGO_DONE)
            return false;
    }
    return a->begun;
}

static bool wait_for_more(struct mongo_audit *a)
{
    pthread_mutex_lock(&a->lock);
    while (a->first == NULL && !a->stopping)
        pthread_cond_wait(&a->woken, &a->lock);
    bool stopping = a->stopping;
    pthread_mutex_unlock(&a->lock);
    return !stopping;
}

/* What waits, and then that it was all. */
static bool write_end(struct mongo_audit *a)
{
    struct err_text why;
    if (!write_waiting(a))
        return false;
    mongo_db_set_budget(&a->db, WRITE_MS);
    return end_chain(a, &why) == MONGO_DONE;
}

static void *writer_main(void *arg)
{
    struct mongo_audit *a = arg;
    while (wait_for_more(a))
        if (!write_waiting(a))
            mongo_db_pause();
    /* An end that is not written in time shows like a death, which is the safe side. */
    int64_t until = mongo_db_now_ms() + STOP_MS;
    while (!write_end(a) && mongo_db_now_ms() < until)
        mongo_db_pause();
    return NULL;
}

enum err mongo_audit_start(struct mongo_audit **out, struct mongo *m, struct err_text *why)
{
    struct mongo_audit *a = mem_zalloc(1, sizeof *a);
    a->shared = m;
    a->last = &a->first;
    a->db = store_mongo_pop(m);
    mongo_db_random(a->chain, CHAIN_LEN);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->woken, NULL);
    if (pthread_create(&a->thread, NULL, writer_main, a) != 0) {
        mongoc_client_pool_push(m->pool, a->db.client);
        free(a);
        return err_set(why, ERR_UNAVAILABLE, NULL, "cannot start the audit thread");
    }
    pthread_setname_np(a->thread, "audit");
    *out = a;
    return ERR_OK;
}

void mongo_audit_stop(struct mongo_audit *a)
{
    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_signal(&a->woken);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    drop(a, a->n);
    mongoc_client_pool_push(a->shared->pool, a->db.client);
    pthread_cond_destroy(&a->woken);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* ---- operations ---------------------------------------------------------------------------- */

enum err mongo_audit_head(struct store *base, int64_t *seq, uint8_t hash[AUDIT_HASH_LEN],
                          struct err_text *why)
{
    struct mongo_audit *a = mongo_store_of(base)->shared->audit;
    (void)why;
    pthread_mutex_lock(&a->lock);
    *seq = a->seq;
    memcpy(hash, a->hash, AUDIT_HASH_LEN);
    pthread_mutex_unlock(&a->lock);
    return ERR_OK;
}

static struct record *record_of(const struct mongo_audit *a, const struct audit_record *r)
{
    struct record *record = mem_zalloc(1, sizeof *record);
    bson_t id;
    record->doc = bson_new();
    mongo_put_begin(record->doc, "_id", &id);
    mongo_put_bytes(&id, "chain", a->chain, CHAIN_LEN);
    mongo_put_int(&id, "seq", r->seq);
    mongo_put_end(record->doc, &id);
    mongo_put_int(record->doc, "time", r->time_ms);
    mongo_put_bytes(record->doc, "tenant", r->tenant.s.p, r->tenant.s.len);
    mongo_put_str(record->doc, "body", r->body);
    mongo_put_bytes(record->doc, "hash", r->hash, AUDIT_HASH_LEN);
    return record;
}

enum err mongo_audit_append(struct store *base, const struct audit_record *r, struct err_text *why)
{
    struct mongo_audit *a = mongo_store_of(base)->shared->audit;
    enum err e = ERR_OK;
    pthread_mutex_lock(&a->lock);
    if (r->seq != a->seq + 1) {
        e = err_set(why, ERR_CONFLICT, NULL, "the next record is number %lld",
                    (long long)a->seq + 1);
    } else if (a->n >= WAITING_MAX) {
        e = err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "the audit log cannot be written");
    } else {
        struct record *record = record_of(a, r);
        *a->last = record;
        a->last = &record->next;
        a->n++;
        a->seq = r->seq;
        memcpy(a->hash, r->hash, AUDIT_HASH_LEN);
        pthread_cond_signal(&a->woken);
    }
    pthread_mutex_unlock(&a->lock);
    return e;
}
