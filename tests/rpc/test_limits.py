# SPDX-License-Identifier: ISC
"""Goal: every limit can be reached, says so to the peer and in its metric, and holds for the one that
reached it only. test_attacks.py has what an attacker does beside an honest client."""
import contextlib
import resource
import socket
import time

import grpc
import pytest

import kit
import rawh2
from kit import refused, wait_until
from rawh2 import frame, message
from watching import SETTINGS, becomes, sample

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"
PING = frame(rawh2.PING, 0, 0, bytes(8))


@pytest.fixture
def limited(make_daemon):
    """limited(streams=3): a daemon with one loop and these settings."""
    def make(callers=None, **settings):
        env = {**SETTINGS, "TWOSTEP_THREADS": "1"}
        env.update({"TWOSTEP_" + name.upper(): str(value) for name, value in settings.items()})
        return make_daemon(env=env, callers=callers)
    return make


def faults(daemon, kind):
    return sample(daemon).total("grpc_server_faults_total", kind=kind)


# ---- connections ----

def test_connections_of_one_peer(limited):
    daemon = limited(peer_connections=2)
    with contextlib.ExitStack() as open_:
        conns = [open_.enter_context(rawh2.Connection(daemon.port)) for _ in range(2)]
        for c in conns:
            assert c.call(CHECK).grpc == 0
        with rawh2.Connection(daemon.port, greet=False) as third:
            assert third.wait_closed() is None
        page = sample(daemon)
        assert page.total("grpc_server_connections_refused_total", limit="peer_connections") == 1
        assert page.total("grpc_server_connections_refused_total", limit="connections") == 0
        conns[0].close()
        becomes(daemon, lambda s: s.total("grpc_server_connections_open") == 1, "one is closed")
        with rawh2.Connection(daemon.port) as again:
            assert again.call(CHECK).grpc == 0


def test_idle_connections_end(limited):
    daemon = limited(idle_seconds=1)
    with rawh2.Connection(daemon.port) as busy, rawh2.Connection(daemon.port) as idle:
        stream = busy.open(WATCH)
        busy.data(stream, message(b""))
        assert idle.call(CHECK).grpc == 0
        assert idle.wait_closed() == rawh2.NO_ERROR
        assert busy.call(CHECK).grpc == 0  # a stream is no idleness
        assert not busy.goaways
        assert faults(daemon, "idle") == 1


def test_old_connections_end_and_their_calls_are_answered(limited):
    daemon = limited(age_seconds=1)
    start = time.monotonic()
    with rawh2.Connection(daemon.port, seconds=20) as conn:
        stream = conn.open(WATCH)  # would go on for ever
        conn.data(stream, message(b""))
        answered = 0
        try:
            while time.monotonic() - start < 20:
                assert conn.call(CHECK).grpc == 0
                answered += 1
                if conn.goaways:
                    break
            assert conn.wait(stream).grpc == grpc.StatusCode.UNAVAILABLE.value[0]
            assert conn.wait_closed() == rawh2.NO_ERROR
        except rawh2.Closed:
            pass
        assert answered > 1
        assert [code for _, code, _ in conn.goaways] == [0, 0]
        assert conn.goaways[0][0] == 2**31 - 1 and conn.goaways[1][0] < 2**31 - 1
    assert faults(daemon, "age") == 1
    with rawh2.Connection(daemon.port) as conn:
        assert conn.call(CHECK).grpc == 0


def test_no_call_fails_when_connections_get_old(limited):
    """With a real client, which opens new connections by itself."""
    daemon = limited(age_seconds=1)
    end = time.monotonic() + 4
    calls = 0
    while time.monotonic() < end:
        daemon.api.login("t", "u")
        calls += 1
    assert calls > 100 and faults(daemon, "age") >= 2


def test_file_descriptors_run_out(limited):
    """One warning, no busy loop, and it goes on by itself."""
    daemon = limited()
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    socks = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(90)]
    try:
        wait_until(lambda: any(e["event"] == "accept_paused" for e in daemon.log()), "paused")
        time.sleep(0.5)
    finally:
        for s in socks:
            s.close()
    wait_until(lambda: any(e["event"] == "accept_resumed" for e in daemon.log()), "resumed")
    with rawh2.Connection(daemon.port) as conn:
        assert conn.call(CHECK).grpc == 0
    assert sum(e["event"] == "accept_paused" for e in daemon.log()) <= 3
    assert faults(daemon, "accept_paused") >= 1


# ---- frames ----

def test_pings_without_data(limited):
    """gRPC's rule: two early ones are forgiven, and whatever the server sends starts it anew."""
    daemon = limited(ping_seconds=10)
    with rawh2.Connection(daemon.port) as conn:
        for _ in range(3):
            conn.send(PING * 3)
            assert conn.call(CHECK).grpc == 0
        conn.send(PING * 4)
        assert conn.wait_closed() == rawh2.ENHANCE_YOUR_CALM
        assert conn.goaways[-1][2] == b"too_many_pings"
    assert faults(daemon, "flood") == 1


def test_pings_at_will(limited):
    with rawh2.Connection(limited(ping_seconds=0).port) as conn:
        for _ in range(50):
            conn.sync()


def test_frames_that_do_nothing(limited):
    daemon = limited(idle_frames=100)
    update = frame(rawh2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1")
    with rawh2.Connection(daemon.port, window=0) as conn:
        conn.send(update * 80)
        assert conn.call(CHECK).grpc == 0
        conn.send(update * 200)
        assert conn.wait_closed() == rawh2.ENHANCE_YOUR_CALM
    assert faults(daemon, "flood") == 1


# ---- calls ----

def test_calls_of_one_loop(limited):
    daemon = limited(calls=3)
    with rawh2.Connection(daemon.port) as one, rawh2.Connection(daemon.port) as other:
        streams = [one.open(WATCH) for _ in range(3)]
        for stream in streams:
            one.data(stream, message(b""))
        one.sync()
        assert other.call(CHECK).grpc == EXHAUSTED.value[0]
        one.reset(streams[0])
        one.sync()
        assert other.call(CHECK).grpc == 0
    assert faults(daemon, "too_many_calls") == 1


@pytest.mark.parametrize("path", [CHECK, WATCH,
                                  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"])
def test_messages_without_a_credential_are_small(limited, path):
    with rawh2.Connection(limited().port) as conn:
        stream = conn.open(path)
        conn.data(stream, message(b"", length=4097), end=False)
        assert conn.wait(stream).grpc == EXHAUSTED.value[0]
        stream = conn.open(kit.SERVICE + "Verify")
        conn.data(stream, message(b"\xff" * 5000))
        assert conn.wait(stream).grpc != EXHAUSTED.value[0]


# ---- callers and tenants ----

AT_MOST = 500  # calls until a burst of five is used up, on whatever machine
CALLERS = {name: (["login:web", "policy"], ["*"]) for name in ("noisy", "quiet")}


def test_a_noisy_caller_leaves_others_be(limited):
    daemon = limited(callers=CALLERS, caller_rate=1, caller_burst=5)
    noisy, quiet = daemon.caller("noisy"), daemon.caller("quiet")
    with refused(EXHAUSTED, "CALLER_RATE") as held:
        for _ in range(AT_MOST):
            noisy.login("t", "u")
    assert 0 < held.problem.retry <= 1
    for _ in range(3):
        quiet.login("t", "u")
    assert sample(daemon).total("twostep_limited_total", limit="caller_rate") == 1
    time.sleep(held.problem.retry)
    noisy.login("t", "u")


def test_a_noisy_tenant_leaves_others_be(limited):
    daemon = limited(callers=CALLERS, tenant_rate=1, tenant_burst=5)
    api = daemon.caller("quiet")
    with refused(EXHAUSTED, "TENANT_RATE") as held:
        for _ in range(AT_MOST):
            api.login("noisy", "u")
    assert 0 < held.problem.retry <= 1
    for _ in range(3):
        api.login("other", "u")
    assert sample(daemon).total("twostep_limited_total", limit="tenant_rate") == 1


def test_a_caller_cannot_fill_the_queue(limited):
    """Its share is refused to it; the other one's calls find room."""
    daemon = limited(callers=CALLERS, queue_length=4, streams=2000)
    body = frame(rawh2.DATA, rawh2.END_STREAM, 0, message(kit.pb.GetLoginRequirementRequest(
        tenant_id="t", user_id="u").SerializeToString()))
    quiet = daemon.caller("quiet")
    quiet.login("t", "u")
    with rawh2.Connection(daemon.port) as conn:
        out, streams = b"", []
        for _ in range(50):
            stream = conn.new_stream()
            fields = rawh2.request_headers(kit.SERVICE + "GetLoginRequirement",
                                           authorization="Bearer " + daemon.tokens["noisy"])
            out += conn.header_frames(fields, stream) + body[:5] + stream.to_bytes(4, "big") + body[9:]
            streams.append(stream)
        conn.send(out)
        quiet.login("t", "u")
        codes = [conn.wait(stream).grpc for stream in streams]
    for _ in range(5):
        daemon.caller("noisy").login("t", "u")  # its places have come back
    assert set(codes) == {0, EXHAUSTED.value[0]}
    assert sample(daemon).total("twostep_limited_total", limit="caller_queue") == \
        codes.count(EXHAUSTED.value[0])
    assert sample(daemon).total("twostep_queue_refused_total") == 0
