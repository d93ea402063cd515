/* SPDX-License-Identifier: ISC */
#include "mail/postman.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "message_internal.h"
#include "postman_internal.h"
#include "smtp_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define REST_FIRST_MS   2000
#define REST_LONGEST_MS 60000
#define IDLE_MS         1000 /* without a wake, mail that became due is found after this */
#define HANG_UP_MS      5000 /* without mail, the connection is ended after this */

struct postman {
    struct postman_options opt;
    struct smtp *smtp;
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool woken;   /* guarded by lock, as the next two */
    bool changed; /* the thread has not taken next yet */
    struct postman_options next;

    /* The thread's: */
    bool unreported; /* report is of the mail that was given out last */
    struct mail_report report;
    char error[MAIL_ERROR_MAX + 1]; /* report.error */
    uint32_t source_failures;       /* in a row */
    uint32_t failures;              /* of the server, in a row */
    int64_t last_mail_ms;
};

int64_t postman_rest_ms(uint32_t failures, uint32_t draw)
{
    int64_t longest = REST_FIRST_MS;
    for (uint32_t i = 1; i < failures && longest < REST_LONGEST_MS; i++)
        longest *= 2;
    if (longest > REST_LONGEST_MS)
        longest = REST_LONGEST_MS;
    return longest / 2 + (int64_t)((uint64_t)(longest / 2) * draw >> 32);
}

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

/* Until that time, or the stop, or a change, or a wake if one counts. */
static void wait_until(struct postman *p, int64_t until_ms, bool wakes)
{
    struct timespec t = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&p->lock);
    while (!atomic_load(&p->stop) && !p->changed && !(wakes && p->woken) && now_ms() < until_ms)
        pthread_cond_clockwait(&p->news, &p->lock, CLOCK_MONOTONIC, &t);
    if (wakes)
        p->woken = false;
    pthread_mutex_unlock(&p->lock);
}

static void idle(struct postman *p)
{
    if (now_ms() - p->last_mail_ms >= HANG_UP_MS)
        smtp_hang_up(p->smtp);
    wait_until(p, now_ms() + IDLE_MS, true);
}

/* ---- the source -------------------------------------------------------------------------------
 */

/* One line when it begins to fail and one when it works again. */
static void note_source(struct postman *p, enum err e, const struct err_text *why)
{
    bool failed = e != ERR_OK && e != ERR_NOT_FOUND;
    if (failed && p->source_failures == 0)
        log_event(LOG_ERROR, "mail_queue_down", log_c("error", err_name(e)),
                  log_c("detail", why->text));
    else if (!failed && p->source_failures > 0)
        log_event(LOG_INFO, "mail_queue_up", log_i("failures", p->source_failures));
    p->source_failures = failed ? p->source_failures + 1 : 0;
}

/* Reports what there is to report, and asks for the next mail unless out is NULL. */
static enum err ask(struct postman *p, struct mail_message *out)
{
    struct err_text why = {0};
    const struct postman_source *source = &p->opt.source;
    enum err e = source->next(source->ctx, p->unreported ? &p->report : NULL, out, &why);
    note_source(p, e, &why);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        p->unreported = false;
    return e;
}

/* ---- one mail ---------------------------------------------------------------------------------
 */

static enum mail_end end_of(enum smtp_end end)
{
    switch (end) {
    case SMTP_TAKEN:
        return MAIL_DELIVERED;
    case SMTP_NEVER:
        return MAIL_REFUSED;
    case SMTP_LATER:
    case SMTP_TROUBLE:
    case SMTP_STOPPED:
        return MAIL_DEFERRED;
    }
    return MAIL_DEFERRED;
}

static void note_end(struct postman *p, const struct mail_message *m, enum mail_end end)
{
    p->report = (struct mail_report){.end = end, .error = p->error};
    p->unreported = true;
    switch (end) {
    case MAIL_DELIVERED:
        log_event(LOG_INFO, "mail_sent", log_s("mail", m->message_id));
        break;
    case MAIL_DEFERRED:
        log_event(LOG_INFO, "mail_deferred", log_s("mail", m->message_id),
                  log_c("error", p->error));
        break;
    case MAIL_REFUSED:
        log_event(LOG_WARN, "mail_refused", log_s("mail", m->message_id), log_c("error", p->error));
        break;
    }
}

/* The server is left alone for a while; what became of the mail is told before that. */
static void rest(struct postman *p)
{
    uint32_t draw = 0;
    while (getrandom(&draw, sizeof draw, 0) != sizeof draw)
        ;
    int64_t rest_ms = postman_rest_ms(++p->failures, draw);
    if (p->failures == 1)
        log_event(LOG_ERROR, "mail_server_down", log_c("error", p->error));
    (void)ask(p, NULL);
    wait_until(p, now_ms() + rest_ms, false);
}

static void note_up(struct postman *p)
{
    if (p->failures > 0)
        log_event(LOG_INFO, "mail_server_up", log_i("failures", p->failures));
    p->failures = 0;
}

static enum smtp_end try_to_send(struct postman *p, const struct mail_message *m)
{
    struct err_text why = {0};
    struct message message;
    enum smtp_end end = SMTP_NEVER;
    if (message_compose(&message, p->opt.templates, m, &why) == ERR_OK) {
        end = smtp_send(p->smtp, &message, p->error);
        if (end != SMTP_TROUBLE && end != SMTP_STOPPED)
            note_up(p);
    } else {
        snprintf(p->error, sizeof p->error, "%.*s", MAIL_ERROR_MAX, why.text);
    }
    message_release(&message);
    return end;
}

static void deliver(struct postman *p, const struct mail_message *m)
{
    enum smtp_end end = try_to_send(p, m);
    note_end(p, m, end_of(end));
    p->last_mail_ms = now_ms();
    if (end == SMTP_TROUBLE)
        rest(p);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static void end_options(const struct postman_options *opt)
{
    if (opt->done != NULL)
        opt->done(opt->done_ctx);
}

static void take_change(struct postman *p)
{
    pthread_mutex_lock(&p->lock);
    bool changed = p->changed;
    struct postman_options last = p->opt;
    pthread_mutex_unlock(&p->lock);
    if (!changed)
        return;
    smtp_hang_up(p->smtp);
    pthread_mutex_lock(&p->lock);
    p->opt = p->next;
    p->changed = false;
    pthread_mutex_unlock(&p->lock);
    p->failures = 0;
    end_options(&last);
}

static void *run(void *arg)
{
    struct postman *p = arg;
    pthread_setname_np(pthread_self(), "mail");
    while (!atomic_load(&p->stop)) {
        struct mail_message m;
        take_change(p);
        if (ask(p, &m) == ERR_OK)
            deliver(p, &m);
        else
            idle(p);
    }
    if (p->unreported)
        (void)ask(p, NULL);
    smtp_hang_up(p->smtp);
    return NULL;
}

static void release(struct postman *p)
{
    smtp_free(p->smtp);
    pthread_cond_destroy(&p->news);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Signals are for others: TLS writes to a connection that is gone raise SIGPIPE here. */
static int start_thread(struct postman *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&p->thread, NULL, run, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum err postman_check(const struct postman_options *opt, struct err_text *why)
{
    return smtp_check(opt, why);
}

enum err postman_start(struct postman **out, const struct postman_options *opt,
                       struct err_text *why)
{
    struct postman *p = mem_zalloc(1, sizeof *p);
    p->opt = *opt;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->news, NULL);
    enum err e = smtp_new(&p->smtp, &p->opt, &p->stop, why);
    if (e == ERR_OK && start_thread(p) != 0)
        e = err_set(why, ERR_UNAVAILABLE, NULL, "cannot start the mail thread");
    if (e != ERR_OK) {
        release(p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

void postman_change(struct postman *p, const struct postman_options *opt)
{
    pthread_mutex_lock(&p->lock);
    struct postman_options skipped = {0};
    if (p->changed)
        skipped = p->next;
    p->next = *opt;
    p->changed = true;
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
    end_options(&skipped);
}

void postman_wake(struct postman *p)
{
    pthread_mutex_lock(&p->lock);
    p->woken = true;
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
}

void postman_stop(struct postman *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    if (p->changed)
        end_options(&p->next);
    struct postman_options last = p->opt;
    release(p);
    end_options(&last);
}
