/* SPDX-License-Identifier: ISC */
#include "daemon/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/worker.h"
#include "crypto/keyring.h"
#include "crypto/secret.h"
#include "crypto/totp.h"
#include "daemon/settings.h"
#include "domain/domain.h"
#include "drain_internal.h"
#include "fence_internal.h"
#include "grpc/server.h"
#include "limits_internal.h"
#include "listeners_internal.h"
#include "mailroom_internal.h"
#include "reload_internal.h"
#include "rpc/callers.h"
#include "rpc/executor.h"
#include "rpc/rpc.h"
#include "store/store.h"
#include "stores_internal.h"
#include "systemd_internal.h"
#include "watch_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* A commit of the store carries at most this many calls. */
#define BATCH_MAX    512
#define TICK_SECONDS 1
/* After so many failures in a row the store counts as failed. The embedded one fails as a whole;
 * of another machine's, one worker may have had bad luck with its connection. */
#define BREAK_AFTER_EMBEDDED 1
#define BREAK_AFTER_REMOTE   5

/* How long the start waits for a store on another machine; a start that may go on without it only
 * looks whether it is there. */
#define PREPARE_MS 5000
#define LOOK_MS    500

/* With the i-th store. */
struct store_worker {
    char name[16];
    struct worker *thread; /* NULL: does not run */
};

struct daemon {
    const char *config_file;
    struct settings *set;
    struct clock *clock;
    struct listeners *listeners;
    struct watch *watch; /* NULL: nobody watches */
    struct keyring *keyring;
    struct callers *unused_callers; /* until the rpc has them */
    const struct callers *callers;
    struct stores *stores;
    struct domain_shared *shared;
    struct store_worker *workers; /* one a store */
    struct domain **domains;      /* theirs */
    struct loop **loops;
    size_t n_loops;
    struct queue *queue;
    struct executor *executor;
    struct rpc *rpc;
    struct grpc_server *server;
    struct mailroom *mailroom; /* NULL: no mail is sent */
    struct fence fence;
    bool listening;
};

/* ---- the parts, each with its start and its stop ---- */

static int start_process(struct daemon *d, struct err_text *why)
{
    (void)d;
    umask(S_IRWXG | S_IRWXO);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    if (secret_init(why) != ERR_OK || secret_protect_process(why) != ERR_OK ||
        totp_init(why) != ERR_OK)
        return EX_SOFTWARE;
    return EX_OK;
}

static int check_listen(struct daemon *d, struct err_text *why)
{
    enum err e = listeners_new(&d->listeners, d->set, systemd_take_sockets(), why);
    return e == ERR_OK ? EX_OK : EX_CONFIG;
}

static void stop_listen(struct daemon *d)
{
    listeners_free(d->listeners);
}

static int start_watch(struct daemon *d, struct err_text *why)
{
    return watch_new(&d->watch, d->set, why) == ERR_OK ? EX_OK : EX_CONFIG;
}

static void stop_watch(struct daemon *d)
{
    watch_free(d->watch);
}

static int start_keyring(struct daemon *d, struct err_text *why)
{
    enum err e = keyring_load(&d->keyring, d->set->keyring_file, why);
    const char *database = settings_sqlite_path(d->set);
    if (e == ERR_NOT_FOUND && database != NULL && access(database, F_OK) == 0)
        err_set(why, e, NULL,
                "%.120s: no keyring, but a database: bring the keyring back from its backup",
                d->set->keyring_file);
    else if (e == ERR_NOT_FOUND)
        err_set(why, e, NULL, "%.120s: no keyring; make one with: twostepctl keyring init FILE",
                d->set->keyring_file);
    return e == ERR_OK ? EX_OK : EX_CONFIG;
}

static void stop_keyring(struct daemon *d)
{
    keyring_free(d->keyring);
}

static int start_callers(struct daemon *d, struct err_text *why)
{
    if (reload_read_callers(&d->unused_callers, d->set, why) != ERR_OK)
        return EX_CONFIG;
    d->callers = d->unused_callers;
    return EX_OK;
}

static void stop_callers(struct daemon *d)
{
    callers_free(d->unused_callers);
}

static int start_mailroom(struct daemon *d, struct err_text *why)
{
    if (d->set->smtp_url[0] == '\0')
        return EX_OK;
    struct mail_kit *kit;
    if (mailroom_read_kit(&kit, d->set, why) != ERR_OK)
        return EX_CONFIG;
    d->mailroom = mailroom_new(kit);
    return EX_OK;
}

static void stop_mailroom(struct daemon *d)
{
    mailroom_free(d->mailroom);
}

static int start_store_files(struct daemon *d, struct err_text *why)
{
    return stores_new(&d->stores, d->set, why) == ERR_OK ? EX_OK : EX_CONFIG;
}

static int start_fence(struct daemon *d, struct err_text *why)
{
    return fence_start(&d->fence, d->config_file, d->set, why) == ERR_OK ? EX_OK : EX_SOFTWARE;
}

static void stop_fence(struct daemon *d)
{
    fence_stop(&d->fence);
}

static int start_store(struct daemon *d, struct err_text *why)
{
    enum err e = stores_open(d->stores, why);
    if (e == ERR_OK)
        return EX_OK;
    return e == ERR_INVALID || e == ERR_DENIED || e == ERR_CONFLICT ? EX_CONFIG : EX_UNAVAILABLE;
}

static void stop_store(struct daemon *d)
{
    stores_free(d->stores);
}

static struct domain_options domain_options(const struct daemon *d)
{
    return (struct domain_options){.shared = d->shared,
                                   .clock = d->clock,
                                   .rules = reload_rules(d->set),
                                   .mail_is_configured = d->mailroom != NULL,
                                   .metrics = watch_metrics(d->watch)};
}

static int start_domain(struct daemon *d, struct err_text *why)
{
    size_t n = stores_count(d->stores);
    d->shared = domain_shared_new(d->keyring);
    d->domains = mem_zalloc(n, sizeof(struct domain *));
    struct domain_options opt = domain_options(d);
    for (size_t i = 0; i < n; i++) {
        opt.store = stores_at(d->stores, i);
        d->domains[i] = domain_new(&opt);
    }
    bool may_be_down = stores_may_be_down(d->stores);
    enum err e = domain_prepare(d->domains[0], may_be_down ? LOOK_MS : PREPARE_MS, why);
    if (e == ERR_UNAVAILABLE && may_be_down) {
        log_event(LOG_ERROR, "store_failed", log_c("error", err_name(e)),
                  log_c("detail", why->text));
        e = ERR_OK;
    }
    if (e == ERR_OK)
        return EX_OK;
    return e == ERR_DENIED ? EX_CONFIG : EX_UNAVAILABLE;
}

static void stop_domain(struct daemon *d)
{
    for (size_t i = 0; d->domains != NULL && i < stores_count(d->stores); i++)
        domain_free(d->domains[i]);
    free(d->domains);
    domain_shared_free(d->shared);
}

static int start_loops(struct daemon *d, struct err_text *why)
{
    d->loops = mem_zalloc((size_t)d->set->threads, sizeof(struct loop *));
    for (; d->n_loops < (size_t)d->set->threads; d->n_loops++) {
        struct loop *loop;
        if (loop_new(&loop, why) != ERR_OK)
            return EX_SOFTWARE;
        d->loops[d->n_loops] = loop;
        if (loop_start(loop, why) != ERR_OK) {
            loop_free(loop);
            return EX_SOFTWARE;
        }
    }
    return EX_OK;
}

static void stop_loops(struct daemon *d)
{
    for (size_t i = 0; i < d->n_loops; i++) {
        loop_stop(d->loops[i]);
        loop_free(d->loops[i]);
    }
    free(d->loops);
}

static int start_rpc(struct daemon *d, struct err_text *why)
{
    (void)why;
    d->queue = queue_new((size_t)d->set->queue_length);
    bool embedded = domain_is_transactional(d->domains[0]);
    struct executor_options executor = {.domains = d->domains,
                                        .n_workers = stores_count(d->stores),
                                        .break_after =
                                            embedded ? BREAK_AFTER_EMBEDDED : BREAK_AFTER_REMOTE,
                                        .clock = d->clock,
                                        .queue = d->queue,
                                        .loops = d->loops,
                                        .n_loops = d->n_loops,
                                        .metrics = watch_metrics(d->watch)};
    d->executor = executor_new(&executor);
    struct rpc_options opt = {.executor = d->executor,
                              .callers = d->unused_callers,
                              .limits = limits_of_rpc(d->set, callers_count(d->callers)),
                              .clock = d->clock,
                              .loops = d->loops,
                              .n_loops = d->n_loops,
                              .metrics = watch_metrics(d->watch),
                              .mail_queued = mailroom_wake,
                              .mail_ctx = d->mailroom};
    d->rpc = rpc_new(&opt);
    d->unused_callers = NULL;
    struct grpc_server_options server = {.loops = d->loops,
                                         .n_loops = d->n_loops,
                                         .clock = d->clock,
                                         .limits = limits_of_edge(d->set),
                                         .refused = listeners_log_refused,
                                         .paused = listeners_log_paused};
    server.metrics = watch_metrics(d->watch);
    server.methods = rpc_methods(d->rpc, &server.n_methods);
    d->server = grpc_server_new(&server);
    listeners_give_tls(d->listeners, d->server);
    rpc_attach(d->rpc, d->server);
    return EX_OK;
}

/* The workers have ended, and what they gave back to the loops is done before the server's own
 * last task there. */
static void stop_rpc(struct daemon *d)
{
    grpc_server_free(d->server);
    rpc_free(d->rpc);
    executor_free(d->executor);
    queue_free(d->queue);
}

/* One job at a time where jobs cannot share a commit: the others would wait for nothing. */
static int start_workers(struct daemon *d, struct err_text *why)
{
    size_t n = stores_count(d->stores);
    bool embedded = domain_is_transactional(d->domains[0]);
    d->workers = mem_zalloc(n, sizeof *d->workers);
    for (size_t i = 0; i < n; i++) {
        struct store_worker *w = &d->workers[i];
        snprintf(w->name, sizeof w->name, "store-%hu", (unsigned short)i);
        struct worker_options opt = {.name = w->name,
                                     .queue = d->queue,
                                     .batch_max = embedded ? BATCH_MAX : 1,
                                     .run = executor_run_batch,
                                     .ctx = executor_worker(d->executor, i)};
        if (worker_start(&w->thread, &opt, why) != ERR_OK)
            return EX_SOFTWARE;
    }
    return EX_OK;
}

static void stop_workers(struct daemon *d)
{
    if (d->queue != NULL)
        queue_close(d->queue);
    for (size_t i = 0; d->workers != NULL && i < stores_count(d->stores); i++)
        worker_stop(d->workers[i].thread);
    free(d->workers);
}

static int start_mail_thread(struct daemon *d, struct err_text *why)
{
    if (d->mailroom == NULL)
        return EX_OK;
    enum err e = mailroom_start(d->mailroom, d->executor, d->loops[0], why);
    return e == ERR_OK ? EX_OK : EX_CONFIG;
}

/* What it says last is still decided: the workers stop after it. */
static void stop_mail_thread(struct daemon *d)
{
    mailroom_stop(d->mailroom);
}

static int start_page(struct daemon *d, struct err_text *why)
{
    return watch_start(d->watch, d->rpc, d->executor, why) == ERR_OK ? EX_OK : EX_CONFIG;
}

/* It tells of the drain, too. */
static void stop_page(struct daemon *d)
{
    watch_stop(d->watch);
}

static int start_listening(struct daemon *d, struct err_text *why)
{
    if (fence_listen(&d->fence, d->listeners, d->server, d->set, why) != ERR_OK)
        return EX_CONFIG;
    d->listening = true;
    watch_listening(d->watch);
    if (fence_close(&d->fence, d->set, why) != ERR_OK)
        return EX_SOFTWARE;
    if (d->set->callers_file[0] == '\0')
        log_event(LOG_WARN, "no_callers_file",
                  log_c("detail", "every local program may call every method"));
    log_event(LOG_INFO, "serving", log_c("version", TWOSTEP_VERSION),
              log_i("loops", (int64_t)d->n_loops),
              log_c("store", stores_at(d->stores, 0)->ops->name));
    systemd_notify("READY=1");
    return EX_OK;
}

static void stop_listening(struct daemon *d)
{
    if (d->listening)
        drain_run(d->rpc, d->server, d->executor, d->set->drain_seconds);
}

static const struct part {
    const char *name;
    int (*start)(struct daemon *d, struct err_text *why); /* an exit status; 0: started */
    void (*stop)(struct daemon *d);                       /* fine for what was never started */
    bool check; /* --check-config starts it: it reads files and touches nothing */
} parts[] = {
    {"process", start_process, NULL, true},
    {"listen", check_listen, stop_listen, true},
    {"metrics", start_watch, stop_watch, true},
    {"keyring", start_keyring, stop_keyring, true},
    {"callers", start_callers, stop_callers, true},
    {"mail", start_mailroom, stop_mailroom, true},
    {"store files", start_store_files, stop_store, true},
    {"hardening", start_fence, stop_fence, false},
    {"store", start_store, NULL, false},
    {"domain", start_domain, stop_domain, false},
    {"loops", start_loops, stop_loops, false},
    {"rpc", start_rpc, stop_rpc, false},
    {"workers", start_workers, stop_workers, false},
    {"mail thread", start_mail_thread, stop_mail_thread, false},
    {"page", start_page, stop_page, false},
    {"listener", start_listening, stop_listening, false},
};
#define N_PARTS (sizeof parts / sizeof parts[0])

static int start_parts(struct daemon *d, bool check_only)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        struct err_text why = {0};
        int status = check_only && !parts[i].check ? EX_OK : parts[i].start(d, &why);
        if (status == EX_OK)
            continue;
        log_event(LOG_ERROR, "start_failed", log_c("part", parts[i].name),
                  log_c("detail", why.text), log_i("exit", status));
        return status;
    }
    return EX_OK;
}

static void stop_parts(struct daemon *d)
{
    for (size_t i = N_PARTS; i-- > 0;)
        if (parts[i].stop != NULL)
            parts[i].stop(d);
}

/* ---- the main thread waits for signals ---- */

static void reload(struct daemon *d)
{
    struct reload r = {.config_file = d->config_file,
                       .set = d->set,
                       .keyring = d->keyring,
                       .callers = d->callers,
                       .listeners = d->listeners,
                       .shared = d->shared,
                       .rpc = d->rpc,
                       .server = d->server,
                       .mailroom = d->mailroom};
    reload_run(&r);
    d->keyring = r.keyring;
    d->callers = r.callers;
}

static void wait_for_stop(struct daemon *d, const sigset_t *set)
{
    static const struct timespec tick = {.tv_sec = TICK_SECONDS};
    for (;;) {
        int signal = sigtimedwait(set, NULL, &tick);
        if (signal == SIGTERM || signal == SIGINT) {
            log_event(LOG_INFO, "stopping", log_c("signal", strsignal(signal)));
            return;
        }
        if (signal == SIGHUP)
            reload(d);
        else
            executor_tick(d->executor);
        log_settle(false);
    }
}

int daemon_run(const char *config_file, struct settings *settings, struct clock *clock)
{
    struct daemon d = {.config_file = config_file, .set = settings, .clock = clock};
    /* Before the first thread, so that every thread has them blocked. */
    sigset_t set = drain_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int status = start_parts(&d, false);
    if (status == EX_OK)
        wait_for_stop(&d, &set);
    stop_parts(&d);
    log_settle(true);
    return status;
}

int daemon_check(struct settings *settings)
{
    struct daemon d = {.set = settings};
    int status = start_parts(&d, true);
    stop_parts(&d);
    return status;
}
