/* SPDX-License-Identifier: ISC */

/* How many sign-ins the embedded store makes durable in a second: each is a charge with a
 * request id, an accept and an audit record, in batches of one commit.
 * store_bench FOLDER [USERS [BATCH [SIGN_INS]]] */

#include "base/mem.h"
#include "store/store.h"
#include "store/store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TENANTS   50
#define BATCH_MAX 4096
/* Between two sign-ins of a user: their request ids are forgotten. */
#define ROUND_MS (15 * 60 * 1000)
#define START_MS INT64_C(1750000000000)
#define STEP_MS  30000

struct bench {
    struct store *store;
    uint32_t users;
    uint32_t *order; /* in which the users come, round after round */
    int64_t seq;
    uint64_t random;
    struct lockout_rule lockout;
};

static void must(enum err e, const struct err_text *why)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "store_bench: %s: %s\n", err_name(e), why->text);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now_s(void)
{
    return seconds(CLOCK_MONOTONIC);
}

static uint64_t next_random(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

struct ids {
    char tenant[32];
    char user[48];
    struct tenant_id t;
    struct user_id u;
};

static void make_ids(struct ids *ids, uint32_t user)
{
    snprintf(ids->tenant, sizeof ids->tenant, "tenant-%04u", user % TENANTS);
    snprintf(ids->user, sizeof ids->user, "user-%08u@example.com", user);
    ids->t.s = str_from(ids->tenant);
    ids->u.s = str_from(ids->user);
}

static struct enrollment_id enrollment_of(uint32_t user)
{
    struct enrollment_id id = {{0}};
    memcpy(id.bytes, &user, sizeof user);
    return id;
}

static void enroll(struct bench *b, uint32_t user)
{
    struct err_text why;
    struct ids ids;
    make_ids(&ids, user);
    struct factor f = {.enrollment = enrollment_of(user),
                       .generation = 1,
                       .key_id = 1,
                       .algorithm = 1,
                       .digits = 6,
                       .period = 30,
                       .create_ms = START_MS,
                       .expire_ms = START_MS + ROUND_MS,
                       .sealed_len = 60};
    struct acceptance a = {.enrollment = f.enrollment, .step = 1, .now_ms = START_MS};
    bool won;
    b->store->ops->job_begin(b->store, INT64_MAX);
    must(b->store->ops->pending_put(b->store, ids.t, ids.u, &f, &why), &why);
    must(b->store->ops->accept(b->store, ids.t, ids.u, &a, &won, &why), &why);
    must(b->store->ops->job_end(b->store, true, &why), &why);
}

static void enroll_all(struct bench *b)
{
    struct err_text why;
    for (uint32_t i = 0; i < b->users;) {
        must(b->store->ops->batch_begin(b->store, &why), &why);
        for (uint32_t k = 0; k < BATCH_MAX && i < b->users; k++)
            enroll(b, i++);
        must(b->store->ops->batch_commit(b->store, &why), &why);
    }
}

static void sign_in(struct bench *b, uint32_t user, int64_t now)
{
    struct err_text why;
    struct ids ids;
    struct charged charged;
    struct request_mark request;
    bool won;
    make_ids(&ids, user);
    for (size_t i = 0; i < sizeof request / 8; i++) {
        uint64_t r = next_random(b);
        memcpy((char *)&request + 8 * i, &r, 8);
    }
    struct charge c = {
        .now_ms = now, .lockout = &b->lockout, .code_digits = 6, .request = &request};
    b->store->ops->job_begin(b->store, INT64_MAX);
    must(b->store->ops->charge(b->store, ids.t, ids.u, &c, &charged, &why), &why);
    if (charged.result != CHARGE_READY)
        abort();
    struct acceptance a = {.enrollment = charged.factor.enrollment,
                           .step = now / STEP_MS,
                           .now_ms = now,
                           .request = &request,
                           .answer = {.outcome = 1, .time_ms = now}};
    must(b->store->ops->accept(b->store, ids.t, ids.u, &a, &won, &why), &why);
    if (!won)
        abort();
    must(b->store->ops->job_end(b->store, true, &why), &why);
}

static void note(struct bench *b, uint32_t user, int64_t now)
{
    static const char body[] =
        "{\"time\":\"2025-06-15T12:00:00.000Z\",\"action\":\"verify\",\"tenant\":\"tenant-0001\","
        "\"user\":\"user-00000001@example.com\",\"caller\":\"crm-web\",\"client_address\":"
        "\"192.0.2.17\",\"outcome\":\"accepted\",\"request_id\":"
        "\"00000000000000000000000000000000\"}";
    struct err_text why;
    struct ids ids;
    make_ids(&ids, user);
    struct audit_record r = {.seq = ++b->seq, .time_ms = now, .tenant = ids.t, .body = STR(body)};
    must(b->store->ops->audit_append(b->store, &r, &why), &why);
}

static void shuffle(struct bench *b)
{
    for (uint32_t i = b->users; i-- > 1;) {
        uint32_t k = (uint32_t)(next_random(b) % (i + 1)), x = b->order[i];
        b->order[i] = b->order[k];
        b->order[k] = x;
    }
}

static void run(struct bench *b, uint32_t batch, uint32_t n)
{
    struct err_text why;
    double start = now_s(), last = start, worst = 0, cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < n;) {
        must(b->store->ops->batch_begin(b->store, &why), &why);
        uint32_t first = i;
        for (; i < first + batch && i < n; i++) {
            int64_t now = START_MS + ROUND_MS + (int64_t)((double)i * ROUND_MS / (double)b->users);
            sign_in(b, b->order[i % b->users], now);
        }
        for (uint32_t k = first; k < i; k++)
            note(b, b->order[k % b->users], START_MS);
        must(b->store->ops->batch_commit(b->store, &why), &why);
        double t = now_s();
        worst = t - last > worst ? t - last : worst;
        last = t;
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%u users, batches of %u: %.0f sign-ins/s, %.2f us of processor each, "
           "longest batch %.1f ms\n",
           b->users, batch, (double)n / (last - start), cpu / (double)n * 1e6, worst * 1e3);
}

static unsigned long number(int argc, char **argv, int i, unsigned long preset)
{
    return argc > i ? strtoul(argv[i], NULL, 10) : preset;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_bench FOLDER [USERS [BATCH [SIGN_INS]]]\n");
        return 64;
    }
    struct err_text why;
    char path[512];
    struct bench b = {.users = (uint32_t)number(argc, argv, 2, 100000),
                      .random = 88172645463325252u,
                      .lockout = {.n_waits = 1, .limit = 100}};
    uint32_t batch = (uint32_t)number(argc, argv, 3, 64);
    uint32_t n = (uint32_t)number(argc, argv, 4, 1000000);
    snprintf(path, sizeof path, "%s/store_bench.db", argv[1]);
    unlink(path);
    b.order = mem_zalloc(b.users, sizeof *b.order);
    for (uint32_t i = 0; i < b.users; i++)
        b.order[i] = i;
    must(store_sqlite_open(&b.store, path, &why), &why);
    double start = now_s();
    enroll_all(&b);
    shuffle(&b);
    printf("%u users enrolled in %.1f s\n", b.users, now_s() - start);
    run(&b, batch, n);
    b.store->ops->close(b.store);
    start = now_s();
    must(store_sqlite_open(&b.store, path, &why), &why);
    printf("opened in %.1f ms\n", (now_s() - start) * 1e3);
    b.store->ops->close(b.store);
    unlink(path);
    free(b.order);
    return 0;
}
