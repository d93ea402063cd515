/* SPDX-License-Identifier: ISC */
#include "rpc/serve.h"

#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/metric.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOPS_MAX 16
#define DRAIN_MS  5000

static struct grpc_server *server;

struct grpc_server *serve_server(void)
{
    return server;
}

void serve_answer(struct grpc_call *call, struct grpc_answer *answer, const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *packed = mem_alloc(len);
    protobuf_c_message_pack(m, packed);
    answer->message = (struct str){.p = (const char *)packed, .len = len};
    grpc_reply(call, answer);
    free(packed);
}

struct options {
    const char *address;
    size_t loops;
    struct grpc_limits limits;
    struct metrics *metrics;
};

static size_t number(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (*end != '\0') {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return (size_t)n;
}

static struct options parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"loops", required_argument, NULL, 'n'},
        {"message", required_argument, NULL, 'm'},
        {"metadata", required_argument, NULL, 'h'},
        {"streams", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'c'},
        {"stall", required_argument, NULL, 't'},
        {"count", no_argument, NULL, 'o'},
        {0},
    };
    struct options o = {.address = "127.0.0.1:0", .loops = 1, .limits = GRPC_LIMITS_DEFAULT};
    o.limits.message_bytes = SERVE_MESSAGE_LIMIT;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'l':
            o.address = optarg;
            break;
        case 'n':
            o.loops = number(optarg);
            break;
        case 'm':
            o.limits.message_bytes = number(optarg);
            break;
        case 'h':
            o.limits.metadata_bytes = number(optarg);
            break;
        case 's':
            o.limits.streams = (uint32_t)number(optarg);
            break;
        case 'c':
            o.limits.connections = (uint32_t)number(optarg);
            break;
        case 't':
            o.limits.stall_s = (uint32_t)number(optarg);
            break;
        case 'o':
            o.metrics = metrics_new();
            break;
        default:
            exit(2);
        }
    }
    return o;
}

static void die(const struct err_text *why)
{
    fprintf(stderr, "%s\n", why->text);
    exit(1);
}

/* Runs until SIGTERM; true when everything ended in time. */
static bool run(const struct options *o, const sigset_t *end, const struct grpc_method *methods,
                size_t n_methods)
{
    struct loop *loops[LOOPS_MAX];
    struct err_text why;
    for (size_t i = 0; i < o->loops; i++)
        if (loop_new(&loops[i], &why) != ERR_OK || loop_start(loops[i], &why) != ERR_OK)
            die(&why);
    server = grpc_server_new(&(struct grpc_server_options){.loops = loops,
                                                           .n_loops = o->loops,
                                                           .methods = methods,
                                                           .n_methods = n_methods,
                                                           .limits = o->limits,
                                                           .metrics = o->metrics,
                                                           .clock = clock_system()});
    char bound[GRPC_ADDRESS_MAX];
    if (grpc_server_listen(server, o->address, bound, &why) != ERR_OK)
        die(&why);
    fprintf(stderr, "{\"event\":\"listening\",\"address\":\"%s\"}\n", bound);
    int signal_number;
    sigwait(end, &signal_number);
    bool in_time = grpc_server_drain(server, DRAIN_MS) == ERR_OK;
    grpc_server_free(server);
    for (size_t i = 0; i < o->loops; i++) {
        loop_stop(loops[i]);
        loop_free(loops[i]);
    }
    return in_time;
}

int serve_main(int argc, char **argv, const struct grpc_method *methods, size_t n_methods)
{
    struct options o = parse(argc, argv);
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &end, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (!grpc_address_is_local(o.address) || o.loops < 1 || o.loops > LOOPS_MAX) {
        fprintf(stderr, "a local address and 1 to %d loops\n", LOOPS_MAX);
        return 2;
    }
    bool in_time = run(&o, &end, methods, n_methods);
    metrics_free(o.metrics);
    return in_time ? 0 : 1;
}
