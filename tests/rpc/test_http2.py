# SPDX-License-Identifier: ISC
"""HTTP/2 as no well-meaning client speaks it: floods, bombs, trickles, broken frames.

Each attack ends its own connection or stream, costs little, and leaves the server as
it was for everybody else. The numbers CVE-... name what each imitates.
"""

import os
import random
import resource
import socket
import struct
import time

import pytest
import rawh2
from rawh2 import ENHANCE_YOUR_CALM, frame, message
from servers import BUILD, SANITIZED

STALL_SECONDS = 2
SERVER = ["tests/rpc/probe_server", "--stall", STALL_SECONDS]
ANSWER = "/rpctest.v1.Probe/Answer"


@pytest.fixture
def conn(module_server):
    with rawh2.Connection(module_server.port) as connection:
        yield connection


@pytest.fixture
def others_are_fine(module_server):
    """Afterwards a new client is served as always."""
    yield
    with rawh2.Connection(module_server.port) as connection:
        assert connection.call(ANSWER).grpc == 0


@pytest.fixture
def served(module_server, probe_pb2):
    """served(): how many messages the server's methods have been given by others."""
    asked = 0

    def count():
        nonlocal asked
        asked += 1
        with rawh2.Connection(module_server.port) as connection:
            answer = connection.call(ANSWER)
        return probe_pb2.AnswerReply.FromString(answer.message).served - asked

    return count


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def grew_less_than(kib, pid, before):
    """Sanitizers keep freed memory: with one it is not known."""
    return SANITIZED or resident_kib(pid) - before < kib


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def flood(conn, frames, times, size=500):
    """Sends frames many times in large writes; False once the server has closed."""
    try:
        for _ in range(0, times, size):
            conn.send(frames * size)
    except OSError:
        return False
    return True


def ends_calmly(conn):
    """Was the connection ended with ENHANCE_YOUR_CALM? Tells the debug data."""
    assert conn.wait_closed() == ENHANCE_YOUR_CALM
    return conn.goaways[-1][2]


# ---- floods ----

SETTINGS_FRAME = frame(rawh2.SETTINGS, 0, 0)
FLOODS = {
    "PING": (frame(rawh2.PING, 0, 0, bytes(8)), b"too_many_pings"),
    "PING ACK": (frame(rawh2.PING, rawh2.ACK, 0, bytes(8)), b"too_many_pings"),
    "SETTINGS": (SETTINGS_FRAME, None),
    "PRIORITY": (frame(rawh2.PRIORITY, 0, 3, bytes(5)), None),
    "unknown": (frame(0x42, 0, 0, b"x"), None),
    "WINDOW_UPDATE": (frame(rawh2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)), None),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_of_frames_that_do_nothing(module_server, others_are_fine, kind):
    """CVE-2019-9511, -9512, -9513, -9515, with a peer that reads."""
    data, reason = FLOODS[kind]
    before = resident_kib(module_server.pid)
    with rawh2.Connection(module_server.port, window=0) as conn:
        conn.sync()
        flood(conn, data, 5000)
        assert ends_calmly(conn) == (reason or b"too many frames that do nothing")
    assert grew_less_than(1000, module_server.pid, before)


def test_ping_flood_of_a_peer_that_does_not_read(module_server, others_are_fine):
    with rawh2.Connection(module_server.port) as conn:
        flood(conn, FLOODS["PING"][0], 100_000)
        assert ends_calmly(conn) == b"too_many_pings"


def test_a_quiet_ping_is_answered(conn):
    for _ in range(50):
        conn.sync()


@pytest.mark.parametrize("size", [0, 1])
def test_floods_of_small_data(module_server, others_are_fine, size):
    """CVE-2019-9518."""
    with rawh2.Connection(module_server.port) as conn:
        stream = conn.open(ANSWER)
        conn.data(stream, message(b"", length=60_000), end=False)
        flood(conn, frame(rawh2.DATA, 0, stream, bytes(size)), 5000)
        assert ends_calmly(conn)


def test_useful_work_pays_for_window_updates(module_server):
    """A client may send two WINDOW_UPDATEs and a PING for each answer for ever."""
    extras = frame(rawh2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 100)) * 2
    extras += frame(rawh2.PING, 0, 0, bytes(8))
    with rawh2.Connection(module_server.port, window=0) as conn:
        for _ in range(100):
            streams = []
            for _ in range(50):
                streams.append(conn.open(ANSWER))
                conn.data(streams[-1], message(b""))
                conn.send(extras)
            for stream in streams:
                assert conn.wait(stream).grpc == 0


def test_rapid_reset(module_server, others_are_fine, served):
    """CVE-2023-44487: what is started is bounded, and then the connection ends."""
    before = served()
    with rawh2.Connection(module_server.port) as conn:
        for _ in range(4000):
            stream = conn.new_stream()
            headers = conn.header_frames(rawh2.request_headers(ANSWER), stream)
            body = frame(rawh2.DATA, rawh2.END_STREAM, stream, message(b""))
            cancel = frame(rawh2.RST_STREAM, 0, stream, struct.pack(">I", rawh2.CANCEL))
            try:
                conn.send(headers + body + cancel)
            except OSError:
                break
        assert ends_calmly(conn)
    assert served() - before < 1500


def test_a_client_may_cancel_half_of_its_calls(conn):
    for _ in range(1500):
        conn.reset(conn.open(ANSWER))
        assert conn.call(ANSWER).grpc == 0


def test_a_reset_of_a_call_that_was_never_sent(conn, probe_pb2):
    """gRPC's C core sends one when a deadline passes just then; the other calls go on."""
    slow = conn.open(ANSWER)
    conn.data(slow, message(probe_pb2.AnswerRequest(delay_ms=100).SerializeToString()))
    for _ in range(3):
        conn.reset(conn.new_stream())
    assert conn.wait(slow).grpc == 0
    assert conn.call(ANSWER).grpc == 0


def made_you_reset(kind, conn):
    """Frames that make a right server reset the stream."""
    stream = conn.new_stream()
    if kind == "malformed header":
        return conn.header_frames(rawh2.request_headers(ANSWER) + [("Upper", "x")], stream)
    if kind == "wrong te":
        return conn.header_frames(rawh2.request_headers(ANSWER, te="gzip"), stream)
    if kind == "window overflow":
        headers = conn.header_frames(rawh2.request_headers(ANSWER), stream)
        return headers + frame(rawh2.WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1))
    length = conn.header_frames(rawh2.request_headers(ANSWER, content_length="5"), stream)
    return length + frame(rawh2.DATA, rawh2.END_STREAM, stream, b"xxxxxxxx")


@pytest.mark.parametrize("kind", ["malformed header", "wrong te", "window overflow", "length"])
def test_made_you_reset(module_server, others_are_fine, kind):
    """CVE-2025-8671."""
    with rawh2.Connection(module_server.port) as conn:
        for _ in range(3000):
            try:
                conn.send(made_you_reset(kind, conn))
            except OSError:
                break
        assert ends_calmly(conn) == b"too many broken streams"
        resets = [f for f in conn.frames if f.type == rawh2.RST_STREAM]
        assert 50 <= len(resets) < 1500  # a hundred, and what one read can hold


def test_a_few_broken_streams_are_forgiven(conn):
    for kind in ("malformed header", "wrong te", "length") * 10:
        conn.send(made_you_reset(kind, conn))
    assert conn.call(ANSWER).grpc == 0


# ---- header blocks ----


def block_in_pieces(conn, stream, pieces):
    """The frames of a request whose header block comes in so many CONTINUATIONs."""
    return conn.header_frames(rawh2.request_headers(ANSWER, x="y" * 100), stream, split=[5] * pieces)


def test_continuations(module_server, others_are_fine):
    """CVE-2024-28182."""
    for pieces in (1, 8):
        with rawh2.Connection(module_server.port) as conn:
            stream = conn.new_stream()
            conn.send(block_in_pieces(conn, stream, pieces))
            conn.data(stream, message(b""))
            assert conn.wait(stream).grpc == 0
    with rawh2.Connection(module_server.port) as conn:
        conn.send(block_in_pieces(conn, conn.new_stream(), 9))
        conn.wait_closed()


def test_continuation_flood(module_server, others_are_fine):
    before = resident_kib(module_server.pid)
    with rawh2.Connection(module_server.port) as conn:
        conn.send(frame(rawh2.HEADERS, 0, 1, b"\x82"))
        flood(conn, frame(rawh2.CONTINUATION, 0, 1, b"\x84" * 1000), 10_000, 100)
        conn.wait_closed()
    assert grew_less_than(1000, module_server.pid, before)


def test_a_call_byte_by_byte(module_server):
    """With a CONTINUATION, which nghttp2 must not see in pieces."""
    with rawh2.Connection(module_server.port, greet=False) as conn:
        stream = conn.new_stream()
        whole = rawh2.PREFACE + frame(rawh2.SETTINGS, 0, 0)
        whole += block_in_pieces(conn, stream, 2)
        whole += frame(rawh2.DATA, rawh2.END_STREAM, stream, message(b""))
        for i in range(len(whole)):
            conn.send(whole[i : i + 1])
            time.sleep(0.0003)
        assert conn.wait(stream).grpc == 0


def bomb(conn, stream, frames):
    """A header block that refers to one large entry of the table again and again."""
    first = conn.encoder.encode(rawh2.request_headers(ANSWER, x_big="b" * 3900), huffman=False)
    index = 62  # the newest entry of the dynamic table
    refers = bytes([0x80 | index]) * (16384 - len(first))
    out = frame(rawh2.HEADERS, 0, stream, first + refers)
    for i in range(frames - 1):
        last = rawh2.END_HEADERS if i == frames - 2 else 0
        out += frame(rawh2.CONTINUATION, last, stream, bytes([0x80 | index]) * 16384)
    if frames == 1:
        out = out[:4] + bytes([rawh2.END_HEADERS]) + out[5:]
    return out


@pytest.mark.parametrize("frames", [1, 8])
def test_hpack_bomb(module_server, others_are_fine, frames):
    """50 MB of headers in 16 KiB (the class of CVE-2016-6581)."""
    before, used = resident_kib(module_server.pid), cpu_seconds(module_server.pid)
    times = 20
    for _ in range(times):
        with rawh2.Connection(module_server.port) as conn:
            conn.send(bomb(conn, conn.new_stream(), frames))
            assert conn.wait(1).reset == rawh2.INTERNAL_ERROR
    assert grew_less_than(2000, module_server.pid, before)
    if not SANITIZED:
        assert (cpu_seconds(module_server.pid) - used) / (times * frames) < 0.002


# ---- streams ----


def test_streams_over_the_limit_are_never_executed(
    module_server, others_are_fine, probe_pb2, served
):
    before = served()
    with rawh2.Connection(module_server.port) as conn:
        # In one go, so that the server's SETTINGS cannot have been read.
        slow = message(probe_pb2.AnswerRequest(delay_ms=300).SerializeToString())
        out = b""
        streams = [conn.new_stream() for _ in range(150)]
        for stream in streams:
            out += conn.header_frames(rawh2.request_headers(ANSWER), stream)
            out += frame(rawh2.DATA, rawh2.END_STREAM, stream, slow)
        conn.send(out)
        answers = [conn.wait(stream) for stream in streams]
        refused = [a for a in answers if a.reset == rawh2.REFUSED_STREAM]
        assert len(refused) == 50 and all(a.grpc == 0 for a in answers[:100])
        assert served() == before + 100
        for _ in range(101):
            conn.data(conn.open(ANSWER), message(b"")[:3], end=False)
        assert conn.wait_closed() == rawh2.PROTOCOL_ERROR
    assert served() == before + 100


# ---- what is not HTTP/2 ----

GARBAGE = {
    "HTTP/1.1": b"POST /rpctest.v1.Probe/Answer HTTP/1.1\r\nHost: x\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "zeros": bytes(1000),
    "random": random.Random(1).randbytes(5000),
    "no SETTINGS first": rawh2.PREFACE + frame(rawh2.PING, 0, 0, bytes(8)),
    "large frame": rawh2.PREFACE + SETTINGS_FRAME + b"\xff\xff\xff\0\0\0\0\0\1",
    "HEADERS on 0": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.HEADERS, 4, 0, b"\x82"),
    "even stream": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.HEADERS, 4, 2, b"\x82"),
    "DATA on idle": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.DATA, 1, 1, b"x"),
    "RST_STREAM on idle": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.RST_STREAM, 0, 1, bytes(4)),
    "bad HPACK": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.HEADERS, 5, 1, b"\xff\xff\xff\xff"),
    "window 0": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.WINDOW_UPDATE, 0, 0, bytes(4)),
    "short PING": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.PING, 0, 0, bytes(7)),
    "PUSH_PROMISE": rawh2.PREFACE + SETTINGS_FRAME + frame(5, 4, 1, bytes(8)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_not_http2_is_ended(module_server, others_are_fine, name):
    with rawh2.Connection(module_server.port, greet=False) as conn:
        conn.send(GARBAGE[name])
        code = conn.wait_closed()
        assert code is not None and code != rawh2.NO_ERROR


def test_a_session_cut_at_every_byte(module_server, others_are_fine):
    with rawh2.Connection(module_server.port, greet=False) as conn:
        whole = rawh2.PREFACE + frame(rawh2.SETTINGS, 0, 0) + block_in_pieces(conn, 1, 1)
        whole += frame(rawh2.DATA, rawh2.END_STREAM, 1, message(b"\x0a\x01x"))
        whole += frame(rawh2.RST_STREAM, 0, 1, bytes(4)) + frame(rawh2.GOAWAY, 0, 0, bytes(8))
    for cut in range(len(whole)):
        for hard in (False, True):
            with socket.create_connection(("127.0.0.1", module_server.port)) as s:
                if hard:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.sendall(whole[:cut])


def test_the_last_words_are_not_lost_in_a_reset(module_server):
    """A connection that the server ends is closed only when the client has read all,
    even if that one goes on sending."""
    for _ in range(20):
        with rawh2.Connection(module_server.port) as conn:
            conn.send(frame(rawh2.HEADERS, 4, 2, b"\x82") + b"\xff" * 100_000)
            conn.send(b"\xff" * 100_000)
            assert conn.wait_closed() == rawh2.PROTOCOL_ERROR


# ---- peers that are slow ----


def closes_within(conn, seconds):
    start = time.monotonic()
    conn.wait_closed()
    return time.monotonic() - start < seconds


TRICKLES = {
    "nothing": b"",
    "half a preface": rawh2.PREFACE[:10],
    "preface alone": rawh2.PREFACE,
    "half a frame header": rawh2.PREFACE + SETTINGS_FRAME + b"\0\0",
    "half a frame": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.PING, 0, 0, bytes(8))[:12],
    "half a header block": rawh2.PREFACE + SETTINGS_FRAME + frame(rawh2.HEADERS, 0, 1, b"\x82"),
}


@pytest.mark.parametrize("name", TRICKLES)
def test_what_is_begun_has_to_be_finished(module_server, others_are_fine, name):
    with rawh2.Connection(module_server.port, greet=False) as conn:
        conn.send(TRICKLES[name])
        assert closes_within(conn, STALL_SECONDS + 4)


def test_a_trickle_of_bytes_does_not_help(module_server):
    with rawh2.Connection(module_server.port) as conn:
        conn.sync()
        slow = frame(rawh2.HEADERS, rawh2.END_HEADERS, 1, bytes(100))
        start = time.monotonic()
        try:
            for byte in slow:
                conn.send(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - start < STALL_SECONDS + 4


def test_an_idle_connection_stays(conn):
    conn.sync()
    time.sleep(STALL_SECONDS + 2.5)
    assert conn.call(ANSWER).grpc == 0


def test_a_message_that_does_not_come(conn):
    stream = conn.open(ANSWER)
    conn.data(stream, message(b"", length=100), end=False)
    answer = conn.answers[stream]
    start = time.monotonic()
    assert conn.wait_reset(stream) == rawh2.NO_ERROR
    assert time.monotonic() - start < STALL_SECONDS + 4
    assert answer.grpc == 4
    assert conn.call(ANSWER).grpc == 0


def test_an_answer_that_has_no_window(module_server):
    """CVE-2019-9517: the stream is given up, the connection and its other calls are not."""
    with rawh2.Connection(module_server.port, [(rawh2.INITIAL_WINDOW_SIZE, 0)]) as conn:
        stuck = conn.open(ANSWER)
        conn.data(stuck, message(b"\x1a\x03abc"))
        moving = conn.open(ANSWER)
        conn.data(moving, message(b"\x1a\x03abc"))
        conn.window_update(moving, 65535)
        assert conn.wait(moving).grpc == 0
        assert conn.wait_reset(stuck) == rawh2.CANCEL


def test_an_answer_through_windows_of_one_byte(module_server):
    with rawh2.Connection(module_server.port, [(rawh2.INITIAL_WINDOW_SIZE, 1)]) as conn:
        stream = conn.open(ANSWER)
        conn.data(stream, message(b"\x1a\x64" + b"x" * 100))
        answer = conn.answers[stream]
        while not answer.ended:
            got = len(answer.data)
            conn.read_frame()
            if len(answer.data) > got:
                conn.window_update(stream, 1)
        assert b"x" * 100 in answer.message


@pytest.fixture
def large(probe_pb2):
    """A call with an answer of 200 kB."""
    return message(probe_pb2.AnswerRequest(data=bytes(200_000), compress=1).SerializeToString())


def test_a_peer_that_reads_nothing(module_server, others_are_fine, large):
    """What waits for it is bounded, and so is the time that it waits."""
    before = resident_kib(module_server.pid)
    with rawh2.Connection(module_server.port, seconds=STALL_SECONDS + 6) as conn:
        conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            for _ in range(90):
                conn.big_data(conn.open(ANSWER), large)
        except OSError:
            pass
        assert grew_less_than(60_000, module_server.pid, before)
        time.sleep(STALL_SECONDS + 3)
        try:
            conn.send(bytes(100_000))
            conn.send(bytes(100_000))
        except OSError:
            pass
        else:
            conn.wait_closed()


def test_nothing_is_read_from_a_peer_that_reads_nothing(start_server):
    server = start_server([BUILD / "tests/rpc/interop_server", "--stall", 2])
    with rawh2.Connection(server.port, seconds=1) as conn:
        for _ in range(20):  # answers of a megabyte: more than the socket buffers hold
            stream = conn.open("/grpc.testing.TestService/UnaryCall")
            conn.data(stream, message(b"\x10\x80\x80\x40"))
        ignored = conn.open("/no/such", content_type="x")
        with pytest.raises(TimeoutError):
            for _ in range(4000):
                conn.data(ignored, bytes(16384), end=False)


def test_a_slow_reader_gets_everything(module_server, large):
    with rawh2.Connection(module_server.port) as conn:
        conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        streams = []
        for _ in range(20):
            streams.append(conn.open(ANSWER))
            conn.big_data(streams[-1], large)
            time.sleep(0.01)
        for stream in streams:
            assert len(conn.wait(stream).message) > 200_000
            assert conn.answers[stream].grpc == 0


# ---- many connections ----


def test_idle_connections_are_small(start_server):
    server = start_server([BUILD / "tests/rpc/probe_server"])
    conns = [rawh2.Connection(server.port) for _ in range(20)]
    before = resident_kib(server.pid)
    conns += [rawh2.Connection(server.port) for _ in range(400)]
    for c in conns:
        c.sync()
    for c in conns:
        assert c.call(ANSWER).grpc == 0
    each = (resident_kib(server.pid) - before) / 400
    for c in conns:
        c.close()
    assert SANITIZED or each < 26, f"{each:.1f} KiB a connection"


def test_connect_and_close(module_server, others_are_fine):
    before = resident_kib(module_server.pid)
    for _ in range(3000):
        socket.create_connection(("127.0.0.1", module_server.port)).close()
    assert grew_less_than(4000, module_server.pid, before)


def test_connections_over_the_limit_are_closed(start_server):
    server = start_server([BUILD / "tests/rpc/probe_server", "--connections", 3])
    conns = [rawh2.Connection(server.port) for _ in range(3)]
    for c in conns:
        assert c.call(ANSWER).grpc == 0
    with rawh2.Connection(server.port, greet=False) as fourth:
        assert closes_within(fourth, 2)
    conns.pop().close()
    time.sleep(0.2)
    with rawh2.Connection(server.port) as again:
        assert again.call(ANSWER).grpc == 0
    for c in conns:
        c.close()


def test_no_file_descriptors_left(start_server):
    """CVE-2023-4785: no busy loop, and it goes on when there are some again."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        server = start_server([BUILD / "tests/rpc/probe_server"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    socks = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(80)]
    time.sleep(0.2)
    used = cpu_seconds(server.pid)
    time.sleep(1)
    assert cpu_seconds(server.pid) - used < 0.1
    for s in socks:
        s.close()
    with rawh2.Connection(server.port) as conn:
        assert conn.call(ANSWER).grpc == 0
