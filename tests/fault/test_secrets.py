# SPDX-License-Identifier: ISC
"""Goal: secrets are where they must be and nowhere else. A day at work is played with known
secrets, codes, keys and tokens; then everything that the daemon shows, keeps and leaves behind is
searched for them, in every form they might have."""
import base64
import glob
import gzip
import os
import re
import shutil
import subprocess

import grpc
import pytest

import rawh2
from kit import SERVICE, T0, fresh, pb, wait_until

STEP = 30_000
NOW = T0 // STEP
CALLERS = {"web": (["login:web"], ["*"]), "ops": (["policy"], ["*"])}


def forms(raw):
    """A secret's bytes as they are, and as text of the usual kinds."""
    yield raw
    for text in (raw.hex().encode(), base64.b32encode(raw).rstrip(b"=")):
        yield text.lower()
        yield text.upper()
    for lead in range(3):  # base64 of something that it stands in
        body = base64.b64encode(bytes(lead) + raw)[4 if lead else 0:].rstrip(b"=")[:-2]
        yield body
        yield body.replace(b"+", b"-").replace(b"/", b"_")


class Day:
    """What was done, and what must not be found."""

    def __init__(self, daemon):
        self.daemon, self.needles = daemon, {}
        self.api, self.ops = daemon.caller("web"), daemon.caller("ops")
        self.tenant = fresh()
        # Eight digits, so that no number turns up by chance.
        self.ops.set_policy(self.tenant, enabled=True, digits=8)
        self.told = []  # texts of errors and their details

    def hide(self, name, *values):
        self.needles.setdefault(name, []).extend(values)

    def enrol(self, user, **more):
        factor = self.api.pending(self.tenant, user, reader=self.ops, **more)
        self.hide("secret of " + user, *forms(base64.b32decode(factor.secret + "=" * (-len(factor.secret) % 8))))
        self.hide("secret of " + user, factor.secret.encode())
        self.hide("URI of " + user, factor.uri.split("?")[1].encode())
        return factor

    def code(self, factor, step, expected, **more):
        code = factor.code_of(step)
        self.hide("code", code.encode())
        assert self.api.outcome(self.tenant, factor.user, code, **more) == expected
        return code

    def fails(self, call):
        with pytest.raises(grpc.RpcError) as e:
            call()
        self.told.append(e.value.details().encode())
        self.told.extend(v if isinstance(v, bytes) else v.encode() for _, v in e.value.trailing_metadata())


@pytest.fixture
def day(make_daemon):
    """Enrolments, right, wrong, used, late and malformed codes, retries, locks, refusals."""
    daemon = make_daemon(callers=CALLERS, env={"TWOSTEP_LOG_LEVEL": "debug"})
    d = Day(daemon)
    for token in daemon.tokens.values():
        d.hide("token", token.encode(), token.split(".")[1].encode(), *forms(bytes.fromhex(token.split(".")[1])))
    with open(daemon.keyring) as f:
        for key in re.findall(r"[0-9a-f]{64}", f.read()):
            d.hide("key-encryption key", *forms(bytes.fromhex(key)))
    ann, bob = d.enrol("ann", qr_format=pb.QR_FORMAT_SVG), d.enrol("bob", qr_format=pb.QR_FORMAT_PNG)
    d.code(ann, NOW, "NOT_ENROLLED")
    for factor in (ann, bob):
        d.code(factor, NOW, "ACCEPTED", enrollment_id=factor.enrollment_id)
    request = dict(request_id="12345678-1234-4123-8123-123456789abc", client_address="192.0.2.1")
    for _ in range(2):
        d.code(ann, NOW + 1, "ACCEPTED", **request)
    d.code(ann, NOW, "REPLAYED_CODE")
    d.code(ann, NOW + 5, "WRONG_CODE")
    d.fails(lambda: d.api.verify(d.tenant, "ann", ann.code_of(NOW + 2)[:-1]))
    d.fails(lambda: d.api.verify(d.tenant, "ann", ann.code_of(NOW + 2) + " "))
    d.fails(lambda: d.api.verify(d.tenant, "ann", ann.code_of(NOW + 2), **request))
    d.fails(lambda: d.api.verify(d.tenant, "ann", ann.code_of(NOW + 2), password_verified=False))
    d.hide("code", ann.code_of(NOW + 2).encode())
    d.fails(lambda: d.api.enroll(d.tenant, "ann"))
    recovery = "recovery-0123-4567-secret"
    d.hide("recovery code", recovery.encode())
    assert d.api.outcome(d.tenant, "ann", recovery_code=recovery) == "WRONG_CODE"
    for n in range(5):
        d.code(bob, NOW + 10 + n, "WRONG_CODE")
    d.code(bob, NOW + 1, "LOCKED")
    d.fails(lambda: daemon.caller(token=daemon.tokens["web"] + "0").login(d.tenant, "ann"))
    d.fails(lambda: daemon.caller(token="nobody." + daemon.tokens["ops"].split(".")[1]).login(d.tenant, "ann"))
    d.fails(lambda: d.api.raw("Verify", b"\x0a\xff" + ann.code_of(NOW + 2).encode()))
    d.enrol("late")  # stays pending
    return d


def search(day, where, haystack, but=()):
    found = sorted({name for name, needles in day.needles.items() for n in needles
                    if name not in but and n in haystack})
    assert not found, "%s: %s" % (where, ", ".join(found))


def test_what_is_searched_for_can_be_found(day):
    """That the search works: the answers themselves and the keyring are full of it."""
    with open(day.daemon.keyring, "rb") as f:
        with pytest.raises(AssertionError, match="key-encryption key"):
            search(day, "keyring", f.read())
    answer = day.api.enroll(day.tenant, "fresh")
    secret = answer.secret_base32.encode()
    day.hide("fresh secret", secret)
    for part in (answer.otpauth_uri.encode(), b"x" + secret + b"x", answer.SerializeToString()):
        with pytest.raises(AssertionError, match="fresh secret"):
            search(day, "answer", part)
    raw = bytes(range(20))
    for text in (b"x" + raw, raw.hex().encode(), base64.b64encode(b"ab" + raw + b"cd"),
                 base64.urlsafe_b64encode(b"abc" + raw + b"d"), base64.b32encode(raw)):
        assert any(f in text for f in forms(raw)), text


def test_no_secret_is_in_the_logs(day):
    assert any(e["event"] == "refused" for e in day.daemon.log())
    search(day, "log", day.daemon.text().encode())
    day.daemon.stop()
    search(day, "log", day.daemon.text().encode())


def test_no_secret_is_in_an_error(day):
    assert len(day.told) > 14
    for text in day.told:
        search(day, "error", text)


def test_no_secret_is_on_the_disk(day):
    """In the folder as it is while it serves, after kill -9, and after a clean stop; the keyring
    is the one file that holds keys."""
    for action in (lambda: None, day.daemon.kill, day.daemon.start, day.daemon.stop):
        action()
        files = [f for f in glob.glob(day.daemon.state + "/**", recursive=True) if os.path.isfile(f)]
        assert day.daemon.db in files
        for path in files:
            if path != day.daemon.keyring:
                with open(path, "rb") as f:
                    search(day, path, f.read())


def test_no_secret_is_in_another_answer(day):
    """Secrets are shown once: by Enroll, and by nothing after it."""
    seen = [day.ops.get_policy(day.tenant), day.ops.set_policy(day.tenant, mobile=True),
            day.api.login(day.tenant, "ann"), day.api.login(day.tenant, "late"),
            day.api.verify(day.tenant, "late", "00000000"), day.api.verify(day.tenant, "ann", "00000000")]
    for answer in seen:
        search(day, type(answer).__name__, answer.SerializeToString())


def test_no_secret_is_in_the_environment_or_the_command_line(day):
    # Not dumpable, so environ is closed to everybody but root; that is a test of its own.
    for name in ("environ", "cmdline", "comm") if os.geteuid() == 0 else ("cmdline", "comm"):
        with open("/proc/%d/%s" % (day.daemon.process.pid, name), "rb") as f:
            search(day, name, f.read())


def test_the_process_is_closed_to_others(day):
    """Not dumpable: its files in /proc are root's, and it may leave no core."""
    place = "/proc/%d/" % day.daemon.process.pid
    with open(place + "limits") as f:
        limit = next(line.split() for line in f if line.startswith("Max core file size"))
    assert limit[4:6] == ["0", "0"]
    assert os.stat(place + "mem").st_uid == 0
    if os.geteuid() == 0 and shutil.which("setpriv"):
        peek = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat",
                               place + "environ", place + "maps"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        assert peek.stdout == b""


@pytest.mark.unsanitized
def test_no_secret_is_in_a_picture_of_its_memory(day, tmp_path):
    """What gcore gets, if it gets anything: the keys are kept where no dump reaches, and the rest
    was overwritten right after its use."""
    if shutil.which("gcore") is None:
        pytest.skip("gcore is not installed")
    # The answers to the last calls have gone out, and their memory has been given back.
    wait_until(lambda: day.api.login(day.tenant, "ann").requirement == pb.LOGIN_REQUIREMENT_CODE, "quiet")
    picture = memory_of(day.daemon, tmp_path)
    # An open connection's header table (RFC 7541) holds the token that it shows with every call.
    search(day, "core", picture, but=("token",))


@pytest.mark.unsanitized
def test_no_code_of_a_compressed_request_is_in_a_picture_of_its_memory(day, tmp_path):
    if shutil.which("gcore") is None:
        pytest.skip("gcore is not installed")
    code = "31415926"
    day.hide("compressed code", code.encode())
    request = pb.VerifyRequest(tenant_id=day.tenant, user_id="ann", channel=pb.CHANNEL_WEB, code=code,
                               password_verified=True).SerializeToString()
    with rawh2.Connection(day.daemon.port) as c:
        stream = c.open(SERVICE + "Verify", grpc_encoding="gzip", authorization=day.api.metadata[0][1])
        c.data(stream, rawh2.message(gzip.compress(request), flag=1))
        assert c.wait(stream).grpc == 0
    search(day, "core", memory_of(day.daemon, tmp_path), but=("token",))


def memory_of(daemon, folder):
    """What gcore gets."""
    r = subprocess.run(["gcore", "-o", str(folder / "core"), str(daemon.process.pid)],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    core = folder / ("core.%d" % daemon.process.pid)
    if not core.exists():
        assert r.returncode != 0
        pytest.skip("gcore may not look into processes here")
    picture = non_zero_pages(core)
    os.remove(core)
    assert b"/twostep.v1.TwoStepService/Verify" in picture  # it is a picture of this process
    return picture


def non_zero_pages(path):
    with open(path, "rb") as f:
        return b"".join(page for page in iter(lambda: f.read(4096), b"") if page.strip(b"\0"))
