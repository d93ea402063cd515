/* SPDX-License-Identifier: ISC */
#include "watch_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "daemon/settings.h"
#include "grpc/server.h"
#include "page_internal.h"
#include "process_internal.h"
#include "rpc/executor.h"
#include "rpc/rpc.h"

#include <stdatomic.h>
#include <stdlib.h>

struct watch {
    char *address;
    struct metrics *metrics;
    struct page *page;
    const struct rpc *rpc;
    struct executor *executor;
    _Atomic bool listening;
};

/* The page knows no callers and has no TLS, so more than this machine sees it only on a word. */
static enum err check(const struct settings *set, struct err_text *why)
{
    const char *wrong = NULL;
    if (!grpc_address_is_numeric(set->metrics_listen))
        wrong = "is none of IPv4:port and [IPv6]:port";
    else if (!grpc_address_is_local(set->metrics_listen) && !set->metrics_allow_remote)
        wrong = "is more than this machine, and that needs metrics_allow_remote";
    if (wrong == NULL)
        return ERR_OK;
    return err_set(why, ERR_DENIED, NULL, "metrics_listen: %.60s %s", set->metrics_listen, wrong);
}

enum err watch_new(struct watch **out, const struct settings *set, struct err_text *why)
{
    *out = NULL;
    if (set->metrics_listen[0] == '\0')
        return ERR_OK;
    TRY(check(set, why));
    struct watch *w = mem_zalloc(1, sizeof *w);
    w->address = mem_strdup(set->metrics_listen);
    w->metrics = metrics_new();
    process_count_into(w->metrics);
    *out = w;
    return ERR_OK;
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    metrics_free(w->metrics);
    free(w->address);
    free(w);
}

struct metrics *watch_metrics(struct watch *w)
{
    return w != NULL ? w->metrics : NULL;
}

static void render(void *ctx, struct buf *out)
{
    const struct watch *w = ctx;
    metrics_render(w->metrics, out);
}

static bool is_serving(void *ctx)
{
    const struct watch *w = ctx;
    return atomic_load(&w->listening) && rpc_is_serving(w->rpc);
}

static int64_t read_serving(void *ctx, size_t cell)
{
    (void)cell;
    return is_serving(ctx);
}

static int64_t read_store_works(void *ctx, size_t cell)
{
    const struct watch *w = ctx;
    (void)cell;
    return executor_store_works(w->executor);
}

static struct executor_counts counts_of(const struct watch *w)
{
    struct executor_counts counts;
    executor_counts(w->executor, &counts);
    return counts;
}

static int64_t read_failures(void *ctx, size_t cell)
{
    (void)cell;
    return (int64_t)counts_of(ctx).failures;
}

static int64_t read_breaks(void *ctx, size_t cell)
{
    (void)cell;
    return (int64_t)counts_of(ctx).breaks;
}

static int64_t read_refused(void *ctx, size_t cell)
{
    (void)cell;
    return (int64_t)counts_of(ctx).refused;
}

static void add_metrics(struct watch *w)
{
    const struct metric_options all[] = {
        {.name = "twostep_serving",
         .help = "Does it serve? As /healthz says.",
         .kind = METRIC_GAUGE,
         .read = read_serving},
        {.name = "twostep_store_works",
         .help = "0 while the store counts as failed.",
         .kind = METRIC_GAUGE,
         .read = read_store_works},
        {.name = "twostep_store_failures_total",
         .help = "Failures of the store, one by one.",
         .read = read_failures},
        {.name = "twostep_store_breaks_total",
         .help = "How often the store came to count as failed.",
         .read = read_breaks},
        {.name = "twostep_store_refused_total",
         .help = "Jobs refused without an attempt while the store counted as failed.",
         .read = read_refused},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct metric_options opt = all[i];
        opt.ctx = w;
        (void)metric_new(w->metrics, &opt);
    }
}

enum err watch_start(struct watch *w, const struct rpc *rpc, struct executor *executor,
                     struct err_text *why)
{
    if (w == NULL)
        return ERR_OK;
    w->rpc = rpc;
    w->executor = executor;
    add_metrics(w);
    struct page_options opt = {
        .address = w->address, .render = render, .is_serving = is_serving, .ctx = w};
    char bound[GRPC_ADDRESS_MAX];
    struct err_text cause = {0};
    enum err e = page_start(&w->page, &opt, bound, &cause);
    if (e != ERR_OK)
        return err_set(why, e, NULL, "metrics_listen: %s", cause.text);
    log_event(LOG_INFO, "metrics_listening", log_c("address", bound));
    return ERR_OK;
}

void watch_stop(struct watch *w)
{
    if (w == NULL)
        return;
    page_stop(w->page);
    w->page = NULL;
}

void watch_listening(struct watch *w)
{
    if (w != NULL)
        atomic_store(&w->listening, true);
}
