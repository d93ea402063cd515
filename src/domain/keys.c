/* SPDX-License-Identifier: ISC */
#include "keys_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "crypto/keyring.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "domain_internal.h"
#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* As in the policy cache: a tenant has one place, and the last one there stays. Opened keys sit in
 * locked memory, which is scarce, so there are not more. */
#define KEYS_SLOTS 256

struct slot {
    uint32_t id;     /* 0: empty */
    uint32_t kek_id; /* of the keyring's key that sealed it */
    bool newest;     /* is this the newest one? */
    int64_t read_ms; /* before the store was asked */
    size_t tenant_len;
    char tenant[ID_MAX];
    struct secret *key;
};

struct keys {
    pthread_mutex_t lock;
    struct slot slots[KEYS_SLOTS]; /* guarded by lock */

    /* What is borrowed from it is used while lock is held. Guarded by lock. */
    const struct keyring *keyring;
    uint32_t service_kek_id; /* what sealed the service's own data key; 0: not known yet */
};

struct keys *keys_new(const struct keyring *keyring)
{
    struct keys *k = mem_zalloc(1, sizeof *k);
    k->keyring = keyring;
    pthread_mutex_init(&k->lock, NULL);
    return k;
}

static void empty_slots(struct keys *k)
{
    for (size_t i = 0; i < KEYS_SLOTS; i++) {
        secret_free(k->slots[i].key);
        k->slots[i] = (struct slot){0};
    }
}

void keys_forget(struct keys *k)
{
    pthread_mutex_lock(&k->lock);
    empty_slots(k);
    pthread_mutex_unlock(&k->lock);
}

void keys_free(struct keys *k)
{
    if (k == NULL)
        return;
    keys_forget(k);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static struct slot *slot_of(struct keys *k, struct tenant_id t)
{
    return &k->slots[str_hash(t.s) % KEYS_SLOTS];
}

static bool slot_holds(const struct slot *s, struct tenant_id t, uint32_t id)
{
    return s->id != 0 && (id == s->id || (id == 0 && s->newest)) &&
           str_equal((struct str){.p = s->tenant, .len = s->tenant_len}, t.s);
}

/* Copies the key into *out and returns its id; 0 when it is not kept. */
static uint32_t take(struct keys *k, struct tenant_id t, uint32_t id, int64_t mono_ms,
                     struct secret *out)
{
    pthread_mutex_lock(&k->lock);
    const struct slot *s = slot_of(k, t);
    uint32_t found = 0;
    if (slot_holds(s, t, id) && mono_ms - s->read_ms < KEYS_KEEP_MS) {
        secret_set(out, s->key->bytes, s->key->len);
        found = s->id;
    }
    pthread_mutex_unlock(&k->lock);
    return found;
}

static void keep(struct keys *k, struct tenant_id t, const struct slot *what,
                 const struct secret *key)
{
    pthread_mutex_lock(&k->lock);
    struct slot *s = slot_of(k, t);
    if (!slot_holds(s, t, what->id) || s->read_ms <= what->read_ms) {
        struct secret *room = s->key != NULL ? s->key : secret_new();
        secret_set(room, key->bytes, key->len);
        *s = *what;
        s->key = room;
        s->tenant_len = t.s.len;
        memcpy(s->tenant, t.s.p, t.s.len);
    }
    pthread_mutex_unlock(&k->lock);
}

static struct seal_binding binding_of(struct tenant_id t, const struct data_key *key)
{
    return (struct seal_binding){
        .purpose = "data-key", .tenant = t.s, .generation = key->id, .key_id = key->kek_id};
}

static enum err lacks_key(uint32_t id, struct err_text *why)
{
    return err_set(why, ERR_DENIED, "KEYRING_LACKS_KEY",
                   "the keyring has no key %u, which sealed a data key of this store",
                   (unsigned)id);
}

/* With the lock. */
static enum err open_locked(struct secret *out, const struct keys *k, struct tenant_id t,
                            const struct data_key *key, struct err_text *why)
{
    const struct secret *kek = keyring_key(k->keyring, key->kek_id);
    if (kek == NULL)
        return lacks_key(key->kek_id, why);
    struct seal_binding binding = binding_of(t, key);
    if (seal_open(out, kek, &binding, key->sealed, key->sealed_len) != ERR_OK)
        return err_set(why, ERR_DENIED, "KEYRING_DOES_NOT_FIT",
                       "key %u of the keyring does not open a data key of this store",
                       (unsigned)key->kek_id);
    return ERR_OK;
}

static enum err open_key(struct secret *out, struct keys *k, struct tenant_id t,
                         const struct data_key *key, struct err_text *why)
{
    pthread_mutex_lock(&k->lock);
    enum err e = open_locked(out, k, t, key, why);
    if (e == ERR_OK && t.s.len == 0)
        k->service_kek_id = key->kek_id;
    pthread_mutex_unlock(&k->lock);
    return e;
}

enum err keys_get(struct domain *d, struct tenant_id t, uint32_t id, uint32_t *id_out,
                  const struct secret **out, struct err_text *why)
{
    int64_t mono_ms = clock_mono_ms(d->opt.clock);
    uint32_t found = take(d->shared->keys, t, id, mono_ms, d->key);
    if (found == 0) {
        struct data_key key;
        TRY(d->opt.store->ops->data_key_get(d->opt.store, t, id, &key, why));
        TRY(open_key(d->key, d->shared->keys, t, &key, why));
        found = key.id;
        struct slot what = {
            .id = found, .kek_id = key.kek_id, .newest = id == 0, .read_ms = mono_ms};
        keep(d->shared->keys, t, &what, d->key);
    }
    *id_out = found;
    *out = d->key;
    return ERR_OK;
}

static enum err make_first(struct domain *d, struct tenant_id t, struct err_text *why)
{
    struct keys *k = d->shared->keys;
    struct secret *fresh = secret_new();
    secret_random(fresh, SEAL_KEY_LEN);
    pthread_mutex_lock(&k->lock);
    struct data_key key = {.id = 1, .kek_id = keyring_active(k->keyring)};
    struct seal_binding binding = binding_of(t, &key);
    seal_close(key.sealed, keyring_key(k->keyring, key.kek_id), &binding, fresh);
    pthread_mutex_unlock(&k->lock);
    key.sealed_len = SEAL_KEY_LEN + SEAL_OVERHEAD;
    secret_free(fresh);
    d->caches_touched = true;
    return d->opt.store->ops->data_key_add(d->opt.store, t, &key, why);
}

enum err keys_get_or_make(struct domain *d, struct tenant_id t, uint32_t *id_out,
                          const struct secret **out, struct err_text *why)
{
    enum err e = keys_get(d, t, 0, id_out, out, why);
    if (e != ERR_NOT_FOUND)
        return e;
    e = make_first(d, t, why);
    if (e != ERR_OK && e != ERR_EXISTS) /* exists: another instance was quicker */
        return e;
    return keys_get(d, t, 0, id_out, out, why);
}

static enum err check_same(const struct keyring *before, const struct keyring *after,
                           struct err_text *why)
{
    for (size_t i = 0; i < keyring_count(before); i++) {
        uint32_t id = keyring_id_at(before, i);
        const struct secret *was = keyring_key(before, id), *is = keyring_key(after, id);
        if (is != NULL && !secret_equal(was->bytes, is->bytes, SEAL_KEY_LEN))
            return err_set(why, ERR_DENIED, "KEYRING_DOES_NOT_FIT",
                           "key %u is another than the one that is in use", (unsigned)id);
    }
    return ERR_OK;
}

/* With the lock. */
static enum err check_needed(const struct keys *k, const struct keyring *keyring,
                             struct err_text *why)
{
    if (k->service_kek_id != 0 && keyring_key(keyring, k->service_kek_id) == NULL)
        return lacks_key(k->service_kek_id, why);
    for (size_t i = 0; i < KEYS_SLOTS; i++)
        if (k->slots[i].id != 0 && keyring_key(keyring, k->slots[i].kek_id) == NULL)
            return lacks_key(k->slots[i].kek_id, why);
    return ERR_OK;
}

enum err keys_check_keyring(struct keys *k, const struct keyring *keyring, struct err_text *why)
{
    pthread_mutex_lock(&k->lock);
    enum err e = check_same(k->keyring, keyring, why);
    if (e == ERR_OK)
        e = check_needed(k, keyring, why);
    pthread_mutex_unlock(&k->lock);
    return e;
}

void keys_set_keyring(struct keys *k, const struct keyring *keyring)
{
    pthread_mutex_lock(&k->lock);
    k->keyring = keyring;
    empty_slots(k);
    pthread_mutex_unlock(&k->lock);
}
