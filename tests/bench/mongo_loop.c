/* SPDX-License-Identifier: ISC */
/* What a sign-in's two writes cost on MongoDB without twostep: the least that libmongoc needs.
 *
 *     mongo_loop seed URI USERS              documents of the size that twostepd's users have
 *     mongo_loop crowd URI FIRST USERS       small ones with keys like twostepd's, in its
 * collection mongo_loop one URI USERS CLIENTS SECONDS     a charge: findAndModify, the document
 * comes back mongo_loop two URI USERS CLIENTS SECONDS     a sign-in: that, and an update of the
 * document
 *
 * Each client is a thread with its own client of one pool, and has its own part of the users, of
 * which it takes any. Conditions, updates, write concern and sizes are those of src/store; a log
 * grows and is cut as there, with one update more where only charges are made. A reply counts when
 * it says that one document was changed. The URI names the database. */
#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_CAP    64
#define ID_LEN     16
#define SEALED_LEN 60
#define LOG_LONG   24 /* then it is cut, as the store does */
#define LOG_CUT    4
#define LOG_MAX    "log.191"
#define TENANT     "bench"
#define USERS      "users"
#define BATCH      1000
#define STEP_MS    30000
#define START_MS   INT64_C(1800000000000)
#define US_MAX     200000
#define PATIENCE   10000
#define CLIENTS    256

static struct {
    mongoc_client_pool_t *pool;
    const char *database;
    mongoc_write_concern_t *durable;
    size_t users, clients;
    bool two;
    double until;
} opt;

struct client {
    pthread_t thread;
    size_t number;
    uint64_t random;
    int64_t step;
    size_t done;
    uint32_t *times_us; /* how many turns took so long */
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "mongo_loop: %s: %s\n", what, detail);
    exit(EXIT_FAILURE);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- documents --------------------------------------------------------------------------------
 */

static void put_bytes(bson_t *b, const char *key, const void *bytes, size_t n)
{
    bson_append_binary(b, key, -1, BSON_SUBTYPE_BINARY, bytes, (uint32_t)n);
}

static void put_int(bson_t *b, const char *key, int64_t value)
{
    bson_append_int64(b, key, -1, value);
}

struct key {
    char bytes[KEY_CAP]; /* the tenant's length, the tenant, the user */
    size_t len;
};

static struct key key_of(const char *kind, int width, size_t user)
{
    struct key k;
    k.len = (size_t)snprintf(k.bytes, sizeof k.bytes, "%c%s%s-%0*zu", (int)strlen(TENANT), TENANT,
                             kind, width, user);
    return k;
}

static struct key user_key(size_t user)
{
    return key_of("user", 6, user);
}

static void put_names(bson_t *b, const struct key *k)
{
    const size_t before = 1 + strlen(TENANT);
    put_bytes(b, "_id", k->bytes, k->len);
    put_bytes(b, "tenant", TENANT, strlen(TENANT));
    put_bytes(b, "user", k->bytes + before, k->len - before);
}

static void put_key(bson_t *b, size_t user)
{
    struct key k = user_key(user);
    put_bytes(b, "_id", k.bytes, k.len);
}

static void put_mark(bson_t *b, uint64_t random)
{
    uint64_t id[2] = {random, ~random};
    put_bytes(b, "id", id, sizeof id);
}

/* Every other one is an acceptance. */
static void put_entry(bson_t *b, bool won, uint64_t random, int64_t now_ms)
{
    bson_t answer;
    put_int(b, "kind", won ? 3 : 1);
    put_mark(b, random);
    put_int(b, "time", now_ms);
    if (!won)
        return;
    bson_append_document_begin(b, "answer", -1, &answer);
    put_int(&answer, "outcome", 1);
    put_int(&answer, "time", now_ms);
    bson_append_document_end(b, &answer);
}

/* The first ones are what is left of earlier sign-ins. */
static void put_log(bson_t *b, uint32_t n, int64_t now_ms)
{
    bson_t log, entry;
    bson_append_array_begin(b, "log", -1, &log);
    for (uint32_t i = 0; i < n; i++) {
        char room[16];
        const char *at;
        bson_uint32_to_string(i, &at, room, sizeof room);
        bson_append_document_begin(&log, at, -1, &entry);
        put_entry(&entry, true, i, now_ms);
        bson_append_document_end(&log, &entry);
    }
    bson_append_array_end(b, &log);
}

static void put_secret(bson_t *b)
{
    static const char id[ID_LEN] = "an enrollment id", sealed[SEALED_LEN];
    static const char *const numbers[] = {"gen",    "key",     "algorithm", "digits",
                                          "period", "created", "confirmed", "expires"};
    bson_t own;
    bson_append_document_begin(b, "own", -1, &own);
    put_bytes(&own, "id", id, sizeof id);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        put_int(&own, numbers[i], 6);
    put_bytes(&own, "sealed", sealed, sizeof sealed);
    bson_append_document_end(b, &own);
}

static bson_t *new_user(size_t user)
{
    bson_t *b = bson_new(), none;
    static const char writes[2 * ID_LEN];
    struct key k = user_key(user);
    put_names(b, &k);
    put_int(b, "v", 1);
    put_bytes(b, "writes", writes, sizeof writes);
    put_int(b, "failures", 0);
    put_int(b, "last", START_MS);
    put_log(b, 1, START_MS);
    put_int(b, "gen", 1);
    put_int(b, "step", 0);
    put_int(b, "sweep", START_MS);
    put_secret(b);
    bson_append_array_begin(b, "resets", -1, &none);
    bson_append_array_end(b, &none);
    bson_append_array_begin(b, "mails", -1, &none);
    bson_append_array_end(b, &none);
    return b;
}

static bson_t *new_bystander(size_t user)
{
    bson_t *b = bson_new();
    struct key k = key_of("crowd", 7, user);
    put_names(b, &k);
    return b;
}

/* ---- commands ---------------------------------------------------------------------------------
 */

static void run(mongoc_client_t *client, bson_t *command, bson_t *reply)
{
    bson_error_t error;
    bson_t opts = BSON_INITIALIZER;
    put_int(command, "maxTimeMS", PATIENCE);
    mongoc_write_concern_append(opt.durable, &opts);
    if (!mongoc_client_write_command_with_opts(client, opt.database, command, &opts, reply, &error))
        die("a command failed", error.message);
    bson_destroy(&opts);
    bson_destroy(command);
}

static void insert(mongoc_client_t *client, size_t first, size_t end, bson_t *(*make)(size_t))
{
    bson_t command = BSON_INITIALIZER, list, reply;
    BSON_APPEND_UTF8(&command, "insert", USERS);
    bson_append_array_begin(&command, "documents", -1, &list);
    for (size_t i = first; i < end; i++) {
        char room[16];
        const char *at;
        bson_t *doc = make(i);
        bson_uint32_to_string((uint32_t)(i - first), &at, room, sizeof room);
        bson_append_document(&list, at, -1, doc);
        bson_destroy(doc);
    }
    bson_append_array_end(&command, &list);
    run(client, &command, &reply);
    if (bson_has_field(&reply, "writeErrors"))
        die("insert", "a user was there already");
    bson_destroy(&reply);
}

static void insert_all(size_t first, size_t end, bson_t *(*make)(size_t))
{
    mongoc_client_t *client = mongoc_client_pool_pop(opt.pool);
    for (; first < end; first += BATCH)
        insert(client, first, first + BATCH < end ? first + BATCH : end, make);
    mongoc_client_pool_push(opt.pool, client);
}

static void put_push(bson_t *b, bool won, uint64_t random, int64_t now_ms)
{
    bson_t push, entry;
    bson_append_document_begin(b, "$push", -1, &push);
    bson_append_document_begin(&push, "log", -1, &entry);
    put_entry(&entry, won, random, now_ms);
    bson_append_document_end(&push, &entry);
    bson_append_document_end(b, &push);
}

static void put_version(bson_t *b)
{
    bson_t inc;
    bson_append_document_begin(b, "$inc", -1, &inc);
    put_int(&inc, "v", 1);
    bson_append_document_end(b, &inc);
}

/* How many entries the log has that came back; 0 when nobody did. */
static uint32_t log_len(const bson_t *reply)
{
    bson_iter_t it, log, entry;
    uint32_t n = 0;
    if (!bson_iter_init(&it, reply) || !bson_iter_find_descendant(&it, "value.log", &log) ||
        !bson_iter_recurse(&log, &entry))
        return 0;
    while (bson_iter_next(&entry))
        n++;
    return n;
}

/* True: the log has become long. */
static bool charge(mongoc_client_t *client, size_t user, uint64_t random, int64_t now_ms)
{
    bson_t command = BSON_INITIALIZER, child, room, reply;
    BSON_APPEND_UTF8(&command, "findAndModify", USERS);
    bson_append_document_begin(&command, "query", -1, &child);
    put_key(&child, user);
    bson_append_document_begin(&child, LOG_MAX, -1, &room);
    BSON_APPEND_BOOL(&room, "$exists", false);
    bson_append_document_end(&child, &room);
    put_int(&child, "own.digits", 6);
    bson_append_document_end(&command, &child);
    bson_append_document_begin(&command, "update", -1, &child);
    put_push(&child, false, random, now_ms);
    put_version(&child);
    bson_append_document_end(&command, &child);
    BSON_APPEND_BOOL(&command, "new", true);
    bson_append_document_begin(&command, "fields", -1, &child);
    put_int(&child, "resets", 0);
    put_int(&child, "mails", 0);
    bson_append_document_end(&command, &child);
    run(client, &command, &reply);
    uint32_t n = log_len(&reply);
    if (n == 0)
        die("findAndModify", "found nobody");
    bson_destroy(&reply);
    return n > LOG_LONG;
}

static void put_step(bson_t *one, size_t user, uint64_t random, int64_t step, bool cut)
{
    static const char id[ID_LEN] = "an enrollment id";
    bson_t child, op;
    bson_append_document_begin(one, "q", -1, &child);
    put_key(&child, user);
    put_bytes(&child, "own.id", id, sizeof id);
    bson_append_document_begin(&child, "step", -1, &op);
    put_int(&op, "$lt", step);
    bson_append_document_end(&child, &op);
    bson_append_document_end(one, &child);
    bson_append_document_begin(one, "u", -1, &child);
    bson_append_document_begin(&child, "$set", -1, &op);
    put_int(&op, "step", step);
    if (cut)
        put_log(&op, LOG_CUT, step * STEP_MS);
    bson_append_document_end(&child, &op);
    if (!cut)
        put_push(&child, true, random, step * STEP_MS);
    put_version(&child);
    bson_append_document_end(one, &child);
}

static void move_step(mongoc_client_t *client, size_t user, uint64_t random, int64_t step, bool cut)
{
    bson_t command = BSON_INITIALIZER, list, one, reply;
    bson_iter_t it;
    BSON_APPEND_UTF8(&command, "update", USERS);
    bson_append_array_begin(&command, "updates", -1, &list);
    bson_append_document_begin(&list, "0", -1, &one);
    put_step(&one, user, random, step, cut);
    bson_append_document_end(&list, &one);
    bson_append_array_end(&command, &list);
    run(client, &command, &reply);
    if (!bson_iter_init_find(&it, &reply, "n") || bson_iter_as_int64(&it) != 1)
        die("update", "matched nobody");
    bson_destroy(&reply);
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

static uint64_t next_random(struct client *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

static void turn(struct client *c, mongoc_client_t *client)
{
    uint64_t random = next_random(c);
    size_t user = random % (opt.users / opt.clients) * opt.clients + c->number;
    bool cut = charge(client, user, random, ++c->step * STEP_MS);
    if (opt.two || cut)
        move_step(client, user, random, c->step, cut);
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    mongoc_client_t *client = mongoc_client_pool_pop(opt.pool);
    double begin = now_s();
    c->step = (int64_t)(begin * 1e6); /* newer than those of a run before */
    while (begin < opt.until) {
        turn(c, client);
        double end = now_s();
        size_t us = (size_t)((end - begin) * 1e6);
        c->times_us[us < US_MAX ? us : US_MAX - 1]++;
        c->done++;
        begin = end;
    }
    mongoc_client_pool_push(opt.pool, client);
    return NULL;
}

static unsigned median_us(const struct client *clients, size_t done)
{
    size_t seen = 0;
    for (unsigned us = 0; us < US_MAX; us++) {
        for (size_t i = 0; i < opt.clients; i++)
            seen += clients[i].times_us[us];
        if (2 * seen >= done)
            return us;
    }
    return US_MAX;
}

static void loop(double seconds)
{
    static struct client clients[CLIENTS];
    size_t done = 0;
    double begin = now_s();
    opt.until = begin + seconds;
    for (size_t i = 0; i < opt.clients; i++) {
        clients[i] = (struct client){.number = i,
                                     .random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15),
                                     .times_us = calloc(US_MAX, sizeof(uint32_t))};
        if (pthread_create(&clients[i].thread, NULL, client_main, &clients[i]) != 0)
            die("a client", "no thread");
    }
    for (size_t i = 0; i < opt.clients; i++) {
        pthread_join(clients[i].thread, NULL);
        done += clients[i].done;
    }
    double took = now_s() - begin;
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("turns=%zu seconds=%.3f rate=%.0f p50_us=%u cpu_us=%.1f\n", done, took,
           (double)done / took, median_us(clients, done),
           ((double)cpu.tv_sec * 1e6 + (double)cpu.tv_nsec / 1e3) / (double)done);
}

/* ---- the command line -------------------------------------------------------------------------
 */

/* As src/store has it: what is sent twice is not the driver's decision. */
static void open_pool(const char *text)
{
    mongoc_init();
    mongoc_uri_t *uri = mongoc_uri_new(text);
    if (uri == NULL || mongoc_uri_get_database(uri) == NULL)
        die(text, "no URI with a database");
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false);
    opt.database = strdup(mongoc_uri_get_database(uri));
    opt.pool = mongoc_client_pool_new(uri);
    mongoc_client_pool_max_size(opt.pool, CLIENTS);
    opt.durable = mongoc_write_concern_new();
    mongoc_write_concern_set_w(opt.durable, MONGOC_WRITE_CONCERN_W_MAJORITY);
    mongoc_write_concern_set_journal(opt.durable, true);
    mongoc_uri_destroy(uri);
}

static size_t number(const char *text)
{
    return strtoul(text, NULL, 10);
}

static void measure(char **argv)
{
    opt.two = strcmp(argv[1], "two") == 0;
    opt.users = number(argv[3]);
    opt.clients = number(argv[4]);
    if (opt.clients == 0 || opt.clients > CLIENTS || opt.users < opt.clients)
        die("clients", "between 1 and 256, and no more than users");
    loop(strtod(argv[5], NULL));
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    if (argc > 2)
        open_pool(argv[2]);
    if (argc == 4 && strcmp(what, "seed") == 0)
        insert_all(0, number(argv[3]), new_user);
    else if (argc == 5 && strcmp(what, "crowd") == 0)
        insert_all(number(argv[3]), number(argv[3]) + number(argv[4]), new_bystander);
    else if (argc == 6 && (strcmp(what, "one") == 0 || strcmp(what, "two") == 0))
        measure(argv);
    else {
        fputs("usage: mongo_loop seed URI USERS | crowd URI FIRST USERS\n"
              "                  | one|two URI USERS CLIENTS SECONDS\n",
              stderr);
        return 64;
    }
    mongoc_client_pool_destroy(opt.pool);
    return EXIT_SUCCESS;
}
