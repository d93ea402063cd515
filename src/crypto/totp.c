/* SPDX-License-Identifier: ISC */
#include "crypto/totp_internal.h"

#include "base/mem.h"
#include "crypto/secret.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define N_HASHES      3
#define WINDOW_MAX    2
#define MS_PER_SECOND 1000
#define COUNTER_LEN   8

/* Contexts without a key, one a hash; every thread makes copies of them once,
 * because a fresh context costs more than the HMAC itself. */
static EVP_MAC_CTX *templates[N_HASHES];
static bool ready;

/* Holds each thread's copies and frees them when it ends. */
static pthread_key_t of_thread;

struct macs {
    EVP_MAC_CTX *ctx[N_HASHES];
};

static const struct {
    const char *name;
    size_t mac_len;
} hashes[N_HASHES] = {{"SHA1", 20}, {"SHA256", 32}, {"SHA512", 64}};

static bool hash_is_known(enum totp_hash hash)
{
    return hash >= TOTP_SHA1 && hash <= TOTP_SHA512;
}

static size_t index_of(enum totp_hash hash)
{
    return (size_t)hash - TOTP_SHA1;
}

size_t totp_secret_len(enum totp_hash hash)
{
    return hash_is_known(hash) ? hashes[index_of(hash)].mac_len : 0;
}

int64_t totp_step(int64_t unix_ms, uint32_t period)
{
    return unix_ms < 0 ? 0 : unix_ms / MS_PER_SECOND / period;
}

static void macs_free(void *of_ended_thread)
{
    struct macs *m = of_ended_thread;
    for (size_t i = 0; i < N_HASHES; i++)
        EVP_MAC_CTX_free(m->ctx[i]);
    free(m);
}

static EVP_MAC_CTX *template_new(EVP_MAC *hmac, const char *hash_name)
{
    char name[16]; /* OpenSSL wants it writable */
    snprintf(name, sizeof name, "%s", hash_name);
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                 OSSL_PARAM_END};
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
    if (ctx != NULL && EVP_MAC_CTX_set_params(ctx, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

enum err totp_init(struct err_text *why)
{
    if (ready)
        return ERR_OK;
    if (pthread_key_create(&of_thread, macs_free) != 0)
        return err_set(why, ERR_INTERNAL, NULL, "no room for the threads' HMAC contexts");
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ready = hmac != NULL;
    for (size_t i = 0; ready && i < N_HASHES; i++) {
        templates[i] = template_new(hmac, hashes[i].name);
        ready = templates[i] != NULL;
    }
    EVP_MAC_free(hmac);
    if (!ready)
        return err_set(why, ERR_INTERNAL, NULL, "OpenSSL offers no HMAC with SHA-1 and SHA-2");
    return ERR_OK;
}

/* This thread's context for hash, NULL when the library has none. */
static EVP_MAC_CTX *context(enum totp_hash hash)
{
    size_t i = index_of(hash);
    if (!ready)
        return NULL;
    struct macs *m = pthread_getspecific(of_thread);
    if (m == NULL) {
        m = mem_zalloc(1, sizeof *m);
        if (pthread_setspecific(of_thread, m) != 0)
            abort();
    }
    if (m->ctx[i] == NULL)
        m->ctx[i] = EVP_MAC_CTX_dup(templates[i]);
    return m->ctx[i];
}

/* An empty key is never right: it would make everybody's codes the same. */
static EVP_MAC_CTX *keyed(enum totp_hash hash, const struct secret *key)
{
    EVP_MAC_CTX *ctx = hash_is_known(hash) && key->len > 0 ? context(hash) : NULL;
    if (ctx == NULL || EVP_MAC_init(ctx, key->bytes, key->len, NULL) != 1)
        return NULL;
    return ctx;
}

/* The context outlives the call and its key must not. */
static void forget_key(EVP_MAC_CTX *ctx)
{
    static const uint8_t nothing[1];
    if (EVP_MAC_init(ctx, nothing, sizeof nothing, NULL) != 1)
        abort();
}

static bool mac_of(uint8_t mac[static TOTP_MAC_MAX], EVP_MAC_CTX *ctx, const uint8_t *bytes,
                   size_t n)
{
    /* Without a key: as after the last init with one. */
    size_t len;
    return EVP_MAC_init(ctx, NULL, 0, NULL) == 1 && EVP_MAC_update(ctx, bytes, n) == 1 &&
           EVP_MAC_final(ctx, mac, &len, TOTP_MAC_MAX) == 1;
}

enum err totp_hmac(uint8_t mac[static TOTP_MAC_MAX], size_t *len_out, const struct secret *key,
                   enum totp_hash hash, const uint8_t *bytes, size_t n)
{
    EVP_MAC_CTX *ctx = keyed(hash, key);
    if (ctx == NULL)
        return ERR_INTERNAL;
    bool ok = mac_of(mac, ctx, bytes, n);
    forget_key(ctx);
    if (!ok)
        return ERR_INTERNAL;
    *len_out = hashes[index_of(hash)].mac_len;
    return ERR_OK;
}

/* Dynamic truncation (RFC 4226 section 5.3). The offset comes from the MAC, so all
 * 16 places are read and one is kept. */
static uint32_t truncate_mac(const uint8_t *mac, size_t len)
{
    uint32_t offset = mac[len - 1] & 15, value = 0;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t same = ((i ^ offset) - 1) >> 31;
        uint32_t here = (uint32_t)mac[i] << 24 | (uint32_t)mac[i + 1] << 16 |
                        (uint32_t)mac[i + 2] << 8 | mac[i + 3];
        value |= (0 - same) & here;
    }
    return value & 0x7fffffff;
}

static void write_digits(char *out, uint32_t value, uint32_t digits)
{
    out[digits] = '\0';
    for (uint32_t i = digits; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
}

static bool write_code(char out[static TOTP_DIGITS_MAX + 1], EVP_MAC_CTX *ctx, size_t mac_len,
                       uint32_t digits, int64_t step)
{
    uint8_t counter[COUNTER_LEN], mac[TOTP_MAC_MAX] = {0};
    for (size_t i = 0; i < COUNTER_LEN; i++)
        counter[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
    bool ok = mac_of(mac, ctx, counter, sizeof counter);
    write_digits(out, truncate_mac(mac, mac_len), digits);
    secret_wipe(mac, sizeof mac);
    return ok;
}

static bool digits_are_allowed(uint32_t digits)
{
    return digits >= TOTP_DIGITS_MIN && digits <= TOTP_DIGITS_MAX;
}

enum err totp_code(char out[static TOTP_DIGITS_MAX + 1], const struct secret *key,
                   enum totp_hash hash, uint32_t digits, int64_t step)
{
    EVP_MAC_CTX *ctx = digits_are_allowed(digits) && step >= 0 ? keyed(hash, key) : NULL;
    if (ctx == NULL)
        return ERR_INTERNAL;
    char code[TOTP_DIGITS_MAX + 1];
    bool ok = write_code(code, ctx, hashes[index_of(hash)].mac_len, digits, step);
    forget_key(ctx);
    for (size_t i = 0; ok && i <= digits; i++)
        out[i] = code[i];
    secret_wipe(code, sizeof code);
    return ok ? ERR_OK : ERR_INTERNAL;
}

enum err totp_match(int64_t *step_out, const char *code, const struct secret *key,
                    enum totp_hash hash, uint32_t digits, int64_t center, uint32_t window)
{
    bool sane = digits_are_allowed(digits) && window <= WINDOW_MAX && center >= 0 &&
                center <= INT64_MAX - WINDOW_MAX;
    EVP_MAC_CTX *ctx = sane ? keyed(hash, key) : NULL;
    if (ctx == NULL)
        return ERR_INTERNAL;
    char want[TOTP_DIGITS_MAX + 1];
    int64_t newest = -1;
    bool ok = true;
    for (int64_t step = center - window; step <= center + window; step++) {
        ok &= write_code(want, ctx, hashes[index_of(hash)].mac_len, digits, step);
        /* A mask, because a branch would tell which step it was. */
        int64_t hit = -(int64_t)(secret_equal(want, code, digits) & (step >= 0));
        newest = (newest & ~hit) | (step & hit);
    }
    forget_key(ctx);
    secret_wipe(want, sizeof want);
    if (!ok)
        return ERR_INTERNAL;
    *step_out = newest;
    return ERR_OK;
}
