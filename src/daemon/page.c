/* SPDX-License-Identifier: ISC */
#include "page_internal.h"

#include "base/buf.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NICE        10 /* who asks all the time takes no core from those who sign in */
#define TRASH_BYTES 4096

static const struct timeval visit_time = {.tv_sec = PAGE_SECONDS};
static const struct timeval accept_pause = {.tv_usec = 200000}; /* when there are no descriptors */

enum visit_state {
    VISIT_READING,
    VISIT_WRITING,
    VISIT_LEAVING, /* answered; waits for the peer's end, throwing away what comes */
};

/* One connection. */
struct visit {
    TAILQ_ENTRY(visit) link;
    struct page *page;
    int fd;
    enum visit_state state;
    struct event readable, writable;
    struct event over; /* its time */
    struct buf out;
    size_t n_in;
    char in[PAGE_REQUEST_MAX];
};

struct page {
    struct page_options opt;
    struct loop *loop;
    int fd;
    struct event acceptable, accept_again;
    TAILQ_HEAD(, visit) visits; /* oldest first */
    size_t n_visits;
};

static bool is_transient(int error)
{
    return error == EAGAIN || error == EINTR;
}

static void end_visit(struct visit *v)
{
    event_del(&v->readable);
    event_del(&v->writable);
    event_del(&v->over);
    close(v->fd);
    TAILQ_REMOVE(&v->page->visits, v, link);
    v->page->n_visits--;
    buf_release(&v->out);
    free(v);
}

/* ---- what is asked, and the answer ---- */

struct request {
    struct str method, path;
};

/* "GET /path?query HTTP/1.1"; false for what is no request line. */
static bool parse_line(struct str line, struct request *out)
{
    const char *first = memchr(line.p, ' ', line.len);
    const char *last = memrchr(line.p, ' ', line.len);
    if (first == NULL || last == first || !str_is_plain(line))
        return false;
    struct str target = {first + 1, (size_t)(last - first - 1)};
    struct str version = {last + 1, (size_t)(line.p + line.len - last - 1)};
    bool is_http = str_equal(version, STR("HTTP/1.1")) || str_equal(version, STR("HTTP/1.0"));
    if (!is_http || target.len == 0 || target.p[0] != '/' || memchr(target.p, ' ', target.len))
        return false;
    const char *query = memchr(target.p, '?', target.len);
    if (query != NULL)
        target.len = (size_t)(query - target.p);
    *out = (struct request){.method = {line.p, (size_t)(first - line.p)}, .path = target};
    return true;
}

/* Fills body; returns the status line's end. */
static const char *find_answer(struct page *p, struct str head, struct buf *body, bool *is_head)
{
    struct request r;
    const char *end = memmem(head.p, head.len, "\r\n", 2);
    if (end == NULL || memmem(head.p, head.len, "\r\n\r\n", 4) == NULL)
        return "431 Request Header Fields Too Large";
    if (!parse_line((struct str){head.p, (size_t)(end - head.p)}, &r))
        return "400 Bad Request";
    *is_head = str_equal(r.method, STR("HEAD"));
    bool metrics = str_equal(r.path, STR("/metrics")), health = str_equal(r.path, STR("/healthz"));
    if (!metrics && !health)
        return "404 Not Found";
    if (!*is_head && !str_equal(r.method, STR("GET")))
        return "405 Method Not Allowed";
    if (health) {
        bool serving = p->opt.is_serving(p->opt.ctx);
        buf_append_str(body, serving ? STR("serving\n") : STR("not serving\n"));
        return serving ? "200 OK" : "503 Service Unavailable";
    }
    p->opt.render(p->opt.ctx, body);
    return "200 OK";
}

static void compose(struct visit *v)
{
    struct buf body = BUF_INIT;
    bool is_head = false;
    const char *status = find_answer(v->page, (struct str){v->in, v->n_in}, &body, &is_head);
    if (body.len == 0)
        buf_printf(&body, "%s\n", status);
    buf_printf(&v->out,
               "HTTP/1.1 %s\r\n"
               "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
               "Content-Length: %zu\r\n"
               "Allow: GET, HEAD\r\n"
               "Cache-Control: no-store\r\n"
               "X-Content-Type-Options: nosniff\r\n"
               "Connection: close\r\n\r\n",
               status, body.len);
    if (!is_head)
        buf_append_str(&v->out, buf_str(&body));
    buf_release(&body);
}

/* ---- a connection ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct visit *v = arg;
    ssize_t n = send(fd, v->out.data, v->out.len, MSG_NOSIGNAL);
    if (n < 0 && is_transient(errno))
        return;
    if (n < 0) {
        end_visit(v);
        return;
    }
    buf_consume(&v->out, (size_t)n);
    if (v->out.len > 0)
        return;
    /* Closing at once would make the kernel answer what the peer still sends with a reset, and a
     * reset can overtake our last bytes. */
    shutdown(fd, SHUT_WR);
    v->state = VISIT_LEAVING;
    event_del(&v->writable);
    event_add(&v->readable, NULL);
}

static void answer(struct visit *v)
{
    compose(v);
    v->state = VISIT_WRITING;
    event_del(&v->readable);
    event_add(&v->writable, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct visit *v = arg;
    char trash[TRASH_BYTES];
    bool leaving = v->state == VISIT_LEAVING;
    ssize_t n =
        leaving ? read(fd, trash, sizeof trash) : read(fd, v->in + v->n_in, sizeof v->in - v->n_in);
    if (n < 0 && is_transient(errno))
        return;
    if (n <= 0) {
        end_visit(v);
        return;
    }
    if (leaving)
        return;
    v->n_in += (size_t)n;
    if (v->n_in == sizeof v->in || memmem(v->in, v->n_in, "\r\n\r\n", 4) != NULL)
        answer(v);
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    end_visit(arg);
}

static void begin_visit(struct page *p, int fd)
{
    if (p->n_visits == PAGE_CONNECTIONS_MAX)
        end_visit(TAILQ_FIRST(&p->visits));
    struct visit *v = mem_zalloc(1, sizeof *v);
    v->page = p;
    v->fd = fd;
    struct event_base *base = loop_base(p->loop);
    event_assign(&v->readable, base, fd, EV_READ | EV_PERSIST, on_readable, v);
    event_assign(&v->writable, base, fd, EV_WRITE | EV_PERSIST, on_writable, v);
    event_assign(&v->over, base, -1, 0, on_over, v);
    event_add(&v->readable, NULL);
    event_add(&v->over, &visit_time);
    TAILQ_INSERT_TAIL(&p->visits, v, link);
    p->n_visits++;
}

/* ---- the listener ---- */

static void on_acceptable(evutil_socket_t listener_fd, short what, void *arg)
{
    (void)what;
    struct page *p = arg;
    int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        begin_visit(p, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        event_del(&p->acceptable);
        event_add(&p->accept_again, &accept_pause);
    }
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct page *p = arg;
    event_add(&p->acceptable, NULL);
}

/* ---- the whole ---- */

static void begin(void *ctx)
{
    struct page *p = ctx;
    pthread_setname_np(pthread_self(), "page");
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone */
    event_add(&p->acceptable, NULL);
}

static void end(void *ctx)
{
    struct page *p = ctx;
    event_del(&p->acceptable);
    event_del(&p->accept_again);
    while (!TAILQ_EMPTY(&p->visits))
        end_visit(TAILQ_FIRST(&p->visits));
}

enum err page_start(struct page **out, const struct page_options *opt,
                    char bound_out[static GRPC_ADDRESS_MAX], struct err_text *why)
{
    struct page *p = mem_zalloc(1, sizeof *p);
    p->opt = *opt;
    p->fd = -1;
    TAILQ_INIT(&p->visits);
    enum err e = loop_new(&p->loop, why);
    if (e == ERR_OK)
        e = grpc_address_listen(opt->address, &p->fd, bound_out, why);
    if (e == ERR_OK) {
        struct event_base *base = loop_base(p->loop);
        event_assign(&p->acceptable, base, p->fd, EV_READ | EV_PERSIST, on_acceptable, p);
        event_assign(&p->accept_again, base, -1, 0, on_accept_again, p);
        e = loop_start(p->loop, why);
    }
    if (e != ERR_OK) {
        loop_free(p->loop);
        if (p->fd >= 0)
            close(p->fd);
        free(p);
        return e;
    }
    loop_call(p->loop, begin, p);
    *out = p;
    return ERR_OK;
}

void page_stop(struct page *p)
{
    if (p == NULL)
        return;
    loop_call(p->loop, end, p);
    loop_stop(p->loop);
    loop_free(p->loop);
    close(p->fd);
    free(p);
}
