/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/outbox.h"
#include "support/mongo_place.h"

#include <mongoc/mongoc.h>
#include <stdlib.h>
#include <string.h>

/* Documents that somebody has damaged in the server: an error that says so for that user or
 * tenant, and everybody else goes on. */
#define NOW       KIT_START_MS
#define BUDGET_MS 10000
#define HOUR      (60 * 60 * 1000)
#define WEEK      (7 * 24 * INT64_C(3600000))

static const struct kit kit = {.now_ms = NOW};
static const struct lockout_rule rule = {.n_waits = 1, .limit = 1000};

/* A database of its own for each test, and a client of our own at it. */
struct world {
    struct mongo_place place;
    struct store *s;
    mongoc_client_t *client;
    char name[64];
    struct err_text why;
};

static struct world w;

static int begin(void **state)
{
    (void)state;
    mongo_place_init(&w.place, MONGO_SERVER_JAVA);
    w.place.mongo = mongo_place_open(&w.place, 1);
    w.s = store_mongo_new(w.place.mongo);
    w.s->ops->job_begin(w.s, BUDGET_MS);
    w.client = mongoc_client_new(w.place.uri);
    mongoc_uri_t *uri = mongoc_uri_new(w.place.uri);
    snprintf(w.name, sizeof w.name, "%s", mongoc_uri_get_database(uri));
    mongoc_uri_destroy(uri);
    return 0;
}

static int end(void **state)
{
    (void)state;
    w.s->ops->close(w.s);
    mongo_place_release(&w.place);
    mongoc_client_destroy(w.client);
    return 0;
}

/* ---- by hand ------------------------------------------------------------------------------- */

static bson_t *parse(const char *json)
{
    bson_error_t error;
    bson_t *b = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (b == NULL)
        fail_msg("%s: %s", json, error.message);
    return b;
}

/* Updates the one document of the collection that the filter finds. */
static void by_hand(const char *collection, bson_t *filter, const char *update)
{
    bson_error_t error;
    bson_t reply, *u = parse(update);
    bson_iter_t it;
    mongoc_collection_t *c = mongoc_client_get_collection(w.client, w.name, collection);
    if (!mongoc_collection_update_one(c, filter, u, NULL, &reply, &error))
        fail_msg("%s: %s", update, error.message);
    assert_true(bson_iter_init_find(&it, &reply, "matchedCount"));
    assert_int_equal(bson_iter_as_int64(&it), 1);
    mongoc_collection_destroy(c);
    bson_destroy(&reply);
    bson_destroy(filter);
    bson_destroy(u);
}

static bson_t *of_bytes(const char *field, const void *bytes, size_t n)
{
    bson_t *b = bson_new();
    assert_true(
        bson_append_binary(b, field, -1, BSON_SUBTYPE_BINARY, (const uint8_t *)bytes, (uint32_t)n));
    return b;
}

static void damage_user(const char *user, const char *update)
{
    by_hand("users", of_bytes("user", user, strlen(user)), update);
}

static void damage_tenant(const char *tenant, const char *update)
{
    by_hand("tenants", of_bytes("_id", tenant, strlen(tenant)), update);
}

/* ---- short --------------------------------------------------------------------------------- */

#define OPS w.s->ops
#define BOX w.s->outbox
#define T   kit_tenant("t")

static void assert_err(enum err got, enum err want)
{
    if (got != want)
        fail_msg("%s, not %s: %s", err_name(got), err_name(want), w.why.text);
    if (want == ERR_CORRUPT) /* and not what some server would say */
        assert_non_null(strstr(w.why.text, "makes no sense"));
    w.s->ops->job_begin(w.s, BUDGET_MS); /* what was read is forgotten */
}

static void must(enum err got)
{
    assert_err(got, ERR_OK);
}

static enum err try_get(const char *user)
{
    struct user_state state;
    return OPS->user_get(w.s, T, kit_user(user), NOW, &rule, &state, &w.why);
}

static enum err try_charge(const char *user, const struct request_mark *request)
{
    struct charged out;
    struct charge c = kit_login(&kit);
    c.lockout = &rule;
    c.request = request;
    return OPS->charge(w.s, T, kit_user(user), &c, &out, &w.why);
}

static enum err try_accept(const char *user, int64_t step, bool *won)
{
    struct acceptance a = {.enrollment = kit_enrollment(1),
                           .step = step,
                           .now_ms = NOW,
                           .lockout = &rule,
                           .answer = kit_answer(&kit, KIT_ACCEPTED)};
    return OPS->accept(w.s, T, kit_user(user), &a, won, &w.why);
}

static enum err try_pending(const char *user)
{
    struct factor f = kit_factor(&kit, 1, 1);
    return OPS->pending_put(w.s, T, kit_user(user), &f, &w.why);
}

static void enroll(const char *user)
{
    bool won = false;
    must(try_pending(user));
    must(try_accept(user, 1, &won));
    assert_true(won);
}

static enum err try_remember(const char *user)
{
    const struct request_mark r = kit_request(9, 9);
    const struct answer a = kit_answer(&kit, KIT_WRONG);
    struct charged out;
    return OPS->remember(w.s, T, kit_user(user), &r, &a, &rule, &out, &w.why);
}

static struct reset_request reset_of(uint32_t number)
{
    struct reset_request r = {
        .create_ms = NOW,
        .expire_ms = NOW + HOUR,
        .limits = {.window_ms = HOUR, .per_user = 100, .per_address = 100, .per_tenant = 100},
        .mail = {.kind = MAIL_RESET,
                 .address = "a@b.example",
                 .create_ms = NOW,
                 .due_ms = NOW + number,
                 .expire_ms = NOW + HOUR,
                 .key_id = 1}};
    memcpy(r.id.bytes, &number, sizeof number);
    memcpy(r.token_hash, &number, sizeof number);
    memcpy(r.address_hash, &number, sizeof number);
    r.mail.reset = r.id;
    return r;
}

static enum err try_reset(const char *user, uint32_t number)
{
    struct reset_put out;
    struct reset_request r = reset_of(number);
    return BOX->reset_put(w.s, T, kit_user(user), &r, &out, &w.why);
}

static enum err try_reset_get(uint32_t number)
{
    struct reset_status out;
    struct reset_request r = reset_of(number);
    return BOX->reset_get(w.s, T, &r.id, NOW, &out, &w.why);
}

/* Leases until there is none: how many, and none of `not_of`. */
static unsigned lease_all(const char *not_of)
{
    struct leased_mail mail;
    unsigned n = 0;
    enum err e;
    while ((e = BOX->mail_lease(w.s, NOW + 1000, NOW + HOUR, &mail, &w.why)) == ERR_OK) {
        n++;
        assert_false(str_equal((struct str){mail.user, mail.user_len}, str_from(not_of)));
    }
    assert_err(e, ERR_NOT_FOUND);
    return n;
}

/* ---- a user -------------------------------------------------------------------------------- */

static const char *const damaged_users[] = {
    "{\"$set\": {\"own\": 1}}",
    "{\"$set\": {\"own.gen\": \"1\"}}",
    "{\"$unset\": {\"own.sealed\": 1}}",
    "{\"$set\": {\"own.confirmed\": 0}}",
    "{\"$set\": {\"failures\": -1}}",
    "{\"$unset\": {\"failures\": 1}}",
    "{\"$set\": {\"step\": \"later\"}}",
    "{\"$set\": {\"gen\": 1.5}}",
    "{\"$set\": {\"log\": \"none\"}}",
    "{\"$set\": {\"log\": [1]}}",
    "{\"$set\": {\"log\": [{\"kind\": 4}]}}",
    "{\"$unset\": {\"log\": 1}}",
    "{\"$set\": {\"writes\": 5}}",
    "{\"$set\": {\"next\": []}}",
};

static void test_a_user(void **state)
{
    (void)state;
    enroll("other");
    for (size_t i = 0; i < sizeof damaged_users / sizeof damaged_users[0]; i++) {
        char user[] = {'u', (char)('a' + i), '\0'};
        const struct request_mark request = kit_request((uint32_t)i, 1);
        bool won = false;
        enroll(user);
        damage_user(user, damaged_users[i]);
        assert_err(try_get(user), ERR_CORRUPT);
        assert_err(try_charge(user, NULL), ERR_CORRUPT);
        assert_err(try_charge(user, &request), ERR_CORRUPT);
        assert_err(try_accept(user, 100, &won), ERR_CORRUPT);
        assert_false(won);
        assert_err(try_remember(user), ERR_CORRUPT);
        assert_err(try_pending(user), ERR_CORRUPT);
        assert_err(try_reset(user, 100), ERR_CORRUPT);
        must(try_get("other"));
        must(try_charge("other", NULL));
        must(try_accept("other", 100 + (int64_t)i, &won));
        assert_true(won);
    }
}

/* Damage to what a sign-in does not read does not stop it. */
static void test_resets_of_a_user_who_signs_in(void **state)
{
    bool won = false;
    (void)state;
    enroll("u");
    must(try_reset("u", 1));
    damage_user("u", "{\"$set\": {\"resets.0.state\": 99}}");
    must(try_charge("u", NULL));
    must(try_accept("u", 5, &won));
    assert_true(won);
    assert_err(try_reset_get(1), ERR_CORRUPT);
    assert_err(try_reset("u", 2), ERR_CORRUPT);
}

/* ---- a tenant ------------------------------------------------------------------------------ */

static enum err try_policy(const char *tenant)
{
    struct policy p;
    return OPS->policy_get(w.s, kit_tenant(tenant), &p, &w.why);
}

static enum err try_key(const char *tenant)
{
    struct data_key key;
    return OPS->data_key_get(w.s, kit_tenant(tenant), 0, &key, &w.why);
}

static enum err try_put(const char *tenant, int64_t revision)
{
    struct policy p = {.revision = revision, .issuer = "x", .period = 30};
    return OPS->policy_put(w.s, kit_tenant(tenant), &p, &w.why);
}

static enum err try_add(const char *tenant, uint32_t id)
{
    struct data_key key = {.id = id, .kek_id = 1, .sealed_len = 1};
    return OPS->data_key_add(w.s, kit_tenant(tenant), &key, &w.why);
}

static void test_a_tenant(void **state)
{
    static const char *const damaged[] = {
        "{\"$set\": {\"policy\": 1}}",          "{\"$set\": {\"policy.revision\": 0}}",
        "{\"$set\": {\"policy.issuer\": 5}}",   "{\"$unset\": {\"policy.enabled\": 1}}",
        "{\"$set\": {\"policy.enabled\": 1}}",  "{\"$set\": {\"policy.digits\": 256}}",
        "{\"$set\": {\"keys\": \"none\"}}",     "{\"$unset\": {\"keys\": 1}}",
        "{\"$set\": {\"keys\": [5]}}",          "{\"$set\": {\"keys.0.id\": 0}}",
        "{\"$unset\": {\"keys.0.sealed\": 1}}", "{\"$set\": {\"v\": 0}}",
    };
    (void)state;
    must(try_put("other", 1));
    must(try_add("other", 1));
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        char tenant[] = {'t', (char)('a' + i), '\0'};
        must(try_put(tenant, 1));
        must(try_add(tenant, 1));
        damage_tenant(tenant, damaged[i]);
        assert_err(try_policy(tenant), ERR_CORRUPT);
        assert_err(try_key(tenant), ERR_CORRUPT);
        assert_err(try_put(tenant, 2), ERR_CORRUPT);
        assert_err(try_add(tenant, 2), ERR_CORRUPT);
        must(try_policy("other"));
        must(try_key("other"));
    }
    must(try_put("other", 2));
    must(try_add("other", 2));
}

/* ---- the outbox ---------------------------------------------------------------------------- */

static const char *const damaged_mails[] = {
    "{\"$set\": {\"mails.0.kind\": \"x\"}}",
    "{\"$set\": {\"mails.0.kind\": 9}}",
    "{\"$unset\": {\"mails.0.address\": 1}}",
    "{\"$unset\": {\"mails\": 1}}",
    "{\"$set\": {\"mails\": 7}}",
    "{\"$set\": {\"resets.0.token\": 7}}",
    "{\"$unset\": {\"log\": 1}}",
    "{\"$unset\": {\"v\": 1}}",
    /* no damage to any value, but nothing is due */
    "{\"$set\": {\"mails\": []}}",
    "{\"$set\": {\"due\": 1}}",
};

/* The damaged one is the first that is due. */
static void test_mails(void **state)
{
    size_t n = sizeof damaged_mails / sizeof damaged_mails[0];
    (void)state;
    for (size_t i = 0; i + 1 < n; i++) {
        must(try_reset("bad", 1));
        must(try_reset("good", 2));
        must(try_reset("good", 3));
        damage_user("bad", damaged_mails[i]);
        assert_int_equal(lease_all("bad"), 2);
        end(state);
        begin(state);
    }
    must(try_reset("late", 5000)); /* not due yet, whatever the document says */
    must(try_reset("good", 2));
    damage_user("late", damaged_mails[n - 1]);
    assert_int_equal(lease_all("late"), 1);
}

/* Nobody can say whose documents these are. */
static void test_a_key_that_makes_no_sense(void **state)
{
    mongoc_collection_t *c = mongoc_client_get_collection(w.client, w.name, "users");
    static const char *const strange[] = {
        "{\"_id\": 5, \"due\": 1, \"sweep\": 1}",
        "{\"_id\": \"x\", \"due\": 1, \"sweep\": 1}",
        "{\"_id\": {\"a\": 1}, \"due\": 1, \"sweep\": 1, \"tenant\": 7}",
    };
    uint32_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        bson_t *doc = parse(strange[i]);
        assert_true(mongoc_collection_insert_one(c, doc, NULL, NULL, NULL));
        bson_destroy(doc);
    }
    mongoc_collection_destroy(c);
    must(try_reset("good", 1));
    assert_int_equal(lease_all("bad"), 1);
    must(OPS->sweep(w.s, NOW + HOUR + WEEK, 100, &n, &w.why));
    assert_int_equal(n, 1);
}

/* ---- the sweeper --------------------------------------------------------------------------- */

static void test_the_sweeper(void **state)
{
    uint32_t n = 0;
    const int64_t later = NOW + HOUR + WEEK;
    (void)state;
    for (size_t i = 0; i < sizeof damaged_users / sizeof damaged_users[0]; i++) {
        char user[] = {'u', (char)('a' + i), '\0'};
        enroll(user);
        must(try_reset(user, 10 + (uint32_t)i));
        damage_user(user, damaged_users[i]);
    }
    must(try_reset("good", 1));
    must(try_pending("waiting"));
    must(OPS->sweep(w.s, later, 100, &n, &w.why));
    assert_int_equal(n, 2);
    must(OPS->sweep(w.s, later, 100, &n, &w.why));
    assert_int_equal(n, 0);
    assert_err(try_reset_get(1), ERR_NOT_FOUND);
    assert_err(try_get("ua"), ERR_CORRUPT); /* it is still there to be looked at */
}

/* ---- counters ------------------------------------------------------------------------------ */

static bson_t *counter_of(char kind, const void *id, size_t n)
{
    uint8_t key[1 + TOKEN_HASH_LEN] = {(uint8_t)kind};
    memcpy(key + 1, id, n);
    return of_bytes("_id", key, 1 + n);
}

static void test_counters(void **state)
{
    static const char *const damaged[] = {
        "{\"$set\": {\"events\": \"none\"}}", "{\"$unset\": {\"events\": 1}}",
        "{\"$set\": {\"v\": \"1\"}}",
        "{\"$set\": {\"events\": {\"$binary\": {\"base64\": \"AAAA\", \"subType\": \"00\"}}}}"};
    (void)state;
    for (uint32_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        struct reset_request r = reset_of(10 + i);
        must(try_reset("u", 10 + i));
        by_hand("limits", counter_of('a', r.address_hash, TOKEN_HASH_LEN), damaged[i]);
        assert_err(try_reset("u", 10 + i), ERR_CORRUPT); /* of this address */
        must(try_reset("u", 20 + i));
    }
    by_hand("limits", counter_of('t', "t", 1), damaged[0]);
    assert_err(try_reset("u", 30), ERR_CORRUPT);
    struct reset_request r = reset_of(31);
    struct reset_put out;
    must(BOX->reset_put(w.s, kit_tenant("other"), kit_user("u"), &r, &out, &w.why));
    assert_int_equal(out.result, RESET_PUT);
    must(try_get("u"));
}

/* ---- the schema ---------------------------------------------------------------------------- */

static void assert_open(enum err want, bool may_be_down)
{
    struct mongo *m = NULL;
    struct err_text why = {0};
    const struct mongo_options opt = {
        .uri = w.place.uri, .development = true, .may_be_down = may_be_down, .n_stores = 1};
    enum err e = store_mongo_open(&m, &opt, &why);
    if (e != want)
        fail_msg("%s, not %s: %s", err_name(e), err_name(want), why.text);
    if (e == ERR_OK)
        store_mongo_close(m);
    else
        assert_null(m);
    if (e == ERR_CONFLICT)
        assert_non_null(strstr(why.text, "newer"));
}

static void test_the_schema(void **state)
{
    static const struct {
        const char *update;
        enum err e;
    } damaged[] = {
        {"{\"$set\": {\"version\": 2}}", ERR_CONFLICT},
        {"{\"$set\": {\"version\": 2147483647}}", ERR_CONFLICT},
        {"{\"$set\": {\"version\": 0}}", ERR_CORRUPT},
        {"{\"$set\": {\"version\": -1}}", ERR_CORRUPT},
        {"{\"$set\": {\"version\": 1.0}}", ERR_CORRUPT},
        {"{\"$set\": {\"version\": \"1\"}}", ERR_CORRUPT},
        {"{\"$set\": {\"version\": {\"$numberLong\": \"4294967297\"}}}", ERR_CORRUPT},
        {"{\"$unset\": {\"version\": 1}}", ERR_CORRUPT},
    };
    (void)state;
    assert_open(ERR_OK, false);
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        by_hand("meta", parse("{\"_id\": \"schema\"}"), damaged[i].update);
        assert_open(damaged[i].e, false);
    }
    by_hand("meta", parse("{\"_id\": \"schema\"}"), "{\"$set\": {\"version\": 1}}");
    assert_open(ERR_OK, false);
    assert_open(ERR_OK, true);
}

static void not_here(void **state)
{
    print_message("skipped: %s\n", (const char *)*state);
    skip();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const char *why = NULL;
    const struct CMUnitTest tests[] = {
        TEST(test_a_user),
        TEST(test_resets_of_a_user_who_signs_in),
        TEST(test_a_tenant),
        TEST(test_mails),
        TEST(test_a_key_that_makes_no_sense),
        TEST(test_the_sweeper),
        TEST(test_counters),
        TEST(test_the_schema),
    };
    if (mongo_server_start(MONGO_SERVER_JAVA, &why))
        return !!cmocka_run_group_tests(tests, NULL, NULL);
    const struct CMUnitTest skipped[] = {
        {"mongo_damage", not_here, NULL, NULL, (void *)(uintptr_t)why}};
    return !!_cmocka_run_group_tests("mongo_damage", skipped, 1, NULL, NULL);
}
