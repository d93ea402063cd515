/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "mail/postman.h"
#include "mail/postman_internal.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the thread is given, and what it said, in the order of its calls. */
#define CALLS_MAX 16

struct call {
    bool reported, wanted;
    enum mail_end end;
    char error[200];
};

struct source {
    pthread_mutex_t lock;
    pthread_cond_t called;
    const struct mail_message *mail; /* NULL: none is due; given once */
    unsigned fail;                   /* so many calls that report */
    struct call calls[CALLS_MAX];    /* those that reported or were given the mail */
    size_t n;
};

static const struct mail_message notice = {
    .kind = MAIL_ENROLLED,
    .to = {"user@example.org", 16},
    .from = {"crm@crm.example", 15},
    .issuer = {"Acme", 4},
    .locale = {"en", 2},
    .message_id = {"1.1", 3},
    .date_ms = 1795616700000,
};

static struct mail_templates *templates;

static int load(void **state)
{
    (void)state;
    return mail_templates_load(&templates, NULL, NULL) == ERR_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    mail_templates_free(templates);
    return 0;
}

static enum err decide(struct source *s, const struct mail_report *last, struct mail_message *out)
{
    bool gives = out != NULL && s->mail != NULL;
    if ((last != NULL || gives) && s->n < CALLS_MAX) {
        struct call *c = &s->calls[s->n++];
        *c = (struct call){.reported = last != NULL, .wanted = out != NULL};
        if (last != NULL) {
            c->end = last->end;
            snprintf(c->error, sizeof c->error, "%s", last->error);
        }
    }
    if (last != NULL && s->fail > 0) {
        s->fail--;
        return ERR_UNAVAILABLE;
    }
    if (!gives)
        return out != NULL ? ERR_NOT_FOUND : ERR_OK;
    *out = *s->mail;
    s->mail = NULL;
    return ERR_OK;
}

static enum err next(void *ctx, const struct mail_report *last, struct mail_message *out,
                     struct err_text *why)
{
    struct source *s = ctx;
    pthread_mutex_lock(&s->lock);
    enum err e = decide(s, last, out);
    pthread_cond_signal(&s->called);
    pthread_mutex_unlock(&s->lock);
    return e == ERR_UNAVAILABLE ? err_set(why, e, NULL, "the store is away") : e;
}

static void source_init(struct source *s, const struct mail_message *mail)
{
    *s = (struct source){.mail = mail};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->called, NULL);
}

static void source_wait(struct source *s, size_t calls)
{
    pthread_mutex_lock(&s->lock);
    while (s->n < calls)
        pthread_cond_wait(&s->called, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static struct postman_options options(const char *url, struct source *s)
{
    return (struct postman_options){.url = url,
                                    .user = "",
                                    .password = "",
                                    .ca_file = "",
                                    .allow_plaintext = true,
                                    .timeout_ms = 60000,
                                    .templates = templates,
                                    .source = {.next = next, .ctx = s}};
}

/* A socket on a port of its own; nobody gets through to it before it listens. */
static int bound(char url[static 64])
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(url, 64, "smtp://127.0.0.1:%d", ntohs(a.sin_port));
    return fd;
}

static struct postman *start(const char *url, struct source *s)
{
    struct postman *p = NULL;
    struct postman_options opt = options(url, s);
    assert_int_equal(postman_start(&p, &opt, NULL), ERR_OK);
    return p;
}

static void test_rests_double_within_their_bounds(void **state)
{
    (void)state;
    int64_t longest = 2000;
    for (uint32_t failures = 1; failures < 100; failures++) {
        assert_int_equal(postman_rest_ms(failures, 0), longest / 2);
        assert_int_equal(postman_rest_ms(failures, UINT32_MAX), longest - 1);
        assert_int_equal(postman_rest_ms(failures, 1u << 31), longest / 4 * 3);
        longest = longest * 2 < 60000 ? longest * 2 : 60000;
    }
    assert_int_equal(postman_rest_ms(UINT32_MAX, 0), 30000);
}

static void assert_refused(struct postman_options opt, const char *want)
{
    struct postman *p = NULL;
    struct err_text why = {0};
    assert_int_equal(postman_start(&p, &opt, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, want));
    assert_null(strstr(why.text, "hunter2"));
    assert_null(p);
}

static void test_urls_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *url, *want;
    } bad[] = {
        {"", "smtp://host:port"},
        {"mail.example:25", "smtp://host:port"},
        {"http://127.0.0.1:25", "smtp://host:port"},
        {"file:///etc/passwd", "smtp://host:port"},
        {"smtp://", "smtp://host:port"},
        {"smtp://127.0.0.1:99999", "smtp://host:port"},
        {"smtp://127.0.0.1:25\r\nRSET", "smtp://host:port"},
        {"smtp://me:hunter2@127.0.0.1:25", "user and password do not belong"},
        {"smtp://me@127.0.0.1:25", "user and password do not belong"},
        {"smtp://127.0.0.1:25/a/b", "more than a host"},
        {"smtp://127.0.0.1:25/a%0d%0ab", "more than a host"},
        {"smtp://127.0.0.1:25/?x=y", "more than a host"},
        {"smtp://127.0.0.1:25/#x", "more than a host"},
        {"smtp://mail.example:25", "on this machine only"},
        {"smtp://127.evil.example:25", "on this machine only"},
        {"smtp://10.0.0.1:25", "on this machine only"},
        {"smtp://[::2]:25", "on this machine only"},
        {"smtp://localhost.evil.example", "on this machine only"},
        {"smtps://127.0.0.1:465", "smtps is not plain text"},
    };
    struct source s;
    source_init(&s, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(options(bad[i].url, &s), bad[i].want);
}

static void test_combinations_that_cannot_be(void **state)
{
    (void)state;
    struct source s;
    source_init(&s, NULL);
    struct postman_options opt = options("smtp://127.0.0.1:25", &s);
    opt.user = "me";
    assert_refused(opt, "only one");
    opt.user = "";
    opt.password = "hunter2";
    assert_refused(opt, "only one");
    opt.password = "";
    opt.ca_file = "/nonexistent/ca.pem";
    assert_refused(opt, "/nonexistent/ca.pem: cannot be read");
    opt.ca_file = "";
    opt.timeout_ms = 0;
    assert_refused(opt, "no time");
}

static void test_urls_that_can_be(void **state)
{
    (void)state;
    static const char *const good[] = {
        "smtp://127.0.0.1:25", "smtp://localhost:2525",          "smtp://localhost",
        "smtp://[::1]:25",     "smtp://127.0.0.1:25/me.example", "smtp://127.9.9.9:25/"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct source s;
        source_init(&s, NULL);
        postman_stop(start(good[i], &s));
    }
    postman_stop(NULL);
}

static void test_nobody_there(void **state)
{
    (void)state;
    char url[64];
    struct source s;
    int fd = bound(url);
    source_init(&s, &notice);
    struct postman *p = start(url, &s);
    source_wait(&s, 2);
    postman_stop(p);
    close(fd);
    /* The end is told at once, and no other mail is taken for the time of the rest. */
    assert_int_equal(s.n, 2);
    assert_true(s.calls[1].reported && !s.calls[1].wanted);
    assert_int_equal(s.calls[1].end, MAIL_DEFERRED);
    assert_non_null(strstr(s.calls[1].error, "mail server: no connection: "));
}

static void test_a_report_that_was_not_recorded_comes_again(void **state)
{
    (void)state;
    struct mail_message bad = notice;
    struct source s;
    bad.to = STR("no address");
    source_init(&s, &bad);
    s.fail = 2;
    struct postman *p = start("smtp://127.0.0.1:1", &s);
    for (size_t calls = 2; calls <= 4; calls++) {
        source_wait(&s, calls);
        postman_wake(p);
    }
    postman_stop(p);
    assert_int_equal(s.n, 4);
    for (size_t i = 1; i < 4; i++) {
        assert_true(s.calls[i].reported && s.calls[i].wanted);
        assert_int_equal(s.calls[i].end, MAIL_REFUSED);
        assert_string_equal(s.calls[i].error, "the address is not one that mail can be sent to");
    }
}

static void test_a_stop_cuts_a_mail_off(void **state)
{
    (void)state;
    char url[64];
    struct source s;
    int fd = bound(url);
    assert_int_equal(listen(fd, 1), 0);
    source_init(&s, &notice);
    struct postman *p = start(url, &s);
    int peer = accept(fd, NULL, NULL); /* which never says a word */
    int64_t begin = clock_mono_ms(clock_system());
    postman_stop(p);
    assert_in_range(clock_mono_ms(clock_system()) - begin, 0, 10000);
    close(peer);
    close(fd);
    assert_int_equal(s.n, 2);
    assert_true(s.calls[1].reported && !s.calls[1].wanted);
    assert_int_equal(s.calls[1].end, MAIL_DEFERRED);
    assert_string_equal(s.calls[1].error, "cut off: the service stopped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rests_double_within_their_bounds),
        cmocka_unit_test(test_urls_that_cannot_be),
        cmocka_unit_test(test_combinations_that_cannot_be),
        cmocka_unit_test(test_urls_that_can_be),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_a_report_that_was_not_recorded_comes_again),
        cmocka_unit_test(test_a_stop_cuts_a_mail_off),
    };
    return !!cmocka_run_group_tests(tests, load, unload);
}
