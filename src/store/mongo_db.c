/* SPDX-License-Identifier: ISC */
#include "mongo_db_internal.h"
#include "mongo_put_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define RETRY_MS          25
#define TIME_MS_MIN       1
#define CODE_DUPLICATE    11000
#define BUDGET_LONGEST_MS (60 * 60 * 1000)

const char *const mongo_db_collections[MONGO_N_COLLECTIONS] = {
    [MONGO_USERS] = "users", [MONGO_TENANTS] = "tenants", [MONGO_LIMITS] = "limits",
    [MONGO_AUDIT] = "audit", [MONGO_CHAINS] = "chains",   [MONGO_META] = "meta",
};

int64_t mongo_db_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void mongo_db_set_budget(struct mongo_db *db, int64_t budget_ms)
{
    if (budget_ms > BUDGET_LONGEST_MS)
        budget_ms = BUDGET_LONGEST_MS;
    db->deadline_ms = mongo_db_now_ms() + budget_ms;
}

void mongo_db_random(void *out, size_t n)
{
    if (getrandom(out, n, 0) != (ssize_t)n)
        abort();
}

static int64_t time_left(const struct mongo_db *db)
{
    int64_t left = db->deadline_ms - mongo_db_now_ms();
    return left > TIME_MS_MIN ? left : TIME_MS_MIN;
}

void mongo_db_pause(void)
{
    static const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
    nanosleep(&pause, NULL);
}

bool mongo_db_may_retry(struct mongo_db *db)
{
    if (mongo_db_now_ms() + RETRY_MS >= db->deadline_ms)
        return false;
    mongo_db_pause();
    return true;
}

enum err mongo_db_failed(struct err_text *why)
{
    char text[sizeof why->text];
    snprintf(text, sizeof text, "%s", why->text);
    return err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "%s", text);
}

/* Codes by which a server says that a command is not to be repeated: it, or who sends it, is
 * wrong. Everything else may have happened, or may work another time. */
static bool is_refusal(int64_t code)
{
    static const int refusals[] = {
        2,     /* BadValue */
        9,     /* FailedToParse */
        13,    /* Unauthorized */
        14,    /* TypeMismatch */
        18,    /* AuthenticationFailed */
        20,    /* IllegalOperation */
        28,    /* PathNotViable */
        40,    /* ConflictingUpdateOperators */
        59,    /* CommandNotFound */
        67,    /* CannotCreateIndex */
        72,    /* InvalidOptions */
        79,    /* UnknownReplWriteConcern */
        85,    /* IndexOptionsConflict */
        86,    /* IndexKeySpecsConflict */
        115,   /* CommandNotSupported */
        121,   /* DocumentValidationFailure */
        238,   /* NotImplemented */
        10334, /* BSONObjectTooLarge */
        17280, /* KeyTooLong */
        17419, /* the document would be too large */
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i] == code)
            return true;
    return false;
}

static enum mongo_end end_of(int64_t code, const char *message, struct err_text *why)
{
    if (code == CODE_DUPLICATE)
        return MONGO_DUPLICATE;
    err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "mongodb: %s (%lld)",
            message != NULL && message[0] != '\0' ? message : "a failure without words",
            (long long)code);
    return is_refusal(code) ? MONGO_REFUSED : MONGO_UNKNOWN;
}

/* A failure that a reply tells beside ok: 1. */
static enum mongo_end end_of_part(const bson_iter_t *at, struct err_text *why)
{
    bson_iter_t part, field;
    int64_t code = 0;
    const char *message = "a write concern error";
    if (bson_iter_recurse(at, &part) && bson_iter_find(&part, "code") &&
        BSON_ITER_HOLDS_NUMBER(&part))
        code = bson_iter_as_int64(&part);
    if (bson_iter_recurse(at, &field) && bson_iter_find(&field, "errmsg") &&
        BSON_ITER_HOLDS_UTF8(&field))
        message = bson_iter_utf8(&field, NULL);
    return end_of(code, message, why);
}

static enum mongo_end unsound(struct err_text *why)
{
    err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "mongodb: a reply that makes no sense");
    return MONGO_UNKNOWN;
}

/* What the reply of a write says; of several errors in it the worst. */
static enum mongo_end end_of_reply(const bson_t *reply, struct err_text *why)
{
    bson_iter_t it, each;
    enum mongo_end end = MONGO_DONE;
    if (bson_iter_init_find(&it, reply, "writeErrors")) {
        if (!BSON_ITER_HOLDS_ARRAY(&it) || !bson_iter_recurse(&it, &each))
            return unsound(why);
        while (bson_iter_next(&each)) {
            enum mongo_end one = end_of_part(&each, why);
            end = one > end ? one : end;
        }
    }
    /* Happened, but not for a majority, and may be undone yet. */
    if (bson_iter_init_find(&it, reply, "writeConcernError")) {
        (void)end_of_part(&it, why);
        end = MONGO_UNKNOWN;
    }
    return end;
}

/* The driver takes any bytes for a reply: what is not one is an outcome that nobody knows. */
static bool is_sound(const bson_t *reply)
{
    bson_iter_t ok;
    return bson_validate(reply, BSON_VALIDATE_NONE, NULL) &&
           bson_iter_init_find(&ok, reply, "ok") && BSON_ITER_HOLDS_NUMBER(&ok) &&
           bson_iter_as_int64(&ok) == 1;
}

/* Sooner than the socket gives up, the server says that it has no majority. */
static void put_concern(const struct mongo_db *db, bson_t *opts)
{
    int64_t left = time_left(db);
    mongoc_write_concern_t *w = mongoc_write_concern_copy(db->durable);
    mongoc_write_concern_set_wtimeout_int64(w, left < MONGO_MAJORITY_MS ? left : MONGO_MAJORITY_MS);
    if (!mongoc_write_concern_append(w, opts))
        abort();
    mongoc_write_concern_destroy(w);
}

/* Runs a command that writes; *reply is to be destroyed. */
static enum mongo_end run_write(struct mongo_db *db, bson_t *command, bson_t *reply, int *code,
                                struct err_text *why)
{
    bson_error_t error = {0};
    bson_t opts = BSON_INITIALIZER;
    *code = 0;
    if (mongo_db_now_ms() >= db->deadline_ms) { /* nobody waits for it any more */
        bson_init(reply);
        err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "mongodb: there was no time left");
        return MONGO_UNKNOWN;
    }
    mongo_put_int(command, "maxTimeMS", time_left(db));
    put_concern(db, &opts);
    bool ok =
        mongoc_client_write_command_with_opts(db->client, db->name, command, &opts, reply, &error);
    bson_destroy(&opts);
    *code = ok ? 0 : (int)error.code;
    if (ok && !is_sound(reply))
        return unsound(why);
    enum mongo_end end = ok ? end_of_reply(reply, why) : MONGO_DONE;
    if (ok || end != MONGO_DONE)
        return end;
    bool of_server = error.domain == MONGOC_ERROR_SERVER || error.domain == MONGOC_ERROR_QUERY;
    end = end_of(of_server ? error.code : 0, error.message, why);
    bool of_ours =
        error.domain == MONGOC_ERROR_CLIENT && error.code == MONGOC_ERROR_CLIENT_AUTHENTICATE;
    return of_ours ? MONGO_REFUSED : end;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The first document of a reply's batch. */
static enum err first_of(const bson_t *reply, bson_t *out, bool *found, struct err_text *why)
{
    bson_iter_t it, batch, one;
    const uint8_t *data;
    uint32_t n;
    bson_t doc;
    *found = false;
    if (!bson_iter_init(&it, reply) ||
        !bson_iter_find_descendant(&it, "cursor.firstBatch", &batch) ||
        !BSON_ITER_HOLDS_ARRAY(&batch) || !bson_iter_recurse(&batch, &one))
        return err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "mongodb: a reply of no sense");
    if (!bson_iter_next(&one))
        return ERR_OK;
    if (!BSON_ITER_HOLDS_DOCUMENT(&one))
        return err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "mongodb: a reply of no sense");
    bson_iter_document(&one, &n, &data);
    if (data == NULL || !bson_init_static(&doc, data, n))
        return err_set(why, ERR_CORRUPT, NULL, "mongodb: a document of no sense");
    bson_copy_to(&doc, out);
    *found = true;
    return ERR_OK;
}

static bool run_find(struct mongo_db *db, const struct mongo_find *f, bson_t *reply,
                     bson_error_t *error)
{
    bson_t command = BSON_INITIALIZER, opts = BSON_INITIALIZER;
    mongo_put_text(&command, "find", mongo_db_collections[f->from]);
    mongo_put_doc(&command, "filter", f->filter);
    if (f->sort != NULL)
        mongo_put_doc(&command, "sort", f->sort);
    if (f->fields != NULL)
        mongo_put_doc(&command, "projection", f->fields);
    mongo_put_int(&command, "limit", 1);
    mongo_put_bool(&command, "singleBatch", true);
    mongo_put_int(&command, "maxTimeMS", time_left(db));
    mongoc_read_concern_t *majority = mongoc_read_concern_new();
    mongoc_read_concern_set_level(majority, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    if (!mongoc_read_concern_append(majority, &opts))
        abort();
    bool ok = mongoc_client_read_command_with_opts(db->client, db->name, &command, NULL, &opts,
                                                   reply, error);
    mongoc_read_concern_destroy(majority);
    bson_destroy(&opts);
    bson_destroy(&command);
    return ok;
}

enum err mongo_db_find(struct mongo_db *db, const struct mongo_find *f, bson_t *out, bool *found,
                       struct err_text *why)
{
    for (;;) {
        bson_t reply;
        bson_error_t error = {0};
        bool ok = run_find(db, f, &reply, &error) && is_sound(&reply);
        enum err e = ok ? first_of(&reply, out, found, why) : ERR_OK;
        bson_destroy(&reply);
        if (ok)
            return e;
        bool of_server = error.domain == MONGOC_ERROR_SERVER || error.domain == MONGOC_ERROR_QUERY;
        enum mongo_end end = end_of(of_server ? error.code : 0, error.message, why);
        if (end == MONGO_REFUSED || !mongo_db_may_retry(db))
            return ERR_UNAVAILABLE;
    }
}

/* ---- writing ------------------------------------------------------------------------------- */

/* The document that a reply of findAndModify has, or null. */
static enum mongo_end value_of(const bson_t *reply, bson_t *out, bool *found, struct err_text *why)
{
    bson_iter_t it;
    const uint8_t *data = NULL;
    uint32_t n;
    bson_t doc;
    bool there = bson_iter_init_find(&it, reply, "value");
    if (there && BSON_ITER_HOLDS_NULL(&it))
        return MONGO_DONE;
    if (there && BSON_ITER_HOLDS_DOCUMENT(&it))
        bson_iter_document(&it, &n, &data);
    if (data == NULL || !bson_init_static(&doc, data, n))
        return unsound(why);
    bson_copy_to(&doc, out);
    *found = true;
    return MONGO_DONE;
}

enum mongo_end mongo_db_modify(struct mongo_db *db, const struct mongo_change *c, bson_t *out,
                               bool *found, struct err_text *why)
{
    bson_t command = BSON_INITIALIZER, reply;
    int code;
    mongo_put_text(&command, "findAndModify", mongo_db_collections[c->in]);
    mongo_put_doc(&command, "query", c->filter);
    mongo_put_doc(&command, "update", c->update);
    mongo_put_bool(&command, "new", true);
    if (c->fields != NULL)
        mongo_put_doc(&command, "fields", c->fields);
    if (c->upsert)
        mongo_put_bool(&command, "upsert", true);
    enum mongo_end end = run_write(db, &command, &reply, &code, why);
    *found = false;
    if (end == MONGO_DONE)
        end = value_of(&reply, out, found, why);
    bson_destroy(&reply);
    bson_destroy(&command);
    return end;
}

/* The field n of a reply. */
static enum mongo_end count_of(const bson_t *reply, int64_t *out, struct err_text *why)
{
    bson_iter_t it;
    if (!bson_iter_init_find(&it, reply, "n") || !BSON_ITER_HOLDS_NUMBER(&it))
        return unsound(why);
    *out = bson_iter_as_int64(&it);
    return MONGO_DONE;
}

/* A command whose list has one element. */
static enum mongo_end run_one(struct mongo_db *db, const char *verb, enum mongo_collection in,
                              const char *list, const bson_t *element, int64_t *n_out,
                              struct err_text *why)
{
    bson_t command = BSON_INITIALIZER, array, reply;
    int code;
    mongo_put_text(&command, verb, mongo_db_collections[in]);
    mongo_put_begin_array(&command, list, &array);
    mongo_put_doc(&array, "0", element);
    mongo_put_end_array(&command, &array);
    enum mongo_end end = run_write(db, &command, &reply, &code, why);
    *n_out = 0;
    if (end == MONGO_DONE)
        end = count_of(&reply, n_out, why);
    bson_destroy(&reply);
    bson_destroy(&command);
    return end;
}

enum mongo_end mongo_db_update(struct mongo_db *db, const struct mongo_change *c, bool *matched,
                               struct err_text *why)
{
    bson_t one = BSON_INITIALIZER;
    int64_t n;
    mongo_put_doc(&one, "q", c->filter);
    mongo_put_doc(&one, "u", c->update);
    if (c->upsert)
        mongo_put_bool(&one, "upsert", true);
    enum mongo_end end = run_one(db, "update", c->in, "updates", &one, &n, why);
    *matched = n > 0;
    bson_destroy(&one);
    return end;
}

enum mongo_end mongo_db_insert(struct mongo_db *db, enum mongo_collection in, const bson_t *doc,
                               struct err_text *why)
{
    int64_t n;
    return run_one(db, "insert", in, "documents", doc, &n, why);
}

enum mongo_end mongo_db_insert_many(struct mongo_db *db, enum mongo_collection in,
                                    const bson_t *const *docs, size_t n, struct err_text *why)
{
    bson_t command = BSON_INITIALIZER, array, reply;
    int code;
    mongo_put_text(&command, "insert", mongo_db_collections[in]);
    mongo_put_begin_array(&command, "documents", &array);
    for (uint32_t i = 0; i < n; i++) {
        char room[16];
        const char *key;
        bson_uint32_to_string(i, &key, room, sizeof room);
        mongo_put_doc(&array, key, docs[i]);
    }
    mongo_put_end_array(&command, &array);
    int64_t taken = 0;
    enum mongo_end end = run_write(db, &command, &reply, &code, why);
    if (end == MONGO_DONE)
        end = count_of(&reply, &taken, why);
    if (end == MONGO_DONE && taken != (int64_t)n)
        end = unsound(why);
    bson_destroy(&reply);
    bson_destroy(&command);
    return end;
}

enum mongo_end mongo_db_delete(struct mongo_db *db, enum mongo_collection in, const bson_t *filter,
                               bool many, int64_t *n_out, struct err_text *why)
{
    bson_t one = BSON_INITIALIZER;
    mongo_put_doc(&one, "q", filter);
    mongo_put_int(&one, "limit", many ? 0 : 1);
    enum mongo_end end = run_one(db, "delete", in, "deletes", &one, n_out, why);
    bson_destroy(&one);
    return end;
}

enum mongo_end mongo_db_command(struct mongo_db *db, const bson_t *command, int *code,
                                struct err_text *why)
{
    bson_t copy, reply;
    bson_copy_to(command, &copy);
    enum mongo_end end = run_write(db, &copy, &reply, code, why);
    bson_destroy(&reply);
    bson_destroy(&copy);
    return end;
}
