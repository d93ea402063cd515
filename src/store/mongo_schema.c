/* SPDX-License-Identifier: ISC */
#include "mongo_schema_internal.h"

#include "mongo_in_internal.h"
#include "mongo_limits_internal.h"
#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"

#include <stdio.h>

#define SCHEMA_ID "schema"

/* ---- the server ---------------------------------------------------------------------------- */

/* Does a reply of hello tell of a replica set, or of a router to several? */
static bool is_replicated(const bson_t *reply)
{
    bson_iter_t it;
    if (bson_iter_init_find(&it, reply, "setName"))
        return true;
    return bson_iter_init_find(&it, reply, "msg") && BSON_ITER_HOLDS_UTF8(&it) &&
           str_equal(str_from(bson_iter_utf8(&it, NULL)), STR("isdbgrid"));
}

static enum err greet(struct mongo_db *db, bool *replicated, struct err_text *why)
{
    for (;;) {
        bson_t command = BSON_INITIALIZER, reply;
        bson_error_t error = {0};
        mongo_put_int(&command, "isMaster", 1);
        bool ok = mongoc_client_command_simple(db->client, "admin", &command, NULL, &reply, &error);
        *replicated = ok && is_replicated(&reply);
        bson_destroy(&reply);
        bson_destroy(&command);
        if (ok)
            return ERR_OK;
        if (error.domain == MONGOC_ERROR_CLIENT && error.code == MONGOC_ERROR_CLIENT_AUTHENTICATE)
            return err_set(why, ERR_DENIED, NULL, "store: MongoDB does not accept the credentials");
        if (!mongo_db_may_retry(db))
            return err_set(why, ERR_UNAVAILABLE, "STORE_UNAVAILABLE", "store: mongodb: %s",
                           error.message);
    }
}

/* ---- the version --------------------------------------------------------------------------- */

static enum err read_version(struct mongo_db *db, int64_t *out, struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, doc;
    bool found = false, bad = false;
    struct mongo_in in;
    mongo_put_text(&filter, "_id", SCHEMA_ID);
    struct mongo_find f = {.from = MONGO_META, .filter = &filter};
    enum err e = mongo_db_find(db, &f, &doc, &found, why);
    *out = 0;
    if (e == ERR_OK && found) {
        mongo_in_init(&in, &doc, &bad);
        *out = mongo_in_int(&in, "version", 1, INT32_MAX);
        e = mongo_in_check(&in, "the schema's version", why);
        bson_destroy(&doc);
    }
    bson_destroy(&filter);
    return e;
}

static enum mongo_end write_version(struct mongo_db *db, struct err_text *why)
{
    bson_t doc = BSON_INITIALIZER;
    mongo_put_text(&doc, "_id", SCHEMA_ID);
    mongo_put_int(&doc, "version", MONGO_SCHEMA_VERSION);
    mongo_put_int(&doc, "probes", 0);
    enum mongo_end end = mongo_db_insert(db, MONGO_META, &doc, why);
    bson_destroy(&doc);
    return end;
}

static enum err settle_version(struct mongo_db *db, struct err_text *why)
{
    for (;;) {
        int64_t version;
        TRY(read_version(db, &version, why));
        if (version > MONGO_SCHEMA_VERSION)
            return err_set(why, ERR_CONFLICT, NULL,
                           "store: the database has schema %lld, this program knows %d: a newer "
                           "version made it",
                           (long long)version, MONGO_SCHEMA_VERSION);
        if (version == MONGO_SCHEMA_VERSION)
            return ERR_OK;
        enum mongo_end end = write_version(db, why);
        if (end == MONGO_REFUSED)
            return err_set(why, ERR_DENIED, NULL, "store: the database cannot be written");
        TRY(mongo_db_try_again(db, end, why));
    }
}

/* ---- indexes ------------------------------------------------------------------------------- */

/* _id is what makes things unique: there is no other unique index that could be missing. */
static const struct index {
    enum mongo_collection of;
    const char *name;
    const char *keys[2];
    const char *only_with; /* NULL: of every document */
    bool expires;          /* the server deletes; where it cannot, the sweeper does anyway */
} indexes[] = {
    {MONGO_USERS, "mails", {F_TENANT, F_DUE}, F_DUE, false},
    {MONGO_USERS, "sweep", {F_SWEEP, NULL}, F_SWEEP, false},
    {MONGO_USERS, "resets", {F_TENANT, F_RESETS ".id"}, NULL, false},
    {MONGO_LIMITS, "expires", {F_EXPIRES, NULL}, NULL, true},
};

static void put_index(bson_t *b, const struct index *x)
{
    bson_t keys, partial;
    mongo_put_begin(b, "key", &keys);
    for (size_t i = 0; i < 2 && x->keys[i] != NULL; i++)
        mongo_put_int(&keys, x->keys[i], 1);
    mongo_put_end(b, &keys);
    mongo_put_text(b, "name", x->name);
    if (x->only_with != NULL) {
        mongo_put_begin(b, "partialFilterExpression", &partial);
        mongo_put_exists(&partial, x->only_with, true);
        mongo_put_end(b, &partial);
    }
    if (x->expires)
        mongo_put_int(b, "expireAfterSeconds", 0);
}

static enum err make_index(struct mongo_db *db, const struct index *x, struct err_text *why)
{
    for (;;) {
        bson_t command = BSON_INITIALIZER, array, one;
        int code;
        mongo_put_text(&command, "createIndexes", mongo_db_collections[x->of]);
        mongo_put_begin_array(&command, "indexes", &array);
        mongo_put_begin_element(&array, 0, &one);
        put_index(&one, x);
        mongo_put_end(&array, &one);
        mongo_put_end_array(&command, &array);
        enum mongo_end end = mongo_db_command(db, &command, &code, why);
        bson_destroy(&command);
        if (end == MONGO_DONE || (end == MONGO_REFUSED && x->expires))
            return ERR_OK;
        if (end == MONGO_REFUSED)
            return err_set(why, ERR_DENIED, NULL,
                           "store: the index %s of %s cannot be made (code %d)", x->name,
                           mongo_db_collections[x->of], code);
        if (!mongo_db_may_retry(db))
            return mongo_db_failed(why);
    }
}

enum err mongo_schema_make(struct mongo_db *db, bool development, struct err_text *why)
{
    bool replicated;
    TRY(greet(db, &replicated, why));
    if (!replicated && !development)
        return err_set(why, ERR_DENIED, NULL,
                       "store: this MongoDB is no replica set: one disk would be all there is "
                       "(store_development takes it)");
    TRY(settle_version(db, why));
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++)
        TRY(make_index(db, &indexes[i], why));
    return ERR_OK;
}

enum err mongo_schema_touch(struct mongo_db *db, struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    bool matched;
    mongo_put_text(&filter, "_id", SCHEMA_ID);
    mongo_put_op_int(&update, "$inc", "probes", 1);
    struct mongo_change c = {.in = MONGO_META, .filter = &filter, .update = &update};
    enum mongo_end end = mongo_db_update(db, &c, &matched, why);
    bson_destroy(&filter);
    bson_destroy(&update);
    return end == MONGO_DONE ? ERR_OK : mongo_db_failed(why);
}
