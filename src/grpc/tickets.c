/* SPDX-License-Identifier: ISC */
#include "grpc/tickets_internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_LEN 16
#define KEY_LEN  32

/* What OpenSSL wants to hear of a ticket. */
enum { TICKET_UNKNOWN = 0, TICKET_GOOD = 1, TICKET_GOOD_BUT_OLD = 2, TICKET_FAILED = -1 };

struct key {
    uint8_t name[NAME_LEN];
    uint8_t aes[KEY_LEN];
    uint8_t hmac[KEY_LEN];
};

struct tickets {
    atomic_uint holds;
    pthread_mutex_t lock; /* for what follows */
    struct key now, before;
    int64_t made_s; /* when now was */
};

static int slot; /* of a context's own data */
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static int64_t mono_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void fill(struct key *key)
{
    if (RAND_priv_bytes((uint8_t *)key, sizeof *key) != 1)
        abort();
}

struct tickets *tickets_new(void)
{
    struct tickets *t = mem_zalloc(1, sizeof *t);
    atomic_init(&t->holds, 1);
    pthread_mutex_init(&t->lock, NULL);
    fill(&t->now);
    fill(&t->before);
    t->made_s = mono_s();
    return t;
}

struct tickets *tickets_hold(struct tickets *t)
{
    atomic_fetch_add(&t->holds, 1);
    return t;
}

void tickets_free(struct tickets *t)
{
    if (t == NULL || atomic_fetch_sub(&t->holds, 1) > 1)
        return;
    pthread_mutex_destroy(&t->lock);
    explicit_bzero(&t->now, sizeof t->now);
    explicit_bzero(&t->before, sizeof t->before);
    free(t);
}

void tickets_turn(struct tickets *t, int64_t now_s)
{
    pthread_mutex_lock(&t->lock);
    if (now_s - t->made_s >= TICKETS_PERIOD_S) {
        t->before = t->now;
        fill(&t->now);
        t->made_s = now_s;
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- what OpenSSL asks ---- */

static bool is_named(const struct key *key, const uint8_t name[static NAME_LEN])
{
    return str_equal((struct str){.p = (const char *)key->name, .len = NAME_LEN},
                     (struct str){.p = (const char *)name, .len = NAME_LEN});
}

static int find(struct tickets *t, const uint8_t name[static NAME_LEN], struct key *out)
{
    int found = TICKET_UNKNOWN;
    pthread_mutex_lock(&t->lock);
    if (is_named(&t->now, name)) {
        *out = t->now;
        found = TICKET_GOOD;
    } else if (is_named(&t->before, name)) {
        *out = t->before;
        found = TICKET_GOOD_BUT_OLD;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

static int take_newest(struct tickets *t, uint8_t name[static NAME_LEN], struct key *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->now;
    pthread_mutex_unlock(&t->lock);
    memcpy(name, out->name, NAME_LEN);
    return TICKET_GOOD;
}

static bool use(struct key *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                int sealing)
{
    static char sha256[] = "SHA256";
    const OSSL_PARAM with[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
                               OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, KEY_LEN),
                               OSSL_PARAM_END};
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, with) == 1;
}

/* name has room for NAME_LEN bytes, iv for EVP_MAX_IV_LENGTH. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tickets *t = tickets_of(SSL_get_SSL_CTX(ssl));
    struct key key;
    tickets_turn(t, mono_s());
    if (sealing && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
        return TICKET_FAILED;
    int found = sealing ? take_newest(t, name, &key) : find(t, name, &key);
    if (found != TICKET_UNKNOWN && !use(&key, iv, cipher, mac, sealing))
        found = TICKET_FAILED;
    explicit_bzero(&key, sizeof key);
    return found;
}

/* ---- a context and its keys ---- */

static void free_hold(void *parent, void *hold, CRYPTO_EX_DATA *all, int index, long number,
                      void *pointer)
{
    (void)parent;
    (void)all;
    (void)index;
    (void)number;
    (void)pointer;
    tickets_free(hold);
}

static void make_slot(void)
{
    slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_hold);
    if (slot < 0)
        abort();
}

void tickets_attach(struct tickets *t, SSL_CTX *ctx)
{
    pthread_once(&slot_once, make_slot);
    tickets_free(tickets_of(ctx));
    if (SSL_CTX_set_ex_data(ctx, slot, tickets_hold(t)) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1)
        abort();
}

struct tickets *tickets_of(const SSL_CTX *ctx)
{
    return SSL_CTX_get_ex_data(ctx, slot);
}
