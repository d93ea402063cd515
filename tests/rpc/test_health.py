# SPDX-License-Identifier: ISC
"""Goal: load balancers and people see whether it serves, and a stop loses nobody's call."""
import os
import signal
import threading

import grpc
import pytest

import rawh2
from kit import PATIENCE, SERVICE, pb, refused, wait_until
from peers import program, run
from grpc.health.v1 import health_pb2, health_pb2_grpc

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def check(daemon, service=""):
    stub = health_pb2_grpc.HealthStub(daemon.api.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE).status


@pytest.mark.parametrize("name", ["", "twostep.v1.TwoStepService"])
def test_what_is_served_is_serving(service, name):
    assert check(service, name) == SERVING


@pytest.mark.parametrize("name", ["nothing", "twostep.v1", "twostep.v1.TwoStepService ", "TWOSTEP",
                                  "twostep.v1.TwoStepService/Verify", "grpc.health.v1.Health2"])
def test_what_is_not_served_is_not_found(service, name):
    with refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_SERVICE"):
        check(service, name)


def test_a_service_name_is_a_string(service):
    call = service.api.channel.unary_unary(CHECK)
    for message in (b"\x0a\x01\xff", b"\x0a\x01\0"):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, fields=["service"]):
            call(message, timeout=PATIENCE)


# ---- watching ----

@pytest.fixture
def watch(service):
    """watch(name): the statuses as they come; what is still open is cancelled with the test."""
    stub, calls = health_pb2_grpc.HealthStub(service.api.channel), []

    def begin(name=""):
        calls.append(stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE))
        return calls[-1]
    yield begin
    for call in calls:
        call.cancel()


@pytest.mark.parametrize("name", ["", "twostep.v1.TwoStepService"])
def test_who_watches_is_told_at_once(watch, name):
    assert next(watch(name)).status == SERVING


def test_an_unknown_service_is_told_so_and_the_stream_stays(watch, service):
    call = watch("nothing")
    assert next(call).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert check(service) == SERVING
    assert call.is_active()


def test_the_service_name_of_a_watch_is_a_string(service):
    call = service.api.channel.unary_stream(WATCH)
    for message in (b"\x0a\x01\xff", b"\x0a\x01\0"):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, fields=["service"]):
            next(call(message, timeout=PATIENCE))


def test_watches_come_and_go(service):
    """A hundred at once on one connection, then others in their places, while a daemon serves."""
    with rawh2.Connection(service.port) as c:
        for _ in range(3):
            streams = [c.open(WATCH) for _ in range(100)]
            for stream in streams:
                c.data(stream, rawh2.message(b""))
            for stream in streams:
                while len(c.answers[stream].data) < 7:
                    c.read_frame()
                assert c.answers[stream].data == rawh2.message(b"\x08\x01")
            for stream in streams:
                c.reset(stream)
            c.sync()
            assert c.call(CHECK).message == b"\x08\x01"


def test_who_watches_hears_of_a_stop_before_the_goaway(daemon):
    daemon.hang_up()
    with rawh2.Connection(daemon.port) as c:
        c.answer_pings = False
        watches = [c.open(WATCH) for _ in range(3)]
        for stream in watches[:2]:
            c.data(stream, rawh2.message(b""))
        c.sync()
        os.kill(daemon.process.pid, signal.SIGTERM)
        for stream in watches[:2]:
            assert c.wait(stream).data == rawh2.message(b"\x08\x01") + rawh2.message(b"\x08\x02")
            assert c.answers[stream].grpc == UNAVAILABLE
        assert not c.goaways
        while not c.goaways:
            c.read_frame()
        c.data(watches[2], rawh2.message(b""))  # comes too late to be told of a change
        late = c.open(WATCH)
        c.data(late, rawh2.message(b""))
        for stream in (watches[2], late):
            assert c.wait(stream).data == rawh2.message(b"\x08\x02")
            assert c.answers[stream].grpc == UNAVAILABLE
        c.wait_closed()
    ends_with(daemon, 0)


def probe(daemon, *args):
    return run([program("grpc-health-probe"), "-addr", daemon.address, *args]).returncode


def test_grpc_health_probe(service):
    assert probe(service) == 0
    assert probe(service, "-service", "twostep.v1.TwoStepService") == 0
    assert probe(service, "-service", "nothing") == 3  # the RPC has failed: it is not served


# ---- the end ---------------------------------------------------------------------------------------------

def ends_with(daemon, status):
    process, daemon.process = daemon.process, None
    assert process.wait(PATIENCE) == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_with_status_0_and_says_so(daemon, number):
    os.kill(daemon.process.pid, number)
    ends_with(daemon, 0)
    events = [e["event"] for e in daemon.log()]
    assert events[-2:] == ["stopping", "drained"]


def test_while_draining_health_says_not_serving_and_open_calls_are_answered(daemon):
    """A call whose message is still on its way holds the connection open; this client does not
    confirm the first GOAWAY, so that it may still open a stream."""
    tenant = daemon.tenant()
    ask = pb.GetLoginRequirementRequest(tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB)
    daemon.hang_up()
    with rawh2.Connection(daemon.port) as c:
        c.answer_pings = False
        slow = c.open(SERVICE + "GetLoginRequirement")
        c.sync()
        os.kill(daemon.process.pid, signal.SIGTERM)
        while not c.goaways:
            c.read_frame()
        assert c.goaways[0][:2] == (2**31 - 1, 0)
        answer = c.call(CHECK)
        assert health_pb2.HealthCheckResponse.FromString(answer.message).status == NOT_SERVING
        c.send(rawh2.frame(rawh2.PING, rawh2.ACK, 0, c.pings[-1][1]))
        c.data(slow, rawh2.message(ask.SerializeToString()))
        response = pb.GetLoginRequirementResponse.FromString(c.wait(slow).message)
        assert response.requirement == pb.LOGIN_REQUIREMENT_ENROLL
        assert c.wait_closed() == 0
        assert c.goaways[-1][0] >= slow
    ends_with(daemon, 0)


def test_a_new_connection_is_refused_while_draining(daemon):
    with rawh2.Connection(daemon.port) as c:
        slow = c.open(SERVICE + "GetLoginRequirement")
        c.sync()
        os.kill(daemon.process.pid, signal.SIGTERM)
        while not c.goaways:
            c.read_frame()
        with pytest.raises((ConnectionRefusedError, ConnectionResetError, rawh2.Closed)):
            with rawh2.Connection(daemon.port) as late:
                late.sync()
        c.reset(slow)
        c.wait_closed()
    ends_with(daemon, 0)


def test_who_never_finishes_is_cut_off_after_drain_seconds(make_daemon):
    daemon = make_daemon(env={"TWOSTEP_DRAIN_SECONDS": "0"})
    with rawh2.Connection(daemon.port) as c:
        c.open(SERVICE + "GetLoginRequirement")
        c.sync()
        os.kill(daemon.process.pid, signal.SIGTERM)
        ends_with(daemon, 0)
    assert "cut off" in daemon.log()[-1]["result"]


def test_a_stop_under_load_loses_nothing_that_was_answered(daemon):
    """Every call is answered or fails as UNAVAILABLE; what was answered is kept."""
    answered, problems = {}, []

    def change(api, tenant):
        try:
            while True:
                answered[tenant] = api.set_policy(tenant, enabled=True).revision
        except (grpc.RpcError, ValueError) as e:
            problems.append(e)
    tenants = ["t%d" % n for n in range(8)]
    threads = [threading.Thread(target=change, args=(daemon.caller(), t)) for t in tenants]
    for t in threads:
        t.start()
    wait_until(lambda: min(answered.get(t, 0) for t in tenants) > 20, "load")
    os.kill(daemon.process.pid, signal.SIGTERM)
    ends_with(daemon, 0)
    for t in threads:
        t.join()
    assert {e.code() for e in problems} == {grpc.StatusCode.UNAVAILABLE}
    daemon.start()
    for tenant in tenants:
        assert daemon.api.get_policy(tenant).revision == answered[tenant]


def test_sighup_ends_nothing(daemon):
    tenant = daemon.tenant()
    for _ in range(3):
        os.kill(daemon.process.pid, signal.SIGHUP)
    wait_until(lambda: any(e["event"] == "reloaded" for e in daemon.log()), "a word about it")
    assert daemon.api.login(tenant, "ann").requirement == pb.LOGIN_REQUIREMENT_ENROLL
