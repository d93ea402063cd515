/* SPDX-License-Identifier: ISC */
#include "base/mem.h"
#include "mongo_internal.h"
#include "mongo_put_internal.h"
#include "mongo_writes_internal.h"

#include <stdlib.h>

/* One document a tenant, changed by compare-and-set. */
#define F_POLICY "policy"
#define F_KEYS   "keys"

#define KEYS_MAX 64

struct tenant {
    int64_t version; /* 0: there is no document */
    bool has_policy;
    struct policy policy;
    struct data_key keys[KEYS_MAX]; /* oldest first */
    size_t n_keys;
    struct mongo_writes writes;
};

/* ---- reading ------------------------------------------------------------------------------- */

static void read_policy(const struct mongo_in *in, struct policy *p)
{
    p->revision = mongo_in_int(in, "revision", 1, INT64_MAX);
    p->enabled = mongo_in_bool(in, "enabled");
    p->mobile = mongo_in_bool(in, "mobile");
    p->suspended_until_ms = mongo_in_time(in, "suspended_until");
    mongo_in_text(in, "suspended_reason", p->suspended_reason, sizeof p->suspended_reason);
    mongo_in_text(in, "issuer", p->issuer, sizeof p->issuer);
    p->algorithm = (uint8_t)mongo_in_int(in, "algorithm", 0, UINT8_MAX);
    p->digits = (uint8_t)mongo_in_int(in, "digits", 0, UINT8_MAX);
    p->period = (uint16_t)mongo_in_int(in, "period", 0, UINT16_MAX);
    p->window_steps = (uint8_t)mongo_in_int(in, "window_steps", 0, UINT8_MAX);
    p->enrollment_lifetime = (uint32_t)mongo_in_int(in, "enrollment_lifetime", 0, UINT32_MAX);
    p->reset_lifetime = (uint32_t)mongo_in_int(in, "reset_lifetime", 0, UINT32_MAX);
    mongo_in_text(in, "reset_link", p->reset_link, sizeof p->reset_link);
    mongo_in_text(in, "mail_from", p->mail_from, sizeof p->mail_from);
    mongo_in_text(in, "mail_from_name", p->mail_from_name, sizeof p->mail_from_name);
    mongo_in_text(in, "locale", p->locale, sizeof p->locale);
    p->update_time_ms = mongo_in_time(in, "update_time");
    mongo_in_text(in, "updated_by", p->updated_by, sizeof p->updated_by);
}

static void read_keys(const struct mongo_in *in, struct tenant *tenant)
{
    struct mongo_each each;
    struct mongo_in item;
    mongo_in_each_init(&each, in, F_KEYS);
    while (mongo_in_each_next(&each, &item)) {
        if (tenant->n_keys == KEYS_MAX) {
            *in->bad = true;
            return;
        }
        struct data_key *key = &tenant->keys[tenant->n_keys++];
        key->id = (uint32_t)mongo_in_int(&item, "id", 1, UINT32_MAX);
        key->kek_id = (uint32_t)mongo_in_int(&item, "kek", 0, UINT32_MAX);
        key->sealed_len =
            (uint16_t)mongo_in_bytes(&item, "sealed", key->sealed, sizeof key->sealed);
    }
}

static enum err read_tenant(const bson_t *doc, struct tenant *tenant, struct err_text *why)
{
    bool bad = false;
    struct mongo_in in, policy;
    mongo_in_init(&in, doc, &bad);
    tenant->version = mongo_in_version(&in, F_VERSION);
    mongo_writes_read(&in, &tenant->writes);
    read_keys(&in, tenant);
    tenant->has_policy = mongo_in_doc(&in, F_POLICY, &policy);
    if (tenant->has_policy)
        read_policy(&policy, &tenant->policy);
    return mongo_in_check(&in, "a tenant", why);
}

static enum err load(struct mongo_store *s, struct tenant_id t, struct tenant *out,
                     struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, doc;
    bool found = false;
    *out = (struct tenant){0};
    mongo_put_bytes(&filter, "_id", t.s.p, t.s.len);
    struct mongo_find f = {.from = MONGO_TENANTS, .filter = &filter};
    enum err e = mongo_db_find(&s->db, &f, &doc, &found, why);
    if (e == ERR_OK && found) {
        e = read_tenant(&doc, out, why);
        bson_destroy(&doc);
    }
    bson_destroy(&filter);
    return e;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void write_policy(bson_t *b, const struct policy *p)
{
    bson_t child;
    mongo_put_begin(b, F_POLICY, &child);
    mongo_put_int(&child, "revision", p->revision);
    mongo_put_bool(&child, "enabled", p->enabled);
    mongo_put_bool(&child, "mobile", p->mobile);
    mongo_put_int(&child, "suspended_until", p->suspended_until_ms);
    mongo_put_text(&child, "suspended_reason", p->suspended_reason);
    mongo_put_text(&child, "issuer", p->issuer);
    mongo_put_int(&child, "algorithm", p->algorithm);
    mongo_put_int(&child, "digits", p->digits);
    mongo_put_int(&child, "period", p->period);
    mongo_put_int(&child, "window_steps", p->window_steps);
    mongo_put_int(&child, "enrollment_lifetime", p->enrollment_lifetime);
    mongo_put_int(&child, "reset_lifetime", p->reset_lifetime);
    mongo_put_text(&child, "reset_link", p->reset_link);
    mongo_put_text(&child, "mail_from", p->mail_from);
    mongo_put_text(&child, "mail_from_name", p->mail_from_name);
    mongo_put_text(&child, "locale", p->locale);
    mongo_put_int(&child, "update_time", p->update_time_ms);
    mongo_put_text(&child, "updated_by", p->updated_by);
    mongo_put_end(b, &child);
}

static void write_tenant(bson_t *b, const struct tenant *tenant)
{
    bson_t array, child;
    mongo_writes_write(b, &tenant->writes);
    mongo_put_begin_array(b, F_KEYS, &array);
    for (uint32_t i = 0; i < tenant->n_keys; i++) {
        const struct data_key *key = &tenant->keys[i];
        mongo_put_begin_element(&array, i, &child);
        mongo_put_int(&child, "id", key->id);
        mongo_put_int(&child, "kek", key->kek_id);
        mongo_put_bytes(&child, "sealed", key->sealed, key->sealed_len);
        mongo_put_end(&array, &child);
    }
    mongo_put_end_array(b, &array);
    if (tenant->has_policy)
        write_policy(b, &tenant->policy);
}

static enum mongo_end compare_and_set(struct mongo_store *s, struct tenant_id t,
                                      struct tenant *tenant, const struct mongo_write_id *id,
                                      bool *mine, struct err_text *why)
{
    bson_t doc = BSON_INITIALIZER;
    mongo_writes_note(&tenant->writes, id);
    mongo_put_bytes(&doc, "_id", t.s.p, t.s.len);
    mongo_put_int(&doc, F_VERSION, tenant->version + 1);
    write_tenant(&doc, tenant);
    struct mongo_document at = {
        .in = MONGO_TENANTS, .id = t.s.p, .id_len = t.s.len, .version = tenant->version};
    enum mongo_end end = mongo_db_set(&s->db, &at, &doc, mine, why);
    bson_destroy(&doc);
    return end;
}

/* Changes the tenant; `change` is called again when somebody else was quicker. */
static enum err change_tenant(struct mongo_store *s, struct tenant_id t,
                              enum err (*change)(struct tenant *tenant, const void *args,
                                                 struct err_text *why),
                              const void *args, struct err_text *why)
{
    struct mongo_write_id id = mongo_writes_new_id();
    struct tenant *tenant = mem_alloc(sizeof *tenant);
    enum err e = load(s, t, tenant, why);
    while (e == ERR_OK) {
        bool mine;
        e = change(tenant, args, why);
        if (e != ERR_OK)
            break;
        enum mongo_end end = compare_and_set(s, t, tenant, &id, &mine, why);
        if (end == MONGO_DONE && mine)
            break;
        e = mongo_db_try_again(&s->db, end, why);
        if (e == ERR_OK)
            e = load(s, t, tenant, why);
        if (e == ERR_OK && mongo_writes_has(&tenant->writes, &id))
            break;
        if (e == ERR_OK)
            e = mongo_db_check_time(&s->db, "tenant", why);
    }
    free(tenant);
    return e;
}

/* ---- operations ---------------------------------------------------------------------------- */

enum err mongo_tenant_policy_get(struct store *base, struct tenant_id t, struct policy *out,
                                 struct err_text *why)
{
    struct tenant *tenant = mem_alloc(sizeof *tenant);
    enum err e = load(mongo_store_of(base), t, tenant, why);
    if (e == ERR_OK && !tenant->has_policy)
        e = err_set(why, ERR_NOT_FOUND, NULL, "the tenant has no policy");
    if (e == ERR_OK)
        *out = tenant->policy;
    free(tenant);
    return e;
}

static enum err set_policy(struct tenant *tenant, const void *args, struct err_text *why)
{
    const struct policy *p = args;
    int64_t now = tenant->has_policy ? tenant->policy.revision : 0;
    if (p->revision != now + 1)
        return err_set(why, ERR_CONFLICT, NULL, "the policy has revision %lld", (long long)now);
    tenant->policy = *p;
    tenant->has_policy = true;
    return ERR_OK;
}

enum err mongo_tenant_policy_put(struct store *base, struct tenant_id t, const struct policy *p,
                                 struct err_text *why)
{
    return change_tenant(mongo_store_of(base), t, set_policy, p, why);
}

enum err mongo_tenant_data_key_get(struct store *base, struct tenant_id t, uint32_t id,
                                   struct data_key *out, struct err_text *why)
{
    struct tenant *tenant = mem_alloc(sizeof *tenant);
    enum err e = load(mongo_store_of(base), t, tenant, why);
    const struct data_key *found = NULL;
    for (size_t i = 0; e == ERR_OK && i < tenant->n_keys; i++) {
        const struct data_key *key = &tenant->keys[i];
        if (id == 0 ? found == NULL || key->id > found->id : key->id == id)
            found = key;
    }
    if (e == ERR_OK && found == NULL)
        e = err_set(why, ERR_NOT_FOUND, NULL, "the tenant has no data key %u", id);
    if (e == ERR_OK)
        *out = *found;
    free(tenant);
    return e;
}

static enum err add_key(struct tenant *tenant, const void *args, struct err_text *why)
{
    const struct data_key *key = args;
    for (size_t i = 0; i < tenant->n_keys; i++)
        if (tenant->keys[i].id == key->id)
            return err_set(why, ERR_EXISTS, NULL, "the tenant has a data key %u", key->id);
    if (tenant->n_keys == KEYS_MAX)
        return err_set(why, ERR_LIMIT, NULL, "the tenant has %d data keys", KEYS_MAX);
    tenant->keys[tenant->n_keys++] = *key;
    return ERR_OK;
}

enum err mongo_tenant_data_key_add(struct store *base, struct tenant_id t,
                                   const struct data_key *key, struct err_text *why)
{
    return change_tenant(mongo_store_of(base), t, add_key, key, why);
}
