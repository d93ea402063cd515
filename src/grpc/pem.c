/* SPDX-License-Identifier: ISC */
#include "grpc/pem_internal.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536
#define MODE_BITS    07777

const char *pem_problem(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error()); /* the cause */
    ERR_clear_error();
    return text != NULL ? text : "OpenSSL does not say why";
}

/* A key with a passphrase must not make OpenSSL ask the terminal for it. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static enum err open_file(BIO **out, const char *path, struct err_text *why)
{
    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, NULL,
                       "%.120s: cannot open it: %s", path, strerror(errno));
    /* Who can write it decides who is believed. */
    struct stat st;
    if (fstat(fd, &st) != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        close(fd);
        return err_set(why, ERR_DENIED, NULL, "%.120s: mode %04o lets others change it", path,
                       (unsigned)(st.st_mode & MODE_BITS));
    }
    *out = BIO_new_fd(fd, BIO_CLOSE);
    if (*out == NULL)
        abort();
    return ERR_OK;
}

static enum err read_all(pem_list *all, BIO *file, const char *path, struct err_text *why)
{
    ERR_clear_error();
    for (X509 *x; (x = PEM_read_bio_X509(file, NULL, no_passphrase, NULL)) != NULL;)
        if (sk_X509_push(all, x) == 0)
            abort();
    unsigned long last = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    const char *problem = pem_problem();
    if (at_end && sk_X509_num(all) > 0)
        return ERR_OK;
    if (at_end)
        return err_set(why, ERR_INVALID, NULL, "%.120s: there is no certificate in it (PEM)", path);
    return err_set(why, ERR_INVALID, NULL, "%.100s: certificate %d is damaged: %.50s", path,
                   sk_X509_num(all) + 1, problem);
}

enum err pem_certificates(pem_list **out, const char *path, struct err_text *why)
{
    BIO *file = NULL;
    TRY(open_file(&file, path, why));
    pem_list *all = sk_X509_new_null();
    if (all == NULL)
        abort();
    enum err e = read_all(all, file, path, why);
    BIO_free(file);
    if (e == ERR_OK)
        *out = all;
    else
        sk_X509_pop_free(all, X509_free);
    return e;
}

static enum err parse_key(EVP_PKEY **out, const uint8_t *bytes, size_t n, const char *path,
                          struct err_text *why)
{
    static const char passphrase_mark[] = "ENCRYPTED";
    if (memmem(bytes, n, passphrase_mark, sizeof passphrase_mark - 1) != NULL)
        return err_set(why, ERR_INVALID, NULL,
                       "%.120s: the key has a passphrase; give one that has none", path);
    BIO *memory = BIO_new_mem_buf(bytes, (int)n);
    if (memory == NULL)
        abort();
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(memory, NULL, no_passphrase, NULL);
    BIO_free(memory);
    if (key == NULL)
        return err_set(why, ERR_INVALID, NULL, "%.120s: no private key can be read from it: %.40s",
                       path, pem_problem());
    *out = key;
    return ERR_OK;
}

static enum err read_key(EVP_PKEY **out, const char *path, struct err_text *why)
{
    uint8_t *bytes = mem_alloc(KEY_FILE_MAX);
    size_t n = 0;
    enum err e = file_read_private(path, bytes, KEY_FILE_MAX, &n, why);
    if (e == ERR_OK)
        e = parse_key(out, bytes, n, path, why);
    explicit_bzero(bytes, KEY_FILE_MAX);
    free(bytes);
    return e;
}

static int64_t end_of(const X509 *x)
{
    struct tm end;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &end) == 0)
        return 0;
    return timegm(&end);
}

static enum err give(SSL_CTX *ctx, X509 *cert, EVP_PKEY *key, pem_list *chain,
                     const char *cert_file, const char *key_file, struct err_text *why)
{
    if (X509_check_private_key(cert, key) != 1) {
        ERR_clear_error();
        return err_set(why, ERR_INVALID, NULL, "%.80s: not the key of the certificate in %.80s",
                       key_file, cert_file);
    }
    if (SSL_CTX_use_cert_and_key(ctx, cert, key, chain, 1) != 1)
        return err_set(why, ERR_INVALID, NULL, "%.120s: %.60s", cert_file, pem_problem());
    return ERR_OK;
}

enum err pem_identity(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                      int64_t *expires_s_out, struct err_text *why)
{
    pem_list *chain = NULL;
    EVP_PKEY *key = NULL;
    TRY(pem_certificates(&chain, cert_file, why));
    X509 *cert = sk_X509_shift(chain);
    enum err e = read_key(&key, key_file, why);
    if (e == ERR_OK)
        e = give(ctx, cert, key, chain, cert_file, key_file, why);
    if (e == ERR_OK)
        *expires_s_out = end_of(cert);
    EVP_PKEY_free(key);
    X509_free(cert);
    sk_X509_pop_free(chain, X509_free);
    return e;
}

enum err pem_authorities(SSL_CTX *ctx, const char *ca_file, struct err_text *why)
{
    pem_list *all = NULL;
    TRY(pem_certificates(&all, ca_file, why));
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    for (int i = 0; i < sk_X509_num(all); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(all, i)) != 1)
            abort();
    /* Who is named there is trusted, and not only who signed itself. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    sk_X509_pop_free(all, X509_free);
    return ERR_OK;
}
