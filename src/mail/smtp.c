/* SPDX-License-Identifier: ISC */
#include "smtp_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "message_internal.h"
#include "smtp_reply_internal.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of the time that a mail has, at most so much for the way up to MAIL FROM: name, connection,
 * greeting (some servers let one wait for it), TLS, log-in. */
#define CONNECT_MAX_MS 30000
#define QUIT_MS        1000

#define CODE_LOGGED_IN 235
#define CODE_REFUSES   400

#define TEXT_TYPE "text/plain; charset=utf-8"
#define HTML_TYPE "text/html; charset=utf-8"

struct smtp {
    const struct postman_options *opt;
    const atomic_bool *stop;
    CURL *easy; /* NULL: there is no connection either */
    bool kept;  /* the connection is there, as far as we know */
    bool logged_in;
    bool leaving; /* no new connection for this */
    /* Of the present try: */
    bool dialled; /* it made a connection of its own */
    int64_t deadline_ms;
    int64_t refused_ms; /* when the last reply came, if it was a refusal */
    struct smtp_replies replies;
    char curl_error[CURL_ERROR_SIZE];
};

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* ---- what may be configured -------------------------------------------------------------------
 */

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static bool part_is(CURLU *url, CURLUPart part, bool (*test)(const char *))
{
    char *text = NULL;
    bool is = curl_url_get(url, part, &text, 0) == CURLUE_OK && test(text);
    curl_free(text);
    return is;
}

static bool is_smtp(const char *scheme)
{
    return strcmp(scheme, "smtp") == 0;
}

static bool is_smtp_or_smtps(const char *scheme)
{
    return is_smtp(scheme) || strcmp(scheme, "smtps") == 0;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (strncmp(host, "127.", 4) == 0 && inet_pton(AF_INET, host, &v4) == 1);
}

/* "/" and, if need be, the name to say in EHLO. */
static bool is_name_path(const char *path)
{
    return path[0] == '/' &&
           strspn(path + 1, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == strlen(path + 1);
}

static enum err check_url(CURLU *url, const struct postman_options *opt, struct err_text *why)
{
    if (curl_url_set(url, CURLUPART_URL, opt->url, 0) != CURLUE_OK ||
        !part_is(url, CURLUPART_SCHEME, is_smtp_or_smtps))
        return err_set(why, ERR_INVALID, NULL,
                       "the mail server is not smtp://host:port or smtps://host:port");
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ||
        has_part(url, CURLUPART_OPTIONS))
        return err_set(why, ERR_INVALID, NULL,
                       "user and password do not belong into the mail server's URL");
    if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT) ||
        !part_is(url, CURLUPART_PATH, is_name_path))
        return err_set(why, ERR_INVALID, NULL,
                       "the mail server's URL has more than a host, a port and our own name");
    if (opt->allow_plaintext && !part_is(url, CURLUPART_HOST, is_loopback))
        return err_set(why, ERR_INVALID, NULL,
                       "mail in plain text is for a mail server on this machine only");
    if (opt->allow_plaintext && !part_is(url, CURLUPART_SCHEME, is_smtp))
        return err_set(why, ERR_INVALID, NULL, "smtps is not plain text");
    return ERR_OK;
}

enum err smtp_check(const struct postman_options *opt, struct err_text *why)
{
    CURLU *url = curl_url();
    if (url == NULL)
        abort();
    enum err e = check_url(url, opt, why);
    curl_url_cleanup(url);
    TRY(e);
    if ((opt->user[0] == '\0') != (opt->password[0] == '\0'))
        return err_set(why, ERR_INVALID, NULL,
                       "of the mail server's user and password there is only one");
    if (opt->ca_file[0] != '\0' && access(opt->ca_file, R_OK) != 0)
        return err_set(why, ERR_INVALID, NULL, "%s: cannot be read", opt->ca_file);
    if (opt->timeout_ms <= 0)
        return err_set(why, ERR_INVALID, NULL, "a mail has no time at all");
    return ERR_OK;
}

/* ---- what libcurl calls
 * --------------------------------------------------------------------------- */

/* Every line that the server says, of the greeting and EHLO, too. */
static size_t on_reply(char *line, size_t size, size_t n, void *ctx)
{
    struct smtp *s = ctx;
    int code = smtp_reply_line(&s->replies, (struct str){line, size * n});
    if (code == CODE_LOGGED_IN)
        s->logged_in = true;
    if (code != 0)
        s->refused_ms = code >= CODE_REFUSES ? now_ms() : 0;
    return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    (void)bytes, (void)ctx;
    return size * n;
}

static curl_socket_t on_dial(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)purpose;
    struct smtp *s = ctx;
    if (s->leaving)
        return CURL_SOCKET_BAD;
    s->dialled = true;
    s->logged_in = false;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* About once a second. After a refusal libcurl says QUIT and waits for the answer, which it does
 * not count as the mail's time. */
static int on_progress(void *ctx, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
    (void)dt, (void)dn, (void)ut, (void)un;
    const struct smtp *s = ctx;
    int64_t now = now_ms();
    return atomic_load(s->stop) || now > s->deadline_ms + QUIT_MS ||
           (s->refused_ms != 0 && now > s->refused_ms + QUIT_MS);
}

/* ---- one try
 * -------------------------------------------------------------------------------------- */

/* libcurl fails in these calls only when there is no memory. */
static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static void must_do(CURLcode rc)
{
    if (rc != CURLE_OK)
        abort();
}

static void set_long(struct smtp *s, CURLoption option, int64_t value)
{
    must_do(curl_easy_setopt(s->easy, option, (long)value));
}

static void set_text(struct smtp *s, CURLoption option, const char *value)
{
    must_do(curl_easy_setopt(s->easy, option, value));
}

static void set_security(struct smtp *s)
{
    const struct postman_options *opt = s->opt;
    set_text(s, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    set_text(s, CURLOPT_PROXY, ""); /* not even one of the environment */
    set_long(s, CURLOPT_USE_SSL, opt->allow_plaintext ? CURLUSESSL_NONE : CURLUSESSL_ALL);
    set_long(s, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    set_long(s, CURLOPT_SSL_VERIFYPEER, 1);
    set_long(s, CURLOPT_SSL_VERIFYHOST, 2);
    if (opt->ca_file[0] != '\0') {
        set_text(s, CURLOPT_CAINFO, opt->ca_file);
        set_text(s, CURLOPT_CAPATH, NULL); /* else the system's are good, too */
    }
    if (opt->user[0] != '\0') {
        set_text(s, CURLOPT_USERNAME, opt->user);
        set_text(s, CURLOPT_PASSWORD, opt->password);
        set_text(s, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN");
    }
}

/* What is the same for all mails. */
static void make_easy(struct smtp *s)
{
    int64_t timeout_ms = s->opt->timeout_ms;
    s->easy = must(curl_easy_init());
    set_security(s);
    set_text(s, CURLOPT_URL, s->opt->url);
    set_long(s, CURLOPT_NOSIGNAL, 1);
    set_long(s, CURLOPT_QUICK_EXIT, 1); /* a name server that hangs does not keep us */
    set_long(s, CURLOPT_CONNECTTIMEOUT_MS,
             timeout_ms < CONNECT_MAX_MS ? timeout_ms : CONNECT_MAX_MS);
    set_long(s, CURLOPT_SERVER_RESPONSE_TIMEOUT, (timeout_ms + 999) / 1000);
    set_long(s, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 0);
    set_long(s, CURLOPT_MAXCONNECTS, 1);
    set_long(s, CURLOPT_NOPROGRESS, 0);
    must_do(curl_easy_setopt(s->easy, CURLOPT_XFERINFOFUNCTION, on_progress));
    must_do(curl_easy_setopt(s->easy, CURLOPT_XFERINFODATA, s));
    must_do(curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_reply));
    must_do(curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s));
    must_do(curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body));
    must_do(curl_easy_setopt(s->easy, CURLOPT_OPENSOCKETFUNCTION, on_dial));
    must_do(curl_easy_setopt(s->easy, CURLOPT_OPENSOCKETDATA, s));
    must_do(curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, s->curl_error));
}

static void add_part(curl_mime *to, const struct buf *bytes, const char *type)
{
    curl_mimepart *part = must(curl_mime_addpart(to));
    must_do(curl_mime_data(part, (const char *)bytes->data, bytes->len));
    must_do(curl_mime_type(part, type));
    must_do(curl_mime_encoder(part, "quoted-printable"));
}

/* libcurl puts a multipart/mixed around whatever it is given. */
static curl_mime *make_parts(struct smtp *s, const struct message *m)
{
    curl_mime *both = must(curl_mime_init(s->easy));
    add_part(both, &m->text, TEXT_TYPE);
    add_part(both, &m->html, HTML_TYPE);
    curl_mime *whole = must(curl_mime_init(s->easy));
    curl_mimepart *part = must(curl_mime_addpart(whole));
    must_do(curl_mime_subparts(part, both));
    must_do(curl_mime_type(part, "multipart/alternative"));
    return whole;
}

static struct curl_slist *make_headers(const struct buf *fields)
{
    struct curl_slist *list = NULL;
    for (size_t at = 0; at < fields->len;) {
        const char *one = (const char *)fields->data + at;
        list = must(curl_slist_append(list, one));
        at += strlen(one) + 1;
    }
    return list;
}

/* Ends the connection, if there is one, without a word. Cleaning up says QUIT, and nothing but
 * the connection's end limits how long it waits for the answer. */
static void drop(struct smtp *s)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(s->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
        shutdown(fd, SHUT_RDWR);
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
    s->kept = false;
}

struct outcome {
    CURLcode rc;
    int code; /* of the last reply before QUIT */
};

/* Whatever did not go well leaves no connection: libcurl would keep one that still owes us the
 * reply to a mail, and take that for the reply to the next one. */
static struct outcome perform(struct smtp *s)
{
    long code = 0;
    struct outcome o = {.rc = curl_easy_perform(s->easy)};
    if (curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &code) == CURLE_OK)
        o.code = (int)code;
    if (s->replies.decided)
        o.code = s->replies.refusal;
    s->kept = o.rc == CURLE_OK;
    return o;
}

static struct outcome try_once(struct smtp *s, const struct message *m)
{
    if (s->easy == NULL)
        make_easy(s);
    s->replies = (struct smtp_replies){0};
    s->refused_ms = 0;
    s->dialled = false;
    s->curl_error[0] = '\0';
    struct curl_slist *to = must(curl_slist_append(NULL, m->to));
    struct curl_slist *headers = make_headers(&m->headers);
    curl_mime *parts = make_parts(s, m);
    int64_t left_ms = s->deadline_ms - now_ms();
    set_long(s, CURLOPT_TIMEOUT_MS, left_ms > 0 ? left_ms : 1);
    set_text(s, CURLOPT_MAIL_FROM, m->from);
    must_do(curl_easy_setopt(s->easy, CURLOPT_MAIL_RCPT, to));
    must_do(curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, headers));
    must_do(curl_easy_setopt(s->easy, CURLOPT_MIMEPOST, parts));
    struct outcome o = perform(s);
    curl_easy_setopt(s->easy, CURLOPT_MIMEPOST, NULL);
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(s->easy, CURLOPT_MAIL_RCPT, NULL);
    curl_mime_free(parts);
    curl_slist_free_all(headers);
    curl_slist_free_all(to);
    if (!s->kept)
        drop(s);
    return o;
}

/* ---- what became of it
 * ---------------------------------------------------------------------------- */

static bool needs_log_in(const struct smtp *s)
{
    return s->opt->user[0] != '\0' && !s->logged_in;
}

/* Replies that are about us or the server, wherever they come: it closes (421); log-in or TLS
 * are wanted or do not work (RFC 4954 section 6, RFC 3207 section 4). */
static bool is_about_server(int code)
{
    static const int codes[] = {421, 454, 530, 534, 535, 538};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (code == codes[i])
            return true;
    return false;
}

static enum smtp_end judge(const struct smtp *s, struct outcome o)
{
    if (s->replies.taken)
        return SMTP_TAKEN;
    if (o.rc == CURLE_ABORTED_BY_CALLBACK && atomic_load(s->stop))
        return SMTP_STOPPED;
    /* Send error is libcurl's name for what a server has against MAIL, RCPT and DATA. Without
     * the log-in that it did not offer, what it has against a mail may be that. */
    bool about_mail = o.rc == CURLE_SEND_ERROR || s->replies.decided;
    if (!about_mail || is_about_server(o.code) || needs_log_in(s))
        return SMTP_TROUBLE;
    return o.code / 100 == 4 ? SMTP_LATER : o.code / 100 == 5 ? SMTP_NEVER : SMTP_TROUBLE;
}

static const char *kind_of_trouble(const struct smtp *s, struct outcome o)
{
    static const struct {
        CURLcode rc;
        const char *name;
    } kinds[] = {
        {CURLE_COULDNT_RESOLVE_HOST, "its name does not resolve"},
        {CURLE_COULDNT_CONNECT, "no connection"},
        {CURLE_OPERATION_TIMEDOUT, "too slow"},
        {CURLE_ABORTED_BY_CALLBACK, "too slow"},
        {CURLE_USE_SSL_FAILED, "no STARTTLS"},
        {CURLE_SSL_CONNECT_ERROR, "TLS failed"},
        {CURLE_PEER_FAILED_VERIFICATION, "its certificate is not good"},
        {CURLE_SSL_CACERT_BADFILE, "the file of certificates is not good"},
        {CURLE_LOGIN_DENIED, "the log-in was refused"},
        {CURLE_REMOTE_ACCESS_DENIED, "we may not talk to it"},
    };
    bool refused = o.code >= CODE_REFUSES;
    if (needs_log_in(s) && (refused ? o.rc == CURLE_SEND_ERROR : o.rc == CURLE_LOGIN_DENIED))
        return "it offered no log-in that we can";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].rc == o.rc)
            return kinds[i].name;
    return refused ? "it refused" : "the connection was lost";
}

static void explain(const struct smtp *s, const struct message *m, enum smtp_end end,
                    struct outcome o, char error[static MAIL_ERROR_MAX + 1])
{
    const struct smtp_replies *r = &s->replies;
    const size_t room = MAIL_ERROR_MAX + 1;
    struct str detail = str_from(s->curl_error);
    if (detail.len == 0)
        detail = str_from(curl_easy_strerror(o.rc));
    size_t n = 0;
    if (end == SMTP_TROUBLE)
        n += (size_t)snprintf(error, room, "mail server: %s: ", kind_of_trouble(s, o));
    if (o.code >= CODE_REFUSES) {
        n += (size_t)snprintf(error + n, room - n, "%d ", o.code);
        detail = r->refusal == o.code ? (struct str){r->text, r->len} : STR("");
    }
    struct str to = {m->to + 1, strlen(m->to) - 2}; /* without < and > */
    smtp_reply_clean(error + n, room - n, detail, to);
}

enum smtp_end smtp_send(struct smtp *s, const struct message *m,
                        char error[static MAIL_ERROR_MAX + 1])
{
    s->deadline_ms = now_ms() + s->opt->timeout_ms;
    bool was_kept = s->kept;
    struct outcome o = try_once(s, m);
    enum smtp_end end = judge(s, o);
    if (end == SMTP_TROUBLE && was_kept && !s->dialled && now_ms() < s->deadline_ms) {
        o = try_once(s, m);
        end = judge(s, o);
    }
    error[0] = '\0';
    if (end == SMTP_STOPPED)
        snprintf(error, MAIL_ERROR_MAX + 1, "cut off: the service stopped");
    else if (end != SMTP_TAKEN)
        explain(s, m, end, o, error);
    return end;
}

/* ---- life
 * -------------------------------------------------------------------------------------------- */

enum err smtp_new(struct smtp **out, const struct postman_options *opt, const atomic_bool *stop,
                  struct err_text *why)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(why, ERR_INTERNAL, NULL, "libcurl does not start");
    enum err e = smtp_check(opt, why);
    if (e != ERR_OK) {
        curl_global_cleanup();
        return e;
    }
    struct smtp *s = mem_zalloc(1, sizeof *s);
    s->opt = opt;
    s->stop = stop;
    *out = s;
    return ERR_OK;
}

void smtp_hang_up(struct smtp *s)
{
    if (s->easy == NULL)
        return;
    if (s->kept) {
        s->leaving = true;
        set_text(s, CURLOPT_CUSTOMREQUEST, "QUIT");
        set_long(s, CURLOPT_NOBODY, 1);
        set_long(s, CURLOPT_FORBID_REUSE, 1);
        set_long(s, CURLOPT_TIMEOUT_MS, QUIT_MS);
        set_long(s, CURLOPT_NOPROGRESS, 1);
        (void)curl_easy_perform(s->easy);
        s->leaving = false;
    }
    drop(s);
}

void smtp_free(struct smtp *s)
{
    if (s == NULL)
        return;
    smtp_hang_up(s);
    free(s);
    curl_global_cleanup();
}
