/* SPDX-License-Identifier: ISC */
/* A server's TLS from its files, and against a client that is OpenSSL alone: no sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grpc/tickets_internal.h"
#include "grpc/tls_internal.h"
#include "grpc/tls_link_internal.h"
#include "support/scratch.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TURNS     10 /* of a handshake; it takes fewer */
#define RECORD    16384
#define PATH_ROOM 512

static struct scratch folder;

static int make_certificates(void **state)
{
    (void)state;
    char command[PATH_ROOM];
    scratch_init(&folder);
    snprintf(command, sizeof command, "tests/support/certificates %s", folder.folder);
    return system(command) == 0 ? 0 : -1;
}

static int remove_certificates(void **state)
{
    (void)state;
    scratch_release(&folder);
    return 0;
}

static const char *file(const char *name)
{
    static char paths[12][PATH_ROOM];
    static unsigned next;
    char *path = paths[next++ % 12];
    snprintf(path, PATH_ROOM, "%s/%s", folder.folder, name);
    return path;
}

static struct grpc_tls *load(const char *ca)
{
    struct grpc_tls *t = NULL;
    struct err_text why = {0};
    const struct grpc_tls_files files = {.cert_file = file("server.pem"),
                                         .key_file = file("server.key"),
                                         .client_ca_file = ca != NULL ? file(ca) : NULL};
    assert_int_equal(grpc_tls_load(&t, &files, &why), ERR_OK);
    return t;
}

/* ---- the files ---- */

static void mistakes_name_the_file(void **state)
{
    (void)state;
    scratch_write(&folder, "empty", "", 0600);
    scratch_write(&folder, "damaged.pem",
                  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0600);
    char command[PATH_ROOM * 12];
    snprintf(command, sizeof command,
             "cp %s %s && chmod 0640 %s && cp %s %s && chmod 0622 %s && openssl pkey -in %s "
             "-aes128 -passout pass:x -out %s",
             file("server.key"), file("open.key"), file("open.key"), file("ca.pem"),
             file("open.pem"), file("open.pem"), file("server.key"), file("locked.key"));
    assert_int_equal(system(command), 0);
    static const struct {
        const char *cert, *key, *ca, *names, *says;
        enum err e;
    } cases[] = {
        {"nowhere.pem", "server.key", NULL, "nowhere.pem", "No such file", ERR_NOT_FOUND},
        {"server.pem", "nowhere.key", NULL, "nowhere.key", "No such file", ERR_NOT_FOUND},
        {"server.pem", "server.key", "nowhere", "nowhere", "No such file", ERR_NOT_FOUND},
        {"empty", "server.key", NULL, "empty", "no certificate", ERR_INVALID},
        {"server.pem", "empty", NULL, "empty", "no private key", ERR_INVALID},
        {"server.pem", "server.key", "empty", "empty", "no certificate", ERR_INVALID},
        {"damaged.pem", "server.key", NULL, "damaged.pem", "certificate 1 is damaged", ERR_INVALID},
        {"server.pem", "server.key", "damaged.pem", "damaged.pem", "damaged", ERR_INVALID},
        {"server.pem", "server2.key", NULL, "server2.key", "not the key of the certificate in",
         ERR_INVALID},
        {"server.pem", "open.key", NULL, "open.key", "0640", ERR_DENIED},
        {"server.pem", "locked.key", NULL, "locked.key", "passphrase", ERR_INVALID},
        {"server.pem", "server.key", "open.pem", "open.pem", "0622", ERR_DENIED},
        {"server.key", "server.key", NULL, "server.key", "no certificate", ERR_INVALID},
        {".", "server.key", NULL, "/.:", "no certificate", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct grpc_tls_files files = {.cert_file = file(cases[i].cert),
                                             .key_file = file(cases[i].key),
                                             .client_ca_file =
                                                 cases[i].ca != NULL ? file(cases[i].ca) : NULL};
        struct grpc_tls *t = NULL;
        struct err_text why = {0};
        assert_int_equal(grpc_tls_load(&t, &files, &why), cases[i].e);
        assert_null(t);
        assert_non_null(strstr(why.text, cases[i].names));
        assert_non_null(strstr(why.text, cases[i].says));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void an_old_certificate_is_a_warning(void **state)
{
    (void)state;
    struct grpc_tls *t = NULL;
    const struct grpc_tls_files files = {.cert_file = file("ended.pem"),
                                         .key_file = file("ended.key")};
    assert_int_equal(grpc_tls_load(&t, &files, NULL), ERR_OK);
    assert_non_null(strstr(grpc_tls_warning(t), "ended.pem"));
    assert_true(grpc_tls_expires_s(t) < time(NULL));
    grpc_tls_free(t);
    t = load(NULL);
    assert_null(grpc_tls_warning(t));
    assert_true(grpc_tls_expires_s(t) > time(NULL));
    grpc_tls_free(t);
    grpc_tls_free(NULL);
}

/* ---- a client ---- */

struct pair {
    SSL_CTX *ctx;
    SSL *client;
    BIO *to_client, *from_client;
    struct tls_link *server;
    enum tls_link_state server_state;
    bool client_ready;
    bool wire_is_cut;
};

static bool to_client(void *ctx, const void *bytes, size_t n)
{
    struct pair *p = ctx;
    return !p->wire_is_cut && BIO_write(p->to_client, bytes, (int)n) == (int)n;
}

/* A client that shows the certificate of this name (NULL: none). */
static void pair_init(struct pair *p, struct grpc_tls *tls, const char *certificate)
{
    static const unsigned char h2[] = TLS_PROTOCOLS;
    char name[64];
    *p = (struct pair){.ctx = SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_alpn_protos(p->ctx, h2, sizeof h2 - 1);
    if (certificate != NULL) {
        snprintf(name, sizeof name, "%s.pem", certificate);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(p->ctx, file(name)), 1);
        snprintf(name, sizeof name, "%s.key", certificate);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(p->ctx, file(name), SSL_FILETYPE_PEM), 1);
    }
    p->client = SSL_new(p->ctx);
    p->to_client = BIO_new(BIO_s_mem());
    p->from_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(p->to_client, -1);
    SSL_set_bio(p->client, p->to_client, p->from_client);
    SSL_set_connect_state(p->client);
    p->server = tls_link_new_server(tls_server_context(tls), to_client, p);
}

static void pair_release(struct pair *p)
{
    SSL_shutdown(p->client); /* a session that was cut does not resume */
    tls_link_free(p->server);
    SSL_free(p->client);
    SSL_CTX_free(p->ctx);
    ERR_clear_error();
}

/* What the client has written goes to the server, whole or n bytes of it. */
static void give(struct pair *p, uint8_t wire[static RECORD], size_t n)
{
    int len = BIO_read(p->from_client, wire, (int)n);
    if (len > 0)
        tls_link_give(p->server, wire, (size_t)len);
}

static void shake(struct pair *p)
{
    static uint8_t wire[RECORD];
    for (int i = 0; i < TURNS; i++) {
        p->client_ready = SSL_do_handshake(p->client) == 1;
        give(p, wire, sizeof wire);
        if (p->server_state == TLS_LINK_SHAKING)
            p->server_state = tls_link_shake(p->server);
    }
}

static void shake_well(struct pair *p)
{
    shake(p);
    assert_true(p->client_ready);
    assert_int_equal(p->server_state, TLS_LINK_READY);
}

static void is_refused(struct pair *p, const char *why)
{
    shake(p);
    assert_int_equal(p->server_state, TLS_LINK_BROKEN);
    assert_non_null(strstr(tls_link_problem(p->server), why));
}

/* The client says something, and what the server says comes back. */
static void talk(struct pair *p)
{
    uint8_t wire[RECORD], got[64];
    assert_int_equal(SSL_write(p->client, "hello", 5), 5);
    give(p, wire, sizeof wire);
    assert_int_equal(tls_link_read(p->server, got, sizeof got), 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(tls_link_read(p->server, got, sizeof got), 0);
    assert_true(tls_link_write(p->server, "answer", 6));
    assert_int_equal(SSL_read(p->client, got, sizeof got), 6);
    assert_memory_equal(got, "answer", 6);
}

static void both_versions_and_only_good_ciphers(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct grpc_tls *tls = load(NULL);
    for (size_t i = 0; i < 2; i++) {
        struct pair p;
        pair_init(&p, tls, NULL);
        SSL_set_max_proto_version(p.client, versions[i]);
        shake_well(&p);
        talk(&p);
        assert_int_equal(SSL_version(p.client), versions[i]);
        assert_int_equal(SSL_CIPHER_is_aead(SSL_get_current_cipher(p.client)), 1);
        const unsigned char *protocol;
        unsigned len;
        SSL_get0_alpn_selected(p.client, &protocol, &len);
        assert_int_equal(len, 2);
        assert_memory_equal(protocol, "h2", 2);
        pair_release(&p);
    }
    static const char *const bad[] = {"AES128-GCM-SHA256", "ECDHE+SHA256:@SECLEVEL=0", "kRSA",
                                      "DHE"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pair p;
        pair_init(&p, tls, NULL);
        SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
        assert_int_equal(SSL_set_cipher_list(p.client, bad[i]), 1);
        is_refused(&p, "no shared cipher");
        pair_release(&p);
    }
    grpc_tls_free(tls);
}

static void older_versions_are_refused(void **state)
{
    (void)state;
    struct grpc_tls *tls = load(NULL);
    struct pair p;
    pair_init(&p, tls, NULL);
    SSL_set_security_level(p.client, 0);
    SSL_set_min_proto_version(p.client, TLS1_VERSION);
    SSL_set_max_proto_version(p.client, TLS1_1_VERSION);
    is_refused(&p, "unsupported protocol");
    pair_release(&p);
    grpc_tls_free(tls);
}

static void h2_must_be_offered(void **state)
{
    (void)state;
    static const struct {
        const char *offered, *says;
    } cases[] = {{"", "no protocol by ALPN"},
                 {"\x08http/1.1", "does not offer h2"},
                 {"\x03h2c\x01h", "does not offer h2"}};
    struct grpc_tls *tls = load(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p;
        pair_init(&p, tls, NULL);
        SSL_set_alpn_protos(p.client, (const unsigned char *)cases[i].offered,
                            (unsigned)strlen(cases[i].offered));
        is_refused(&p, cases[i].says);
        assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()),
                         SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        pair_release(&p);
    }
    struct pair p;
    pair_init(&p, tls, NULL);
    SSL_set_alpn_protos(p.client, (const unsigned char *)"\x08http/1.1\x02h2", 12);
    shake_well(&p);
    pair_release(&p);
    grpc_tls_free(tls);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct grpc_tls *tls = load(NULL);
    struct pair p;
    uint8_t wire[RECORD], got[64];
    pair_init(&p, tls, NULL);
    SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
    shake_well(&p);
    SSL_renegotiate(p.client);
    SSL_do_handshake(p.client);
    give(&p, wire, sizeof wire);
    assert_true(tls_link_read(p.server, got, sizeof got) <= 0);
    assert_int_equal(SSL_do_handshake(p.client), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
    pair_release(&p);
    grpc_tls_free(tls);
}

static void what_is_not_tls_is_named(void **state)
{
    (void)state;
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct grpc_tls *tls = load(NULL);
    struct pair p;
    pair_init(&p, tls, NULL);
    tls_link_give(p.server, preface, sizeof preface - 1);
    assert_int_equal(tls_link_shake(p.server), TLS_LINK_BROKEN);
    assert_string_equal(tls_link_problem(p.server), "it does not speak TLS");
    pair_release(&p);
    grpc_tls_free(tls);
}

static void a_broken_record_ends_it(void **state)
{
    (void)state;
    struct grpc_tls *tls = load(NULL);
    struct pair p;
    uint8_t wire[RECORD], got[64];
    pair_init(&p, tls, NULL);
    shake_well(&p);
    SSL_write(p.client, "hello", 5);
    give(&p, wire, 3);
    assert_int_equal(tls_link_read(p.server, got, sizeof got), 0);
    assert_true(tls_link_is_amid(p.server));
    give(&p, wire, 5);
    assert_int_equal(tls_link_read(p.server, got, sizeof got), 0);
    assert_true(tls_link_is_amid(p.server));
    give(&p, wire, sizeof wire);
    assert_int_equal(tls_link_read(p.server, got, sizeof got), 5);
    assert_int_equal(tls_link_read(p.server, got, sizeof got), 0);
    assert_false(tls_link_is_amid(p.server));
    SSL_write(p.client, "hello", 5);
    int n = BIO_read(p.from_client, wire, sizeof wire);
    wire[n - 1] ^= 1;
    tls_link_give(p.server, wire, (size_t)n);
    assert_int_equal(tls_link_read(p.server, got, sizeof got), -1);
    assert_non_null(strstr(tls_link_problem(p.server), "mac"));
    pair_release(&p);
    grpc_tls_free(tls);
}

static void an_end_is_told(void **state)
{
    (void)state;
    struct grpc_tls *tls = load(NULL);
    struct pair p;
    uint8_t wire[RECORD], got[64];
    pair_init(&p, tls, NULL);
    shake_well(&p);
    talk(&p);
    tls_link_end(p.server);
    assert_int_equal(SSL_read(p.client, got, sizeof got), 0);
    assert_int_equal(SSL_get_shutdown(p.client), SSL_RECEIVED_SHUTDOWN);
    SSL_shutdown(p.client);
    give(&p, wire, sizeof wire);
    assert_int_equal(tls_link_read(p.server, got, sizeof got), -1);
    p.wire_is_cut = true;
    assert_false(tls_link_write(p.server, "x", 1));
    pair_release(&p);
    grpc_tls_free(tls);
}

/* ---- clients' certificates ---- */

static void has_names(struct pair *p, const char *first, const char *second)
{
    const char *const wanted[] = {first, second};
    const char *const *names;
    size_t n = first == NULL ? 0 : second == NULL ? 1 : 2;
    assert_int_equal(tls_link_names(p->server, &names), n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(names[i], wanted[i]);
}

static void names_of_clients(void **state)
{
    (void)state;
    static const struct {
        const char *certificate, *first, *second;
    } cases[] = {{"uri", "spiffe://crm.example/web", "web.crm.example"},
                 {"dns", "ops.crm.example", NULL},
                 {"nameless", NULL, NULL},
                 {"odd", NULL, NULL},
                 {NULL, NULL, NULL}};
    struct grpc_tls *tls = load("ca.pem");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p;
        pair_init(&p, tls, cases[i].certificate);
        shake_well(&p);
        talk(&p);
        has_names(&p, cases[i].first, cases[i].second);
        pair_release(&p);
    }
    grpc_tls_free(tls);
}

static void strangers_are_refused(void **state)
{
    (void)state;
    struct grpc_tls *tls = load("ca.pem");
    struct pair p;
    pair_init(&p, tls, "stranger");
    is_refused(&p, "unable to get local issuer");
    pair_release(&p);
    pair_init(&p, tls, "ended");
    is_refused(&p, "expired");
    pair_release(&p);
    grpc_tls_free(tls);
    tls = load(NULL); /* nobody asks: the names are nobody's */
    pair_init(&p, tls, "uri");
    shake_well(&p);
    has_names(&p, NULL, NULL);
    pair_release(&p);
    grpc_tls_free(tls);
}

/* ---- sessions ---- */

/* The session of a connection that shows the certificate. */
static SSL_SESSION *session_of(struct grpc_tls *tls, int version, const char *certificate)
{
    struct pair p;
    pair_init(&p, tls, certificate);
    SSL_set_max_proto_version(p.client, version);
    shake_well(&p);
    talk(&p); /* a ticket of TLS 1.3 comes after the handshake */
    SSL_SESSION *session = SSL_get1_session(p.client);
    pair_release(&p);
    return session;
}

/* Is the session good with tls? The client's names must come along. */
static bool resumes(struct grpc_tls *tls, int version, SSL_SESSION *session, const char *name)
{
    struct pair p;
    pair_init(&p, tls, NULL);
    SSL_set_max_proto_version(p.client, version);
    assert_int_equal(SSL_set_session(p.client, session), 1);
    shake_well(&p);
    talk(&p);
    bool resumed = SSL_session_reused(p.client) == 1;
    if (resumed)
        has_names(&p, name, name != NULL ? "web.crm.example" : NULL);
    else
        has_names(&p, NULL, NULL);
    pair_release(&p);
    return resumed;
}

static void sessions_resume(void **state)
{
    (void)state;
    static const char name[] = "spiffe://crm.example/web";
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct grpc_tls *tls = load("ca.pem"), *later = load("ca.pem");
    struct grpc_tls *apart = load("ca.pem"), *stricter = load("other.pem");
    tls_inherit(later, tls);
    tls_inherit(stricter, tls);
    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *session = session_of(tls, versions[i], "uri");
        assert_true(resumes(tls, versions[i], session, name));
        assert_true(resumes(later, versions[i], session, name));
        assert_false(resumes(apart, versions[i], session, name));
        assert_false(resumes(stricter, versions[i], session, name));
        SSL_SESSION_free(session);
        session = session_of(tls, versions[i], NULL);
        assert_true(resumes(tls, versions[i], session, NULL));
        SSL_SESSION_free(session);
    }
    grpc_tls_free(tls);
    grpc_tls_free(later);
    grpc_tls_free(apart);
    grpc_tls_free(stricter);
}

static void keys_of_tickets_turn(void **state)
{
    (void)state;
    static const char name[] = "spiffe://crm.example/web";
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        struct grpc_tls *tls = load("ca.pem");
        struct tickets *tickets = tickets_of(tls_server_context(tls));
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        SSL_SESSION *session = session_of(tls, versions[i], "uri");
        tickets_turn(tickets, now.tv_sec + TICKETS_PERIOD_S - 2);
        tickets_turn(tickets, now.tv_sec + TICKETS_PERIOD_S + 2);
        assert_true(resumes(tls, versions[i], session, name));
        tickets_turn(tickets, now.tv_sec + 2 * TICKETS_PERIOD_S);
        assert_true(resumes(tls, versions[i], session, name));
        tickets_turn(tickets, now.tv_sec + 2 * TICKETS_PERIOD_S + 4);
        assert_false(resumes(tls, versions[i], session, name));
        SSL_SESSION_free(session);
        grpc_tls_free(tls);
    }
}

static void changing_keys_without_end_is_refused(void **state)
{
    (void)state;
    struct grpc_tls *tls = load(NULL);
    struct pair p;
    uint8_t wire[RECORD], got[64];
    pair_init(&p, tls, NULL);
    shake_well(&p);
    for (int i = 0; i < 100; i++) { /* with something to say */
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        talk(&p);
    }
    for (int i = 0; i < 100; i++) {
        SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(p.client);
    }
    give(&p, wire, sizeof wire);
    assert_int_equal(tls_link_read(p.server, got, sizeof got), -1);
    assert_string_equal(tls_link_problem(p.server), "it changes its keys without end");
    pair_release(&p);
    grpc_tls_free(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_name_the_file),
        cmocka_unit_test(an_old_certificate_is_a_warning),
        cmocka_unit_test(both_versions_and_only_good_ciphers),
        cmocka_unit_test(older_versions_are_refused),
        cmocka_unit_test(h2_must_be_offered),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(what_is_not_tls_is_named),
        cmocka_unit_test(a_broken_record_ends_it),
        cmocka_unit_test(an_end_is_told),
        cmocka_unit_test(names_of_clients),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(sessions_resume),
        cmocka_unit_test(keys_of_tickets_turn),
        cmocka_unit_test(changing_keys_without_end_is_refused),
    };
    return !!cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
