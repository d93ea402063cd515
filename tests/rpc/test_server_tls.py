# SPDX-License-Identifier: ISC
"""Goal: over TLS the calls are the same, whoever made the client; a certificate says who calls;
who cannot or will not speak TLS as it must be is sent away, once and cheaply; and certificates
change under open connections without a failed call."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest

import kit
import rawh2
from certificates import api
from kit import BUILD, pb, wait_until, write_private
from servers import ROOT, STANDARD_PROTOS
from test_config import failure, keyring
from test_peers import INTEROP_CASES, NOW, STORY_STEPS, go, node, steps_of

CALLERS = """
caller "web" {
    san = "spiffe://crm.example/web"
    permissions = {"login:web"}
    tenants = {"*"}
}
caller "ops" {
    san = "Ops.CRM.example"
    permissions = {"policy"}
    tenants = {"*"}
}
"""
STALL = 1  # seconds
SOON = 20  # more than it ever takes


@pytest.fixture(scope="module")
def tls(make_service, files):
    """A daemon with TLS that lets every local program in."""
    return make_service(env={**files.settings(), "TWOSTEP_STALL_SECONDS": str(STALL)})


@pytest.fixture(scope="module")
def mutual(make_service, files):
    """A daemon with callers that are known by their certificates, and one with a token."""
    daemon = make_service(start=False, env=files.settings(ca="ca.pem"), callers={
        "token": (["policy"], ["*"])})
    with open(daemon.env["TWOSTEP_CALLERS_FILE"]) as f:
        write_private(daemon.env["TWOSTEP_CALLERS_FILE"], f.read() + CALLERS)
    return daemon.start()


def is_unavailable(client):
    """And it is over then: a channel goes on trying."""
    with pytest.raises(grpc.RpcError) as caught:
        client.login("t", "u")
    client.channel.close()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE, caught.value.details()


def connect(daemon):
    """A connection; the daemon calls it daemon.peer."""
    sock = socket.create_connection(("127.0.0.1", daemon.port), SOON)
    daemon.peer = "%s:%d" % sock.getsockname()
    return sock


def shake(daemon, context, **options):
    """A connection after its handshake."""
    sock = connect(daemon)
    try:
        return context.wrap_socket(sock, server_hostname="localhost", **options)
    except BaseException:
        sock.close()
        raise


def reasons(daemon, start):
    """Why the last connection was refused, once for each time that it is said."""
    return [e["reason"] for e in daemon.log(start)
            if e["event"] == "connection_refused" and e["peer"] == daemon.peer]


@contextlib.contextmanager
def refuses_one(daemon, reason):
    """The connection of the block is refused, and logged once, for this reason."""
    start = os.path.getsize(daemon.log_path)
    yield
    wait_until(lambda: reasons(daemon, start), "a word about the connection")
    assert [reason in r for r in reasons(daemon, start)] == [True], reasons(daemon, start)


# ---- clients of others' making --------------------------------------------------------------------

def test_grpcio(tls, files):
    client = api(tls, files.credentials())
    tenant = kit.fresh()
    client.set_policy(tenant, enabled=True)
    factor = client.enrol(tenant, "alice", tls.now)
    assert client.outcome(tenant, "alice", factor.code_at(tls.now + 30_000)) == "ACCEPTED"


def peer_env(monkeypatch, files, name):
    monkeypatch.setenv("PEER_TLS_CA", files.path("ca.pem"))
    if name:
        monkeypatch.setenv("PEER_TLS_CERT", files.path(name + ".pem"))
        monkeypatch.setenv("PEER_TLS_KEY", files.path(name + ".key"))


@pytest.fixture(params=[None, "uri"], ids=["tls", "mtls"])
def interop_address(request, start_server, files, monkeypatch):
    peer_env(monkeypatch, files, request.param)
    argv = [BUILD + "/tests/rpc/interop_server", "--cert", files.path("server.pem"),
            "--key", files.path("server.key")]
    return start_server(argv + (["--client-ca", files.path("ca.pem")] if request.param else [])).address


def test_interop_with_grpc_js(interop_address):
    if not STANDARD_PROTOS.exists():
        pytest.skip("the package grpc-proto is not installed")
    assert steps_of(node("interop", interop_address, STANDARD_PROTOS)) == INTEROP_CASES


def test_interop_with_grpc_go(interop_address):
    assert steps_of(go("interop", interop_address)) == INTEROP_CASES


@pytest.fixture(params=[None, "uri"], ids=["tls", "mtls"])
def story_daemon(request, make_daemon, files, monkeypatch):
    peer_env(monkeypatch, files, request.param)
    if request.param is None:
        return make_daemon(env=files.settings())
    daemon = make_daemon(start=False, env=files.settings(ca="ca.pem"))
    path = os.path.join(daemon.folder, "callers")
    write_private(path, CALLERS.replace('"login:web"', '"login:web", "policy"'))
    daemon.env["TWOSTEP_CALLERS_FILE"] = path
    return daemon.start()


def test_story_with_grpc_js(story_daemon):
    output = node("story", story_daemon.address, ROOT / "proto", NOW)
    assert steps_of(output) == STORY_STEPS | {"key_uri"}


def test_story_with_grpc_go(story_daemon, tmp_path):
    descriptors = tmp_path / "api.pb"
    subprocess.run(["protoc", f"-I{ROOT / 'proto'}", "--include_imports",
                    f"--descriptor_set_out={descriptors}", "twostep/v1/twostep.proto"], check=True)
    assert steps_of(go("story", story_daemon.address, descriptors, NOW)) == STORY_STEPS


# ---- who is who -----------------------------------------------------------------------------------

def test_a_server_of_another_authority_is_not_trusted(tls, files):
    with refuses_one(tls, "unknown ca"):
        with pytest.raises(ssl.SSLCertVerificationError):
            context = ssl.create_default_context(cafile=files.path("other.pem"))
            context.set_alpn_protocols(["h2"])
            shake(tls, context)
    is_unavailable(api(tls, files.credentials(ca="other.pem")))


def test_a_server_of_another_name_is_not_trusted(make_daemon, files):
    daemon = make_daemon(env=files.settings(name="elsewhere"))
    is_unavailable(api(daemon, files.credentials()))


def test_a_certificate_names_the_caller(mutual, files):
    assert api(mutual, files.credentials("uri")).login("t", "u").reason == pb.REASON_POLICY_OFF
    assert api(mutual, files.credentials("dns")).get_policy("t").tenant_id == "t"
    with kit.refused(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING"):
        api(mutual, files.credentials("uri")).get_policy("t")
    with kit.refused(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING"):
        api(mutual, files.credentials("dns")).login("t", "u")


@pytest.mark.parametrize("name", [None, "nameless", "server", "odd"])
def test_who_is_no_caller_needs_a_token(mutual, files, name):
    with kit.refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_REJECTED"):
        api(mutual, files.credentials(name)).get_policy("t")
    token = mutual.tokens["token"]
    assert api(mutual, files.credentials(name), token).get_policy("t").tenant_id == "t"


def test_a_token_decides_alone(mutual, files):
    """Beside a good certificate: a right token is the caller, a wrong one is nobody."""
    token = mutual.tokens["token"]
    assert api(mutual, files.credentials("uri"), token).get_policy("t").tenant_id == "t"
    for wrong in (token[:-1] + ("0" if token[-1] != "0" else "1"), "x.y"):
        with kit.refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_REJECTED"):
            api(mutual, files.credentials("uri"), wrong).login("t", "u")


@pytest.mark.parametrize("name, reason", [("stranger", "issuer"), ("ended", "expired")])
def test_a_certificate_of_nobody_is_refused(mutual, files, name, reason):
    with refuses_one(mutual, reason):
        with pytest.raises(OSError):
            shake(mutual, files.context(name)).recv(1)
    is_unavailable(api(mutual, files.credentials(name)))


def ctl(*args):
    return subprocess.run([os.path.join(BUILD, "twostepctl"), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=SOON,
                          env=kit.clean_env())


def test_twostepctl(mutual, files, tmp_path):
    ca = "--tls-ca=" + files.path("ca.pem")
    web = ("--tls-cert=" + files.path("uri.pem"), "--tls-key=" + files.path("uri.key"))
    at = "--server=" + mutual.address
    r = ctl(at, ca, *web, "login-requirement", "t", "u")
    assert (r.returncode, r.stderr) == (0, ""), r
    r = ctl("--server=localhost:%d" % mutual.port, ca, "health")
    assert (r.returncode, r.stderr) == (0, ""), r
    for args, says in [((at, ca, "login-requirement", "t", "u"), "UNAUTHENTICATED"),
                       ((at, "--tls", "health"), "issuer certificate"),
                       ((at, "--tls-ca=" + files.path("other.pem"), "health"), "issuer certificate"),
                       ((at, "--tls-ca=" + files.path("no.pem"), "health"), "no.pem"),
                       ((at, ca, "--tls-cert=" + files.path("uri.pem"),
                         "--tls-key=" + files.path("dns.key"), "health"), "dns.key"),
                       ((at, "health"), "closed the connection")]:
        r = ctl(*args)
        assert r.returncode == 2 and says in r.stderr, r
    for args in ((at, web[0], "health"), (at, web[1], "health"),
                 ("--server=unix:/x", "--tls", "health")):
        assert ctl(*args).returncode in (64, 2), args
    assert ctl(at, web[0], "health").returncode == 64


def test_twostepctl_checks_the_name(make_daemon, files):
    daemon = make_daemon(env=files.settings(name="elsewhere"))
    for host in ("127.0.0.1", "localhost"):
        r = ctl("--server=%s:%d" % (host, daemon.port), "--tls-ca=" + files.path("ca.pem"), "health")
        assert r.returncode == 2 and "mismatch" in r.stderr, r


def test_twostepctl_adds_a_caller_by_its_name(tmp_path):
    path = str(tmp_path / "callers")
    add = ("callers", "add", path, "--permissions=policy", "--tenants=*")
    r = ctl(*add, "web", "--san=spiffe://crm.example/web")
    assert r.returncode == 0 and "token" not in r.stdout + r.stderr, r
    assert ctl(*add, "ops", "--san=spiffe://crm.example/web").returncode == 2
    assert ctl(*add, "ops", "--san=a b").returncode == 64
    assert "spiffe://crm.example/web" in ctl("callers", "list", path).stdout
    assert '"san": "spiffe://crm.example/web"' in ctl("--json", "callers", "list", path).stdout


# ---- what TLS must be -------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(tls, files, version):
    with shake(tls, files.context(version=version)) as s:
        assert s.selected_alpn_protocol() == "h2"
        assert "GCM" in s.cipher()[0] or "CHACHA20" in s.cipher()[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_refused(tls, files, version):
    with refuses_one(tls, "unsupported protocol"):
        with pytest.raises(ssl.SSLError, match="(?i)alert protocol version"):
            shake(tls, files.context(version=version))


@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("h2c", "h3")])
def test_without_h2_by_alpn_it_is_a_fatal_alert(tls, files, alpn):
    with refuses_one(tls, "by ALPN"):
        with pytest.raises(ssl.SSLError, match="(?i)alert no application protocol"):
            shake(tls, files.context(alpn=alpn))


def test_renegotiation_is_refused(tls, files):
    client = subprocess.Popen(
        ["openssl", "s_client", "-tls1_2", "-alpn", "h2", "-connect", tls.address, "-CAfile",
         files.path("ca.pem")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    shaken = b""
    while b"\0\0\4\x08\0\0\0\0\0" not in shaken:  # the server's first WINDOW_UPDATE: it keeps still
        more = client.stdout.read1()
        assert more, shaken
        shaken += more
    output, _ = client.communicate(b"R\n", SOON)
    assert b"RENEGOTIATING" in output and b"no renegotiation" in output, output
    assert api(tls, files.credentials()).login("t", "u").reason == pb.REASON_POLICY_OFF


def session_of(daemon, context):
    """A session to resume. Version 1.3 sends its ticket with the first answer."""
    with shake(daemon, context) as s:
        s.sendall(rawh2.PREFACE + rawh2.frame(rawh2.SETTINGS, 0, 0))
        assert s.recv(9)[3] == rawh2.SETTINGS
        return s.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume(tls, files, version):
    context = files.context(version=version)
    session = session_of(tls, context)
    with shake(tls, context, session=session) as s:
        assert s.session_reused


# ---- those who do not speak TLS, and those who do where there is none ----------------------------------

def ends(sock):
    """Reads until the server has ended it; the bytes."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(4096):
            got += more
    return got


def test_plaintext_to_tls_is_closed_at_once(tls):
    with refuses_one(tls, "does not speak TLS"), connect(tls) as s:
        s.sendall(rawh2.PREFACE)
        assert ends(s)[:1] in (b"\x15", b"")  # an alert, if anything
    is_unavailable(tls.caller())


def test_tls_to_plaintext_is_closed_at_once(make_daemon, files):
    daemon = make_daemon(env={"TWOSTEP_STALL_SECONDS": "3600"})
    with refuses_one(daemon, "it speaks TLS"):
        with pytest.raises(OSError):
            shake(daemon, files.context())
    is_unavailable(api(daemon, files.credentials()))
    assert daemon.api.login("t", "u").reason == pb.REASON_POLICY_OFF


def hello(files):
    """The first bytes of a client."""
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        files.context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


@pytest.mark.parametrize("part", ["nothing", "a byte", "half", "all"])
def test_a_handshake_that_stands_still_is_ended(tls, files, part):
    first = hello(files)
    said = {"nothing": b"", "a byte": first[:1], "half": first[:100], "all": first}[part]
    with refuses_one(tls, "in time"), connect(tls) as s:
        s.sendall(said)
        begin = time.monotonic()
        ends(s)
        assert STALL <= time.monotonic() - begin < STALL + 10


def test_a_handshake_that_crawls_is_ended(tls, files):
    first = hello(files)
    with refuses_one(tls, "in time"), connect(tls) as s:
        begin = time.monotonic()
        s.settimeout(0.05)
        with contextlib.suppress(ConnectionError):
            for byte in first:
                s.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if s.recv(1) == b"":
                        break
        assert STALL <= time.monotonic() - begin < STALL + 10


def test_after_the_handshake_the_preface_is_due(tls, files):
    with refuses_one(tls, "in time"), shake(tls, files.context()) as s:
        ends(s)


def test_a_record_that_stands_still_ends_the_connection(tls, files):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = files.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connect(tls) as s:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                s.sendall(outgoing.read())
                incoming.write(s.recv(65536))
        client.write(rawh2.PREFACE + rawh2.frame(rawh2.SETTINGS, 0, 0))
        s.sendall(outgoing.read())
        client.write(rawh2.frame(rawh2.PING, 0, 0, bytes(8)))
        s.sendall(outgoing.read()[:5])  # the head of a record
        begin = time.monotonic()
        ends(s)
        assert STALL <= time.monotonic() - begin < STALL + 10


def test_who_only_looks_is_not_logged(tls):
    start, lookers = os.path.getsize(tls.log_path), set()
    for _ in range(5):
        connect(tls).close()
        lookers.add(tls.peer)
    with refuses_one(tls, "does not speak TLS"), connect(tls) as s:  # later than those
        s.sendall(b"x" * 64)
        ends(s)
    assert not lookers & {e.get("peer") for e in tls.log(start)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the daemon's files")
def test_nothing_is_left_of_them(tls, files):
    def count():
        return len(os.listdir("/proc/%d/fd" % tls.process.pid))

    def sockets():
        """Established connections of the daemon's port."""
        with open("/proc/net/tcp") as f:
            here = ":%04X" % tls.port
            return [r for r in (line.split() for line in f) if r[1].endswith(here) and r[3] == "01"]
    api(tls, files.credentials()).login("t", "u")
    tls.hang_up()
    wait_until(lambda: len(sockets()) == 0, "quiet")
    before = count()
    first = hello(files)
    for i in range(200):
        with connect(tls) as s:
            s.sendall([b"", b"GET / HTTP/1.1\r\n\r\n", first[:50], first, first + b"x" * 50][i % 5])
    wait_until(lambda: count() <= before, "their files closed")


# ---- certificates change ----------------------------------------------------------------------------

class Rotating:
    """A daemon whose certificate files the test replaces."""

    def __init__(self, make_daemon, files, **more):
        self.files = files
        self.daemon = make_daemon(start=False)
        self.cert, self.key, self.ca = (os.path.join(self.daemon.folder, n)
                                        for n in ("cert.pem", "key.pem", "ca.pem"))
        self.put("server")
        shutil.copy(files.path("ca.pem"), self.ca)
        self.daemon.env.update({"TWOSTEP_TLS_CERT_FILE": self.cert, "TWOSTEP_TLS_KEY_FILE": self.key,
                                "TWOSTEP_TLS_CLIENT_CA_FILE": self.ca, **more})
        self.daemon.start()

    def put(self, name, key=None):
        shutil.copy(self.files.path(name + ".pem"), self.cert)
        shutil.copy(self.files.path((key or name) + ".key"), self.key)

    def reload(self, event="reloaded"):
        start = os.path.getsize(self.daemon.log_path)
        self.daemon.process.send_signal(signal.SIGHUP)
        return wait_until(lambda: [e for e in self.daemon.log(start) if e["event"] == event], event)[0]

    def shown(self):
        """The certificate that a new connection sees."""
        with shake(self.daemon, self.files.context()) as s:
            return ssl.DER_cert_to_PEM_cert(s.getpeercert(binary_form=True)).encode()


@pytest.fixture
def rotating(make_daemon, files):
    return Rotating(make_daemon, files)


def test_certificates_are_replaced_without_a_failed_call(rotating, files):
    daemon, stop, counts, failed = rotating.daemon, threading.Event(), [], []

    def calls(client):
        n = 0
        while not stop.is_set():
            try:
                assert client.login("t", "u").reason == pb.REASON_POLICY_OFF
                n += 1
            except Exception as e:  # noqa: BLE001 - whatever it is, it must not be
                failed.append(e)
                break
        counts.append(n)

    clients = [api(daemon, files.credentials()) for _ in range(4)]
    threads = [threading.Thread(target=calls, args=(c,)) for c in clients]
    for t in threads:
        t.start()
    seen = set()
    for i in range(6):
        name = ("server2", "server")[i % 2]
        rotating.put(name)
        rotating.reload()
        assert rotating.shown() == files.read(name + ".pem")
        seen.add(name)
        assert api(daemon, files.credentials()).login("t", "u").reason == pb.REASON_POLICY_OFF
    stop.set()
    for t in threads:
        t.join(SOON)
    assert not failed and len(counts) == 4 and all(counts)


@pytest.mark.parametrize("spoil, says", [
    (lambda r: r.put("server2", key="server"), "key.pem: not the key of the certificate in"),
    (lambda r: write_private(r.cert, "nothing"), "cert.pem: there is no certificate"),
    (lambda r: os.unlink(r.key), "key.pem: cannot open it"),
    (lambda r: os.chmod(r.key, 0o644), "key.pem: mode 0644"),
    (lambda r: write_private(r.ca, ""), "ca.pem: there is no certificate"),
], ids=["another key", "no certificate", "no key", "open key", "no authority"])
def test_a_reload_that_fails_changes_nothing(rotating, files, spoil, says):
    daemon = rotating.daemon
    daemon.expected.add("reload_failed")
    before = api(daemon, files.credentials())
    assert before.login("t", "u").reason == pb.REASON_POLICY_OFF
    spoil(rotating)
    assert says in rotating.reload("reload_failed")["detail"]
    assert rotating.shown() == files.read("server.pem")
    assert before.login("t", "u").reason == pb.REASON_POLICY_OFF


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_outlive_new_certificates_but_not_new_authorities(rotating, files, version):
    context = files.context("uri", version=version)
    session = session_of(rotating.daemon, context)
    rotating.put("server2")
    rotating.reload()
    with shake(rotating.daemon, context, session=session) as s:
        assert s.session_reused
    session = session_of(rotating.daemon, context)
    shutil.copy(files.path("other.pem"), rotating.ca)
    rotating.reload()
    with contextlib.suppress(ssl.SSLError):  # the client's certificate is a stranger's now
        with shake(rotating.daemon, context, session=session) as s:
            assert not s.session_reused


def test_an_authority_that_is_taken_away(rotating, files):
    """Its clients are out at their next connection."""
    shutil.copy(files.path("other.pem"), rotating.ca)
    rotating.reload()
    is_unavailable(api(rotating.daemon, files.credentials("uri")))
    assert api(rotating.daemon, files.credentials("stranger")).login("t", "u")


# ---- at start ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("cert, key, ca, says", [
    ("no.pem", "server.key", None, "no.pem: cannot open it: No such file"),
    ("server.pem", "no.key", None, "no.key: cannot open it: No such file"),
    ("server.pem", "server.key", "no.pem", "no.pem: cannot open it: No such file"),
    ("server.pem", "server2.key", None, "server2.key: not the key of the certificate in"),
    ("server.pem", "open.key", None, "open.key: mode 0640 lets others in"),
    ("server.key", "server.key", None, "server.key: there is no certificate in it"),
    ("server.pem", "server.pem", None, "server.pem: no private key"),
    ("server.pem", "server.key", "server.key", "server.key: there is no certificate in it"),
])
@pytest.mark.parametrize("args", [[], ["--check-config"]], ids=["start", "check"])
def test_bad_files_are_named(tmp_path, files, cert, key, ca, says, args):
    keyring(tmp_path / "keyring")
    shutil.copy(files.path("server.key"), files.path("open.key"))
    os.chmod(files.path("open.key"), 0o640)
    settings = {"tls_cert_file": files.path(cert), "tls_key_file": files.path(key)}
    if ca:
        settings["tls_client_ca_file"] = files.path(ca)
    assert says in failure(*args, home=tmp_path, **settings)


@pytest.mark.parametrize("given, key", [
    (["tls_cert_file"], "tls_cert_file"), (["tls_key_file"], "tls_cert_file"),
    (["tls_client_ca_file"], "tls_client_ca_file")])
def test_what_belongs_together(tmp_path, files, given, key):
    keyring(tmp_path / "keyring")
    assert failure(home=tmp_path, **{k: files.path("ca.pem") for k in given}).startswith(key + ":")


def test_a_certificate_that_has_ended_is_a_warning(make_daemon, files):
    daemon = make_daemon(env=files.settings(name="ended"))
    warning = next(e for e in daemon.log() if e["event"] == "certificate_ended")
    assert warning["level"] == "warn" and "ended.pem" in warning["detail"]


def test_beyond_this_machine_tls_is_enough(tmp_path, files):
    """Only checked: nothing here listens beyond loopback."""
    keyring(tmp_path / "keyring")
    callers = str(tmp_path / "callers")
    write_private(callers, CALLERS)
    settings = {"listen": "127.0.0.1:0 192.0.2.1:7443", "callers_file": callers}
    assert "allow_plaintext" in failure("--check-config", home=tmp_path, **settings)
    tls = {"tls_cert_file": files.path("server.pem"), "tls_key_file": files.path("server.key")}
    env = kit.clean_env(TWOSTEP_STATE_DIR=str(tmp_path),
                        **{"TWOSTEP_" + k.upper(): v for k, v in {**settings, **tls}.items()})
    assert subprocess.run([os.path.join(BUILD, "twostepd"), "--check-config"], env=env,
                          stderr=subprocess.DEVNULL, timeout=SOON).returncode == 0
    del settings["callers_file"]
    assert "callers_file" in failure("--check-config", home=tmp_path, **settings, **tls)
