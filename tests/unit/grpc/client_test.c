/* SPDX-License-Identifier: ISC */
/* The client against a peer that sends what a script says, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "grpc/client.h"
#include "support/scratch.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 20000 /* never reached unless something is broken */
#define SOON_MS     50
#define HEAD        9
#define PREFACE     24

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, GOAWAY = 7 };
enum { END_STREAM = 1, END_HEADERS = 4 };

/* ---- a peer --------------------------------------------------------------------------- */

struct peer {
    char address[SCRATCH_PATH_MAX + 8];
    int listener;
    struct buf greeting; /* sent when a connection comes */
    struct buf answer;   /* sent after the first whole request */
    struct buf second;   /* sent after the next one */
    bool hangs_up;       /* after the last of those */
    struct buf block;    /* the first request's header block, and its data */
    struct buf data;
    pthread_t thread;
};

static void frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream,
                  const void *payload, size_t n)
{
    const uint8_t head[HEAD] = {
        (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0, (uint8_t)stream};
    buf_append(out, head, HEAD);
    if (n > 0)
        buf_append(out, payload, n);
}

/* "name: value" lines as literal header fields without indexing (RFC 7541 section 6.2.2). */
static void headers(struct buf *out, uint32_t stream, uint8_t flags, const char *lines)
{
    struct buf block = BUF_INIT;
    while (*lines != '\0') {
        size_t name = strcspn(lines + 1, ":") + 1;
        size_t value = strcspn(lines + name + 2, "\n");
        buf_append_byte(&block, 0);
        buf_append_byte(&block, (uint8_t)name);
        buf_append(&block, lines, name);
        buf_append_byte(&block, (uint8_t)value);
        buf_append(&block, lines + name + 2, value);
        lines += name + 2 + value + 1;
    }
    frame(out, HEADERS, flags | END_HEADERS, stream, block.data, block.len);
    buf_release(&block);
}

#define RESPONSE ":status: 200\ncontent-type: application/grpc+proto\n"
#define OK_END   "grpc-status: 0\n"

static bool read_all(int fd, uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, bytes, n);
        if (got <= 0)
            return false;
        bytes += got;
        n -= (size_t)got;
    }
    return true;
}

static void send_all(int fd, const struct buf *b)
{
    for (size_t sent = 0; sent < b->len;) {
        ssize_t n = send(fd, b->data + sent, b->len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

/* Reads frames up to the one that ends a request; false when the client is gone. */
static bool read_request(int fd, struct buf *block, struct buf *data)
{
    for (;;) {
        uint8_t head[HEAD];
        if (!read_all(fd, head, HEAD))
            return false;
        size_t n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        struct buf payload = BUF_INIT;
        uint8_t *room = buf_reserve(&payload, n + 1);
        bool whole = read_all(fd, room, n);
        if (head[3] == HEADERS && block != NULL)
            buf_append(block, room, n);
        if (head[3] == DATA && data != NULL)
            buf_append(data, room, n);
        buf_release(&payload);
        if (!whole)
            return false;
        if (head[3] == DATA && (head[4] & END_STREAM) != 0)
            return true;
    }
}

static void *run_peer(void *ctx)
{
    struct peer *p = ctx;
    uint8_t preface[PREFACE];
    int fd = accept(p->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    send_all(fd, &p->greeting);
    if (read_all(fd, preface, PREFACE) && read_request(fd, &p->block, &p->data)) {
        send_all(fd, &p->answer);
        if (p->second.len > 0 && read_request(fd, NULL, NULL))
            send_all(fd, &p->second);
        while (!p->hangs_up && read(fd, preface, PREFACE) > 0)
            continue;
    }
    close(fd);
    return NULL;
}

static void peer_listen(struct peer *p)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof sin;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (const struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(p->listener, 1), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&sin, &len), 0);
    snprintf(p->address, sizeof p->address, "127.0.0.1:%u", ntohs(sin.sin_port));
}

static struct peer *peer_new(void)
{
    struct peer *p = mem_zalloc(1, sizeof *p);
    frame(&p->greeting, SETTINGS, 0, 0, NULL, 0);
    return p;
}

static void peer_start(struct peer *p)
{
    if (p->listener == 0)
        peer_listen(p);
    assert_int_equal(pthread_create(&p->thread, NULL, run_peer, p), 0);
}

static void peer_end(struct peer *p)
{
    shutdown(p->listener, SHUT_RDWR); /* ends an accept that nobody came to */
    pthread_join(p->thread, NULL);
    close(p->listener);
}

static void peer_free(struct peer *p)
{
    struct buf *const all[] = {&p->greeting, &p->answer, &p->second, &p->block, &p->data};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        buf_release(all[i]);
    free(p);
}

static const struct grpc_client_call plain_call = {
    .path = "/test.Echo/Say", .message = {"hello", 5}, .timeout_ms = PATIENCE_MS};

/* One call to the peer, which ends with it. */
static enum err call_peer(struct peer *p, const struct grpc_client_call *call,
                          struct grpc_client_reply *reply, struct err_text *why)
{
    struct grpc_client *c = NULL;
    peer_start(p);
    enum err e = grpc_client_open(&c, p->address, PATIENCE_MS, why);
    if (e == ERR_OK)
        e = grpc_client_call(c, call, reply, why);
    grpc_client_close(c);
    peer_end(p);
    peer_free(p);
    return e;
}

/* The peer's answer is no answer: why says so. */
static void assert_refused(struct peer *p, const char *part_of_why)
{
    struct grpc_client_reply reply = {0};
    struct err_text why = {0};
    assert_int_equal(call_peer(p, &plain_call, &reply, &why), ERR_UNAVAILABLE);
    assert_non_null(strstr(why.text, part_of_why));
    assert_null(reply.message.data);
}

static void assert_buf(const struct buf *b, const char *expected)
{
    assert_true(str_equal(buf_str(b), str_from(expected)));
}

/* ---- answers ---------------------------------------------------------------------------- */

static void a_message_comes_back(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    headers(&p->answer, 1, 0, RESPONSE);
    frame(&p->answer, DATA, 0, 1, "\0\0\0\0\3abc", 8);
    headers(&p->answer, 1, END_STREAM, OK_END);
    struct grpc_client_reply reply = {0};
    assert_int_equal(call_peer(p, &plain_call, &reply, NULL), ERR_OK);
    assert_int_equal(reply.status, GRPC_OK);
    assert_buf(&reply.message, "abc");
    grpc_client_reply_release(&reply);
}

static void frames_have_no_meaning_for_messages(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    headers(&p->answer, 1, 0, RESPONSE);
    frame(&p->answer, DATA, 0, 1, "\0\0\0", 3);
    frame(&p->answer, DATA, 0, 1, NULL, 0);
    frame(&p->answer, DATA, 0, 1, "\0\3ab", 4);
    frame(&p->answer, DATA, 0, 1, "c", 1);
    headers(&p->answer, 1, END_STREAM, OK_END);
    struct grpc_client_reply reply = {0};
    assert_int_equal(call_peer(p, &plain_call, &reply, NULL), ERR_OK);
    assert_buf(&reply.message, "abc");
    grpc_client_reply_release(&reply);
}

static void an_error_is_an_answer_with_its_texts_decoded(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    headers(&p->answer, 1, END_STREAM,
            RESPONSE "grpc-status: 9\ngrpc-message: caf%C3%A9 100%\n"
                     "grpc-status-details-bin: Zm9vYg\n");
    struct grpc_client_reply reply = {0};
    assert_int_equal(call_peer(p, &plain_call, &reply, NULL), ERR_OK);
    assert_int_equal(reply.status, GRPC_FAILED_PRECONDITION);
    assert_buf(&reply.status_message, "caf\xc3\xa9 100%");
    assert_buf(&reply.status_details, "foob");
    assert_int_equal(reply.message.len, 0);
    grpc_client_reply_release(&reply);
}

static void a_status_that_is_none_is_unknown(void **state)
{
    (void)state;
    static const char *const statuses[] = {"grpc-status: 17\n", "grpc-status: -1\n",
                                           "grpc-status: OK\n", "grpc-status: 0x0\n"};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct peer *p = peer_new();
        headers(&p->answer, 1, 0, RESPONSE);
        frame(&p->answer, DATA, 0, 1, "\0\0\0\0\0", 5);
        headers(&p->answer, 1, END_STREAM, statuses[i]);
        struct grpc_client_reply reply = {0};
        assert_int_equal(call_peer(p, &plain_call, &reply, NULL), ERR_OK);
        assert_int_equal(reply.status, GRPC_UNKNOWN);
        grpc_client_reply_release(&reply);
    }
}

static void a_connection_carries_one_call_after_another(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    headers(&p->answer, 1, END_STREAM, RESPONSE "grpc-status: 5\ngrpc-message: first\n");
    headers(&p->second, 3, 0, RESPONSE);
    frame(&p->second, DATA, 0, 3, "\0\0\0\0\1z", 6);
    headers(&p->second, 3, END_STREAM, OK_END);
    peer_start(p);

    struct grpc_client *c = NULL;
    struct grpc_client_reply reply = {0};
    assert_int_equal(grpc_client_open(&c, p->address, PATIENCE_MS, NULL), ERR_OK);
    assert_int_equal(grpc_client_call(c, &plain_call, &reply, NULL), ERR_OK);
    assert_int_equal(reply.status, GRPC_NOT_FOUND);
    grpc_client_reply_release(&reply);
    assert_int_equal(grpc_client_call(c, &plain_call, &reply, NULL), ERR_OK);
    assert_int_equal(reply.status, GRPC_OK);
    assert_buf(&reply.message, "z");
    assert_int_equal(reply.status_message.len, 0);
    grpc_client_reply_release(&reply);
    grpc_client_close(c);
    peer_end(p);
    peer_free(p);
}

/* ---- requests ----------------------------------------------------------------------------- */

/* "name: value" lines of a header block. */
static void decode(const struct buf *block, struct buf *out)
{
    nghttp2_hd_inflater *inflater = NULL;
    assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
    const uint8_t *at = block->data;
    size_t left = block->len;
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
        assert_true(n >= 0);
        at += n;
        left -= (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
            buf_printf(out, "%.*s: %.*s\n", (int)nv.namelen, (const char *)nv.name,
                       (int)nv.valuelen, (const char *)nv.value);
    }
    nghttp2_hd_inflate_del(inflater);
}

static void a_request_is_what_grpc_wants(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    headers(&p->answer, 1, END_STREAM, RESPONSE "grpc-status: 5\n");
    peer_start(p);
    const struct grpc_metadata metadata[] = {
        {STR("authorization"), STR("Bearer x.y")},
        {STR("trace-bin"), {"\xfb\xff\x00", 3}},
    };
    const struct grpc_client_call call = {.path = "/test.Echo/Say",
                                          .message = STR("hello"),
                                          .metadata = metadata,
                                          .n_metadata = 2,
                                          .timeout_ms = 1500};
    struct grpc_client *c = NULL;
    struct grpc_client_reply reply = {0};
    assert_int_equal(grpc_client_open(&c, p->address, PATIENCE_MS, NULL), ERR_OK);
    assert_int_equal(grpc_client_call(c, &call, &reply, NULL), ERR_OK);
    grpc_client_reply_release(&reply);
    grpc_client_close(c);
    peer_end(p);

    struct buf got = BUF_INIT;
    struct buf expected = BUF_INIT;
    decode(&p->block, &got);
    buf_append_byte(&got, '\0');
    buf_printf(&expected,
               ":method: POST\n:scheme: http\n:path: /test.Echo/Say\n:authority: %s\n"
               "te: trailers\ncontent-type: application/grpc\ngrpc-timeout: 1500m\n"
               "authorization: Bearer x.y\ntrace-bin: +/8A\n",
               p->address);
    buf_append_byte(&expected, '\0');
    assert_string_equal((const char *)got.data, (const char *)expected.data);
    assert_true(str_equal(buf_str(&p->data), (struct str){"\0\0\0\0\5hello", 10}));
    buf_release(&got);
    buf_release(&expected);
    peer_free(p);
}

/* ---- answers that are none -------------------------------------------------------------- */

static void http_without_grpc_is_no_answer(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    headers(&p->answer, 1, END_STREAM, ":status: 503\n");
    assert_refused(p, "HTTP status 503");

    p = peer_new();
    headers(&p->answer, 1, END_STREAM, ":status: 200\ncontent-type: text/html\n" OK_END);
    assert_refused(p, "no gRPC server");

    p = peer_new();
    headers(&p->answer, 1, 0, RESPONSE);
    frame(&p->answer, DATA, END_STREAM, 1, "\0\0\0\0\0", 5);
    assert_refused(p, "without a status");
}

static void ok_needs_one_whole_message(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t n;
        const char *why;
    } cases[] = {
        {"", 0, "no message"},
        {"\0\0\0", 3, "cut off"},
        {"\0\0\0\0\3ab", 7, "cut off"},
        {"\0\0\0\0\1a\0\0\0\0\1b", 12, "more than one"},
        {"\1\0\0\0\1a", 6, "compressed"},
        {"\0\0\x50\0\0", 5, "too large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer *p = peer_new();
        headers(&p->answer, 1, 0, RESPONSE);
        frame(&p->answer, DATA, 0, 1, cases[i].data, cases[i].n);
        headers(&p->answer, 1, END_STREAM, OK_END);
        assert_refused(p, cases[i].why);
    }
}

static void a_cut_call_is_no_answer(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    frame(&p->answer, RST_STREAM, 0, 1, "\0\0\0\7", 4);
    assert_refused(p, "REFUSED_STREAM");

    p = peer_new();
    frame(&p->answer, GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
    assert_refused(p, "cut the call");

    p = peer_new();
    headers(&p->answer, 1, 0, RESPONSE);
    p->hangs_up = true;
    assert_refused(p, "closed the connection");
}

static void silence_is_a_timeout(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    struct grpc_client_call call = plain_call;
    call.timeout_ms = SOON_MS;
    struct grpc_client_reply reply = {0};
    assert_int_equal(call_peer(p, &call, &reply, NULL), ERR_TIMEOUT);
}

/* ---- opening ---------------------------------------------------------------------------- */

static enum err open_only(const char *address, int64_t timeout_ms)
{
    struct grpc_client *c = NULL;
    struct err_text why = {0};
    enum err e = grpc_client_open(&c, address, timeout_ms, &why);
    assert_true((e == ERR_OK) == (*why.text == '\0'));
    grpc_client_close(c);
    return e;
}

static void what_is_no_address_is_invalid(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",          "localhost", ":7443",     "::1:7443",
                                        "host:",     "unix:",     "host:x",    "host:65536",
                                        "[::1:7443", "host:-1",   "host: 7443"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(open_only(wrong[i], SOON_MS), ERR_INVALID);
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct peer p = {0};
    peer_listen(&p);
    close(p.listener);
    assert_int_equal(open_only(p.address, PATIENCE_MS), ERR_UNAVAILABLE);
    assert_int_equal(open_only("unix:/nonexistent/socket", PATIENCE_MS), ERR_UNAVAILABLE);
}

static void a_peer_that_keeps_silent_is_nobody(void **state)
{
    (void)state;
    struct peer p = {0};
    peer_listen(&p);
    assert_int_equal(open_only(p.address, SOON_MS), ERR_UNAVAILABLE);
    close(p.listener);
}

static void another_protocol_is_unavailable(void **state)
{
    (void)state;
    struct peer *p = mem_zalloc(1, sizeof *p);
    buf_append_str(&p->greeting, STR("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
    peer_start(p);
    assert_int_equal(open_only(p->address, PATIENCE_MS), ERR_UNAVAILABLE);
    peer_end(p);
    peer_free(p);
}

/* Takes the place of the C library's, so that there is a name of two addresses. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (strcmp(name, "two.test") != 0)
        return real(name, service, hints, found);
    int rc = real("127.0.0.2", service, hints, found);
    return rc != 0 ? rc : real("127.0.0.1", service, hints, &(*found)->ai_next);
}

static void every_address_of_a_name_is_tried(void **state)
{
    (void)state;
    struct peer *p = peer_new();
    peer_start(p);
    char address[sizeof p->address];
    snprintf(address, sizeof address, "two.test%s", strrchr(p->address, ':'));
    assert_int_equal(open_only(address, PATIENCE_MS), ERR_OK);
    peer_end(p);
    peer_free(p);
}

static void a_unix_socket_is_an_address(void **state)
{
    (void)state;
    struct scratch folder;
    scratch_init(&folder);
    struct peer *p = peer_new();
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", scratch_path(&folder, "socket"));
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (const struct sockaddr *)&sun, sizeof sun), 0);
    assert_int_equal(listen(p->listener, 1), 0);
    snprintf(p->address, sizeof p->address, "unix:%s", sun.sun_path);
    headers(&p->answer, 1, END_STREAM, RESPONSE "grpc-status: 5\n");
    struct grpc_client_reply reply = {0};
    assert_int_equal(call_peer(p, &plain_call, &reply, NULL), ERR_OK);
    assert_int_equal(reply.status, GRPC_NOT_FOUND);
    grpc_client_reply_release(&reply);
    scratch_release(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back),
        cmocka_unit_test(frames_have_no_meaning_for_messages),
        cmocka_unit_test(an_error_is_an_answer_with_its_texts_decoded),
        cmocka_unit_test(a_status_that_is_none_is_unknown),
        cmocka_unit_test(a_connection_carries_one_call_after_another),
        cmocka_unit_test(a_request_is_what_grpc_wants),
        cmocka_unit_test(http_without_grpc_is_no_answer),
        cmocka_unit_test(ok_needs_one_whole_message),
        cmocka_unit_test(a_cut_call_is_no_answer),
        cmocka_unit_test(silence_is_a_timeout),
        cmocka_unit_test(what_is_no_address_is_invalid),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(a_peer_that_keeps_silent_is_nobody),
        cmocka_unit_test(another_protocol_is_unavailable),
        cmocka_unit_test(every_address_of_a_name_is_tried),
        cmocka_unit_test(a_unix_socket_is_an_address),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
