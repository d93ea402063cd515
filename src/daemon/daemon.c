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
#include "domain/lockout.h"
#include "grpc/server.h"
#include "grpc/tls.h"
#include "listeners_internal.h"
#include "mailroom_internal.h"
#include "rpc/callers.h"
#include "rpc/executor.h"
#include "rpc/rpc.h"
#include "store/store.h"
#include "store/store_sqlite.h"
#include "systemd_internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
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
/* The limits of resets are per hour. */
#define RESET_LIMIT_WINDOW_MS (60 * 60 * 1000)

struct daemon {
    const struct settings *set;
    struct clock *clock;
    struct listeners *listeners;
    struct grpc_tls *tls; /* until the server has it */
    struct keyring *keyring;
    struct callers *callers;
    struct store *store;
    struct domain *domain;
    struct loop **loops;
    size_t n_loops;
    struct queue *queue;
    struct executor *executor;
    struct rpc *rpc;
    struct grpc_server *server;
    struct worker *worker;
    struct mailroom *mailroom; /* NULL: no mail is sent */
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

static int start_tls(struct daemon *d, struct err_text *why)
{
    return listeners_load_tls(&d->tls, d->set, why) == ERR_OK ? EX_OK : EX_CONFIG;
}

static void stop_tls(struct daemon *d)
{
    grpc_tls_free(d->tls);
}

/* All or nothing: on failure what serves goes on serving. */
static enum err reload_tls(struct daemon *d, struct err_text *why)
{
    struct grpc_tls *fresh;
    TRY(listeners_load_tls(&fresh, d->set, why));
    if (fresh != NULL)
        grpc_server_set_tls(d->server, fresh);
    return ERR_OK;
}

static int start_keyring(struct daemon *d, struct err_text *why)
{
    enum err e = keyring_load(&d->keyring, d->set->keyring_file, why);
    if (e == ERR_NOT_FOUND && access(settings_sqlite_path(d->set), F_OK) == 0)
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
    if (d->set->callers_file[0] == '\0')
        d->callers = callers_local();
    else if (callers_load(&d->callers, d->set->callers_file, why) != ERR_OK)
        return EX_CONFIG;
    return EX_OK;
}

static void stop_callers(struct daemon *d)
{
    callers_free(d->callers);
}

static int start_mailroom(struct daemon *d, struct err_text *why)
{
    if (d->set->smtp_url[0] == '\0')
        return EX_OK;
    return mailroom_new(&d->mailroom, d->set, why) == ERR_OK ? EX_OK : EX_CONFIG;
}

static void stop_mailroom(struct daemon *d)
{
    mailroom_free(d->mailroom);
}

static int start_store(struct daemon *d, struct err_text *why)
{
    if (mkdir(d->set->state_dir, S_IRWXU) != 0 && errno != EEXIST) {
        err_set(why, ERR_DENIED, NULL, "state_dir: %.100s: %s", d->set->state_dir, strerror(errno));
        return EX_CONFIG;
    }
    enum err e = store_sqlite_open(&d->store, settings_sqlite_path(d->set), why);
    if (e == ERR_OK)
        return EX_OK;
    return e == ERR_DENIED || e == ERR_CONFLICT ? EX_CONFIG : EX_UNAVAILABLE;
}

static void stop_store(struct daemon *d)
{
    if (d->store != NULL)
        d->store->ops->close(d->store);
}

static int start_domain(struct daemon *d, struct err_text *why)
{
    struct lockout_settings lockout = {
        .free_tries = (uint32_t)d->set->lockout_free_tries,
        .first_wait_s = (uint32_t)d->set->lockout_first_wait,
        .longest_wait_s = (uint32_t)d->set->lockout_longest_wait,
        .limit = (uint32_t)d->set->lockout_limit,
    };
    struct domain_options opt = {
        .store = d->store,
        .keyring = d->keyring,
        .clock = d->clock,
        .lockout = lockout_rule(&lockout),
        .mail_is_configured = d->mailroom != NULL,
        .reset_limits = {.window_ms = RESET_LIMIT_WINDOW_MS,
                         .per_user = (uint32_t)d->set->reset_limit_user,
                         .per_address = (uint32_t)d->set->reset_limit_address,
                         .per_tenant = (uint32_t)d->set->reset_limit_tenant}};
    enum err e = domain_new(&d->domain, &opt, why);
    if (e == ERR_OK)
        return EX_OK;
    return e == ERR_DENIED ? EX_CONFIG : EX_UNAVAILABLE;
}

static void stop_domain(struct daemon *d)
{
    domain_free(d->domain);
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

static void on_refused(void *ctx, const char *peer, const char *why)
{
    (void)ctx;
    log_event(LOG_INFO, "connection_refused", log_c("peer", peer), log_c("reason", why));
}

static int start_rpc(struct daemon *d, struct err_text *why)
{
    (void)why;
    d->queue = queue_new((size_t)d->set->queue_length);
    struct executor_options executor = {
        .domain = d->domain, .queue = d->queue, .loops = d->loops, .n_loops = d->n_loops};
    d->executor = executor_new(&executor);
    struct rpc_options opt = {.executor = d->executor,
                              .callers = d->callers,
                              .clock = d->clock,
                              .loops = d->loops,
                              .n_loops = d->n_loops,
                              .mail_queued = mailroom_wake,
                              .mail_ctx = d->mailroom};
    d->rpc = rpc_new(&opt);
    struct grpc_server_options server = {.loops = d->loops,
                                         .n_loops = d->n_loops,
                                         .clock = d->clock,
                                         .limits = GRPC_LIMITS_DEFAULT,
                                         .refused = on_refused};
    server.limits.message_bytes = (size_t)d->set->message_bytes;
    server.limits.metadata_bytes = (size_t)d->set->metadata_bytes;
    server.limits.streams = (uint32_t)d->set->streams;
    server.limits.connections = (uint32_t)d->set->connections;
    server.limits.stall_s = (uint32_t)d->set->stall_seconds;
    server.methods = rpc_methods(d->rpc, &server.n_methods);
    d->server = grpc_server_new(&server);
    if (d->tls != NULL)
        grpc_server_set_tls(d->server, d->tls);
    d->tls = NULL;
    rpc_attach(d->rpc, d->server);
    return EX_OK;
}

/* The worker has ended, and what it gave back to the loops is done before the server's own
 * last task there. */
static void stop_rpc(struct daemon *d)
{
    grpc_server_free(d->server);
    rpc_free(d->rpc);
    executor_free(d->executor);
    queue_free(d->queue);
}

static int start_worker(struct daemon *d, struct err_text *why)
{
    struct worker_options opt = {.name = "store",
                                 .queue = d->queue,
                                 .batch_max = BATCH_MAX,
                                 .run = executor_run_batch,
                                 .ctx = d->executor};
    return worker_start(&d->worker, &opt, why) == ERR_OK ? EX_OK : EX_SOFTWARE;
}

static void stop_worker(struct daemon *d)
{
    if (d->queue != NULL)
        queue_close(d->queue);
    worker_stop(d->worker);
}

static int start_mail_thread(struct daemon *d, struct err_text *why)
{
    if (d->mailroom == NULL)
        return EX_OK;
    enum err e = mailroom_start(d->mailroom, d->executor, d->loops[0], why);
    return e == ERR_OK ? EX_OK : EX_CONFIG;
}

/* What it says last is still decided: the worker stops after it. */
static void stop_mail_thread(struct daemon *d)
{
    mailroom_stop(d->mailroom);
}

static int start_listening(struct daemon *d, struct err_text *why)
{
    if (listeners_open(d->listeners, d->server, d->set, why) != ERR_OK)
        return EX_CONFIG;
    d->listening = true;
    if (d->set->callers_file[0] == '\0')
        log_event(LOG_WARN, "no_callers_file",
                  log_c("detail", "every local program may call every method"));
    log_event(LOG_INFO, "serving", log_c("version", TWOSTEP_VERSION),
              log_i("loops", (int64_t)d->n_loops), log_c("store", d->store->ops->name));
    systemd_notify("READY=1");
    return EX_OK;
}

/* Accepted calls are answered, new ones go elsewhere. */
static void stop_listening(struct daemon *d)
{
    if (!d->listening)
        return;
    systemd_notify("STOPPING=1");
    rpc_stop_serving(d->rpc);
    enum err e = grpc_server_drain(d->server, d->set->drain_seconds * 1000);
    log_event(e == ERR_OK ? LOG_INFO : LOG_WARN, "drained",
              log_c("result", e == ERR_OK ? "complete" : "cut off after drain_seconds"));
}

static const struct part {
    const char *name;
    int (*start)(struct daemon *d, struct err_text *why); /* an exit status; 0: started */
    void (*stop)(struct daemon *d);                       /* fine for what was never started */
    bool check; /* --check-config starts it: it reads files and touches nothing */
} parts[] = {
    {"process", start_process, NULL, true},
    {"listen", check_listen, stop_listen, true},
    {"tls", start_tls, stop_tls, true},
    {"keyring", start_keyring, stop_keyring, true},
    {"callers", start_callers, stop_callers, true},
    {"mail", start_mailroom, stop_mailroom, true},
    {"store", start_store, stop_store, false},
    {"domain", start_domain, stop_domain, false},
    {"loops", start_loops, stop_loops, false},
    {"rpc", start_rpc, stop_rpc, false},
    {"worker", start_worker, stop_worker, false},
    {"mail thread", start_mail_thread, stop_mail_thread, false},
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

static sigset_t watched_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

static void reload(struct daemon *d)
{
    struct err_text why = {0};
    systemd_notify_reloading();
    if (reload_tls(d, &why) != ERR_OK)
        log_event(LOG_ERROR, "reload_failed", log_c("detail", why.text));
    else if (d->set->tls_cert_file[0] != '\0')
        log_event(LOG_INFO, "certificates_reloaded", log_c("file", d->set->tls_cert_file));
    log_event(LOG_WARN, "not_reloaded",
              log_c("detail", "this version reads settings and callers at start only"));
    systemd_notify("READY=1");
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
    }
}

int daemon_run(const struct settings *settings, struct clock *clock)
{
    struct daemon d = {.set = settings, .clock = clock};
    /* Before the first thread, so that every thread has them blocked. */
    sigset_t set = watched_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int status = start_parts(&d, false);
    if (status == EX_OK)
        wait_for_stop(&d, &set);
    stop_parts(&d);
    return status;
}

int daemon_check(const struct settings *settings)
{
    struct daemon d = {.set = settings};
    int status = start_parts(&d, true);
    stop_parts(&d);
    return status;
}
