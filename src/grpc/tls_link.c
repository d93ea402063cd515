/* SPDX-License-Identifier: ISC */
#include "grpc/tls_link_internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Without a word between them; each costs us more than it does the peer. */
#define KEY_UPDATES_MAX 32

struct tls_link {
    SSL *ssl;
    tls_link_out *out;
    void *ctx;
    const uint8_t *given; /* by the wire, and not read yet */
    size_t n_given;
    const char *problem;
    char **names;
    size_t n_names;
    bool heard;           /* something has come */
    unsigned key_updates; /* since the peer last said something */
};

/* SSL_get_error wants to find the last call's errors alone. Clearing none costs, too. */
static void forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* ---- the wire, as OpenSSL sees it ---- */

static bool is_flood(const struct tls_link *l)
{
    return l->key_updates > KEY_UPDATES_MAX;
}

static int wire_read(BIO *bio, char *out, int cap)
{
    struct tls_link *l = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (is_flood(l))
        return -1; /* for good */
    if (l->n_given == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = l->n_given < (size_t)cap ? l->n_given : (size_t)cap;
    memcpy(out, l->given, n);
    l->given += n;
    l->n_given -= n;
    return (int)n;
}

static int wire_write(BIO *bio, const char *bytes, int n)
{
    const struct tls_link *l = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return l->out(l->ctx, bytes, (size_t)n) ? n : -1;
}

static long wire_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *wire;

static void make_wire(void)
{
    wire = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (wire == NULL || BIO_meth_set_read(wire, wire_read) != 1 ||
        BIO_meth_set_write(wire, wire_write) != 1 || BIO_meth_set_ctrl(wire, wire_control) != 1)
        abort();
}

static void on_message(int written, int version, int type, const void *bytes, size_t n, SSL *ssl,
                       void *ctx)
{
    (void)version;
    (void)ssl;
    struct tls_link *l = ctx;
    if (!written && type == SSL3_RT_HANDSHAKE && n > 0 &&
        *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
        l->key_updates++;
    if (is_flood(l))
        l->problem = "it changes its keys without end";
}

/* ---- its life ---- */

static struct tls_link *new_link(SSL_CTX *tls, tls_link_out *out, void *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_wire);
    struct tls_link *l = mem_zalloc(1, sizeof *l);
    l->out = out;
    l->ctx = ctx;
    l->ssl = SSL_new(tls);
    BIO *bio = BIO_new(wire);
    if (l->ssl == NULL || bio == NULL || SSL_set_app_data(l->ssl, l) != 1)
        abort();
    BIO_set_data(bio, l);
    BIO_set_init(bio, 1);
    SSL_set_bio(l->ssl, bio, bio);
    SSL_set_msg_callback(l->ssl, on_message);
    SSL_set_msg_callback_arg(l->ssl, l);
    return l;
}

struct tls_link *tls_link_new_server(SSL_CTX *tls, tls_link_out *out, void *ctx)
{
    struct tls_link *l = new_link(tls, out, ctx);
    SSL_set_accept_state(l->ssl);
    return l;
}

struct tls_link *tls_link_new_client(SSL_CTX *tls, const char *host, tls_link_out *out, void *ctx)
{
    struct tls_link *l = new_link(tls, out, ctx);
    X509_VERIFY_PARAM *wanted = SSL_get0_param(l->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host) != 1 &&
        (X509_VERIFY_PARAM_set1_host(wanted, host, 0) != 1 ||
         SSL_set_tlsext_host_name(l->ssl, host) != 1))
        abort();
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set_connect_state(l->ssl);
    return l;
}

void tls_link_free(struct tls_link *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->n_names; i++)
        free(l->names[i]);
    free(l->names);
    SSL_free(l->ssl);
    free(l);
}

/* ---- the peer's names ---- */

static bool is_name(struct str text, int kind)
{
    if (text.len == 0 || text.len > TLS_LINK_NAME_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~')
            return false;
    /* So that neither can pass for the other. */
    return (memchr(text.p, ':', text.len) != NULL) == (kind == GEN_URI);
}

static void add_name(struct tls_link *l, struct str text, int kind)
{
    if (l->n_names == TLS_LINK_NAMES_MAX || !is_name(text, kind))
        return;
    char *name = mem_zalloc(text.len + 1, 1);
    for (size_t i = 0; i < text.len; i++)
        name[i] = (char)(kind == GEN_DNS ? tolower((unsigned char)text.p[i]) : text.p[i]);
    l->names = mem_realloc(l->names, (l->n_names + 1) * sizeof *l->names);
    l->names[l->n_names++] = name;
}

static void add_names(struct tls_link *l, const GENERAL_NAMES *all, int kind)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);
        if (one->type != kind)
            continue;
        const ASN1_STRING *text = one->d.ia5;
        add_name(l,
                 (struct str){.p = (const char *)ASN1_STRING_get0_data(text),
                              .len = (size_t)ASN1_STRING_length(text)},
                 kind);
    }
}

/* A session that resumes brings its certificate along, verified when it began. */
static void learn_names(struct tls_link *l)
{
    const X509 *cert = SSL_get0_peer_certificate(l->ssl);
    if (cert == NULL || SSL_get_verify_result(l->ssl) != X509_V_OK ||
        X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        return;
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    add_names(l, all, GEN_URI);
    add_names(l, all, GEN_DNS);
    GENERAL_NAMES_free(all);
    forget_errors();
}

size_t tls_link_names(const struct tls_link *l, const char *const **out)
{
    *out = (const char *const *)l->names;
    return l->n_names;
}

/* ---- the handshake ---- */

void tls_link_blame(SSL *ssl, const char *why)
{
    struct tls_link *l = SSL_get_app_data(ssl);
    l->problem = why;
}

/* Of several errors the first is the cause. */
static void note_problem(struct tls_link *l)
{
    long verified = SSL_get_verify_result(l->ssl);
    if (l->problem == NULL && verified != X509_V_OK)
        l->problem = X509_verify_cert_error_string(verified);
    if (l->problem == NULL)
        l->problem = ERR_reason_error_string(ERR_peek_error());
    if (l->problem == NULL)
        l->problem = "the connection broke";
    forget_errors();
}

void tls_link_give(struct tls_link *l, const uint8_t *bytes, size_t n)
{
    if (!l->heard && n > 0 && bytes[0] != TLS_LINK_FIRST_BYTE)
        l->problem = "it does not speak TLS";
    l->heard = true;
    l->given = bytes;
    l->n_given = n;
}

enum tls_link_state tls_link_shake(struct tls_link *l)
{
    forget_errors();
    int rc = SSL_do_handshake(l->ssl);
    if (rc == 1) {
        learn_names(l);
        return TLS_LINK_READY;
    }
    if (SSL_get_error(l->ssl, rc) == SSL_ERROR_WANT_READ)
        return TLS_LINK_SHAKING;
    note_problem(l);
    return TLS_LINK_BROKEN;
}

const char *tls_link_problem(const struct tls_link *l)
{
    return l->problem;
}

/* ---- afterwards ---- */

ssize_t tls_link_read(struct tls_link *l, uint8_t *out, size_t cap)
{
    size_t n = 0;
    /* OpenSSL would make a buffer to find that out. */
    if (l->n_given == 0 && SSL_pending(l->ssl) == 0)
        return 0;
    forget_errors();
    int rc = SSL_read_ex(l->ssl, out, cap, &n);
    if (rc == 1) {
        l->key_updates = 0;
        return (ssize_t)n;
    }
    if (SSL_get_error(l->ssl, rc) == SSL_ERROR_WANT_READ)
        return 0;
    note_problem(l);
    return -1;
}

bool tls_link_write(struct tls_link *l, const void *bytes, size_t n)
{
    size_t written;
    forget_errors();
    if (SSL_write_ex(l->ssl, bytes, n, &written) == 1)
        return true;
    note_problem(l);
    return false;
}

void tls_link_end(struct tls_link *l)
{
    if (SSL_is_init_finished(l->ssl))
        SSL_shutdown(l->ssl);
    forget_errors();
}

bool tls_link_is_amid(const struct tls_link *l)
{
    return SSL_has_pending(l->ssl) == 1 || strcmp(SSL_rstate_string(l->ssl), "RH") != 0;
}
