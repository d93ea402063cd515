/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/mongo_uri_internal.h"

#include <stdio.h>
#include <string.h>

/* In each URI and password that must not be quoted. */
#define SECRET "hunter2"
#define HOST   "db.example"

static void no_words(mongoc_log_level_t level, const char *domain, const char *message, void *ctx)
{
    (void)level;
    (void)domain;
    (void)message;
    (void)ctx;
}

static int start(void **state)
{
    (void)state;
    mongoc_init();
    mongoc_log_set_handler(no_words, NULL);
    return 0;
}

struct got {
    mongoc_uri_t *uri;
    mongoc_write_concern_t *durable;
    char name[64];
    struct err_text why;
};

static enum err read_uri(struct got *g, const struct mongo_options *opt)
{
    *g = (struct got){0};
    return mongo_uri_read(&g->uri, opt, g->name, sizeof g->name, &g->durable, &g->why);
}

static void release(struct got *g)
{
    mongoc_uri_destroy(g->uri);
    mongoc_write_concern_destroy(g->durable);
}

static void refused_with(const struct mongo_options *opt, const char *says)
{
    struct got g;
    enum err e = read_uri(&g, opt);
    if (e != ERR_INVALID)
        fail_msg("%s: %s", opt->uri, err_name(e));
    assert_null(g.uri);
    assert_null(g.durable);
    assert_int_equal(strncmp(g.why.text, "store: ", 7), 0);
    if (says != NULL && strstr(g.why.text, says) == NULL)
        fail_msg("%s: %s", opt->uri, g.why.text);
    if (strstr(g.why.text, SECRET) != NULL || strstr(g.why.text, HOST) != NULL)
        fail_msg("the text quotes: %s", g.why.text);
}

static void refused(const char *uri, const char *says)
{
    refused_with(&(struct mongo_options){.uri = uri}, says);
}

static void taken(struct got *g, const char *uri, bool development)
{
    const struct mongo_options opt = {.uri = uri, .development = development};
    enum err e = read_uri(g, &opt);
    if (e != ERR_OK)
        fail_msg("%s: %s: %s", uri, err_name(e), g->why.text);
}

#define AT "mongodb://user:" SECRET "@" HOST "/?"

/* Anything that makes a yes less than a yes. */
static const struct {
    const char *uri, *says;
} weak[] = {
    {AT "w=0", "w ("},
    {AT "w=1", "w ("},
    {AT "w=2", "w ("},
    {AT "w=tagged", "w ("},
    {AT "w=MAJORITY1", "w ("},
    {AT "journal=false", "journal"},
    {AT "w=majority&journal=false", "journal"},
    {AT "readConcernLevel=local", "readConcernLevel"},
    {AT "readConcernLevel=available", "readConcernLevel"},
    {AT "readConcernLevel=snapshot", "readConcernLevel"},
    {AT "readPreference=secondary", "readPreference"},
    {AT "readPreference=primaryPreferred", "readPreference"},
    {AT "readPreference=nearest", "readPreference"},
    {AT "tls=true&tlsInsecure=true", "TLS"},
    {AT "tls=true&tlsAllowInvalidCertificates=true", "TLS"},
    {AT "tls=true&tlsAllowInvalidHostnames=true", "TLS"},
    {AT "ssl=true&sslAllowInvalidCertificates=true", "TLS"},
    {AT "ssl=true&sslAllowInvalidHostnames=true", "TLS"},
    {AT "W=1", "w ("}, /* names in any case */
    {AT "JOURNAL=FALSE", "journal"},
};
#define N_WEAK (sizeof weak / sizeof weak[0])

static void test_what_promises_too_little(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_WEAK; i++) {
        refused(weak[i].uri, weak[i].says);
        refused(weak[i].uri, "store_development takes it");
    }
}

static void test_development_takes_it(void **state)
{
    struct got g;
    (void)state;
    for (size_t i = 0; i < N_WEAK; i++) {
        taken(&g, weak[i].uri, true);
        release(&g);
    }
    taken(&g, AT "w=1", true);
    assert_int_equal(mongoc_write_concern_get_w(g.durable), 1);
    release(&g);
    taken(&g, AT, true); /* but asks for no less than it is told */
    assert_int_equal(mongoc_write_concern_get_w(g.durable), MONGOC_WRITE_CONCERN_W_MAJORITY);
    assert_true(mongoc_write_concern_get_journal(g.durable));
    release(&g);
}

static void test_what_is_taken(void **state)
{
    static const char *const good[] = {
        "mongodb://h",
        "mongodb://h1,h2:27018,[::1]:27019/?replicaSet=rs",
        "mongodb://h/?w=majority",
        "mongodb://h/?w=majority&journal=true&wtimeoutMS=5000",
        "mongodb://h/?readConcernLevel=majority",
        "mongodb://h/?readConcernLevel=linearizable",
        "mongodb://h/?readPreference=primary",
        "mongodb://h/?tls=true&tlsInsecure=false",
        "mongodb://%2Ftmp%2Fmongodb.sock",
        "mongodb://u:p@h/d?authSource=admin&authMechanism=SCRAM-SHA-256",
    };
    struct got g;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        taken(&g, good[i], false);
        assert_int_equal(mongoc_write_concern_get_w(g.durable), MONGOC_WRITE_CONCERN_W_MAJORITY);
        assert_true(mongoc_write_concern_get_journal(g.durable));
        release(&g);
    }
}

static void test_what_is_no_uri(void **state)
{
    static const char *const bad[] = {
        "",
        SECRET,
        "mongodb:",
        "mongodb://",
        "mongodb:///" SECRET,
        "mongodb://user:" SECRET "@",
        "mongodb://user:" SECRET "@/",
        "postgres://user:" SECRET "@" HOST "/",
        "mongodb+ssh://user:" SECRET "@" HOST "/",
        "http://" HOST "/" SECRET,
        "mongodb://user:" SECRET "/x@" HOST "/",
        "mongodb://user:" SECRET ":x@" HOST "/",
        "mongodb://user:" SECRET "%4@" HOST "/",
        "mongodb://user:" SECRET "%zz@" HOST "/",
        "mongodb://user:" SECRET "@" HOST ":x/",
        "mongodb://user:" SECRET "@" HOST ":0/",
        "mongodb://user:" SECRET "@" HOST ":65536/",
        "mongodb://user:" SECRET "@" HOST "," SECRET ":99999/",
        "mongodb://user:" SECRET "@" HOST "/a b$" SECRET,
        "mongodb://user:" SECRET "@" HOST "/?" SECRET,
        "mongodb://user:" SECRET "@" HOST "/?readPreference=" SECRET,
        "mongodb://user:" SECRET "@" HOST "/?w=0&journal=true",
        "mongodb://user:" SECRET "@" HOST "/?tlsInsecure=true&tlsAllowInvalidCertificates=false",
        "mongodb+srv://user:" SECRET "@" HOST ":27017/",
        "mongodb+srv://user:" SECRET "@" HOST ",other/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refused(bad[i], NULL);
        refused_with(&(struct mongo_options){.uri = bad[i], .development = true}, NULL);
        refused_with(&(struct mongo_options){.uri = bad[i], .password = SECRET}, NULL);
    }
}

static void test_the_database(void **state)
{
    char uri[128], longest[65];
    struct got g;
    (void)state;
    taken(&g, "mongodb://h", false);
    assert_string_equal(g.name, MONGO_DATABASE_DEFAULT);
    release(&g);
    taken(&g, "mongodb://h/", false);
    assert_string_equal(g.name, MONGO_DATABASE_DEFAULT);
    release(&g);
    taken(&g, "mongodb://h/?authSource=admin", false);
    assert_string_equal(g.name, MONGO_DATABASE_DEFAULT);
    release(&g);
    taken(&g, "mongodb://h/crm%2Dtwostep?replicaSet=rs", false);
    assert_string_equal(g.name, "crm-twostep");
    release(&g);
    memset(longest, 'd', sizeof longest);
    snprintf(uri, sizeof uri, "mongodb://h/%.63s", longest);
    taken(&g, uri, false);
    assert_int_equal(strlen(g.name), 63);
    release(&g);
    snprintf(uri, sizeof uri, "mongodb://" HOST "/%.64s", longest);
    refused(uri, "too long");
}

static void test_the_password(void **state)
{
    static const char odd[] = SECRET "@:/%?# \xc3\xa9";
    struct got g;
    struct mongo_options opt = {.uri = "mongodb://user@h/", .password = odd};
    (void)state;
    assert_int_equal(read_uri(&g, &opt), ERR_OK);
    assert_string_equal(mongoc_uri_get_username(g.uri), "user");
    assert_string_equal(mongoc_uri_get_password(g.uri), odd);
    release(&g);
    opt.uri = "mongodb://user:other@h/"; /* in place of the one that is there */
    assert_int_equal(read_uri(&g, &opt), ERR_OK);
    assert_string_equal(mongoc_uri_get_password(g.uri), odd);
    release(&g);
    taken(&g, "mongodb://us%40er:p%40ss%2Fword@h/", false);
    assert_string_equal(mongoc_uri_get_username(g.uri), "us@er");
    assert_string_equal(mongoc_uri_get_password(g.uri), "p@ss/word");
    release(&g);
    opt.uri = "mongodb://" HOST "/";
    refused_with(&opt, "names no user");
    opt.development = true;
    refused_with(&opt, "names no user");
    opt = (struct mongo_options){.uri = "mongodb://user@" HOST "/", .password = SECRET "\xff"};
    refused_with(&opt, "password");
}

static void assert_wait(const char *options, int32_t select_ms, int32_t connect_ms,
                        int32_t socket_ms)
{
    char uri[256];
    struct got g;
    snprintf(uri, sizeof uri, "mongodb://h/?%s", options);
    taken(&g, uri, false);
    assert_int_equal(mongoc_uri_get_option_as_int32(g.uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, -1),
                     select_ms);
    assert_int_equal(mongoc_uri_get_option_as_int32(g.uri, MONGOC_URI_CONNECTTIMEOUTMS, -1),
                     connect_ms);
    assert_int_equal(mongoc_uri_get_option_as_int32(g.uri, MONGOC_URI_SOCKETTIMEOUTMS, -1),
                     socket_ms);
    assert_false(mongoc_uri_get_option_as_bool(g.uri, MONGOC_URI_RETRYWRITES, true));
    assert_false(mongoc_uri_get_option_as_bool(g.uri, MONGOC_URI_RETRYREADS, true));
    assert_string_equal(mongoc_uri_get_appname(g.uri), "twostepd");
    release(&g);
}

/* Shorter waits are taken, longer ones and endless ones are not; who retries is the store. */
static void test_waits_and_retries(void **state)
{
    (void)state;
    assert_wait("", MONGO_SELECT_MS, MONGO_CONNECT_MS, MONGO_SOCKET_MS);
    assert_wait("retryWrites=true&retryReads=true", MONGO_SELECT_MS, MONGO_CONNECT_MS,
                MONGO_SOCKET_MS);
    assert_wait("serverSelectionTimeoutMS=7&connectTimeoutMS=8&socketTimeoutMS=9", 7, 8, 9);
    assert_wait("serverSelectionTimeoutMS=99999&connectTimeoutMS=99999&socketTimeoutMS=99999",
                MONGO_SELECT_MS, MONGO_CONNECT_MS, MONGO_SOCKET_MS);
    assert_wait("socketTimeoutMS=0&connectTimeoutMS=0", MONGO_SELECT_MS, MONGO_CONNECT_MS,
                MONGO_SOCKET_MS);
    assert_wait("socketTimeoutMS=-1", MONGO_SELECT_MS, MONGO_CONNECT_MS, MONGO_SOCKET_MS);
}

/* What the driver only warns of is as if it were not there: then ours holds. */
static void test_values_of_no_sense(void **state)
{
    static const char *const odd[] = {"mongodb://h/?w=-5", "mongodb://h/?journal=perhaps",
                                      "mongodb://h/?nothing=" SECRET, "mongodb://h/?w="};
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct got g;
        const struct mongo_options opt = {.uri = odd[i]};
        enum err e = read_uri(&g, &opt);
        if (e == ERR_OK) {
            assert_int_equal(mongoc_write_concern_get_w(g.durable),
                             MONGOC_WRITE_CONCERN_W_MAJORITY);
            assert_true(mongoc_write_concern_get_journal(g.durable));
            release(&g);
        } else {
            assert_int_equal(e, ERR_INVALID);
            assert_null(strstr(g.why.text, SECRET));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_promises_too_little),
        cmocka_unit_test(test_development_takes_it),
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_what_is_no_uri),
        cmocka_unit_test(test_the_database),
        cmocka_unit_test(test_the_password),
        cmocka_unit_test(test_waits_and_retries),
        cmocka_unit_test(test_values_of_no_sense),
    };
    return !!cmocka_run_group_tests(tests, start, NULL);
}
