# SPDX-License-Identifier: ISC
"""Goal: whatever one client does, another one's calls go on. An attacker does one thing for a while, an
honest client calls all the time over a connection of its own: none of its calls fails, and the daemon
is as large afterwards as before."""
import contextlib
import random
import socket
import struct
import threading
import time

import pytest

import kit
import rawh2
from rawh2 import frame, message
from servers import SANITIZED
from test_http2 import bomb, made_you_reset, resident_kib

STALL_SECONDS = 2
ATTACK_SECONDS = 1.5
LORIS = 300  # connections at once
REQUEST = message(kit.pb.GetLoginRequirementRequest(tenant_id="t", user_id="u").SerializeToString())
METHOD = kit.SERVICE + "GetLoginRequirement"
GREETING = rawh2.PREFACE + frame(rawh2.SETTINGS, 0, 0)


@pytest.fixture(scope="module")
def victim(make_service):
    daemon = make_service(env={"TWOSTEP_STALL_SECONDS": str(STALL_SECONDS), "TWOSTEP_THREADS": "2"})
    for _ in range(500):
        daemon.api.login("t", "u")
    for _ in range(200):
        attack_connect_and_close(daemon.port)
    return daemon


class Honest:
    """A client that calls without a pause; .failed is the first error."""

    def __init__(self, api):
        self.api, self.calls, self.failed, self.stopping = api, 0, None, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stopping.is_set():
            try:
                self.api.login("t", "u")
            except Exception as error:
                self.failed = error
                return
            self.calls += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


def until_closed(conn, *frames):
    """Writes them again and again until the server has had enough, or for long enough."""
    end = time.monotonic() + ATTACK_SECONDS
    with contextlib.suppress(OSError, rawh2.Closed):
        while time.monotonic() < end:
            for f in frames:
                conn.send(f)


def call_of(conn, stream):
    return conn.header_frames(rawh2.request_headers(METHOD), stream) + \
        frame(rawh2.DATA, rawh2.END_STREAM, stream, REQUEST)


# ---- what an attacker does, on one connection or as many as it likes ----

def attack_rapid_reset(port):
    """CVE-2023-44487."""
    with rawh2.Connection(port) as conn, contextlib.suppress(OSError):
        for _ in range(3000):
            stream = conn.new_stream()
            conn.send(call_of(conn, stream) + frame(rawh2.RST_STREAM, 0, stream, struct.pack(">I", 8)))


def attack_continuations(port):
    """CVE-2024-28182."""
    with rawh2.Connection(port) as conn:
        conn.send(frame(rawh2.HEADERS, 0, 1, b"\x82"))
        until_closed(conn, frame(rawh2.CONTINUATION, 0, 1, b"\x84" * 1000) * 50)


def attack_header_bomb(port):
    for _ in range(10):
        with rawh2.Connection(port) as conn, contextlib.suppress(OSError, rawh2.Closed):
            conn.send(bomb(conn, conn.new_stream(), 8))
            conn.wait(1)


def attack_pings(port):
    """CVE-2019-9512, by a peer that does not read."""
    with rawh2.Connection(port) as conn:
        until_closed(conn, frame(rawh2.PING, 0, 0, bytes(8)) * 500)


def attack_settings(port):
    """CVE-2019-9515."""
    with rawh2.Connection(port) as conn:
        until_closed(conn, frame(rawh2.SETTINGS, 0, 0) * 500)


def attack_empty_data(port):
    """CVE-2019-9518."""
    with rawh2.Connection(port) as conn:
        stream = conn.open(METHOD)
        until_closed(conn, frame(rawh2.DATA, 0, stream) * 500)


def attack_priorities(port):
    """CVE-2019-9513."""
    with rawh2.Connection(port) as conn:
        until_closed(conn, frame(rawh2.PRIORITY, 0, 3, bytes(5)) * 500)


def attack_made_you_reset(port):
    """CVE-2025-8671."""
    with rawh2.Connection(port) as conn, contextlib.suppress(OSError):
        for kind in ("malformed header", "window overflow", "length") * 500:
            conn.send(made_you_reset(kind, conn))


def attack_no_window(port):
    """CVE-2019-9517: answers that nobody takes."""
    with rawh2.Connection(port, [(rawh2.INITIAL_WINDOW_SIZE, 0)]) as conn:
        conn.send(b"".join(call_of(conn, conn.new_stream()) for _ in range(100)))
        time.sleep(STALL_SECONDS + 2)


def attack_slowly(port):
    """Slow-loris: every stage, half done, on many connections."""
    stages = [b"", rawh2.PREFACE[:10], rawh2.PREFACE, GREETING + b"\0\0",
              GREETING + frame(rawh2.HEADERS, 0, 1, b"\x82"),
              GREETING + frame(rawh2.PING, 0, 0, bytes(8))[:12]]
    with contextlib.ExitStack() as held:
        for i in range(LORIS):
            s = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            s.sendall(stages[i % len(stages)])
        time.sleep(STALL_SECONDS + 3)


def attack_too_many_streams(port):
    with rawh2.Connection(port) as conn, contextlib.suppress(OSError, rawh2.Closed):
        for _ in range(20):
            conn.send(b"".join(call_of(conn, conn.new_stream()) for _ in range(150)))


def attack_connect_and_close(port):
    end = time.monotonic() + ATTACK_SECONDS / 100
    while time.monotonic() < end:
        socket.create_connection(("127.0.0.1", port)).close()


def attack_garbage(port):
    noise = random.Random(1).randbytes(20_000)
    for at in range(0, 10_000, 100):
        with socket.create_connection(("127.0.0.1", port)) as s, contextlib.suppress(OSError):
            s.sendall((GREETING if at % 200 else b"") + noise[at:])


ATTACKS = {name.removeprefix("attack_"): f for name, f in list(globals().items())
           if name.startswith("attack_")}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_honest_client_beside(victim, name):
    api = victim.caller()
    api.login("t", "u")
    before = resident_kib(victim.process.pid)
    with Honest(api) as honest:
        end = time.monotonic() + ATTACK_SECONDS
        while time.monotonic() < end:
            ATTACKS[name](victim.port)
    # Few, because attacker and client share one interpreter.
    assert honest.failed is None and honest.calls > 10
    kit.wait_until(lambda: SANITIZED or resident_kib(victim.process.pid) < before * 1.1,
                   "as small as before")


def test_ten_thousand_connections_leave_nothing_behind(victim):
    def visit():
        with socket.create_connection(("127.0.0.1", victim.port)) as s:
            s.sendall(GREETING)
            assert s.recv(100)
    for _ in range(500):
        visit()
    before = resident_kib(victim.process.pid)
    for _ in range(10_000):
        visit()
    assert SANITIZED or resident_kib(victim.process.pid) < before * 1.02
