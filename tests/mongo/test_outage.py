# SPDX-License-Identifier: ISC
"""Goal: with the server away, or not the one that it should be, twostepd says so in time, fails
closed and at once, and goes on when it is back."""
import concurrent.futures
import contextlib
import socket
import ssl
import subprocess
import time

import grpc
import pytest

import fake
import operations
import postbox
import scene
from fake_faults import ERROR, STEP_DOWN
from grpc.health.v1 import health_pb2, health_pb2_grpc
from kit import PATIENCE, Daemon, refused, wait_until

BAD_CONFIGURATION, STORE_UNUSABLE = 78, 69
START_MAX = 15  # seconds in which a start has succeeded or given up
PASSWORD = "correct-horse-battery-2"


def serving(stage):
    stub = health_pb2_grpc.HealthStub(stage.api.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def stage(tmp_path):
    with scene.Scene(tmp_path / "d", mail=False) as made:
        made.daemon.expected |= {"call_failed", "store_failed"}
        yield made


# ---- starts that end -----------------------------------------------------------------------------------

def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % s.getsockname()[1]


class Start:
    """What a start that cannot succeed comes to."""

    def __init__(self, folder, store, **settings):
        env = {"TWOSTEP_STORE": store, **{"TWOSTEP_" + k.upper(): str(v) for k, v in settings.items()}}
        daemon = Daemon(folder, env=env)
        begun = time.monotonic()
        process = daemon.spawn()
        try:
            self.status = process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.seconds, self.text = time.monotonic() - begun, daemon.text()
        self.failed = [e for e in daemon.log() if e["event"] == "start_failed"][-1]
        shown = subprocess.run([daemon.program, "--print-config"], env=daemon.env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert PASSWORD not in self.text and PASSWORD not in shown.stdout

    def check(self, status, *words):
        assert self.status == status == self.failed["exit"], self.text
        assert self.seconds < START_MAX
        for word in words:
            assert word in self.failed["detail"], self.failed["detail"]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    cert, key = postbox.make_certificate(str(tmp_path_factory.mktemp("tls")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with fake.Fake(tls=context) as server:
        yield server, cert


@pytest.fixture(scope="module")
def slow_starts(tmp_path_factory, tls):
    """Those that wait for a server for as long as a start does, at the same time."""
    with fake.Fake() as plain, concurrent.futures.ThreadPoolExecutor(5) as pool:
        user = "mongodb://crm:%s@" % PASSWORD
        stores = {
            "nobody listens": user + free_address() + "/two?replicaSet=fake",
            "TLS, which the server does not speak": user + plain.address + "/two?replicaSet=fake&tls=true",
            "no TLS, which the server wants": user + tls[0].address + "/two?replicaSet=fake",
            "no such name": user + "nobody.invalid:27017/two?replicaSet=fake",
            "TLS with a certificate of nobody": user + tls[0].address + "/two?replicaSet=fake&tls=true",
        }
        yield {name: pool.submit(Start, tmp_path_factory.mktemp("start"), store)
               for name, store in stores.items()}


SLOW = ["nobody listens", "no such name", "TLS, which the server does not speak", "no TLS, which the server wants",
        "TLS with a certificate of nobody"]


def wrong_credentials(server):
    return "mongodb://crm:%s@%s/two?replicaSet=fake&authMechanism=SCRAM-SHA-256" % (PASSWORD, server.address)


def test_wrong_credentials(tmp_path):
    with fake.Fake() as server:
        Start(tmp_path / "d", wrong_credentials(server)).check(BAD_CONFIGURATION, "store:", "credentials")


@pytest.mark.parametrize("uri", [
    "mongodb://crm:%s@", "mongodb://crm:%s@h/x?replicaSet=%%zz", "mongodb://crm:%s/@h/", "mongodb://crm:%s@h:99999/"])
def test_a_uri_that_is_none(tmp_path, uri):
    Start(tmp_path / "d", uri % PASSWORD).check(BAD_CONFIGURATION, "store:")


@pytest.mark.parametrize("option, named", [
    ("w=1", "w"), ("w=0", "w"), ("journal=false", "journal"), ("readConcernLevel=local", "readConcernLevel"),
    ("readPreference=secondary", "readPreference"), ("tls=true&tlsInsecure=true", "TLS"),
    ("tls=true&tlsAllowInvalidCertificates=true", "TLS")])
def test_a_uri_that_promises_too_little(tmp_path, option, named):
    start = Start(tmp_path / "d", "mongodb://crm:%s@127.0.0.1:1/two?replicaSet=fake&%s" % (PASSWORD, option))
    start.check(BAD_CONFIGURATION, "store:", named, "store_development")


def test_a_newer_schema(tmp_path):
    with fake.Fake() as server:
        server.collection("two", "meta").put({"_id": "schema", "version": 99})
        Start(tmp_path / "d", scene.uri(server)).check(BAD_CONFIGURATION, "store:", "schema 99", "newer")


def test_a_schema_of_no_sense(tmp_path):
    with fake.Fake() as server:
        server.collection("two", "meta").put({"_id": "schema", "version": "one"})
        Start(tmp_path / "d", scene.uri(server)).check(STORE_UNUSABLE, "schema")


def test_a_server_on_its_own(tmp_path):
    """It is no replica set: only for development."""
    with fake.Fake() as server:
        alone(server)
        store = "mongodb://%s/two" % server.address
        Start(tmp_path / "d", store).check(BAD_CONFIGURATION, "store:", "replica set", "store_development")
    with scene.Scene(tmp_path / "e", server=alone(fake.Fake()), mail=False, start=False) as stage:
        stage.daemon.env.update(TWOSTEP_STORE="mongodb://%s/two" % stage.server.address,
                                TWOSTEP_STORE_DEVELOPMENT="yes")
        stage.daemon.start()
        stage.daemon.enrol(stage.daemon.tenant(), "ann")
        assert [e["level"] for e in stage.daemon.log() if e["event"] == "development_store"] == ["warn"]


def alone(server):
    """Its greeting tells of no replica set."""
    def edit(reply):
        return {k: v for k, v in reply.items() if k not in ("setName", "hosts", "me", "primary", "setVersion")}
    for name in ("hello", "isMaster", "ismaster"):
        server.fault(fake.EDIT, name, times=0, edit=edit)
    return server


def test_an_index_that_cannot_be_made(tmp_path):
    with fake.Fake() as server:
        server.fault(ERROR, "createIndexes", "users", code=67, times=0)
        Start(tmp_path / "d", scene.uri(server)).check(BAD_CONFIGURATION, "store:", "index", "users")


def test_a_database_that_may_not_be_written(tmp_path):
    with fake.Fake() as server:
        server.fault(ERROR, "insert", code=13, times=0)
        Start(tmp_path / "d", scene.uri(server)).check(BAD_CONFIGURATION, "store:", "written")


# ---- TLS that is right -----------------------------------------------------------------------------------

def test_tls(tmp_path, tls):
    server, cert = tls
    with contextlib.closing(Daemon(tmp_path / "d", env={
            "TWOSTEP_STORE": "mongodb://localhost:%d/two?tls=true&tlsCAFile=%s&directConnection=true"
            % (server.port, cert)}).start().api.channel):
        pass


# ---- without a server ----------------------------------------------------------------------------------

def test_it_may_start_without_one_and_wait(tmp_path):
    server = fake.Fake(strict=True)
    server.down()
    with scene.Scene(tmp_path / "d", server=server, mail=False, start=False, start_without_store="yes") as stage:
        stage.daemon.expected |= {"call_failed", "store_failed"}
        begun = time.monotonic()
        stage.daemon.start()
        assert time.monotonic() - begun < START_MAX
        assert not serving(stage)
        with refused(grpc.StatusCode.UNAVAILABLE):
            stage.api.get_policy("t")
        server.up()
        wait_until(lambda: serving(stage), "it serves")
        stage.daemon.enrol(stage.daemon.tenant(), "ann")


def test_it_serves_nothing_with_a_server_that_is_newer_when_it_comes(tmp_path):
    server = fake.Fake(strict=True)
    server.collection("two", "meta").put({"_id": "schema", "version": 99})
    server.down()
    with scene.Scene(tmp_path / "d", server=server, mail=False, start=False, start_without_store="yes") as stage:
        stage.daemon.expected |= {"call_failed", "store_failed"}
        stage.daemon.start()
        server.up()
        wait_until(lambda: any("schema 99" in e.get("detail", "") for e in stage.daemon.log()), "it says why")
        assert not serving(stage)
        with refused(grpc.StatusCode.UNAVAILABLE):
            stage.api.get_policy("t")


def test_a_server_that_goes_and_comes_back(stage):
    """The first calls fail in the time that they have, later ones at once, until it is back."""
    factor = operations.enrolled(stage)
    code, request = factor.code_at(stage.daemon.now), scene.request_id()
    stage.server.down()
    begun = time.monotonic()
    for _ in range(5):
        assert scene.said(stage.verify(factor, code, 0.6, request_id=request))[1] in scene.UNDECIDED
    assert time.monotonic() - begun < 5 * 0.6 + 1
    wait_until(lambda: not serving(stage), "health says so")
    assert time.monotonic() - begun < START_MAX
    stage.server.commands.reset()
    begun = time.monotonic()
    for _ in range(50):
        assert scene.said(stage.verify(factor, code))[1] == "UNAVAILABLE"
    assert time.monotonic() - begun < 2
    assert stage.server.commands.count() == 0
    stage.server.up()
    wait_until(lambda: serving(stage), "it serves again")
    assert scene.said(stage.verify(factor, code, request_id=request))[1] == "ACCEPTED"
    events = [e["event"] for e in stage.daemon.log()]
    assert events.count("store_failed") == 1 and events.count("store_works") == 1
    assert stage.daemon.stop() == 0
    stage.check_end()


def test_a_call_that_meets_a_step_down_waits_for_the_next_primary(stage):
    factor = operations.enrolled(stage)
    fault = stage.server.fault(STEP_DOWN, "findAndModify", "users")
    call = stage.verify(factor, factor.code_at(stage.daemon.now), 5)
    fault.wait()
    assert not call.done()
    stage.server.step_up()
    assert scene.said(call)[1] == "ACCEPTED"
    assert scene.failures(stage.user(factor.tenant)) == 0


def test_step_downs_one_after_the_other_lose_nothing(stage):
    factor = operations.enrolled(stage)
    for _ in range(5):
        stage.daemon.advance(30)
        fault = stage.server.fault(STEP_DOWN, "update", "users")  # the one that accepts, which it has done
        call = stage.verify(factor, factor.code_at(stage.daemon.now), 5)
        fault.wait()
        stage.server.step_up()
        assert scene.said(call)[1] == "ACCEPTED"
        again = stage.verify(factor, factor.code_at(stage.daemon.now), 5)
        assert scene.said(again)[1] == "REPLAYED_CODE"


def test_without_a_primary_a_call_ends_in_its_time(stage):
    factor = operations.enrolled(stage)
    stage.server.step_down()
    begun = time.monotonic()
    assert scene.said(stage.verify(factor, factor.code_at(stage.daemon.now), 0.3))[1] in scene.UNDECIDED
    assert time.monotonic() - begun < 1
    stage.server.step_up()


@pytest.mark.parametrize("owed", [False, True])
def test_it_stops_without_the_server(tmp_path, owed):
    """Whether or not it has records that it could not write."""
    with scene.Scene(tmp_path / "d", mail=False) as stage:
        stage.daemon.expected |= {"call_failed", "store_failed"}
        tenant = stage.daemon.tenant()
        stage.daemon.enrol(tenant, "ann")
        wait_until(lambda: stage.view("audit").find({"tenant": tenant.encode()})[2:], "all is recorded")
        if owed:
            stage.server.fault(ERROR, "insert", "audit", code=189, times=0)
            stage.daemon.enrol(tenant, "bob")
        stage.server.down()
        begun = time.monotonic()
        assert stage.daemon.stop() == 0
        assert time.monotonic() - begun < 5 + 8  # drain_seconds, and what is waited for the last records
        ended = [e for e in stage.view("chains").find() if "ended" in e]
        assert not ended  # which shows like a death: the safe side


# ---- last, as they take as long as a start may take ------------------------------------------------------

@pytest.mark.parametrize("name", SLOW)
def test_a_start_gives_up(slow_starts, name):
    slow_starts[name].result().check(STORE_UNUSABLE, "store:", "mongodb")
