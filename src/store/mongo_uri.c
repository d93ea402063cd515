/* SPDX-License-Identifier: ISC */
#include "mongo_uri_internal.h"

#include <stdio.h>
#include <string.h>

/* Options that would make a yes less than a yes; NULL: there is none of them. */
static const char *weak_option(const mongoc_uri_t *uri)
{
    const mongoc_write_concern_t *w = mongoc_uri_get_write_concern(uri);
    const char *read = mongoc_read_concern_get_level(mongoc_uri_get_read_concern(uri));
    int32_t n = mongoc_write_concern_get_w(w);
    if (n != MONGOC_WRITE_CONCERN_W_DEFAULT && n != MONGOC_WRITE_CONCERN_W_MAJORITY)
        return "w (only majority will do)";
    if (mongoc_write_concern_journal_is_set(w) && !mongoc_write_concern_get_journal(w))
        return "journal=false";
    if (read != NULL && strcmp(read, MONGOC_READ_CONCERN_LEVEL_MAJORITY) != 0 &&
        strcmp(read, MONGOC_READ_CONCERN_LEVEL_LINEARIZABLE) != 0)
        return "readConcernLevel (only majority will do)";
    if (mongoc_read_prefs_get_mode(mongoc_uri_get_read_prefs_t(uri)) != MONGOC_READ_PRIMARY)
        return "readPreference (only primary will do)";
    if (mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSINSECURE, false) ||
        mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSALLOWINVALIDCERTIFICATES, false) ||
        mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSALLOWINVALIDHOSTNAMES, false))
        return "TLS without checking the server";
    return NULL;
}

static void at_most(mongoc_uri_t *uri, const char *option, int32_t ms)
{
    int32_t asked = mongoc_uri_get_option_as_int32(uri, option, ms);
    mongoc_uri_set_option_as_int32(uri, option, asked > 0 && asked < ms ? asked : ms);
}

/* What a retry of the driver did is not known to who retries himself. */
static void complete(mongoc_uri_t *uri)
{
    at_most(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, MONGO_SELECT_MS);
    at_most(uri, MONGOC_URI_CONNECTTIMEOUTMS, MONGO_CONNECT_MS);
    at_most(uri, MONGOC_URI_SOCKETTIMEOUTMS, MONGO_SOCKET_MS);
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false);
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYREADS, false);
    mongoc_uri_set_appname(uri, "twostepd");
}

static mongoc_write_concern_t *durable_concern(const mongoc_uri_t *uri, bool development)
{
    if (development && weak_option(uri) != NULL)
        return mongoc_write_concern_copy(mongoc_uri_get_write_concern(uri));
    mongoc_write_concern_t *w = mongoc_write_concern_new();
    mongoc_write_concern_set_w(w, MONGOC_WRITE_CONCERN_W_MAJORITY);
    mongoc_write_concern_set_journal(w, true);
    return w;
}

static enum err check(mongoc_uri_t *uri, const struct mongo_options *opt, char *name,
                      size_t name_cap, struct err_text *why)
{
    const char *weak = opt->development ? NULL : weak_option(uri);
    const char *database = mongoc_uri_get_database(uri);
    if (weak != NULL)
        return err_set(why, ERR_INVALID, NULL,
                       "store: the MongoDB URI says %s: that promises too little "
                       "(store_development takes it)",
                       weak);
    if (database == NULL || database[0] == '\0')
        database = MONGO_DATABASE_DEFAULT;
    if (strlen(database) >= name_cap)
        return err_set(why, ERR_INVALID, NULL, "store: the database's name is too long");
    snprintf(name, name_cap, "%s", database);
    if (opt->password != NULL &&
        (mongoc_uri_get_username(uri) == NULL || !mongoc_uri_set_password(uri, opt->password)))
        return err_set(why, ERR_INVALID, NULL,
                       "store: a password for a MongoDB URI that names no user");
    return ERR_OK;
}

enum err mongo_uri_read(mongoc_uri_t **out, const struct mongo_options *opt, char *name,
                        size_t name_cap, mongoc_write_concern_t **durable, struct err_text *why)
{
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(opt->uri, &error);
    if (uri == NULL) /* error's own words may quote the URI */
        return err_set(
            why, ERR_INVALID, NULL,
            "store: this is no MongoDB URI (special characters in a user or password are "
            "written as %%XX)");
    enum err e = check(uri, opt, name, name_cap, why);
    if (e != ERR_OK) {
        mongoc_uri_destroy(uri);
        return e;
    }
    complete(uri);
    *durable = durable_concern(uri, opt->development);
    *out = uri;
    return ERR_OK;
}
