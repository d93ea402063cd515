/* SPDX-License-Identifier: ISC */
/* A client's end over TLS against a server whose writes the test chooses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "grpc/client.h"
#include "grpc/dial_internal.h"
#include "grpc/tls_internal.h"
#include "grpc/tls_link_internal.h"
#include "support/scratch.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000 /* never reached unless something is broken */
#define PATH_ROOM   512

static struct scratch folder;
static char cert[PATH_ROOM], key[PATH_ROOM], ca[PATH_ROOM];

static int make_certificates(void **state)
{
    (void)state;
    char command[PATH_ROOM];
    scratch_init(&folder);
    snprintf(command, sizeof command, "tests/support/certificates %s", folder.folder);
    snprintf(cert, sizeof cert, "%s/server.pem", folder.folder);
    snprintf(key, sizeof key, "%s/server.key", folder.folder);
    snprintf(ca, sizeof ca, "%s/ca.pem", folder.folder);
    return system(command) == 0 ? 0 : -1;
}

static int remove_certificates(void **state)
{
    (void)state;
    scratch_release(&folder);
    return 0;
}

struct peer {
    int listener;
    char address[64];
    struct grpc_tls *tls;
    struct buf out;
    pthread_t thread;
};

static bool gather(void *ctx, const void *bytes, size_t n)
{
    struct peer *p = ctx;
    buf_append(&p->out, bytes, n);
    return true;
}

/* Ends the handshake and says hello in one piece, then only listens. */
static void *serve(void *ctx)
{
    struct peer *p = ctx;
    uint8_t in[4096];
    int fd = accept(p->listener, NULL, NULL);
    struct tls_link *link = tls_link_new_server(tls_server_context(p->tls), gather, p);
    enum tls_link_state state = TLS_LINK_SHAKING;
    for (ssize_t n; (n = read(fd, in, sizeof in)) > 0;) {
        tls_link_give(link, in, (size_t)n);
        if (state == TLS_LINK_SHAKING && (state = tls_link_shake(link)) == TLS_LINK_READY)
            tls_link_write(link, "hello", 5);
        if (p->out.len > 0 && send(fd, p->out.data, p->out.len, MSG_NOSIGNAL) < 0)
            break;
        buf_clear(&p->out);
    }
    tls_link_free(link);
    close(fd);
    return NULL;
}

static void start(struct peer *p, int version)
{
    const struct grpc_tls_files files = {.cert_file = cert, .key_file = key};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *p = (struct peer){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(grpc_tls_load(&p->tls, &files, NULL), ERR_OK);
    SSL_CTX_set_max_proto_version(tls_server_context(p->tls), version);
    assert_int_equal(bind(p->listener, (const struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(p->listener, 1), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
    snprintf(p->address, sizeof p->address, "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
}

static void stop(struct peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->listener);
    grpc_tls_free(p->tls);
    buf_release(&p->out);
}

static enum err take(void *ctx, uint8_t *bytes, size_t n, struct err_text *why)
{
    (void)why;
    buf_append(ctx, bytes, n);
    return ERR_OK;
}

/* With 1.2 the server speaks last in a handshake: what it says then can come with that. */
static void what_comes_with_the_end_of_the_handshake(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const struct grpc_client_tls tls = {.ca_file = ca};
    for (size_t i = 0; i < 2; i++) {
        struct peer p;
        struct dial *d = NULL;
        struct buf got = BUF_INIT;
        start(&p, versions[i]);
        int64_t until = clock_mono_ms(clock_system()) + PATIENCE_MS;
        assert_int_equal(dial_open(&d, p.address, &tls, until, NULL), ERR_OK);
        assert_true(dial_is_tls(d));
        while (got.len < 5) /* a ticket of 1.3 comes first, and is nothing */
            assert_int_equal(dial_receive(d, take, &got, NULL), ERR_OK);
        assert_true(str_equal(buf_str(&got), STR("hello")));
        dial_close(d);
        stop(&p);
        buf_release(&got);
    }
}

static void files_are_named(void **state)
{
    (void)state;
    const struct {
        struct grpc_client_tls tls;
        const char *says;
        enum err e;
    } cases[] = {
        {{.ca_file = "/nowhere/ca.pem"}, "/nowhere/ca.pem", ERR_NOT_FOUND},
        {{.ca_file = key}, "no certificate", ERR_INVALID},
        {{.ca_file = ca, .cert_file = cert, .key_file = "/nowhere/key"}, "/nowhere", ERR_NOT_FOUND},
        {{.ca_file = ca, .cert_file = ca, .key_file = key}, "not the key", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer p;
        struct dial *d = NULL;
        struct err_text why = {0};
        start(&p, TLS1_3_VERSION);
        int64_t until = clock_mono_ms(clock_system()) + PATIENCE_MS;
        assert_int_equal(dial_open(&d, p.address, &cases[i].tls, until, &why), cases[i].e);
        assert_null(d);
        assert_non_null(strstr(why.text, cases[i].says));
        stop(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_with_the_end_of_the_handshake),
        cmocka_unit_test(files_are_named),
    };
    return !!cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
