# SPDX-License-Identifier: ISC
"""Goal: deploy/nginx.conf, as it is but for addresses and times, in front of two daemons. The story
of a sign-in through it, on a MongoDB that both share; then what becomes of calls when a daemon
hangs or is gone. Without an nginx (deploy/install-peers.sh gets one) they are skipped."""
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import uuid

import grpc
import pytest

import mongo_servers
from certificates import Files
from kit import PATIENCE, T0, Api, clean_env, fresh, pb, refused, wait_until
from grpc.health.v1 import health_pb2, health_pb2_grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONF = ROOT / "deploy" / "nginx.conf"
PAGE = ROOT / "docs" / "mongodb.md"
READ_TIMEOUT = 1  # seconds, in place of what a twostepd that hangs is given
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def find_nginx():
    peers = ROOT / "build" / "peers"  # one for all builds
    return shutil.which("nginx", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", str(peers)]))


pytestmark = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")


def with_tls(text, files):
    """What the page says: the first line is in place of listen, the last of each grpc_pass."""
    first, *added, last = re.search(r"```nginx\n(.*?)\n```", PAGE.read_text(), re.S).group(1).split("\n")
    assert "listen 7443 http2;" in text and first.startswith("listen") and last.startswith("grpc_pass")
    text = text.replace("listen 7443 http2;", " ".join([first, *added])).replace("grpc_pass grpc://twostep;", last)
    return text.replace("/etc/nginx/", files.folder + "/").replace("twostep.internal", "localhost")


class Nginx:
    """deploy/nginx.conf, listening on a Unix socket in folder; files: with TLS, as docs/mongodb.md
    has it."""

    def __init__(self, folder, daemons, files=None):
        self.folder, self.channels = folder, []
        self.credentials = files.credentials() if files else None
        self.socket, self.calls_path = folder / "socket", folder / "calls"
        text = CONF.read_text().replace(" /tmp/", " %s/" % folder)
        if files:
            text = with_tls(text, files)
        for old, new in [("listen 7443 ", "listen unix:%s " % self.socket),
                         ("twostep-1:7443", daemons[0].address), ("twostep-2:7443", daemons[1].address),
                         ("/dev/stdout", str(self.calls_path)),
                         ("grpc_read_timeout 15s", "grpc_read_timeout %ds" % READ_TIMEOUT)]:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (folder / "nginx.conf").write_text(text)
        start = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
        with open(folder / "errors", "wb") as errors:
            self.process = subprocess.Popen(
                [find_nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", start],
                env=clean_env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        wait_until(lambda: self.socket.exists() or self.process.poll() is not None, "nginx listens")
        assert self.process.poll() is None, (folder / "errors").read_text()

    def stop(self):
        for channel in self.channels:
            channel.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0

    def channel(self):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        if self.credentials:
            options.append(("grpc.ssl_target_name_override", "localhost"))
            channel = grpc.secure_channel("unix:%s" % self.socket, self.credentials, options)
        else:
            channel = grpc.insecure_channel("unix:%s" % self.socket, options)
        self.channels.append(channel)
        return channel

    def caller(self, token=None):
        return Api(self.channel(), token)

    def wait_for_answer_of(self, daemon):
        """Calls go on meanwhile."""
        seen = len(self.calls_path.read_text().splitlines())
        wait_until(lambda: any('"upstream":"%s"' % daemon.address in line
                               for line in self.calls_path.read_text().splitlines()[seen:]),
                   "an answer of " + daemon.address)

    def calls(self, method, n=1):
        """What nginx wrote of the calls of a method, when it has written of n."""
        def lines():
            found = [json.loads(line) for line in self.calls_path.read_text().splitlines()]
            found = [c for c in found if c["path"].endswith("/" + method)]
            return found if len(found) >= n else None
        return wait_until(lines, "%d lines about %s" % (n, method))


@contextlib.contextmanager
def proxy(folder, daemons, files=None):
    nginx = Nginx(folder, daemons, files)
    try:
        yield nginx
    finally:
        nginx.stop()


def stay(daemon):
    """Its next start is at the same address."""
    daemon.env["TWOSTEP_LISTEN"] = daemon.address
    return daemon


@pytest.fixture
def pair(make_daemon, tmp_path):
    """nginx and two daemons that do not know of each other."""
    daemons = [stay(make_daemon()), stay(make_daemon())]
    with proxy(tmp_path, daemons) as nginx:
        yield nginx, daemons


@pytest.fixture
def team(make_daemon, tmp_path):
    """nginx and two daemons with one MongoDB, one keyring, one set of callers and one clock."""
    with mongo_servers.java_server() as place:
        store = {"TWOSTEP_STORE": place.uri + place.database, "TWOSTEP_STORE_DEVELOPMENT": "yes"}
        first = make_daemon(env=store, callers={"crm": (["login:web", "policy"], ["*"])})
        second = make_daemon(start=False, env=store)
        shutil.copy(first.keyring, second.keyring)
        for name in ("TWOSTEP_TEST_CLOCK_FILE", "TWOSTEP_CALLERS_FILE"):
            second.env[name] = first.env[name]
        daemons = [stay(first), stay(second.start())]
        with proxy(tmp_path, daemons) as nginx:
            yield nginx, daemons
        for daemon in daemons:  # before their store
            assert daemon.stop() == 0


# ---- the story ------------------------------------------------------------------------------------

def test_a_sign_in_through_nginx(team):
    nginx, daemons = team
    api = nginx.caller(daemons[0].tokens["crm"])
    api.set_policy("crm", enabled=True)
    assert api.login("crm", "ann").requirement == pb.LOGIN_REQUIREMENT_ENROLL
    assert api.enroll("crm", "eve", qr_format=pb.QR_FORMAT_PNG).qr_png.startswith(b"\x89PNG")
    factor = api.enrol("crm", "ann", T0)
    for n in range(1, 5):
        daemons[0].advance(30)
        assert api.login("crm", "ann").requirement == pb.LOGIN_REQUIREMENT_CODE
        right, wrong = factor.code_at(daemons[0].now), factor.wrong_at(daemons[0].now)
        assert api.outcome("crm", "ann", wrong) == "WRONG_CODE"
        assert api.outcome("crm", "ann", right) == "ACCEPTED"
        assert api.outcome("crm", "ann", right) == "REPLAYED_CODE"
    used = {c["upstream"] for c in nginx.calls("Verify", 13)}
    assert used == {d.address for d in daemons}


def test_a_code_is_accepted_once_through_both_daemons(team):
    nginx, daemons = team
    apis = [nginx.caller(daemons[0].tokens["crm"]) for _ in range(4)]
    apis[0].set_policy("crm", enabled=True)
    factor = apis[0].enrol("crm", "ann", T0)
    daemons[0].advance(30)
    code = factor.code_at(daemons[0].now)
    with concurrent.futures.ThreadPoolExecutor(len(apis)) as pool:
        outcomes = collections.Counter(pool.map(lambda api: api.outcome("crm", "ann", code), apis))
    assert outcomes == {"ACCEPTED": 1, "REPLAYED_CODE": 3}


def test_a_request_that_is_sent_again_has_its_answer_from_the_other_daemon(team):
    nginx, daemons = team
    api = nginx.caller(daemons[0].tokens["crm"])
    api.set_policy("crm", enabled=True)
    factor = api.enrol("crm", "ann", T0)
    daemons[0].advance(30)
    again = dict(code=factor.code_at(daemons[0].now), request_id=str(uuid.uuid4()))
    assert [api.outcome("crm", "ann", **again) for _ in range(4)] == ["ACCEPTED"] * 4
    assert len({c["upstream"] for c in nginx.calls("Verify", 5)}) == 2


def test_daemons_take_turns_to_restart_and_nobody_is_let_in_twice_or_kept_out(team):
    """Sign-ins go on all the time, each with a request id, and an answer that did not come is
    asked for again: as docs/integrate.md says."""
    nginx, daemons = team
    api = nginx.caller(daemons[0].tokens["crm"])
    api.set_policy("crm", enabled=True)
    factors = [api.enrol("crm", fresh("u"), T0) for _ in range(8)]
    daemons[0].advance(30)
    stop, tries = threading.Event(), collections.Counter()

    def sign_in(factor):
        mine = nginx.caller(daemons[0].tokens["crm"])
        code, request = factor.code_at(daemons[0].now), str(uuid.uuid4())
        outcomes = set()
        while not stop.is_set() or not outcomes:
            try:
                outcomes.add(mine.outcome("crm", factor.user, code, request_id=request))
                tries["answered"] += 1
            except grpc.RpcError as e:
                assert e.code() == UNAVAILABLE, e
                tries["again"] += 1
        return outcomes
    with concurrent.futures.ThreadPoolExecutor(len(factors)) as pool:
        running = [pool.submit(sign_in, f) for f in factors]
        for daemon in daemons:
            seen = tries["answered"]
            wait_until(lambda: tries["answered"] > seen + 50, "answers")
            daemon.restart()
            nginx.wait_for_answer_of(daemon)
        stop.set()
        assert [r.result(PATIENCE) for r in running] == [{"ACCEPTED"}] * len(factors)


# ---- errors and metadata ----------------------------------------------------------------------------

def test_errors_of_a_daemon_come_with_their_details(team):
    nginx, daemons = team
    with refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_REJECTED"):
        nginx.caller("nobody.nothing").login("crm", "ann")
    with refused(grpc.StatusCode.INVALID_ARGUMENT, fields=["user_id"]):
        nginx.caller(daemons[0].tokens["crm"]).login("crm", "")


def test_health_is_asked_through_nginx(pair):
    nginx, _ = pair
    stub = health_pb2_grpc.HealthStub(nginx.channel())
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_who_watches_the_health_hears_of_a_stop(pair):
    nginx, daemons = pair
    stub = health_pb2_grpc.HealthStub(nginx.channel())
    said = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert next(said).status == health_pb2.HealthCheckResponse.SERVING
    for daemon in daemons:
        assert daemon.stop() == 0
    assert next(said).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_tls_to_nginx_and_from_it(make_daemon, tmp_path):
    (tmp_path / "files").mkdir()
    files = Files(tmp_path / "files")
    daemons = [make_daemon(env=files.settings()) for _ in range(2)]
    with proxy(tmp_path, daemons, files) as nginx:
        for _ in range(4):
            assert nginx.caller().login("crm", "ann").reason == pb.REASON_POLICY_OFF
        assert {c["upstream"] for c in nginx.calls("GetLoginRequirement", 4)} == {d.address for d in daemons}


def test_nginx_does_not_trust_a_daemon_of_another_name(make_daemon, tmp_path):
    (tmp_path / "files").mkdir()
    files = Files(tmp_path / "files")
    daemons = [make_daemon(env=files.settings(name="elsewhere")) for _ in range(2)]
    with proxy(tmp_path, daemons, files) as nginx:
        with pytest.raises(grpc.RpcError) as e:
            nginx.caller().login("crm", "ann")
        assert e.value.code() == UNAVAILABLE


@pytest.mark.parametrize("path", ["/other.Service/Method", "/", "/status/unavailable"])
def test_what_is_no_call_of_ours_is_unimplemented(pair, path):
    nginx, _ = pair
    call = nginx.channel().unary_unary(path, request_serializer=None, response_deserializer=None)
    with pytest.raises(grpc.RpcError) as e:
        call(b"", timeout=PATIENCE)
    assert (e.value.code(), e.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "no such method")


def test_a_message_that_is_too_large_is_refused(pair):
    nginx, _ = pair
    with pytest.raises(grpc.RpcError) as e:
        nginx.caller().raw("Verify", bytes(2 << 20))
    assert e.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


# ---- a daemon that is gone, or hangs ----------------------------------------------------------------

def test_nobody_notices_a_daemon_that_was_killed(pair):
    nginx, daemons = pair
    api = nginx.caller()
    for _ in range(4):
        api.login("crm", "ann")
    daemons[0].kill()
    for _ in range(8):
        assert api.outcome("crm", "ann", "123456") == "NOT_REQUIRED"
    assert nginx.calls("Verify", 8)[-1]["upstream"] == daemons[1].address
    daemons[0].start()


def test_without_any_daemon_calls_are_unavailable_in_the_words_of_grpc(pair):
    nginx, daemons = pair
    for daemon in daemons:
        assert daemon.stop() == 0
    api = nginx.caller()
    for _ in range(4):
        with pytest.raises(grpc.RpcError) as e:
            api.login("crm", "ann")
        assert e.value.code() == UNAVAILABLE
        assert e.value.details().startswith("no twostepd answered")


@contextlib.contextmanager
def asleep(daemon):
    os.kill(daemon.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)


def test_a_call_that_was_sent_is_not_sent_again(pair):
    """Which daemon is asked first is nginx's business: of two calls one meets the one that hangs."""
    nginx, daemons = pair
    api = nginx.caller()
    codes = []
    with asleep(daemons[0]):
        for _ in range(2):
            try:
                codes.append(api.outcome("crm", "ann", "123456"))
            except grpc.RpcError as e:
                codes.append(e.code())
    assert sorted(codes, key=str) == sorted(["NOT_REQUIRED", UNAVAILABLE], key=str)
    calls = sorted(nginx.calls("Verify", 2), key=lambda c: c["grpc"])
    assert [c["grpc"] for c in calls] == ["0", "14"]
    assert [c["upstream"] for c in calls] == [daemons[1].address, daemons[0].address]
