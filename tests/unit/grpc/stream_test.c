/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "grpc/call.h"
#include "grpc/edge_internal.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Turn by turn: the test is the client, and runs the server's loop itself. */

#define STREAM_LIMIT 64

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, END_HEADERS = 4 };

struct fixture {
    struct loop *loop;
    struct grpc_server *server;
    int peer;
    struct buf out; /* for the server */
    /* What the handlers were told. */
    unsigned messages, rooms, gone, half_closed;
    bool over; /* and nothing may be told any more */
    struct grpc_call_id last;
};

static struct fixture *f; /* of the test that runs */

/* ---- the service: each message is sent back once and tried again ---- */

static void on_message(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    assert_false(f->over);
    f->messages++;
    f->last = grpc_call_id(call);
    assert_true(grpc_send(call, grpc_call_message(call)));
    (void)grpc_send(call, grpc_call_message(call));
}

static void on_room(struct grpc_call *call, const struct grpc_method *method)
{
    (void)call;
    (void)method;
    assert_false(f->over);
    f->rooms++;
}

static void on_gone(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    assert_false(f->over);
    assert_null(grpc_call_find(f->server, grpc_call_id(call)));
    f->over = true;
    f->gone++;
}

static void on_half_closed(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    f->half_closed++;
    f->over = true;
    grpc_reply_status(call, GRPC_OK, "");
}

static void hold_at_once(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    f->last = grpc_call_id(call);
    grpc_hold(call);
}

static const struct grpc_method methods[] = {
    {.path = "/s",
     .streams = GRPC_BOTH_STREAM,
     .serve = on_message,
     .half_closed = on_half_closed,
     .room = on_room,
     .gone = on_gone},
    {.path = "/held",
     .streams = GRPC_BOTH_STREAM,
     .admit = hold_at_once,
     .serve = on_message,
     .half_closed = on_half_closed,
     .room = on_room,
     .gone = on_gone},
};

/* ---- the client ---- */

static void put_frame(uint8_t type, uint8_t flags, uint32_t stream, struct str payload)
{
    const uint8_t head[] = {(uint8_t)(payload.len >> 16),
                            (uint8_t)(payload.len >> 8),
                            (uint8_t)payload.len,
                            type,
                            flags,
                            0,
                            0,
                            0,
                            (uint8_t)stream};
    buf_append(&f->out, head, sizeof head);
    buf_append_str(&f->out, payload);
}

/* A literal header field, neither indexed nor compressed. */
static void put_field(struct buf *block, const char *name, const char *value)
{
    buf_append_byte(block, 0);
    buf_append_byte(block, (uint8_t)strlen(name));
    buf_append_str(block, str_from(name));
    buf_append_byte(block, (uint8_t)strlen(value));
    buf_append_str(block, str_from(value));
}

static void put_headers(const char *path)
{
    struct buf block = BUF_INIT;
    put_field(&block, ":method", "POST");
    put_field(&block, ":scheme", "http");
    put_field(&block, ":path", path);
    put_field(&block, ":authority", "test");
    put_field(&block, "content-type", "application/grpc");
    put_frame(HEADERS, END_HEADERS, 1, buf_str(&block));
    buf_release(&block);
}

/* A message of n bytes. */
static void put_message(uint8_t flag, uint8_t n)
{
    uint8_t message[5 + UINT8_MAX] = {flag, 0, 0, 0, n};
    put_frame(DATA, 0, 1, (struct str){.p = (const char *)message, .len = 5u + n});
}

static void put_window(uint8_t n)
{
    const char payload[] = {0, 0, 0, (char)n};
    put_frame(WINDOW_UPDATE, 0, 1, (struct str){.p = payload, .len = sizeof payload});
}

/* What was put goes to the server, which has one turn. */
static void turn(void)
{
    static uint8_t sink[65536];
    if (f->out.len > 0)
        assert_int_equal(write(f->peer, f->out.data, f->out.len), f->out.len);
    buf_clear(&f->out);
    event_base_loop(loop_base(f->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
    while (read(f->peer, sink, sizeof sink) > 0)
        ;
}

static int setup(void **state)
{
    static const char no_window[] = "\0\4\0\0\0\0";
    f = *state = mem_zalloc(1, sizeof *f);
    signal(SIGPIPE, SIG_IGN);
    struct err_text why;
    assert_int_equal(loop_new(&f->loop, &why), ERR_OK);
    struct grpc_server_options o = {.loops = &f->loop,
                                    .n_loops = 1,
                                    .methods = methods,
                                    .n_methods = sizeof methods / sizeof methods[0],
                                    .limits = GRPC_LIMITS_DEFAULT,
                                    .clock = clock_system()};
    o.limits.stream_bytes = STREAM_LIMIT;
    f->server = grpc_server_new(&o);
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    f->peer = ends[1];
    conn_open(f->server->edges[0], ends[0], "test", (struct peer_key){0});
    buf_append_str(&f->out, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    put_frame(SETTINGS, 0, 0, (struct str){.p = no_window, .len = 6});
    turn();
    return 0;
}

static int teardown(void **state)
{
    f = *state;
    close(f->peer);
    grpc_server_free(f->server);
    loop_free(f->loop);
    buf_release(&f->out);
    free(f);
    return 0;
}

/* A stream whose second answer was refused: it waits for a window, and is owed room. */
static void begin_and_fill(const char *path)
{
    put_headers(path);
    put_message(0, STREAM_LIMIT);
    turn();
    assert_int_equal(f->messages, 1);
}

static void room_comes_in_the_turn_after(void **state)
{
    (void)state;
    begin_and_fill("/s");
    put_window(STREAM_LIMIT);
    turn();
    assert_int_equal(f->rooms, 0); /* never inside nghttp2 */
    turn();
    turn();
    assert_int_equal(f->rooms, 1);
    assert_int_equal(f->gone, 0);
}

static void nobody_is_told_of_room_after_the_end(void **state)
{
    (void)state;
    begin_and_fill("/s");
    put_window(STREAM_LIMIT);
    turn();
    put_message(2, 0); /* a flag that there is not; read before the word of room is given */
    turn();
    turn();
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->rooms, 0);
}

static void a_reset_takes_the_stream_off_the_next_turn(void **state)
{
    (void)state;
    begin_and_fill("/s");
    put_window(STREAM_LIMIT);
    turn();
    put_frame(RST_STREAM, 0, 1, (struct str){.p = "\0\0\0\10", .len = 4});
    turn();
    turn();
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->rooms, 0);
}

static void a_dying_connection_takes_it_off_too(void **state)
{
    (void)state;
    begin_and_fill("/s");
    put_window(STREAM_LIMIT);
    turn();
    shutdown(f->peer, SHUT_RDWR);
    turn();
    turn();
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->rooms, 0);
    assert_int_equal(grpc_server_connections(f->server), 0);
}

static void what_waits_is_handed_over_when_there_is_room(void **state)
{
    (void)state;
    begin_and_fill("/s");
    put_message(0, 1);
    put_message(0, 1);
    put_frame(DATA, END_STREAM, 1, STR(""));
    turn();
    turn();
    assert_int_equal(f->messages, 1);
    put_window(UINT8_MAX);
    for (int i = 0; i < 5; i++)
        turn();
    assert_int_equal(f->messages, 3);
    assert_int_equal(f->half_closed, 1);
    assert_int_equal(f->gone, 0);
}

static void hold_may_come_before_the_first_message(void **state)
{
    (void)state;
    put_headers("/held");
    put_message(0, 1);
    put_frame(DATA, END_STREAM, 1, STR(""));
    turn();
    turn();
    assert_int_equal(f->messages + f->half_closed, 0);
    struct grpc_call *call = grpc_call_find(f->server, f->last);
    assert_non_null(call);
    grpc_resume(call);
    grpc_resume(call);
    assert_int_equal(f->messages, 0); /* not inside the service's own call */
    turn();
    turn();
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->half_closed, 1);
}

static void a_held_end_is_given_up_with_the_stream(void **state)
{
    (void)state;
    put_headers("/held");
    put_message(0, 1);
    turn();
    grpc_resume(grpc_call_find(f->server, f->last));
    grpc_reply_status(grpc_call_find(f->server, f->last), GRPC_ABORTED, "enough");
    f->over = true;
    turn();
    turn();
    assert_int_equal(f->messages + f->half_closed + f->gone, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(room_comes_in_the_turn_after, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_told_of_room_after_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_takes_the_stream_off_the_next_turn, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_dying_connection_takes_it_off_too, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_is_handed_over_when_there_is_room, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(hold_may_come_before_the_first_message, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_end_is_given_up_with_the_stream, setup, teardown),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
