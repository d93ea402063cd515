/* SPDX-License-Identifier: ISC */
#include "grpc/tls_internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "grpc/pem_internal.h"
#include "grpc/tickets_internal.h"
#include "grpc/tls_link_internal.h"

#include <openssl/evp.h>
#include <openssl/tls1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* For TLS 1.2: what RFC 9113's appendix A does not forbid. All of 1.3's own are fine. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS  "X25519:P-256:P-384"

#define TICKETS          1     /* a client has one connection, not the six of a browser */
#define CERTIFICATES_MAX 32768 /* bytes of what a client shows of itself */

struct grpc_tls {
    SSL_CTX *ctx;
    int64_t expires_s;
    char warning[200];
};

/* The protocol itself fails only without memory or by a mistake of ours. */
static void must(bool done)
{
    if (!done)
        abort();
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    must(ctx != NULL);
    must(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    must(SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1);
    must(SSL_CTX_set1_groups_list(ctx, GROUPS) == 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* An idle connection owns no buffers. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(ctx, CERTIFICATES_MAX);
    return ctx;
}

/* ---- ALPN ---- */

/* Who sends no ALPN at all is not asked by the callback for it. */
static int on_hello(SSL *ssl, int *alert, void *ctx)
{
    (void)ctx;
    const unsigned char *extension;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                  &extension, &len) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    tls_link_blame(ssl, "it offers no protocol by ALPN, h2 is needed");
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *len_out,
                        const unsigned char *offered, unsigned len, void *ctx)
{
    (void)ctx;
    static const unsigned char ours[] = TLS_PROTOCOLS;
    for (unsigned i = 0; i < len; i += 1u + offered[i]) {
        struct str one = {.p = (const char *)offered + i, .len = 1u + offered[i]};
        if (one.len > len - i || !str_equal(one, STR(TLS_PROTOCOLS)))
            continue;
        *out = ours + 1;
        *len_out = ours[0];
        return SSL_TLSEXT_ERR_OK;
    }
    tls_link_blame(ssl, "it does not offer h2 by ALPN");
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- sessions ---- */

/* A session carries the client's certificate as verified. Under other authorities it must
 * not resume: what names them is part of it. */
static enum err set_session_context(SSL_CTX *ctx, const char *client_ca_file, struct err_text *why)
{
    uint8_t id[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    must(hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    pem_list *authorities = NULL;
    enum err e =
        client_ca_file == NULL ? ERR_OK : pem_certificates(&authorities, client_ca_file, why);
    for (int i = 0; i < sk_X509_num(authorities); i++) {
        must(X509_digest(sk_X509_value(authorities, i), EVP_sha256(), id, &len) == 1);
        must(EVP_DigestUpdate(hash, id, len) == 1);
    }
    must(EVP_DigestFinal_ex(hash, id, &len) == 1);
    must(SSL_CTX_set_session_id_context(ctx, id, len) == 1);
    sk_X509_pop_free(authorities, X509_free);
    EVP_MD_CTX_free(hash);
    return e;
}

static void set_sessions(SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TICKETS_PERIOD_S);
    must(SSL_CTX_set_num_tickets(ctx, TICKETS) == 1);
    struct tickets *tickets = tickets_new();
    tickets_attach(tickets, ctx);
    tickets_free(tickets);
}

void tls_inherit(struct grpc_tls *t, const struct grpc_tls *old)
{
    tickets_attach(tickets_of(old->ctx), t->ctx);
}

/* ---- the whole ---- */

static enum err ask_for_certificates(SSL_CTX *ctx, const char *client_ca_file, struct err_text *why)
{
    TRY(pem_authorities(ctx, client_ca_file, why));
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca_file);
    if (names == NULL)
        return err_set(why, ERR_INVALID, NULL, "%.120s: %.60s", client_ca_file, pem_problem());
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ERR_OK;
}

static void note_warning(struct grpc_tls *t, const char *cert_file)
{
    if (t->expires_s > time(NULL))
        return;
    time_t end = t->expires_s;
    struct tm when;
    char day[sizeof "2000-01-01 00:00:00 UTC"] = "";
    gmtime_r(&end, &when);
    strftime(day, sizeof day, "%F %T UTC", &when);
    snprintf(t->warning, sizeof t->warning, "%.120s: the certificate ended at %s", cert_file, day);
}

enum err grpc_tls_load(struct grpc_tls **out, const struct grpc_tls_files *files,
                       struct err_text *why)
{
    struct grpc_tls *t = mem_zalloc(1, sizeof *t);
    t->ctx = new_context(TLS_server_method());
    SSL_CTX_set_options(t->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_client_hello_cb(t->ctx, on_hello, NULL);
    SSL_CTX_set_alpn_select_cb(t->ctx, on_protocols, NULL);
    set_sessions(t->ctx);
    enum err e = pem_identity(t->ctx, files->cert_file, files->key_file, &t->expires_s, why);
    if (e == ERR_OK && files->client_ca_file != NULL)
        e = ask_for_certificates(t->ctx, files->client_ca_file, why);
    if (e == ERR_OK)
        e = set_session_context(t->ctx, files->client_ca_file, why);
    if (e != ERR_OK) {
        grpc_tls_free(t);
        return e;
    }
    note_warning(t, files->cert_file);
    *out = t;
    return ERR_OK;
}

void grpc_tls_free(struct grpc_tls *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

int64_t grpc_tls_expires_s(const struct grpc_tls *t)
{
    return t->expires_s;
}

const char *grpc_tls_warning(const struct grpc_tls *t)
{
    return t->warning[0] != '\0' ? t->warning : NULL;
}

SSL_CTX *tls_server_context(const struct grpc_tls *t)
{
    return t->ctx;
}

static enum err set_trust(SSL_CTX *ctx, const struct grpc_client_tls *files, struct err_text *why)
{
    if (files->ca_file != NULL)
        return pem_authorities(ctx, files->ca_file, why);
    must(SSL_CTX_set_default_verify_paths(ctx) == 1);
    return ERR_OK;
}

enum err tls_client_context(SSL_CTX **out, const struct grpc_client_tls *files,
                            struct err_text *why)
{
    static const unsigned char protocols[] = TLS_PROTOCOLS;
    SSL_CTX *ctx = new_context(TLS_client_method());
    must(SSL_CTX_set_alpn_protos(ctx, protocols, sizeof protocols - 1) == 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    int64_t expires_s;
    enum err e = set_trust(ctx, files, why);
    if (e == ERR_OK && files->cert_file != NULL)
        e = pem_identity(ctx, files->cert_file, files->key_file, &expires_s, why);
    if (e == ERR_OK)
        *out = ctx;
    else
        SSL_CTX_free(ctx);
    return e;
}
