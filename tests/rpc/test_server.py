# SPDX-License-Identifier: ISC
"""Where a server listens, and how it ends: gracefully (RFC 9113 section 6.8), losing no
call that it has taken and taking none that it will not answer."""

import concurrent.futures
import os
import socket
import subprocess
import threading
import time

import grpc
import pytest
import rawh2
from rawh2 import message
from servers import BUILD, launch

PROBE = BUILD / "tests/rpc/probe_server"
ANSWER = "/rpctest.v1.Probe/Answer"
NOTICE = 2**31 - 1
DRAIN_SECONDS = 5  # of the test servers


@pytest.fixture
def ask(probe_pb2):
    def make(**fields):
        return message(probe_pb2.AnswerRequest(**fields).SerializeToString())

    return make


# ---- the graceful end ----


def test_an_idle_connection_is_told_twice(start_server):
    server = start_server([PROBE])
    with rawh2.Connection(server.port) as conn:
        conn.sync()
        server.signal()
        conn.wait_closed()
        assert [(last, code) for last, code, _ in conn.goaways] == [(NOTICE, 0), (0, 0)]
        kinds = [f.type for f in conn.frames[-3:]]
        assert kinds == [rawh2.GOAWAY, rawh2.PING, rawh2.GOAWAY]
    assert server.wait(3) == 0


def test_a_call_under_way_is_answered(start_server, ask):
    server = start_server([PROBE])
    with rawh2.Connection(server.port) as conn:
        stream = conn.open(ANSWER)
        conn.data(stream, ask(delay_ms=700))
        conn.sync()
        server.signal()
        answer = conn.wait(stream)
        assert answer.grpc == 0
        assert conn.goaways[-1][:2] == (stream, 0)
        conn.wait_closed()
    assert server.wait(3) == 0


def test_a_message_that_is_still_coming_is_waited_for(start_server, ask):
    server = start_server([PROBE])
    with rawh2.Connection(server.port) as conn:
        stream = conn.open(ANSWER)
        conn.sync()
        server.signal()
        while len(conn.goaways) < 2:
            conn.read_frame()
        conn.data(stream, ask())
        assert conn.wait(stream).grpc == 0
        conn.wait_closed()


def test_between_notice_and_end_calls_are_taken(start_server, ask):
    server = start_server([PROBE])
    with rawh2.Connection(server.port) as conn:
        conn.answer_pings = False
        conn.sync()
        server.signal()
        while not conn.goaways:
            conn.read_frame()
        early = conn.open(ANSWER)
        conn.data(early, ask(delay_ms=1500))
        start = time.monotonic()
        while len(conn.goaways) < 2:  # after a second, because the PING is not answered
            conn.read_frame()
        assert 0.7 < time.monotonic() - start < 3
        assert conn.goaways[1] == (early, 0, b"")
        late = conn.open(ANSWER)
        conn.data(late, ask())
        assert conn.wait(early).grpc == 0
        conn.wait_closed()
        assert late not in conn.answers
    assert server.wait(3) == 0
    assert server.wait_for("ended")["served"] == 1


def test_no_new_connections_while_ending(start_server, ask):
    server = start_server([PROBE])
    with rawh2.Connection(server.port) as conn:
        stream = conn.open(ANSWER)
        conn.data(stream, ask(delay_ms=500))
        conn.sync()
        server.signal()
        while not conn.goaways:
            conn.read_frame()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", server.port)).close()
        conn.wait_closed()


def test_the_end_does_not_wait_for_a_call_for_ever(ask):
    server = launch([PROBE])
    with rawh2.Connection(server.port) as conn:
        conn.data(conn.open(ANSWER), ask(delay_ms=100_000))
        conn.sync()
        server.signal()
        assert server.wait(DRAIN_SECONDS + 3) == 1


def test_the_end_does_not_wait_for_a_peer_that_reads_nothing():
    server = launch([BUILD / "tests/rpc/interop_server"])
    with rawh2.Connection(server.port) as conn:
        conn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(40):  # a megabyte each: more than any socket buffer
            stream = conn.open("/grpc.testing.TestService/UnaryCall")
            conn.data(stream, message(b"\x10\x80\x80\x40"))
        time.sleep(0.5)
        server.signal()
        assert server.wait(DRAIN_SECONDS + 3) == 1


def test_the_end_waits_a_little_for_a_peer_that_does_not_close():
    server = launch([PROBE])
    with rawh2.Connection(server.port) as conn:
        conn.sync()
        server.signal()
        assert server.wait(DRAIN_SECONDS - 1) == 0


def test_under_load_every_call_is_answered_or_was_not_taken(probe_pb2):
    """What a client may retry has not been executed, and what was executed is answered."""
    server = launch([PROBE, "--loops", 2])
    request = probe_pb2.AnswerRequest(delay_ms=3).SerializeToString()
    going = threading.Event()
    counts = {"ok": 0, "unavailable": 0}
    lock = threading.Lock()

    def client(_):
        with grpc.insecure_channel(server.address, [("grpc.enable_retries", 0)]) as channel:
            call = channel.unary_unary(ANSWER)
            while True:
                try:
                    call(request, timeout=10)
                    kind = "ok"
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.UNAVAILABLE, error
                    kind = "unavailable"
                with lock:
                    counts[kind] += 1
                    if counts["ok"] > 200:
                        going.set()
                if kind == "unavailable":
                    return

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        clients = [pool.submit(client, n) for n in range(20)]
        going.wait(20)
        server.signal()
        for c in clients:
            c.result()
    assert server.wait(DRAIN_SECONDS) == 0
    assert server.wait_for("ended")["served"] == counts["ok"]


# ---- where it listens ----


def fails(*argv):
    """What a server that cannot start says."""
    done = subprocess.run(
        [PROBE, *map(str, argv)], stderr=subprocess.PIPE, text=True, timeout=20, check=False
    )
    assert done.returncode != 0
    return done.stderr


def test_a_port_that_is_taken(start_server):
    server = start_server([PROBE, "--loops", 2])
    assert "in use" in fails("--listen", server.address)


def test_ipv6(start_server, ask):
    server = start_server([PROBE, "--listen", "[::1]:0"])
    assert server.address.startswith("[::1]:") and server.port > 0


def test_a_name(start_server):
    assert start_server([PROBE, "--listen", "localhost:0"]).port > 0


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.0.0.1:", ":1", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:-1", "unix:"]
    + ["::1:80", "[127.0.0.1]:80", "[::1]", "", "unix:/" + "x" * 120, "0.0.0.0:0", "[::]:0"],
)
def test_what_is_no_local_address(address):
    assert fails("--listen", address)


def unix_call(path):
    with grpc.insecure_channel(f"unix:{path}") as channel:
        return channel.unary_unary(ANSWER)(b"", timeout=5)


def test_unix_socket(start_server, tmp_path, probe_pb2):
    path = tmp_path / "socket"
    server = start_server([PROBE, "--listen", f"unix:{path}", "--loops", 2])
    assert server.address == f"unix:{path}"
    assert probe_pb2.AnswerReply.FromString(unix_call(path)).peer == "unix"
    assert "another server" in fails("--listen", f"unix:{path}")
    unix_call(path)
    assert server.stop() == 0
    assert not path.exists()


def test_a_stale_socket_file_is_replaced(start_server, tmp_path):
    path = tmp_path / "socket"
    server = launch([PROBE, "--listen", f"unix:{path}"])
    server.process.kill()
    server.process.wait()
    assert path.exists()
    start_server([PROBE, "--listen", f"unix:{path}"])
    unix_call(path)


def test_a_file_is_not_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    assert "no socket" in fails("--listen", f"unix:{path}")
    assert path.read_text() == "precious"


def test_loops_share_the_connections(start_server, ask):
    """With two loops a connection is served on either; threads show which ones worked."""
    server = start_server([PROBE, "--loops", 2])
    conns = [rawh2.Connection(server.port) for _ in range(32)]
    for c in conns:
        stream = c.open(ANSWER)
        c.data(stream, ask())
        assert c.wait(stream).grpc == 0
    switches = []
    for task in os.listdir(f"/proc/{server.pid}/task"):
        with open(f"/proc/{server.pid}/task/{task}/status") as status:
            lines = dict(line.split(":\t", 1) for line in status)
        if lines["Name"].strip() == "loop":
            switches.append(int(lines["voluntary_ctxt_switches"]))
    assert len(switches) == 2 and min(switches) > 10
    for c in conns:
        c.close()
