# SPDX-License-Identifier: ISC
"""Goal: who watches the daemon sees what happens, as numbers that monitoring systems understand;
and whatever is done to that page, sign-ins go on."""
import os
import signal
import socket
import threading
import time

import grpc
import pytest

import postbox
import rawh2
import watching
from kit import PATIENCE, SERVICE, T0, Api, Factor, at, fresh, pb, refused, wait_until
from watching import SETTINGS, ask, becomes, moved, sample

NOW = T0 // 30_000
LINK = dict(reset_link="https://crm.example/reset?token={token}", mail_from="crm@crm.example")
PAGE_SECONDS = 5
PAGE_CONNECTIONS_MAX = 32
REQUEST_MAX = 4096


@pytest.fixture(scope="module")
def watched(make_service):
    """One daemon with a page for the tests of this file."""
    return make_service(env=SETTINGS)


@pytest.fixture
def sink():
    server = postbox.Sink()
    yield server
    server.stop()


# ---- the page --------------------------------------------------------------------------------------------

def test_without_the_setting_there_is_no_page(daemon):
    assert watching.address(daemon) is None


def test_the_page_is_what_prometheus_reads(watched):
    status, headers, body = ask(watched, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    page = sample(watched)
    assert {"counter", "gauge", "histogram"} == set(page.types.values())
    lines = body.decode().splitlines()
    for name, kind in page.types.items():
        full = name + ("_total" if kind == "counter" else "")
        assert lines.count("# TYPE %s %s" % (full, kind)) == 1
        assert sum(line.startswith("# HELP %s " % full) for line in lines) == 1
    assert body.endswith(b"\n") and b"\r" not in body


def test_promtool_has_nothing_against_it(watched):
    if not os.path.exists(watching.PROMTOOL):
        pytest.skip("promtool is not there: deploy/install-peers.sh")
    watched.api.login(watched.tenant(), "ann")
    assert watching.promtool(ask(watched, "/metrics")[2]) == ""
    assert watching.promtool(b"# TYPE a counter\na 1\n") != ""


def test_the_process_tells_of_itself(watched):
    page = sample(watched)
    pid = watched.process.pid
    assert page.total("twostep_build_info") == 1
    assert abs(page.total("process_start_time_seconds") - os.stat("/proc/%d" % pid).st_mtime) < 60
    assert 10 < page.total("process_open_fds") < page.total("process_max_fds")
    with open("/proc/%d/statm" % pid) as f:
        resident = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert resident / 2 < page.total("process_resident_memory_bytes") < resident * 2
    assert page.total("process_cpu_seconds_total") > 0
    with socket.create_connection(("127.0.0.1", watched.port)), \
            socket.create_connection(("127.0.0.1", watched.port)):
        becomes(watched, lambda s: s.total("process_open_fds") >=
                page.total("process_open_fds") + 2, "two descriptors more")


def ask_for_mail(daemon, tenant):
    daemon.api.call("ResetRequest", pb.ResetRequestRequest(
        tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB, password_verified=True,
        mail_address="ann@mail.example"))


# ---- decisions -------------------------------------------------------------------------------------------

def signed_in(daemon):
    tenant = daemon.tenant()
    return tenant, daemon.enrol(tenant, "ann")


def accepted(daemon):
    tenant, ann = signed_in(daemon)
    return tenant, "ann", dict(code=ann.code_of(NOW + 1))


def wrong(daemon):
    tenant, ann = signed_in(daemon)
    return tenant, "ann", dict(code=ann.wrong_at(T0))


def replayed(daemon):
    tenant, ann = signed_in(daemon)
    return tenant, "ann", dict(code=ann.code_of(NOW))


def locked(daemon):
    tenant, ann = signed_in(daemon)
    for _ in range(5):
        assert daemon.api.outcome(tenant, "ann", ann.wrong_at(T0)) == "WRONG_CODE"
    return tenant, "ann", dict(code=ann.code_of(NOW + 1))


def not_enrolled(daemon):
    return daemon.tenant(), "zoe", dict(code="000000")


def not_required(daemon):
    return fresh(), "ann", dict(code="000000")


def enrollment_expired(daemon):
    tenant = daemon.tenant()
    late = daemon.api.pending(tenant, "pat")
    daemon.api.pending(tenant, "pat")
    return tenant, "pat", dict(code=late.code_of(NOW), enrollment_id=late.enrollment_id)


@pytest.mark.parametrize("outcome, scene", [
    ("accepted", accepted), ("wrong_code", wrong), ("replayed_code", replayed), ("locked", locked),
    ("not_enrolled", not_enrolled), ("not_required", not_required),
    ("enrollment_expired", enrollment_expired)])
def test_each_outcome_moves_its_counter_and_no_other(watched, outcome, scene):
    tenant, user, fields = scene(watched)
    before = sample(watched)
    assert watched.api.outcome(tenant, user, **fields) == outcome.upper()
    assert moved(before, sample(watched), "twostep_verify_total", "outcome") == {outcome: 1}


def test_a_code_of_the_secret_before_is_told_apart(make_daemon, sink):
    daemon = make_daemon(env={**SETTINGS, **sink.settings()})
    tenant = daemon.tenant(**LINK)
    old = daemon.enrol(tenant, "ann")
    ask_for_mail(daemon, tenant)
    letter, = sink.wait_for(1)
    answer = daemon.api.call("ResetConfirm", pb.ResetConfirmRequest(
        tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB, password_verified=True,
        token=letter.token, qr_format=pb.QR_FORMAT_NONE))
    new = Factor(tenant, "ann", answer)
    assert daemon.api.outcome(tenant, "ann", new.code_of(NOW),
                              enrollment_id=new.enrollment_id) == "ACCEPTED"
    before = sample(daemon)
    assert daemon.api.outcome(tenant, "ann", old.code_of(NOW + 1)) == "SUPERSEDED_SECRET"
    assert moved(before, sample(daemon), "twostep_verify_total", "outcome") == {"superseded_secret": 1}


def test_a_lock_for_good_is_told_apart(make_daemon):
    daemon = make_daemon(env={**SETTINGS, "TWOSTEP_LOCKOUT_LIMIT": "5"})
    tenant, user, fields = locked(daemon)
    before = sample(daemon)
    assert daemon.api.outcome(tenant, user, **fields) == "LOCKED"
    assert moved(before, sample(daemon), "twostep_verify_total", "outcome") == {"locked_for_good": 1}


def test_logins_are_counted_by_what_they_require_and_why_not(watched):
    tenant, off, suspended = watched.tenant(), fresh(), fresh()
    watched.enrol(tenant, "ann")
    watched.api.set_policy(suspended, enabled=True, suspended_until=at(watched.now + 60_000),
                           suspended_reason="a test")
    for who, requirement, reason in (((tenant, "ann"), "code", "none"),
                                     ((tenant, "new"), "enroll", "none"),
                                     ((off, "ann"), "nothing", "policy_off"),
                                     ((tenant, "ann", pb.CHANNEL_MOBILE), "nothing", "channel_off"),
                                     ((suspended, "ann"), "nothing", "suspended")):
        before = sample(watched)
        watched.api.login(*who)
        after = sample(watched)
        name = "twostep_login_requirement_total"
        assert moved(before, after, name, "requirement") == {requirement: 1}
        assert moved(before, after, name, "reason") == {reason: 1}


def test_what_becomes_of_mails(make_daemon, sink):
    replies = ["451 not now", None, "550 never"]
    sink.script = lambda number: replies[number] if number < len(replies) else None
    daemon = make_daemon(env={**SETTINGS, **sink.settings()})
    tenant = daemon.tenant(**LINK)
    daemon.enrol(tenant, "ann")

    def events():
        return {e: sample(daemon).total("twostep_mails_total", event=e)
                for e in ("queued", "sent", "deferred", "failed")}
    assert set(events().values()) == {0}
    ask_for_mail(daemon, tenant)
    wait_until(lambda: events() == dict(queued=1, sent=0, deferred=1, failed=0), "deferred")
    daemon.advance(60)  # the second try
    wait_until(lambda: events() == dict(queued=1, sent=1, deferred=1, failed=0), "sent")
    ask_for_mail(daemon, tenant)
    wait_until(lambda: events() == dict(queued=2, sent=1, deferred=1, failed=1), "refused")


# ---- calls -----------------------------------------------------------------------------------------------

def codes(daemon, before, method=None):
    """{code: calls} since that sample, of one method or of all."""
    after = {k: v for k, v in sample(daemon).items()
             if method is None or ("grpc_method", method) in k[1]}
    return moved(before, after, "grpc_server_handled_total", "grpc_code")


def test_calls_are_counted_by_method_and_code(watched):
    tenant = watched.tenant()
    before, begin = sample(watched), time.monotonic()
    watched.api.login(tenant, "ann")
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        watched.api.login("", "ann")
    with refused(grpc.StatusCode.FAILED_PRECONDITION):
        watched.api.enroll(tenant, "ann", password_verified=False)
    elapsed, after = time.monotonic() - begin, sample(watched)
    assert codes(watched, before) == {"OK": 1, "InvalidArgument": 1, "FailedPrecondition": 1}
    assert codes(watched, before, "Enroll") == {"FailedPrecondition": 1}
    labels = dict(grpc_type="unary", grpc_service="twostep.v1.TwoStepService",
                  grpc_method="GetLoginRequirement")
    grew = lambda name: after.total(name, **labels) - before.total(name, **labels)
    assert grew("grpc_server_started_total") == 2
    assert grew("grpc_server_msg_received_total") == 2
    assert grew("grpc_server_msg_sent_total") == 1
    assert grew("grpc_server_handling_seconds_count") == 2
    assert 0 < grew("grpc_server_handling_seconds_sum") < elapsed


def test_who_may_not_is_counted(make_daemon):
    daemon = make_daemon(env=SETTINGS, callers={"web": (["login:web"], ["*"])})
    before = sample(daemon)
    with refused(grpc.StatusCode.UNAUTHENTICATED):
        Api(daemon.channel()).login("t", "u")
    with refused(grpc.StatusCode.PERMISSION_DENIED):
        daemon.caller("web").get_policy("t")
    assert codes(daemon, before) == {"Unauthenticated": 1, "PermissionDenied": 1}


def test_calls_that_end_early_are_counted(watched):
    before = sample(watched)
    with rawh2.Connection(watched.port) as c:
        late = c.call(SERVICE + "Verify", grpc_timeout="0n")
        assert late.grpc == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        gone = c.open(SERVICE + "Verify")
        c.sync()
        assert sample(watched).total("grpc_server_streams_open") == 1
        c.reset(gone)
        c.sync()
    assert codes(watched, before) == {"DeadlineExceeded": 1, "Canceled": 1}
    after = sample(watched)
    assert after.total("grpc_server_started_total") == after.total("grpc_server_handled_total")
    assert after.total("grpc_server_streams_open") == 0


def test_streams_are_counted_by_message_and_once(watched):
    """Two questions and their answers, then a stream that its client gives up."""
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    labels = dict(grpc_type="bidi_stream", grpc_service="grpc.reflection.v1.ServerReflection",
                  grpc_method="ServerReflectionInfo")
    before = sample(watched)
    with rawh2.Connection(watched.port) as c:
        stream = c.open(path)
        c.data(stream, rawh2.message(b"\x3a\x01*") * 2)
        assert c.wait(stream).grpc == 0
        gone = c.open(path)
        c.sync()
        c.reset(gone)
        c.sync()
    after = sample(watched)
    grew = {n: after.total("grpc_server_%s_total" % n, **labels)
            - before.total("grpc_server_%s_total" % n, **labels)
            for n in ("started", "handled", "msg_received", "msg_sent")}
    assert grew == dict(started=2, handled=2, msg_received=2, msg_sent=2)
    assert codes(watched, before) == {"OK": 1, "Canceled": 1}


def test_nobody_can_make_a_new_series(watched):
    """Paths, tenants, users and metadata are a stranger's."""
    before = sample(watched)
    with rawh2.Connection(watched.port) as c:
        for n in range(50):
            answer = c.call("/made.up%d/Method\"}#%d" % (n, n))
            assert answer.grpc == grpc.StatusCode.UNIMPLEMENTED.value[0]
        c.call("/", fields=[("user-agent", "{}\"\\")])
    for n in range(20):
        watched.api.login("strange\u2603\"}%d" % n, "user\\%d" % n)
    after = sample(watched)
    assert set(after) == set(before)
    assert moved(before, after, "grpc_server_started_total", "grpc_method") == {
        "unknown": 51, "GetLoginRequirement": 20}
    assert "strange" not in ask(watched, "/metrics")[2].decode()


# ---- the queue and the store -----------------------------------------------------------------------------

def test_jobs_and_commits(watched):
    before = sample(watched)
    tenant = watched.tenant()
    for n in range(20):
        watched.api.set_policy(tenant, enabled=True, issuer="Issuer %d" % n)
    after = sample(watched)
    grew = lambda name: after.total(name) - before.total(name)
    jobs = grew("twostep_queue_wait_seconds_count")
    assert jobs >= 21  # one each second is the daemon's own
    assert grew("twostep_commit_jobs_sum") == jobs
    assert grew("twostep_commit_jobs_count") == grew("twostep_commit_seconds_count") >= 21
    assert 0 < grew("twostep_commit_seconds_sum") < PATIENCE
    assert after.total("twostep_queue_length") == 0
    assert after.total("twostep_store_works") == 1 == after.total("twostep_serving")


def test_jobs_that_find_no_room(make_daemon):
    daemon = make_daemon(env={**SETTINGS, "TWOSTEP_QUEUE_LENGTH": "1", "TWOSTEP_THREADS": "1"})
    message = pb.GetLoginRequirementRequest(tenant_id="t", user_id="u", channel=pb.CHANNEL_WEB)
    before = sample(daemon)
    refusals = 0
    with rawh2.Connection(daemon.port) as c:
        out, streams = b"", []
        for _ in range(50):  # of one turn of the loop
            streams.append(c.new_stream())
            out += c.header_frames(rawh2.request_headers(SERVICE + "GetLoginRequirement"), streams[-1])
            out += rawh2.frame(rawh2.DATA, rawh2.END_STREAM, streams[-1],
                               rawh2.message(message.SerializeToString()))
        c.send(out)
        for stream in streams:
            refusals += c.wait(stream).grpc == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert refusals > 0
    after = sample(daemon)
    assert after.total("twostep_queue_refused_total") == refusals
    assert codes(daemon, before) == {"OK": 50 - refusals, "ResourceExhausted": refusals}
    assert after.total("twostep_queue_length") == 0


# ---- connections -----------------------------------------------------------------------------------------

def test_connections_are_counted(make_daemon):
    daemon = make_daemon(env={**SETTINGS, "TWOSTEP_CONNECTIONS": "2", "TWOSTEP_THREADS": "1"})
    with rawh2.Connection(daemon.port) as one, rawh2.Connection(daemon.port) as other:
        one.sync()
        other.sync()
        page = sample(daemon)
        assert page.total("grpc_server_connections_open") == 2
        assert page.total("grpc_server_connections_accepted_total") == 2
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as third:
            assert third.recv(1) == b""
        assert sample(daemon).total("grpc_server_connections_refused_total") == 1
    becomes(daemon, lambda s: s.total("grpc_server_connections_open") == 0, "all are closed")


def flood(c):
    c.send(rawh2.frame(rawh2.PING, 0, 0, bytes(8)) * 5000)
    assert c.wait_closed() == rawh2.ENHANCE_YOUR_CALM


def no_http2(c):
    c.send(rawh2.frame(rawh2.DATA, 0, 0, b"x"))
    assert c.wait_closed() == rawh2.PROTOCOL_ERROR


def broken_stream(c):
    assert c.wait_reset(c.open(SERVICE + "Verify", fields=[("Upper", "case")])) == rawh2.PROTOCOL_ERROR


def plain_http(c):
    assert c.call("/", content_type="text/html").http == 415


@pytest.mark.parametrize("kind, attack", [("flood", flood), ("connection_error", no_http2),
                                          ("stream_error", broken_stream), ("not_grpc", plain_http)])
def test_faults_of_peers_are_counted_by_their_kind(watched, kind, attack):
    before = sample(watched)
    with rawh2.Connection(watched.port) as c:
        attack(c)
    assert moved(before, sample(watched), "grpc_server_faults_total", "kind") == {kind: 1}


def test_a_peer_that_stalls_is_counted(make_daemon):
    daemon = make_daemon(env={**SETTINGS, "TWOSTEP_STALL_SECONDS": "1"})
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as s:
        assert s.recv(1000)  # our settings
        assert s.recv(1000) == b""
    assert sample(daemon).total("grpc_server_faults_total", kind="stalled") == 1


# ---- /healthz --------------------------------------------------------------------------------------------

def test_healthz_is_200_while_it_serves_and_503_while_it_drains(make_daemon):
    daemon = make_daemon(env=SETTINGS)
    assert ask(daemon, "/healthz")[0::2] == (200, b"serving\n")
    daemon.hang_up()
    with rawh2.Connection(daemon.port) as c:
        slow = c.open(SERVICE + "GetLoginRequirement")
        c.sync()
        os.kill(daemon.process.pid, signal.SIGTERM)
        while not c.goaways:
            c.read_frame()
        assert ask(daemon, "/healthz")[0::2] == (503, b"not serving\n")
        assert sample(daemon).total("twostep_serving") == 0
        c.reset(slow)
        c.wait_closed()
    process, daemon.process = daemon.process, None
    assert process.wait(PATIENCE) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", watching.port(daemon)))


# ---- a page that strangers reach -------------------------------------------------------------------------

def say(daemon, data):
    """What comes back for these bytes, until the page closes."""
    with socket.create_connection(("127.0.0.1", watching.port(daemon)), timeout=PATIENCE) as s:
        s.sendall(data)
        answer = b""
        while more := s.recv(65536):
            answer += more
    return answer


def status_of(answer):
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/..", "//metrics", "/METRICS", "/healthz/x",
                                  "/%6detrics", "/../metrics", "/metrics%00", "/favicon.ico",
                                  "/" + "a" * 3000, "/metrics;x", "/healthz#x"], ids=lambda p: p[:16])
def test_every_other_path_is_not_found(watched, path):
    assert status_of(say(watched, b"GET %s HTTP/1.1\r\n\r\n" % path.encode())) == 404


def test_a_query_is_left_unread(watched):
    assert ask(watched, "/metrics?name[]=x&debug=1")[0] == 200
    assert ask(watched, "/healthz?verbose")[0] == 200


def test_head_has_the_headers_alone(watched):
    for path in ("/healthz", "/metrics"):
        status, headers, body = ask(watched, path, "HEAD")
        assert status == 200 and body == b"" and int(headers["Content-Length"]) > 5


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "GETX"])
def test_only_get_and_head(watched, method):
    status, headers, _ = ask(watched, "/metrics", method)
    assert status == 405 and headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("line", [
    b"", b"GET", b"GET /metrics", b"GET /metrics HTTP/2.0", b"GET /metrics HTTP/1.1 x", b"GET  HTTP/1.1",
    b"GET metrics HTTP/1.1", b"GET http://x/metrics HTTP/1.1", b"/metrics", b" GET /metrics HTTP/1.1",
    b"GET /metrics\0 HTTP/1.1", b"GET /metrics\x1b[0m HTTP/1.1", b"GET /metrics\xff HTTP/1.1",
    b"GET /metrics\tHTTP/1.1", b"GET /metrics HTTP/1.1\0", b"\x16\x03\x01", b"\0" * 100,
    b"PRI * HTTP/2.0"])
def test_what_is_no_request_is_refused(watched, line):
    assert status_of(say(watched, line + b"\r\n\r\n")) == 400


def test_a_request_has_a_size(watched):
    fits = b"GET /healthz HTTP/1.1\r\nX: "
    rest = b"\r\n\r\n"
    fits += b"x" * (REQUEST_MAX - len(fits) - len(rest)) + rest
    assert status_of(say(watched, fits)) == 200
    assert status_of(say(watched, fits.replace(b"X: ", b"XX: "))) == 431
    assert status_of(say(watched, b"GET /" + b"a" * 300_000)) == 431
    assert status_of(say(watched, b"GET /healthz HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" +
                         b"b" * 300_000)) == 200


def test_one_request_a_connection(watched):
    answer = say(watched, b"GET /healthz HTTP/1.1\r\n\r\n" * 3)
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_request_byte_by_byte(watched):
    with socket.create_connection(("127.0.0.1", watching.port(watched)), timeout=PATIENCE) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            s.send(bytes([byte]))
        assert s.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_slow_request_and_a_slow_reader_have_their_time(watched):
    """Bytes that keep coming do not prolong it."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", watching.port(watched)), timeout=0.2) as slow, \
            socket.create_connection(("127.0.0.1", watching.port(watched))) as reader:
        reader.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        ended = False
        while not ended:
            assert time.monotonic() < begin + PAGE_SECONDS + PATIENCE
            try:
                slow.send(b"G")
                ended = slow.recv(100) == b""
            except socket.timeout:
                pass
            except OSError:
                ended = True
    assert time.monotonic() - begin > PAGE_SECONDS - 1


def test_connections_that_say_nothing_keep_nobody_out(watched):
    idle = [socket.create_connection(("127.0.0.1", watching.port(watched)), timeout=PATIENCE)
            for _ in range(PAGE_CONNECTIONS_MAX * 4)]
    try:
        assert ask(watched, "/healthz")[0] == 200
        idle[0].settimeout(PAGE_SECONDS / 2)
        assert idle[0].recv(1) == b""  # the oldest had to go before their time
    finally:
        for s in idle:
            s.close()


def test_sign_ins_go_on_whatever_is_done_to_the_page(watched):
    tenant = watched.tenant()
    over = threading.Event()
    asked = []

    def pester(data):
        while not over.is_set():
            try:
                asked.append(len(say(watched, data)))
            except OSError:
                pass
    threads = [threading.Thread(target=pester, args=(data,)) for data in (
        b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n", b"A" * 100_000,
        b"\0\r\n\r\n")]
    for t in threads:
        t.start()
    try:
        wait_until(lambda: len(asked) > 20, "the page is pestered")
        for n in range(20):
            factor = watched.enrol(tenant, "u%d" % n)
            assert watched.api.outcome(tenant, "u%d" % n, factor.code_of(NOW + 1)) == "ACCEPTED"
    finally:
        over.set()
        for t in threads:
            t.join()
    assert sample(watched).total("twostep_serving") == 1
