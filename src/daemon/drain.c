/* SPDX-License-Identifier: ISC */
#include "drain_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "grpc/server.h"
#include "rpc/executor.h"
#include "rpc/rpc.h"
#include "systemd_internal.h"

#include <time.h>

/* A second signal is seen within this. */
#define LOOK_MS 100

enum drained { DRAINED, DRAIN_LATE, DRAIN_HURRIED };

static const char *const results[] = {
    [DRAINED] = "complete",
    [DRAIN_LATE] = "cut off after drain_seconds",
    [DRAIN_HURRIED] = "cut off by a second signal",
};

sigset_t drain_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

static bool must_hurry(void)
{
    static const struct timespec now = {0};
    sigset_t set = drain_signals();
    for (int signal; (signal = sigtimedwait(&set, NULL, &now)) > 0;)
        if (signal != SIGHUP)
            return true;
    return false;
}

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static enum drained wait_for_end(struct grpc_server *server, int64_t until_ms)
{
    for (;;) {
        int64_t left = until_ms - now_ms();
        if (grpc_server_drain_wait(server, left < 0 ? 0 : left < LOOK_MS ? left : LOOK_MS))
            return DRAINED;
        if (must_hurry())
            return DRAIN_HURRIED;
        if (now_ms() >= until_ms)
            return DRAIN_LATE;
    }
}

void drain_run(struct rpc *rpc, struct grpc_server *server, struct executor *executor,
               int64_t seconds)
{
    systemd_notify("STOPPING=1");
    rpc_stop_serving(rpc);
    int64_t until_ms = now_ms() + seconds * 1000;
    grpc_server_drain_begin(server);
    enum drained end = wait_for_end(server, until_ms);
    /* What is still queued is of callers that are gone. */
    executor_abandon(executor);
    if (end != DRAINED)
        grpc_server_drain_cut(server);
    log_event(end == DRAINED ? LOG_INFO : LOG_WARN, "drained", log_c("result", results[end]));
}
