# SPDX-License-Identifier: ISC
"""Goal: streams on the wire. Messages are handed over as they come and answers leave as there is
room, bounded on both ways; however a stream ends, its handler is told exactly once."""
import gzip
import struct
import time

import grpc
import pytest

import rawh2
from rawh2 import message
from servers import BUILD, SANITIZED

LIMIT = 65536  # of a message, and of what waits to be sent on a stream
SERVER = ["tests/rpc/stream_server", "--message", LIMIT]
STREAM = "/rpctest.v1.Stream/"
ECHO, POUR, COUNT, SLOW, NEVER = (STREAM + m for m in ("Echo", "Pour", "Count", "Slow", "Never"))

OK, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = \
    0, 4, 8, 10, 12, 13, 14


@pytest.fixture
def conn(module_server):
    with rawh2.Connection(module_server.port) as connection:
        told(connection)
        yield connection


def told(conn):
    """What the handlers of streams have been told since the last time, without zeros."""
    pairs = conn.call(STREAM + "Told").message.decode().split()
    return {k: int(v) for k, v in (p.split("=") for p in pairs) if v != "0"}


def told_in_time(conn, **expected):
    """What a dying connection causes comes a moment later."""
    total = {}
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for k, v in told(conn).items():
            total[k] = total.get(k, 0) + v
        if total == expected:
            return
    assert total == expected


def messages(data):
    """The messages in the DATA of a stream, which holds whole ones only."""
    found = []
    while data:
        flag, length = struct.unpack(">BI", data[:5])
        assert flag in (0, 1) and len(data) >= 5 + length
        found.append(gzip.decompress(data[5:5 + length]) if flag else data[5:5 + length])
        data = data[5 + length:]
    return found


def wait_for(conn, stream, n):
    """Reads until n bytes of DATA have come on the stream."""
    while len(conn.answers[stream].data) < n:
        conn.read_frame()


# ---- the ways of messages ----

def test_messages_are_answered_as_they_come(conn):
    stream = conn.open(ECHO)
    for n, word in enumerate([b"a", b"", b"c" * 1000], 1):
        conn.data(stream, message(word), end=False)
        while len(messages(conn.answers[stream].data)) < n:
            conn.read_frame()
        assert messages(conn.answers[stream].data)[-1] == word
    assert not conn.answers[stream].ended
    conn.data(stream)
    answer = conn.wait(stream)
    assert (answer.http, answer.grpc, answer.get("content-type")) == (200, OK, "application/grpc")
    assert answer.reset is None
    assert told(conn) == {"messages": 3, "half_closed": 1}


@pytest.mark.parametrize("piece", [1, 2, 5, 7, 4096])
def test_the_borders_of_frames_mean_nothing(conn, piece):
    words = [b"", b"x", b"y" * 300, b"", b"z" * 7]
    wire = b"".join(message(w) for w in words)
    stream = conn.open(ECHO)
    for at in range(0, len(wire), piece):
        conn.data(stream, wire[at:at + piece], end=at + piece >= len(wire))
    answer = conn.wait(stream)
    assert answer.grpc == OK and messages(answer.data) == words


def test_a_stream_without_messages(conn):
    for path in (ECHO, COUNT):
        answer = conn.wait(conn.open(path, end=True))
        assert answer.grpc == OK
    assert messages(answer.data) == [b"0 0"]
    assert told(conn) == {"half_closed": 2}


def test_the_client_streams(conn):
    stream = conn.open(COUNT)
    for n in range(100):
        conn.data(stream, message(bytes(n)), end=n == 99)
    assert messages(conn.wait(stream).data) == [b"100 4950"]


@pytest.mark.parametrize("count, size", [(0, 0), (1, 0), (3, 10), (50, 10000), (5, 300000)])
def test_the_server_streams(conn, count, size):
    answer = conn.call(POUR, b"%d %d" % (count, size))
    assert (answer.grpc, answer.get("grpc-message")) == (OK, "poured")
    assert messages(answer.data) == [bytes(size)] * count
    assert "gone" not in told(conn)


@pytest.mark.parametrize("n", [0, 2])
def test_who_asks_for_a_stream_sends_one_message(conn, n):
    stream = conn.open(POUR)
    conn.data(stream, message(b"1 1") * n)
    assert conn.wait(stream).grpc == UNIMPLEMENTED
    assert told(conn) == {"gone": 1}


def test_compressed_messages_on_both_ways(conn):
    stream = conn.open(ECHO, grpc_encoding="gzip", grpc_accept_encoding="gzip")
    word = b"w" * 20000
    conn.big_data(stream, message(gzip.compress(word), flag=1) + message(word) + message(b"short"))
    answer = conn.wait(stream)
    assert answer.get("grpc-encoding") == "gzip"
    assert messages(answer.data) == [word, word, b"short"] and len(answer.data) < 1000


# ---- ends ----

def test_the_server_ends_in_the_middle(conn):
    stream = conn.open(ECHO)
    conn.data(stream, message(b"a") + message(b"fail") + message(b"b"), end=False)
    answer = conn.wait(stream)
    assert (answer.grpc, answer.get("grpc-message")) == (ABORTED, "as you like")
    assert messages(answer.data) == [b"a"]
    assert conn.wait_reset(stream) == rawh2.NO_ERROR
    assert told(conn) == {"messages": 2}


@pytest.mark.parametrize("path", [ECHO, COUNT])
@pytest.mark.parametrize("wire, status", [
    (message(b"good") + message(b"bad", flag=2), INTERNAL),
    (message(b"good") + message(b"bad", flag=1), INTERNAL),
    (message(b"good") + message(b"", length=LIMIT + 1), RESOURCE_EXHAUSTED),
    (message(b"good") + message(b"cut", length=4), INTERNAL),
    (message(b"good") + b"\0\0", INTERNAL),
])
def test_what_is_wrong_ends_the_stream(conn, path, wire, status):
    stream = conn.open(path)
    conn.data(stream, wire)
    assert conn.wait(stream).grpc == status
    assert told(conn) == {"messages": 1, "gone": 1}


def test_a_message_at_the_limit(conn):
    stream = conn.open(ECHO)
    for n in range(1, 4):
        conn.big_data(stream, message(bytes(LIMIT)), end=False)
        wait_for(conn, stream, n * len(message(bytes(LIMIT))))
    conn.data(stream)
    assert messages(conn.wait(stream).data) == [bytes(LIMIT)] * 3


@pytest.mark.parametrize("path", [ECHO, POUR, COUNT, NEVER])
def test_the_client_cancels(conn, path):
    stream = conn.open(path)
    conn.data(stream, message(b"-1 10000"), end=path == POUR)
    conn.sync()
    conn.reset(stream)
    conn.sync()
    counts = told(conn)
    assert (counts["messages"], counts["gone"]) == (1, 1)
    assert told(conn) == {}


def test_the_client_cancels_before_a_message(conn):
    stream = conn.open(ECHO)
    conn.reset(stream)
    conn.sync()
    assert told(conn) == {"gone": 1}


def test_the_connection_dies(conn, module_server):
    with rawh2.Connection(module_server.port) as other:
        for path in (ECHO, COUNT, NEVER):
            stream = other.open(path)
            other.data(stream, message(b"a") * 3, end=False)
        other.sync()
    told_in_time(conn, messages=7, gone=3)


@pytest.mark.parametrize("path", [ECHO, POUR, COUNT, NEVER])
def test_the_deadline_passes(module_server, conn, path):
    with rawh2.Connection(module_server.port, settings=[(rawh2.INITIAL_WINDOW_SIZE, 0)]) as c:
        stream = c.open(path, grpc_timeout="50m")
        c.data(stream, message(b"-1 10000"), end=path == POUR)
        if path in (ECHO, POUR):  # what has been sent has to leave before
            told_in_time_without_room(conn)
            c.window_update(stream, 2**20)
        assert c.wait(stream).grpc == DEADLINE_EXCEEDED
    if path not in (ECHO, POUR):
        told_in_time(conn, messages=1, gone=1)


def told_in_time_without_room(conn):
    total = {}
    end = time.monotonic() + 10
    while total.get("gone") != 1 and time.monotonic() < end:
        for k, v in told(conn).items():
            total[k] = total.get(k, 0) + v
    assert (total["messages"], total["gone"]) == (1, 1)


# ---- bounds ----

def test_a_slow_reader_bounds_the_server(module_server, conn):
    """Without a window nothing leaves: a message is taken, and then there is no room until half
    of what waits has gone."""
    size = 10000
    with rawh2.Connection(module_server.port, settings=[(rawh2.INITIAL_WINDOW_SIZE, 0)]) as c:
        stream = c.open(POUR)
        c.data(stream, message(b"-1 %d" % size))
        c.sync()
        assert told(conn) == {"messages": 1, "refused": 1}
        c.window_update(stream, 30000)
        wait_for(c, stream, 30000)
        assert told(conn) == {}  # 40 035 of 70 035 still wait
        c.window_update(stream, 7500)
        wait_for(c, stream, 37500)
        told_in_time(conn, room=1, refused=1)
        c.reset(stream)
        c.sync()
        assert told(conn) == {"gone": 1}


def test_who_does_not_read_is_not_read(module_server, conn):
    """An echo without a window: when the limit of answers waits, no message is handed over, and
    the client's window stays closed. Its other calls go on."""
    with rawh2.Connection(module_server.port, settings=[(rawh2.INITIAL_WINDOW_SIZE, 0)]) as c:
        stream = c.open(ECHO)
        word = bytes(1000)
        sent, room = 0, c_window(c)
        while len(message(word)) <= room:  # all that the first window takes
            c.data(stream, message(word), end=False)
            room -= len(message(word))
            sent += 1
        settle(c)
        handed = told(conn)["messages"]
        given = sum(struct.unpack(">I", f.payload)[0] for f in c.frames
                    if f.type == rawh2.WINDOW_UPDATE and f.stream == stream)
        while len(message(word)) <= given:  # and what it opened for what was handed over
            c.data(stream, message(word), end=False)
            given -= len(message(word))
            sent += 1
        c.sync()
        handed += told(conn).get("messages", 0)
        assert handed == LIMIT // len(message(word)) + 1 < sent
        c.window_update(stream, 2**30)
        wait_for(c, stream, sent * len(message(word)))
        c.data(stream)
        assert c.wait(stream).grpc == OK
        told_in_time(conn, messages=sent - handed, half_closed=1)


def settle(c):
    """Window updates may leave behind the answer to a PING, but not behind the next one's."""
    c.sync()
    c.sync()


def c_window(c):
    c.sync()
    return c.settings[rawh2.INITIAL_WINDOW_SIZE]


def test_a_second_answer_to_a_message_may_find_no_room(module_server, conn):
    with rawh2.Connection(module_server.port, settings=[(rawh2.INITIAL_WINDOW_SIZE, 0)]) as c:
        stream = c.open(ECHO)
        c.big_data(stream, message(bytes(LIMIT - 10)), end=False)
        c.data(stream, message(b"twice"), end=False)
        c.sync()
        assert told(conn) == {"messages": 2, "refused": 1}
        both = 5 + LIMIT - 10 + 10
        c.window_update(stream, both)
        wait_for(c, stream, both)
        told_in_time(conn, room=1)
        c.big_data(stream, message(bytes(LIMIT)), end=False)
        c.data(stream, message(b"waits"), end=False)
        settle(c)
        c.window_update(stream, 2**20)
        wait_for(c, stream, both + 5 + LIMIT + 10)
        assert told(conn) == {"messages": 2}  # nobody was refused anything: no word of room


def test_a_busy_service_takes_a_message_at_a_time(conn):
    stream = conn.open(SLOW)
    wire = b"".join(message(bytes(n % 7)) for n in range(200))
    conn.big_data(stream, wire)
    total = sum(n % 7 for n in range(200))
    assert messages(conn.wait(stream).data) == [b"200 %d" % total]
    assert told(conn) == {"messages": 200, "half_closed": 1}


def test_a_busy_service_opens_the_window_as_it_takes(conn):
    """Many windows, each filled at once, through a service that takes a message a turn."""
    stream, word, sent = conn.open(SLOW), message(bytes(1000)), 0

    def opened():
        return c_window(conn) + sum(struct.unpack(">I", f.payload)[0] for f in conn.frames
                                    if f.type == rawh2.WINDOW_UPDATE and f.stream == stream)
    while sent < 500:
        n = (opened() - sent * len(word)) // len(word)
        conn.big_data(stream, word * n, end=False)
        sent += n
    conn.data(stream)
    assert messages(conn.wait(stream).data) == [b"%d %d" % (sent, sent * 1000)]


def test_a_held_stream_holds_no_other(conn):
    """The window of a held stream fills up; another stream and unary calls go on."""
    held = conn.open(NEVER)
    room = c_window(conn)
    wire = message(bytes(1000)) * (room // 1005)
    conn.big_data(held, wire, end=False)
    settle(conn)
    assert not any(f.type == rawh2.WINDOW_UPDATE and f.stream == held for f in conn.frames)
    for _ in range(30):  # more than the window of the connection in all
        stream = conn.open(COUNT)
        conn.big_data(stream, wire)
        assert conn.wait(stream).grpc == OK
    conn.reset(held)
    conn.sync()
    assert told(conn)["gone"] == 1


def test_more_than_the_window_is_an_error_of_the_client(conn):
    held = conn.open(NEVER)
    room = c_window(conn)
    conn.big_data(held, message(bytes(1000)) * (room // 1005 + 20), end=False)
    assert conn.wait_reset(held) == rawh2.FLOW_CONTROL_ERROR
    assert told(conn) == {"messages": 1, "gone": 1}


@pytest.mark.skipif(SANITIZED, reason="measures memory")
def test_a_stream_without_end_takes_no_memory(conn, module_server):
    def resident_kib():
        with open(f"/proc/{module_server.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    stream = conn.open(POUR)
    conn.data(stream, message(b"-1 10000"))
    wait_for(conn, stream, 2**20)
    before = resident_kib()
    conn.answers[stream].data = b""
    for _ in range(20):
        wait_for(conn, stream, 2**20)
        conn.answers[stream].data = b""
    assert resident_kib() - before < 1024
    conn.reset(stream)


# ---- time ----

def test_an_idle_stream_stays_and_an_unfinished_message_ends_it(start_server):
    server = start_server([BUILD / SERVER[0], "--stall", "1"])
    with rawh2.Connection(server.port) as c:
        idle, broken = c.open(ECHO), c.open(ECHO)
        c.data(idle, message(b"a"), end=False)
        c.data(broken, message(b"a") + message(b"bc")[:-1], end=False)
        assert c.wait(broken).grpc == DEADLINE_EXCEEDED
        c.data(idle, message(b"b"))
        assert messages(c.wait(idle).data) == [b"a", b"b"]
        assert told(c) == {"messages": 3, "half_closed": 1, "gone": 1}


def test_who_takes_nothing_is_given_up(start_server):
    server = start_server([BUILD / SERVER[0], "--stall", "1"])
    with rawh2.Connection(server.port, settings=[(rawh2.INITIAL_WINDOW_SIZE, 0)]) as c:
        stream = c.open(POUR)
        c.data(stream, message(b"-1 1000"))
        assert c.wait_reset(stream) == rawh2.CANCEL
    with rawh2.Connection(server.port) as c:
        assert told(c) == {"messages": 1, "refused": 1, "gone": 1}


def test_draining_is_told_before_the_end_is_announced(start_server):
    server = start_server([BUILD / SERVER[0]])
    with rawh2.Connection(server.port) as c:
        c.answer_pings = False
        open_one = c.open(ECHO)
        c.data(open_one, message(b"a"), end=False)
        c.sync()
        server.signal()
        answer = c.wait(open_one)
        assert (answer.grpc, answer.get("grpc-message")) == (UNAVAILABLE, "the server is going away")
        assert not c.goaways
        while not c.goaways:
            c.read_frame()
        late = c.open(ECHO)  # the last GOAWAY has not come: it is served, and told at once
        assert c.wait(late).grpc == UNAVAILABLE
        c.wait_closed()
    assert server.wait() == 0


# ---- a client of others' making ----

@pytest.fixture
def channel(module_server):
    with grpc.insecure_channel(module_server.address) as channel:
        yield channel


def test_grpcio_talks_to_and_fro(channel, conn):
    def words():
        for n in range(500):
            yield b"%d" % n * 100
    assert list(channel.stream_stream(ECHO)(words())) == list(words())
    assert channel.stream_unary(COUNT)(words()) == b"500 %d" % sum(map(len, words()))
    assert sum(map(len, channel.unary_stream(POUR)(b"300 9999"))) == 300 * 9999
    assert told(conn)["half_closed"] == 2


def test_grpcio_cancels(channel, conn):
    call = channel.unary_stream(POUR)(b"-1 1000")
    for _ in range(100):
        next(call)
    call.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() == grpc.StatusCode.CANCELLED
    told_in_time_without_room(conn)
