# SPDX-License-Identifier: ISC
"""A real twostepd for a test, started and ended here, and clients of others' making for it:
grpcio to talk with it, pyotp for the codes, sqlite3 to look at what it left behind."""
import collections
import contextlib
import ctypes
import hashlib
import itertools
import json
import mmap
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

BUILD = os.path.abspath(os.environ.get("TWOSTEP_BUILD", "build"))
sys.path.insert(0, os.path.join(BUILD, "py"))

import grpc  # noqa: E402
import pyotp  # noqa: E402

import rawh2  # noqa: E402

grpc.__path__.append(os.path.join(BUILD, "py", "grpc"))  # grpc.health.v1 is generated there
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from twostep.v1 import twostep_pb2 as pb  # noqa: E402
from twostep.v1 import twostep_pb2_grpc  # noqa: E402

PATIENCE = 30  # seconds for what happens by itself; never waited for when all is well
T0 = 1_800_000_000_000  # where a test's clock starts: a border of steps of 30 and of 60 s
SERVICE = "/twostep.v1.TwoStepService/"
METHODS = ("GetLoginRequirement", "Enroll", "Verify", "SetPolicy", "GetPolicy")
HASHES = {pb.ALGORITHM_SHA1: hashlib.sha1, pb.ALGORITHM_SHA256: hashlib.sha256,
          pb.ALGORITHM_SHA512: hashlib.sha512}

_numbers = itertools.count(1)


def fresh(kind="t"):
    """An id that no other test has."""
    return "%s%d" % (kind, next(_numbers))


def seconds(n):
    return duration_pb2.Duration(seconds=int(n))


def at(ms):
    """A Timestamp."""
    return timestamp_pb2.Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def wait_until(question, what):
    """Asks until the answer is true, and gives it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.005)
    raise AssertionError("did not happen: " + what)


# ---- errors -------------------------------------------------------------------------------------

class Problem:
    """What a gRPC error says, after checking that it says it in the promised form."""

    def __init__(self, error):
        self.code, self.message = error.code(), error.details()
        self.fields, self.retry, self.reason = [], None, None
        packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        self.detailed = packed is not None
        if not self.detailed:
            return
        status = status_pb2.Status.FromString(packed)
        assert status.code == self.code.value[0] and status.message == self.message
        kinds = [d.type_url.rsplit("/", 1)[1] for d in status.details]
        assert kinds[0] == "google.rpc.ErrorInfo" and len(set(kinds)) == len(kinds)
        for any_detail in status.details:
            assert any_detail.type_url.startswith("type.googleapis.com/google.rpc.")
            self._take(any_detail)

    def _take(self, any_detail):
        kind = any_detail.type_url.rsplit(".", 1)[1]
        detail = getattr(error_details_pb2, kind).FromString(any_detail.value)
        if kind == "ErrorInfo":
            assert detail.domain == "twostep"
            assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", detail.reason)
            self.reason = detail.reason
        elif kind == "BadRequest":
            assert detail.field_violations
            for violation in detail.field_violations:
                assert violation.field and violation.description
                self.fields.append(violation.field)
        elif kind == "RetryInfo":
            self.retry = detail.retry_delay.ToTimedelta().total_seconds()
            assert self.retry > 0


@contextlib.contextmanager
def refused(code, reason=None, fields=None):
    """The block must end in this error; what it yields holds the Problem afterwards."""
    held = type("Held", (), {"problem": None})()
    try:
        yield held
    except grpc.RpcError as e:
        held.problem = p = Problem(e)
    else:
        raise AssertionError("not refused")
    assert p.code == code, (p.code, p.message)
    assert p.detailed, "no google.rpc.Status"
    assert reason is None or p.reason == reason, (p.reason, p.message)
    assert fields is None or p.fields == list(fields), (p.fields, p.message)
    assert bool(p.fields) == (code == grpc.StatusCode.INVALID_ARGUMENT)


def invalid(*fields):
    return refused(grpc.StatusCode.INVALID_ARGUMENT, fields=fields or None)


# ---- clients ------------------------------------------------------------------------------------

class Factor:
    """What a user's authenticator app holds: the codes are pyotp's."""

    def __init__(self, tenant, user, answer, policy=None):
        self.tenant, self.user, self.enrollment_id = tenant, user, answer.enrollment_id
        self.secret, self.uri = answer.secret_base32, answer.otpauth_uri
        self.period = policy.period.seconds if policy else 30
        self.digits = policy.digits if policy else 6
        self.hash = HASHES[policy.algorithm] if policy else hashlib.sha1

    def code_of(self, step):
        return pyotp.TOTP(self.secret, digits=self.digits, digest=self.hash,
                          interval=self.period).generate_otp(step)

    def code_at(self, ms):
        return self.code_of(max(0, ms) // 1000 // self.period)

    def wrong_at(self, ms):
        """A code of the right form that is right nowhere near this time."""
        step = ms // 1000 // self.period
        near = {self.code_of(s) for s in range(max(0, step - 4), step + 5)}
        return next(c for c in ("%0*d" % (self.digits, n) for n in range(12)) if c not in near)


class Api:
    """The calls of one caller."""

    def __init__(self, channel, token=None):
        self.channel = channel
        self.stub = twostep_pb2_grpc.TwoStepServiceStub(channel)
        self.metadata = (("authorization", "Bearer " + token),) if token else ()

    def call(self, method, request):
        return getattr(self.stub, method)(request, metadata=self.metadata, timeout=PATIENCE)

    def raw(self, method, message):
        """Bytes in, bytes out."""
        call = self.channel.unary_unary(SERVICE + method, request_serializer=None,
                                        response_deserializer=None)
        return call(message, metadata=self.metadata, timeout=PATIENCE)

    def set_policy(self, tenant, mask=None, expected_revision=0, reason="", on_behalf_of="", **fields):
        request = pb.SetPolicyRequest(policy=pb.Policy(tenant_id=tenant, **fields), reason=reason,
                                      expected_revision=expected_revision, on_behalf_of=on_behalf_of)
        if mask is not None:
            request.update_mask.CopyFrom(field_mask_pb2.FieldMask(paths=mask))
        return self.call("SetPolicy", request).policy

    def get_policy(self, tenant):
        return self.call("GetPolicy", pb.GetPolicyRequest(tenant_id=tenant)).policy

    def login(self, tenant, user, channel=pb.CHANNEL_WEB):
        return self.call("GetLoginRequirement", pb.GetLoginRequirementRequest(
            tenant_id=tenant, user_id=user, channel=channel))

    def enroll(self, tenant, user, channel=pb.CHANNEL_WEB, password_verified=True,
               qr_format=pb.QR_FORMAT_NONE, **more):
        return self.call("Enroll", pb.EnrollRequest(
            tenant_id=tenant, user_id=user, channel=channel, qr_format=qr_format,
            password_verified=password_verified, **more))

    def verify(self, tenant, user, code="", channel=pb.CHANNEL_WEB, password_verified=True, **more):
        return self.call("Verify", pb.VerifyRequest(
            tenant_id=tenant, user_id=user, channel=channel, code=code,
            password_verified=password_verified, **more))

    def outcome(self, tenant, user, code="", **more):
        """The name of Verify's outcome: "ACCEPTED"."""
        return pb.VerifyOutcome.Name(self.verify(tenant, user, code, **more).outcome)[15:]

    def pending(self, tenant, user, reader=None, **more):
        """Enrols without confirming; reader is a caller that may read the policy."""
        answer = self.enroll(tenant, user, **more)
        return Factor(tenant, user, answer, (reader or self).get_policy(tenant))

    def enrol(self, tenant, user, now_ms, **more):
        """Enrols and confirms: the step of now_ms is used up."""
        factor = self.pending(tenant, user, **more)
        assert self.outcome(tenant, user, factor.code_at(now_ms),
                            enrollment_id=factor.enrollment_id) == "ACCEPTED"
        return factor


def burst(connections, calls, message):
    """So many Verify calls on each rawh2.Connection, all sent before an answer is read; counts
    the outcomes."""
    streams = []
    for c in connections:
        out = b""
        for _ in range(calls):
            stream = c.new_stream()
            out += c.header_frames(rawh2.request_headers(SERVICE + "Verify"), stream)
            out += rawh2.frame(rawh2.DATA, rawh2.END_STREAM, stream, rawh2.message(message))
            streams.append((c, stream))
        c.send(out)
    got = collections.Counter()
    for c, stream in streams:
        answer = c.wait(stream)
        assert answer.grpc == 0
        outcome = pb.VerifyResponse.FromString(answer.message).outcome
        got[pb.VerifyOutcome.Name(outcome)[15:]] += 1
    return got


# ---- the daemon -----------------------------------------------------------------------------------

class Clock:
    """The clocks of a clock_daemon, in a page that both have mapped: value is the wall clock,
    ahead is by how much the monotonic one is before the machine's."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(16))
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 16)
        self.value = ctypes.c_int64.from_buffer(self.page)
        self.ahead = ctypes.c_int64.from_buffer(self.page, 8)
        self.value.value = T0


def write_private(path, text):
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(text)


def write_callers(path, callers):
    """A callers file made by hand: {name: (permissions, tenants)}; returns {name: token}."""
    text, tokens = "", {}
    for name, (permissions, tenants) in callers.items():
        key, secret = secrets.token_hex(8), secrets.token_hex(32)
        digest = hashlib.blake2b(len(secret).to_bytes(8, "big") + secret.encode(), digest_size=32)
        quote = lambda words: ", ".join('"%s"' % re.sub(r'(["\\$])', r"\\\1", w) for w in words)
        text += 'caller "%s" {\n  id = "%s"\n  secret_hash = "%s"\n  permissions = {%s}\n' \
                '  tenants = {%s}\n}\n' % (name, key, digest.hexdigest(), quote(permissions),
                                           quote(tenants))
        tokens[name] = key + "." + secret
    write_private(path, text)
    return tokens


def clean_env(**more):
    """The environment without settings of ours that lie about, and with those given."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("TWOSTEP_")}
    env.update(more)
    return env


# Where daemons keep their data, when that is not a file of their own: tests/conftest.py.
store_of_tests = None


def one_by_one():
    """Does one worker decide all calls, in the order in which they came?"""
    return store_of_tests is None


class Daemon:
    """One twostepd with its state folder, over as many starts as a test wants."""

    def __init__(self, folder, clock=True, callers=None, env=None, wrapper=()):
        self.folder = str(folder)
        self.state = os.path.join(self.folder, "state")
        self.db = os.path.join(self.state, "twostep.db")
        self.keyring = os.path.join(self.state, "keyring")
        self.wrapper, self.args = list(wrapper), []
        self.address, self.process, self.api = None, None, None
        self.expected = set()  # events that may be logged as errors
        self.channels, self.tokens = [], {}
        os.makedirs(self.state, mode=0o700)
        subprocess.run([os.path.join(BUILD, "twostepctl"), "keyring", "init", self.keyring],
                       check=True, stdout=subprocess.DEVNULL)
        self.env = clean_env(**{"TWOSTEP_STATE_DIR": self.state, "TWOSTEP_LISTEN": "127.0.0.1:0",
                                **(store_of_tests() if store_of_tests else {}), **(env or {})})
        self.program, self.clock = os.path.join(BUILD, "twostepd"), None
        if clock:
            self.program = os.path.join(BUILD, "tests", "programs", "clock_daemon")
            self.clock = Clock(os.path.join(self.folder, "clock"))
            self.env["TWOSTEP_TEST_CLOCK_FILE"] = self.clock.path
        if callers:
            path = os.path.join(self.folder, "callers")
            self.tokens = write_callers(path, callers)
            self.env["TWOSTEP_CALLERS_FILE"] = path
        self.log_path = os.path.join(self.folder, "log")
        open(self.log_path, "w").close()

    # time
    @property
    def now(self):
        return self.clock.value.value

    @now.setter
    def now(self, ms):
        self.clock.value.value = ms

    def advance(self, s):
        self.now += int(s * 1000)

    # life
    def spawn(self):
        """Starts a process and does not wait until it serves."""
        with open(self.log_path, "ab") as log:
            return subprocess.Popen(self.wrapper + [self.program] + self.args, env=self.env,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def start(self):
        self.hang_up()
        seen = os.path.getsize(self.log_path)
        self.process = self.spawn()

        def listening():
            assert self.process.poll() is None, "ended with %s: %s" % (
                self.process.returncode, self.text()[-2000:])
            return next((e["address"] for e in self.log(seen) if e["event"] == "listening"), None)
        self.address = wait_until(listening, "listening")
        self.api = self.caller()
        return self

    def hang_up(self):
        """Closes grpcio's connections: it does not read on idle ones, so a drain waits for them."""
        for channel in self.channels:
            channel.close()
        self.channels = []

    def stop(self):
        self.hang_up()
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def kill(self):
        self.process.kill()
        self._end()

    def _end(self):
        status = self.process.wait(PATIENCE + 15)
        self.process = None
        return status

    def restart(self, hard=False):
        if hard:
            self.kill()
        else:
            assert self.stop() == 0
        return self.start()

    def reload(self, event="reloaded"):
        """SIGHUP; the line that says how it went."""
        start = os.path.getsize(self.log_path)
        self.process.send_signal(signal.SIGHUP)
        ends = ("reloaded", "reload_failed")
        line = wait_until(lambda: [e for e in self.log(start) if e["event"] in ends], "a reload")[0]
        assert line["event"] == event, line
        return line

    # calls
    def channel(self):
        """A connection of its own."""
        channel = grpc.insecure_channel(self.address, options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])
        self.channels.append(channel)
        return channel

    def caller(self, name=None, token=None):
        return Api(self.channel(), token or self.tokens.get(name))

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def enrol(self, tenant, user, **more):
        return self.api.enrol(tenant, user, self.now, **more)

    def tenant(self, **policy):
        """A tenant that asks for codes."""
        name = fresh()
        self.api.set_policy(name, enabled=True, **policy)
        return name

    # what it leaves behind
    def text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def log(self, start=0):
        with open(self.log_path, "rb") as f:
            f.seek(start)
            return [json.loads(line) for line in f.read().splitlines(True) if line.endswith(b"\n")]

    def copy_db(self):
        """A connection to a copy of the database, write-ahead log and all."""
        folder = os.path.join(self.folder, "copy%d" % next(_numbers))
        os.mkdir(folder)
        for suffix in ("", "-wal"):
            if os.path.exists(self.db + suffix):
                shutil.copy(self.db + suffix, folder)
        return sqlite3.connect(os.path.join(folder, os.path.basename(self.db)))

    def documents(self, collection):
        """What is in a collection, for a store on MongoDB."""
        import pymongo
        with pymongo.MongoClient(self.env["TWOSTEP_STORE"]) as client:
            return list(client.get_default_database()[collection].find())

    def audit_bodies(self):
        """The records of the audit log, as text, of a daemon that has been stopped."""
        if one_by_one():
            with contextlib.closing(self.copy_db()) as db:
                return [body for body, in db.execute("SELECT body FROM audit ORDER BY seq")]
        return [r["body"] for r in sorted(self.documents("audit"), key=lambda r: r["_id"]["seq"])]

    def counted(self):
        """By user what counts towards the lock: equal when no attempt was counted in between."""
        if one_by_one():
            with contextlib.closing(self.copy_db()) as db:
                return dict(db.execute("SELECT u.name, s.failures FROM sign_in s JOIN user u "
                                       "ON u.id = s.user ORDER BY s.seq").fetchall())
        return {bytes(u["user"]): (u["failures"], {bytes(e["id"]) for e in u["log"]})
                for u in self.documents("users")}

    def rows(self):
        """How many rows each table has, or what is the same of documents."""
        if not one_by_one():
            users, tenants = self.documents("users"), self.documents("tenants")
            return {"tenant": len(tenants), "policy": sum("policy" in t for t in tenants),
                    "data_key": sum(len(t["keys"]) for t in tenants), "user": len(users),
                    "pending": sum("next" in u for u in users), "sign_in": sum(len(u["log"]) for u in users),
                    "factor": sum("own" in u for u in users), "reset": sum(len(u["resets"]) for u in users),
                    "outbox": sum(len(u["mails"]) for u in users), "audit": len(self.documents("audit"))}
        with contextlib.closing(self.copy_db()) as db:
            names = [n for n, in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {n: db.execute('SELECT count(*) FROM "%s"' % n).fetchone()[0] for n in names}

    def check_log(self):
        """An error that the test did not announce fails it."""
        bad = [e for e in self.log() if e["level"] == "error" and e["event"] not in self.expected]
        assert not bad, bad
