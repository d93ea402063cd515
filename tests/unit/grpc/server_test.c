/* SPDX-License-Identifier: ISC */
/* A server's life and its calls' names; what is on the wire is tested in tests/rpc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/metric.h"
#include "grpc/call.h"
#include "grpc/client.h"
#include "grpc/server.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 20000 /* never reached unless something is broken */

#define LOOPS 2

struct fixture {
    struct loop *loops[LOOPS];
    struct grpc_server *server;
    struct metrics *metrics;
    char address[GRPC_ADDRESS_MAX];
    struct grpc_call_id last; /* the call that was served last, on its loop */
    bool found_while_served;
    bool found_after_reply;
};

static struct fixture *fixture_of(const struct grpc_method *method)
{
    return *(struct fixture *const *)method->ctx;
}

static void serve(struct grpc_call *call, const struct grpc_method *method)
{
    struct fixture *f = fixture_of(method);
    f->last = grpc_call_id(call);
    f->found_while_served = grpc_call_find(f->server, f->last) == call;
    struct grpc_call_id other = f->last;
    other.serial++;
    f->found_while_served &= grpc_call_find(f->server, other) == NULL;
    other = f->last;
    other.slot = UINT32_MAX;
    f->found_while_served &= grpc_call_find(f->server, other) == NULL;
    other = f->last;
    other.loop = LOOPS;
    f->found_while_served &= grpc_call_find(f->server, other) == NULL;
    grpc_reply(call, &(struct grpc_answer){.message = grpc_call_message(call)});
    f->found_after_reply = grpc_call_find(f->server, f->last) != NULL;
}

static struct fixture *current;
static const struct grpc_method methods[] = {
    {.path = "/t.T/Echo", .serve = serve, .ctx = &current}};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(1, sizeof *f);
    *state = current = f;
    f->metrics = metrics_new();
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(loop_new(&f->loops[i], NULL), ERR_OK);
    f->server = grpc_server_new(&(struct grpc_server_options){.loops = f->loops,
                                                              .n_loops = LOOPS,
                                                              .methods = methods,
                                                              .n_methods = 1,
                                                              .limits = GRPC_LIMITS_DEFAULT,
                                                              .clock = clock_system(),
                                                              .metrics = f->metrics});
    assert_int_equal(grpc_server_listen(f->server, "127.0.0.1:0", f->address, NULL), ERR_OK);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    grpc_server_free(f->server);
    for (int i = 0; i < LOOPS; i++) {
        loop_stop(f->loops[i]);
        loop_free(f->loops[i]);
    }
    metrics_free(f->metrics);
    free(f);
    return 0;
}

static void run(struct fixture *f)
{
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(loop_start(f->loops[i], NULL), ERR_OK);
}

static struct grpc_client *open_client(const struct fixture *f)
{
    struct grpc_client *c = NULL;
    assert_int_equal(grpc_client_open(&c, f->address, PATIENCE_MS, NULL), ERR_OK);
    return c;
}

static void call_once(struct grpc_client *c)
{
    struct grpc_client_reply reply = {0};
    struct grpc_client_call call = {
        .path = "/t.T/Echo", .message = STR("hello"), .timeout_ms = PATIENCE_MS};
    assert_int_equal(grpc_client_call(c, &call, &reply, NULL), ERR_OK);
    assert_int_equal(reply.status, GRPC_OK);
    assert_true(str_equal(buf_str(&reply.message), STR("hello")));
    grpc_client_reply_release(&reply);
}

static void never_run(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(grpc_server_connections(f->server), 0);
    assert_int_equal(grpc_server_drain(f->server, 0), ERR_OK);
}

static void listening_before_and_after_the_start(void **state)
{
    struct fixture *f = *state;
    run(f);
    struct grpc_client *first = open_client(f);
    call_once(first);
    char second_address[GRPC_ADDRESS_MAX];
    assert_int_equal(grpc_server_listen(f->server, "127.0.0.1:0", second_address, NULL), ERR_OK);
    assert_string_not_equal(second_address, f->address);
    memcpy(f->address, second_address, sizeof f->address);
    struct grpc_client *second = open_client(f);
    call_once(second);
    assert_int_equal(grpc_server_connections(f->server), 2);
    grpc_client_close(first);
    grpc_client_close(second);
    assert_int_equal(grpc_server_drain(f->server, PATIENCE_MS), ERR_OK);
    assert_int_equal(grpc_server_connections(f->server), 0);
}

static void freed_with_connections_open(void **state)
{
    struct fixture *f = *state;
    run(f);
    struct grpc_client *c = open_client(f);
    call_once(c);
    grpc_server_free(f->server);
    f->server = NULL;
    grpc_client_close(c);
}

static void freed_after_the_loops_have_stopped(void **state)
{
    struct fixture *f = *state;
    run(f);
    struct grpc_client *c = open_client(f);
    call_once(c);
    for (int i = 0; i < LOOPS; i++)
        loop_stop(f->loops[i]);
    grpc_server_free(f->server);
    f->server = NULL;
    grpc_client_close(c);
}

static void a_call_is_found_until_it_is_answered(void **state)
{
    struct fixture *f = *state;
    run(f);
    struct grpc_client *c = open_client(f);
    call_once(c);
    assert_true(f->found_while_served);
    assert_false(f->found_after_reply);
    struct grpc_call_id before = f->last;
    call_once(c);
    assert_true(f->found_while_served);
    assert_int_equal(f->last.slot, before.slot); /* recycled under another name */
    assert_int_not_equal(f->last.serial, before.serial);
    grpc_client_close(c);
}

/* Fails unless the line is on the page. */
static void assert_counted(const struct fixture *f, const char *line)
{
    struct buf page = BUF_INIT;
    metrics_render(f->metrics, &page);
    buf_append_byte(&page, '\0');
    if (strstr((char *)page.data, line) == NULL)
        fail_msg("no %s in %s", line, (char *)page.data);
    buf_release(&page);
}

static enum grpc_status status_of_call(struct grpc_client *c)
{
    struct grpc_client_reply reply = {0};
    struct grpc_client_call call = {
        .path = "/t.T/Echo", .message = STR("hello"), .timeout_ms = PATIENCE_MS};
    assert_int_equal(grpc_client_call(c, &call, &reply, NULL), ERR_OK);
    enum grpc_status status = reply.status;
    grpc_client_reply_release(&reply);
    return status;
}

/* For the next call of an open connection, and for the next connection. */
static void limits_change_while_it_runs(void **state)
{
    struct fixture *f = *state;
    run(f);
    struct grpc_client *c = open_client(f);
    call_once(c);
    struct grpc_limits limits = GRPC_LIMITS_DEFAULT;
    limits.message_bytes = 4;
    limits.peer_connections = 1;
    grpc_server_set_limits(f->server, &limits);
    assert_int_equal(status_of_call(c), GRPC_RESOURCE_EXHAUSTED);
    struct grpc_client *other = NULL;
    assert_int_equal(grpc_client_open(&other, f->address, PATIENCE_MS, NULL), ERR_UNAVAILABLE);
    assert_counted(f, "grpc_server_connections_refused_total{limit=\"peer_connections\"} 1\n");
    grpc_server_set_limits(f->server, &GRPC_LIMITS_DEFAULT);
    call_once(c);
    other = open_client(f);
    call_once(other);
    grpc_client_close(c);
    grpc_client_close(other);
}

static void calls_and_connections_are_counted(void **state)
{
    struct fixture *f = *state;
    run(f);
    struct grpc_client *c = open_client(f);
    call_once(c);
    call_once(c);
    struct grpc_client_reply reply = {0};
    struct grpc_client_call call = {.path = "/t.T/Nothing", .timeout_ms = PATIENCE_MS};
    assert_int_equal(grpc_client_call(c, &call, &reply, NULL), ERR_OK);
    grpc_client_reply_release(&reply);
    assert_counted(f, "\ngrpc_server_connections_open 1\n");
    grpc_client_close(c);
    assert_int_equal(grpc_server_drain(f->server, PATIENCE_MS), ERR_OK);

#define ECHO    "{grpc_type=\"unary\",grpc_service=\"t.T\",grpc_method=\"Echo\""
#define UNKNOWN "{grpc_type=\"unary\",grpc_service=\"unknown\",grpc_method=\"unknown\""
    assert_counted(f, "\ngrpc_server_started_total" ECHO "} 2\n");
    assert_counted(f, "\ngrpc_server_handled_total" ECHO ",grpc_code=\"OK\"} 2\n");
    assert_counted(f, "\ngrpc_server_msg_received_total" ECHO "} 2\n");
    assert_counted(f, "\ngrpc_server_msg_sent_total" ECHO "} 2\n");
    assert_counted(f, "\ngrpc_server_handling_seconds_count" ECHO "} 2\n");
    assert_counted(f, "\ngrpc_server_started_total" UNKNOWN "} 1\n");
    assert_counted(f, "\ngrpc_server_handled_total" UNKNOWN ",grpc_code=\"Unimplemented\"} 1\n");
    assert_counted(f, "\ngrpc_server_msg_received_total" UNKNOWN "} 0\n");
    assert_counted(f, "\ngrpc_server_streams_open 0\n");
    assert_counted(f, "\ngrpc_server_connections_open 0\n");
    assert_counted(f, "\ngrpc_server_connections_accepted_total 1\n");
}

static void local_addresses(void **state)
{
    (void)state;
    static const char *const local[] = {"127.0.0.1:1", "127.1.2.3:65535", "localhost:80",
                                        "[::1]:80",    "unix:/run/x",     "[::ffff:127.0.0.1]:80"};
    static const char *const others[] = {"0.0.0.0:80",     "10.0.0.1:80",
                                         "[::]:80",        "[::ffff:10.0.0.1]:80",
                                         "example:80",     "128.0.0.1:80",
                                         "localhost.x:80", "127.0.0.1",
                                         "unix:",          "",
                                         "127.0.0.1.x:80", "::1:80",
                                         "[127.0.0.1]:80"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        assert_true(grpc_address_is_local(local[i]));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(grpc_address_is_local(others[i]));
}

static void names_of_statuses(void **state)
{
    (void)state;
    assert_string_equal(grpc_status_name(GRPC_OK), "OK");
    assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(grpc_status_name(-1), "UNKNOWN");
    assert_string_equal(grpc_status_name(17), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(never_run, setup, teardown),
        cmocka_unit_test_setup_teardown(listening_before_and_after_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_with_connections_open, setup, teardown),
        cmocka_unit_test_setup_teardown(freed_after_the_loops_have_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_is_found_until_it_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_and_connections_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_change_while_it_runs, setup, teardown),
        cmocka_unit_test(local_addresses),
        cmocka_unit_test(names_of_statuses),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
