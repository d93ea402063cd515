/* SPDX-License-Identifier: ISC */
#include "rpc/serve.h"

#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/metric.h"

#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOPS_MAX 16
#define DRAIN_MS  5000

static struct grpc_server *_Atomic server;

struct grpc_server *serve_server(void)
{
    return atomic_load(&server);
}

struct buf serve_pack(const ProtobufCMessage *m)
{
    struct buf out = BUF_INIT;
    size_t n = protobuf_c_message_get_packed_size(m);
    out.len = protobuf_c_message_pack(m, buf_reserve(&out, n));
    return out;
}

void serve_answer(struct grpc_call *call, struct grpc_answer *answer, const ProtobufCMessage *m)
{
    struct buf packed = serve_pack(m);
    answer->message = buf_str(&packed);
    grpc_reply(call, answer);
    buf_release(&packed);
}

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

static void say_listening(const char *address)
{
    fprintf(stderr, "{\"event\":\"listening\",\"address\":\"%s\"}\n", address);
}

static struct serve_options parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"loops", required_argument, NULL, 'n'},
        {"message", required_argument, NULL, 'm'},
        {"metadata", required_argument, NULL, 'h'},
        {"streams", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'c'},
        {"stall", required_argument, NULL, 't'},
        {"cert", required_argument, NULL, 'C'},
        {"key", required_argument, NULL, 'K'},
        {"client-ca", required_argument, NULL, 'A'},
        {"count", no_argument, NULL, 'o'},
        {"idle", required_argument, NULL, 'i'},
        {"age", required_argument, NULL, 'a'},
        {"ping", required_argument, NULL, 'p'},
        {"calls", required_argument, NULL, 'x'},
        {"peer", required_argument, NULL, 'P'},
        {0},
    };
    struct serve_options o = {.address = "127.0.0.1:0",
                              .loops = 1,
                              .limits = GRPC_LIMITS_DEFAULT,
                              .listening = say_listening};
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
        case 'i':
            o.limits.idle_s = (uint32_t)number(optarg);
            break;
        case 'a':
            o.limits.age_s = (uint32_t)number(optarg);
            break;
        case 'p':
            o.limits.ping_s = (uint32_t)number(optarg);
            break;
        case 'x':
            o.limits.calls = (uint32_t)number(optarg);
            break;
        case 'P':
            o.limits.peer_connections = (uint32_t)number(optarg);
            break;
        case 'C':
            o.tls.cert_file = optarg;
            break;
        case 'K':
            o.tls.key_file = optarg;
            break;
        case 'A':
            o.tls.client_ca_file = optarg;
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
static bool run(const struct serve_options *o, const sigset_t *end,
                const struct grpc_method *methods, size_t n_methods)
{
    struct loop *loops[LOOPS_MAX];
    struct err_text why;
    for (size_t i = 0; i < o->loops; i++)
        if (loop_new(&loops[i], &why) != ERR_OK || loop_start(loops[i], &why) != ERR_OK)
            die(&why);
    struct grpc_server *s = grpc_server_new(&(struct grpc_server_options){.loops = loops,
                                                                          .n_loops = o->loops,
                                                                          .methods = methods,
                                                                          .n_methods = n_methods,
                                                                          .limits = o->limits,
                                                                          .metrics = o->metrics,
                                                                          .clock = clock_system()});
    atomic_store(&server, s);
    struct grpc_tls *tls;
    if (o->tls.cert_file != NULL && grpc_tls_load(&tls, &o->tls, &why) != ERR_OK)
        die(&why);
    if (o->tls.cert_file != NULL)
        grpc_server_set_tls(s, tls);
    char bound[GRPC_ADDRESS_MAX];
    if (grpc_server_listen(s, o->address, bound, &why) != ERR_OK)
        die(&why);
    o->listening(bound);
    int signal_number;
    sigwait(end, &signal_number);
    bool in_time = grpc_server_drain(s, DRAIN_MS) == ERR_OK;
    /* What is on a loop now ends there before the server does; what comes later finds none. */
    atomic_store(&server, NULL);
    grpc_server_free(s);
    for (size_t i = 0; i < o->loops; i++) {
        loop_stop(loops[i]);
        loop_free(loops[i]);
    }
    return in_time;
}

int serve_run(const struct serve_options *o, const struct grpc_method *methods, size_t n_methods)
{
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &end, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (!grpc_address_is_local(o->address) || o->loops < 1 || o->loops > LOOPS_MAX) {
        fprintf(stderr, "a local address and 1 to %d loops\n", LOOPS_MAX);
        return 2;
    }
    bool in_time = run(o, &end, methods, n_methods);
    metrics_free(o->metrics);
    return in_time ? 0 : 1;
}

int serve_main(int argc, char **argv, const struct grpc_method *methods, size_t n_methods)
{
    struct serve_options o = parse(argc, argv);
    return serve_run(&o, methods, n_methods);
}
