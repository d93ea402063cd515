# SPDX-License-Identifier: ISC
"""twostepctl against a real twostepd: every command, its exit status and its output.

Where the daemon cannot be made to say something, a server of grpcio says it. Oracles:
oathtool for codes, zbarimg for QR codes, Google's protobuf for JSON."""

import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import pty
import re
import socket
import stat
import subprocess
import sys

import grpc
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("TWOSTEP_BUILD", "build")
CTL = str(BUILD / "twostepctl")
DONE, NO, UNDECIDED, USAGE = 0, 1, 2, 64
PATIENCE = 30

COMMANDS = [
    [], ["policy"], ["policy", "get"], ["policy", "set"], ["login-requirement"], ["enroll"],
    ["verify"], ["health"], ["code"], ["keyring"], ["keyring", "init"], ["keyring", "add"],
    ["keyring", "list"], ["callers"], ["callers", "add"], ["callers", "list"],
    ["callers", "remove"],
]  # fmt: skip


def run(*args, status=DONE, stdin="", **more):
    """Runs twostepctl, which must end with this status; what it printed."""
    result = subprocess.run([CTL, *map(str, args)], input=stdin, capture_output=True, text=True,
                            timeout=PATIENCE, **more)  # fmt: skip
    assert result.returncode == status, (result.args, result.stdout, result.stderr)
    return result


class Ctl:
    """twostepctl with a server and a token."""

    def __init__(self, address, token_file=None):
        self.options = ["--server", address]
        if token_file:
            self.options += ["--token-file", token_file]
        self.address = address

    def __call__(self, *args, **more):
        return run(*self.options, *args, **more)

    def json(self, *args, **more):
        return json.loads(self("--json", *args, **more).stdout)

    def enroll(self, tenant, user):
        """A pending enrolment."""
        return self.json("enroll", tenant, user, "--password-verified", "--qr=none")

    def verify(self, tenant, user, code, *more, status=DONE):
        return self("verify", tenant, user, code, "--password-verified", *more, status=status)

    def enrolled(self, tenant, user):
        """A user who has a secret: the secret. The present step is used up."""
        answer = self.enroll(tenant, user)
        code = code_of(answer["secretBase32"])
        self.verify(tenant, user, code, "--enrollment-id", answer["enrollmentId"])
        return answer["secretBase32"]


def code_of(secret, when="+0s"):
    return run("code", "--time", when, stdin=secret).stdout.strip()


def wrong_for(secret):
    near = {code_of(secret, "%+ds" % s) for s in (-60, -30, 0, 30, 60)}
    return next(c for c in ("%06d" % n for n in range(9)) if c not in near)


def private(path, text):
    with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        f.write(text)
    return path


CALLERS = {
    "ops": "login:web,policy,admin",
    "web": "login:web",
    "both": "login:web,login:mobile,policy",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A daemon with callers; .ops, .web and .both are twostepctl as these."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "state").mkdir(mode=0o700)
    callers, keyring, log = folder / "callers", folder / "keyring", folder / "log"
    run("keyring", "init", keyring)
    house = type("House", (), {"folder": folder})()
    for name, permissions in CALLERS.items():
        added = run("callers", "add", callers, name, "--permissions", permissions, "--tenants=*")
        private(folder / name, added.stdout)
    env = {k: v for k, v in os.environ.items() if not k.startswith("TWOSTEP_")}
    env.update(
        TWOSTEP_STATE_DIR=str(folder / "state"),
        TWOSTEP_KEYRING_FILE=str(keyring),
        TWOSTEP_CALLERS_FILE=str(callers),
        TWOSTEP_LISTEN="unix:%s" % (folder / "socket"),
    )
    with open(log, "w") as stderr:
        daemon = subprocess.Popen([BUILD / "twostepd"], env=env, stdin=subprocess.DEVNULL,
                                  stderr=stderr)  # fmt: skip
    try:
        for name in CALLERS:
            setattr(house, name, Ctl("unix:%s" % (folder / "socket"), folder / name))
        house.nobody = Ctl(house.ops.address)
        wait_for_socket(folder / "socket", daemon, log)
        yield house
    finally:
        daemon.terminate()
        assert daemon.wait(PATIENCE) == 0, log.read_text()


def wait_for_socket(path, daemon, log):
    """Until somebody takes a connection there."""
    while True:
        assert daemon.poll() is None, log.read_text()
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            with socket.socket(socket.AF_UNIX) as s:
                return s.connect(str(path))


@pytest.fixture
def tenant(house, request):
    """A tenant of the test's own that asks for codes."""
    name = re.sub(r"\W", "-", request.node.name)[:60]
    house.ops("policy", "set", name, "--enabled", "--issuer=Acme")
    return name


# ---- help and usage -------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_a_version(command):
    by_option = run(*command, "--help")
    assert by_option.stdout.startswith("Usage: " + " ".join(["twostepctl", *command]) + " ")
    assert "--server=ADDR" in by_option.stdout and by_option.stderr == ""
    assert run("help", *command).stdout == by_option.stdout
    assert re.fullmatch(r"twostepctl \d+\.\d+\.\d+\n", run(*command, "--version").stdout)


def test_help_lists_every_command():
    text = run("--help").stdout
    for command in COMMANDS:
        if command not in ([], ["policy"], ["keyring"], ["callers"]):
            assert re.search("^  %s  " % " ".join(command), text, re.M)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["nonsense"],
        ["policy"],
        ["policy", "preview", "t"],
        ["policy", "get"],
        ["policy", "get", "t", "u"],
        ["policy", "set", "t"],
        ["policy", "set", "--enabled"],
        ["policy", "set", "t", "--enabled=maybe"],
        ["policy", "set", "t", "--enabled", "--enabled=no"],
        ["policy", "set", "t", "--digits=six"],
        ["policy", "set", "t", "--algorithm=MD5"],
        ["policy", "set", "t", "--period=1.5s"],
        ["policy", "set", "t", "--suspended-until=tomorrow"],
        ["policy", "set", "t", "--enabled", "--expected-revision=0"],
        ["policy", "set", "t", "--revision=3"],
        ["login-requirement", "t"],
        ["login-requirement", "t", "u", "--channel=fax"],
        ["enroll", "t"],
        ["enroll", "t", "u", "--qr=gif"],
        ["enroll", "t", "u", "--qr=png"],
        ["enroll", "t", "u", "--qr=none", "--qr-file=f"],
        ["verify", "t", "u"],
        ["verify", "t", "u", "123456", "7"],
        ["verify", "t", "u", "-"],
        ["health", "a", "b"],
        ["code", "--digits=5", "AAAA"],
        ["code", "--digits=9", "AAAA"],
        ["code", "--period=0", "AAAA"],
        ["code", "--period=1500ms", "AAAA"],
        ["code", "--time=later", "AAAA"],
        ["code", "1!"],
        ["code"],
        ["keyring", "init"],
        ["keyring", "rotate"],
        ["callers", "add", "f", "n", "--tenants=*"],
        ["callers", "add", "f", "n", "--permissions=policy"],
        ["callers", "add", "f", "n", "--permissions=root", "--tenants=*"],
        ["--timeout=0", "health"],
        ["--server=nowhere", "health"],
        ["--server"],
        ["--colour", "health"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_64(args, tmp_path):
    result = run(*args, status=USAGE, cwd=tmp_path)
    assert result.stdout == "" and result.stderr.startswith("twostepctl")
    assert list(tmp_path.iterdir()) == []


# ---- the way there --------------------------------------------------------------------------


def test_nobody_there_could_not_decide():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % s.getsockname()[1]
        for command in (["health"], ["policy", "get", "t"], ["verify", "t", "u", "123456"]):
            result = run("--server", address, *command, status=UNDECIDED)
            assert result.stdout == ""
            assert "no answer from " + address in result.stderr and "--server" in result.stderr


def test_a_silent_server_could_not_decide():
    with socket.create_server(("127.0.0.1", 0)) as s:
        address = "127.0.0.1:%d" % s.getsockname()[1]
        run("--server", address, "--timeout=50ms", "health", status=UNDECIDED)


def test_a_token_that_leaves_the_machine_in_the_clear_is_told(speak, tmp_path):
    token = private(tmp_path / "token", "a.b\n")
    server = speak({"/grpc.health.v1.Health/Check": b"\x08\x01"})
    port = server.address.rsplit(":")[1]
    # On Linux this address leads to the machine itself, but it is not a loopback address.
    result = Ctl("0.0.0.0:" + port, token)("health")
    assert "without encryption" in result.stderr and "a.b" not in result.stderr
    assert Ctl("0.0.0.0:" + port)("health").stderr == ""
    assert Ctl(server.address, token)("health").stderr == ""


def test_the_options_stand_before_and_behind_the_command(house):
    run("health", "--json", "--server", house.ops.address)
    run("--server=127.0.0.1:1", "health", "--server", house.ops.address)


def test_calls_need_a_token(house):
    result = house.nobody("policy", "get", "t", status=UNDECIDED)
    assert result.stdout == ""
    assert result.stderr.startswith("twostepctl: UNAUTHENTICATED: ")
    assert "--token-file" in result.stderr


def test_a_caller_does_what_it_may(house):
    result = house.web("policy", "get", "t", status=UNDECIDED)
    assert result.stderr.startswith("twostepctl: PERMISSION_DENIED: ")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_token_file_that_others_reach_is_refused(house, tmp_path, mode):
    path = private(tmp_path / "token", (house.folder / "ops").read_text())
    os.chmod(path, mode)
    result = Ctl(house.ops.address, path)("policy", "get", "t", status=UNDECIDED)
    assert str(path) in result.stderr and "0600" in result.stderr


@pytest.mark.parametrize("text", ["", "\n", "a b\n", "a\nb\n", "x" * 200, "\x80"])
def test_a_token_file_holds_one_token(house, tmp_path, text):
    path = private(tmp_path / "token", text)
    result = Ctl(house.ops.address, path)("health", status=UNDECIDED)
    assert str(path) in result.stderr


def test_an_answer_that_cannot_be_written_is_a_failure(house):
    with open("/dev/full", "w") as full:
        result = subprocess.run([CTL, "--server", house.ops.address, "health"], stdout=full,
                                stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert result.returncode == UNDECIDED and "standard output" in result.stderr


# ---- health -----------------------------------------------------------------------------------


def test_health(house):
    assert house.nobody("health").stdout == "SERVING\n"
    assert house.nobody("health", "twostep.v1.TwoStepService").stdout == "SERVING\n"
    assert house.nobody.json("health") == {"status": "SERVING"}
    assert "NOT_FOUND" in house.nobody("health", "no.such.Service", status=UNDECIDED).stderr


def test_not_serving_is_a_no(speak):
    server = speak({"/grpc.health.v1.Health/Check": b"\x08\x02"})
    assert server("health", status=NO).stdout == "NOT_SERVING\n"
    assert server.json("health", status=NO) == {"status": "NOT_SERVING"}
    assert speak({"/grpc.health.v1.Health/Check": b""})("health", status=NO).stdout == "UNKNOWN\n"


# ---- policy -----------------------------------------------------------------------------------


def lines(result):
    """The fields of an answer for people: what stands behind each label."""
    return {line[:18].strip(): line[18:] for line in result.stdout.splitlines()}


def test_a_tenant_without_a_policy(house):
    text = lines(house.ops("policy", "get", "nobody-knows"))
    assert text["two-step"] == "off" and text["revision"].startswith("0:")
    policy = house.ops.json("policy", "get", "nobody-knows")["policy"]
    assert "revision" not in policy and policy["enabled"] is False


def test_set_changes_what_is_named_and_nothing_else(house):
    ops = house.ops
    first = ops.json("policy", "set", "p1", "--enabled", "--mobile=yes", "--digits=8",
                     "--issuer=Acme", "--period=60", "--window-steps=0")["policy"]  # fmt: skip
    assert first["revision"] == "1" and first["enabled"] and first["mobile"]
    assert first["period"] == "60s" and first["windowSteps"] == 0
    second = ops.json("policy", "set", "p1", "--algorithm=sha256", "--mobile=no",
                      "--enrollment-lifetime=15m")["policy"]  # fmt: skip
    changed = {k for k in second if second[k] != first.get(k)}
    assert changed <= {"revision", "updateTime", "algorithm", "mobile", "enrollmentLifetime"}
    assert second["algorithm"] == "ALGORITHM_SHA256" and second["mobile"] is False
    assert second["enrollmentLifetime"] == "900s" and second["digits"] == 8
    third = ops.json("policy", "set", "p1", "--digits=", "--window-steps=", "--issuer=")["policy"]
    assert (third["digits"], third["windowSteps"]) == (6, 1)
    assert third["issuer"] != "Acme" and third["mobile"] is False


def test_every_field_can_be_set(house):
    values = {
        "enabled": "yes", "mobile": "yes", "suspended-until": "2099-01-02T03:04:05Z",
        "suspended-reason": "mail is down", "issuer": "Acme", "algorithm": "SHA512", "digits": "8",
        "period": "60s", "window-steps": "2", "enrollment-lifetime": "1h", "reset-lifetime": "2h",
        "reset-link": "https://crm.example/reset?token={token}", "mail-from": "crm@acme.example",
        "mail-from-name": "Acme CRM", "locale": "nl",
    }  # fmt: skip
    house.ops("policy", "set", "p2", *("--%s=%s" % v for v in values.items()),
              "--reason=all", "--on-behalf-of=ann")  # fmt: skip
    policy = house.ops.json("policy", "get", "p2")["policy"]
    assert policy.pop("updateTime") and policy.pop("updatedBy") == "ops/ann"
    assert policy == {
        "tenantId": "p2", "revision": "1", "enabled": True, "mobile": True,
        "suspendedUntil": "2099-01-02T03:04:05Z", "suspendedReason": "mail is down",
        "issuer": "Acme", "algorithm": "ALGORITHM_SHA512", "digits": 8, "period": "60s",
        "windowSteps": 2, "enrollmentLifetime": "3600s", "resetLifetime": "7200s",
        "resetLink": "https://crm.example/reset?token={token}", "mailFrom": "crm@acme.example",
        "mailFromName": "Acme CRM", "locale": "nl",
    }  # fmt: skip
    text = lines(house.ops("policy", "get", "p2"))
    assert text["suspended until"] == "2099-01-02T03:04:05Z mail is down"
    assert text["codes"] == "SHA512, 8 digits" and text["period"] == "60 s"
    assert text["reset link waits"] == "2 h" and text["changed"].endswith(" ops/ann")


def test_json_is_what_googles_protobuf_makes_of_the_same_bytes(house, stubs):
    from google.protobuf import json_format

    house.ops("policy", "set", "p3", "--enabled", "--period=45s",
              "--suspended-until=2099-01-02T03:04:05.678Z")  # fmt: skip
    token = (house.folder / "ops").read_text().strip()
    with grpc.insecure_channel(house.ops.address) as channel:
        call = channel.unary_unary("/twostep.v1.TwoStepService/GetPolicy")
        raw = call(stubs.GetPolicyRequest(tenant_id="p3").SerializeToString(),
                   metadata=[("authorization", "Bearer " + token)])  # fmt: skip
    expected = json_format.MessageToDict(stubs.GetPolicyResponse.FromString(raw))
    text = house.ops("--json", "policy", "get", "p3").stdout
    assert json.loads(text) == expected
    parsed = json_format.Parse(text, stubs.GetPolicyResponse())
    assert parsed.SerializeToString(deterministic=True) == raw


def test_an_old_revision_could_not_decide(house):
    house.ops("policy", "set", "p4", "--enabled")
    house.ops("policy", "set", "p4", "--mobile=yes", "--expected-revision=1")
    result = house.ops("policy", "set", "p4", "--mobile=no", "--expected-revision=1",
                       status=UNDECIDED)  # fmt: skip
    assert result.stderr.startswith("twostepctl: ABORTED: ") and "revision" in result.stderr


def test_a_suspension_is_set_from_now_on_and_lifted(house, tenant):
    secret = house.ops.enrolled(tenant, "ann")
    house.ops("policy", "set", tenant, "--suspended-until=+2h", "--suspended-reason=mail is down")
    text = lines(house.ops("login-requirement", tenant, "ann"))
    assert text["next screen"].startswith("NOTHING ") and text["because"] == "SUSPENDED"
    house.ops("policy", "set", tenant, "--suspended-until=none", "--suspended-reason=")
    text = lines(house.ops("login-requirement", tenant, "ann"))
    assert text["next screen"].startswith("CODE ") and secret


def test_a_field_out_of_range_is_named(house):
    result = house.ops("policy", "set", "p5", "--digits=7", status=UNDECIDED)
    assert result.stderr.startswith("twostepctl: INVALID_ARGUMENT: ")
    assert re.search(r"^  field policy\.digits: ", result.stderr, re.M)
    assert re.search(r"^  reason: [A-Z_]+ \(twostep\)$", result.stderr, re.M)


# ---- login-requirement ---------------------------------------------------------------------


def test_login_requirement(house, tenant):
    text = lines(house.both("login-requirement", "nobody-knows", "ann", "--channel=web"))
    assert text["next screen"].startswith("NOTHING") and text["because"] == "POLICY_OFF"
    assert text["remember password"] == "may be offered"
    text = lines(house.both("login-requirement", tenant, "ann", "--channel=web"))
    assert text["next screen"].startswith("ENROLL") and text["remember password"] == "no"
    assert house.both.json("login-requirement", tenant, "ann", "--channel=mobile") == {
        "requirement": "LOGIN_REQUIREMENT_NOTHING",
        "reason": "REASON_CHANNEL_OFF",
        "mayRememberPassword": True,
    }
    result = house.both("login-requirement", tenant, "ann", status=UNDECIDED)
    assert re.search("^  field channel: ", result.stderr, re.M)


# ---- enroll -----------------------------------------------------------------------------------


def test_enroll_shows_everything_once(house, tenant):
    result = house.ops("enroll", tenant, "ann", "--password-verified", "--account-name=Ann B.")
    qr, text = result.stdout.rsplit("\nsecret ", 1)
    assert "█" in qr and "\x1b" not in result.stdout and result.stderr == ""
    text = dict(re.split(" {2,}", line, maxsplit=1) for line in ("secret " + text).splitlines())
    assert re.fullmatch("[A-Z2-7]{32}", text["secret"])
    assert text["uri"].startswith("otpauth://totp/Acme:Ann%20B.?") and text["secret"] in text["uri"]
    assert text["enrolment"] in text["next"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text["good until"])


def test_enroll_needs_the_callers_word(house, tenant):
    result = house.ops("enroll", tenant, "ann", status=UNDECIDED)
    assert result.stdout == ""
    assert result.stderr.startswith("twostepctl: FAILED_PRECONDITION: ")
    assert "reason: PASSWORD_NOT_VERIFIED (twostep)" in result.stderr


def test_an_enrolled_user_exists_already(house, tenant):
    house.ops.enrolled(tenant, "ann")
    result = house.ops("enroll", tenant, "ann", "--password-verified", status=UNDECIDED)
    assert result.stderr.startswith("twostepctl: ALREADY_EXISTS: ")


@pytest.mark.parametrize("kind", ["png", "svg", "text"])
def test_a_qr_code_goes_to_a_private_file(house, tenant, tmp_path, kind):
    path = tmp_path / "qr"
    path.write_text("old")
    result = house.ops("enroll", tenant, "ann", "--password-verified", "--qr", kind,
                       "--qr-file", path)  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and "█" not in result.stdout
    uri = re.search("^uri +(.*)$", result.stdout, re.M)[1]
    if kind == "png":
        read = subprocess.run(["zbarimg", "-q", "--raw", "-Sdisable", "-Sqrcode.enable", path], capture_output=True, text=True)
        assert read.stdout.strip() == uri
    else:
        assert path.read_text().startswith("<" if kind == "svg" else "█")


def test_a_qr_file_that_cannot_be_written_is_told(house, tenant, tmp_path):
    result = house.ops("enroll", tenant, "ann", "--password-verified", "--qr=png",
                       "--qr-file", tmp_path / "no" / "qr", status=UNDECIDED)  # fmt: skip
    assert "secret" in result.stdout and "the secret was made" in result.stderr


def test_enroll_as_json(house, tenant):
    answer = house.ops.json("enroll", tenant, "ann", "--password-verified", "--qr=png")
    assert answer.keys() == {"enrollmentId", "secretBase32", "otpauthUri", "qrPng", "expireTime"}
    assert answer["qrPng"].startswith("iVBORw0KGgo")
    answer = house.ops.json("enroll", tenant, "ann", "--password-verified")
    assert "█" in answer["qrText"]


def test_hints_about_apps_are_shown(house):
    house.ops("policy", "set", "p6", "--enabled", "--digits=8")
    result = house.ops("enroll", "p6", "ann", "--password-verified", "--qr=none")
    assert re.search("^mind  ", result.stdout, re.M)


def test_on_a_terminal_a_qr_code_is_white_on_black(house, tenant):
    seen = on_terminal(house.ops, "enroll", tenant, "ann", "--password-verified")
    qr = [line for line in seen.splitlines() if "█" in line]
    assert len(qr) > 20
    assert all(l.startswith("\x1b[40;97m") and l.endswith("\x1b[0m") for l in qr)
    assert "\x1b" not in "".join(l for l in seen.splitlines() if "█" not in l and "▀" not in l)


def on_terminal(ctl, *args):
    """What twostepctl writes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([CTL, *map(str, [*ctl.options, *args])], stdout=slave, stdin=slave)
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while part := os.read(master, 65536):
            seen += part
    os.close(master)
    assert process.wait(PATIENCE) == DONE
    return seen.decode().replace("\r\n", "\n")


# ---- verify -----------------------------------------------------------------------------------


def test_a_code_is_accepted_once(house, tenant):
    secret = house.ops.enrolled(tenant, "ann")
    code = code_of(secret, "+30s")
    assert house.ops.verify(tenant, "ann", code).stdout.startswith("ACCEPTED: ")
    assert house.ops.verify(tenant, "ann", code, status=NO).stdout.startswith("REPLAYED_CODE: ")


def test_a_wrong_code_is_a_no(house, tenant):
    secret = house.ops.enrolled(tenant, "ann")
    result = house.ops.verify(tenant, "ann", wrong_for(secret), status=NO)
    assert result.stdout.startswith("WRONG_CODE: ") and result.stderr == ""
    answer = house.ops.json("verify", tenant, "ann", wrong_for(secret), "--password-verified",
                            status=NO)  # fmt: skip
    assert answer["outcome"] == "VERIFY_OUTCOME_WRONG_CODE" and answer["verifyTime"].endswith("Z")


def test_a_code_comes_from_standard_input(house, tenant):
    secret = house.ops.enrolled(tenant, "ann")
    code = code_of(secret, "+30s")
    house.ops("verify", tenant, "ann", "-", "--password-verified", stdin=code + "\n")


def test_a_lock_says_how_long(house, tenant):
    secret = house.ops.enrolled(tenant, "ann")
    for _ in range(5):
        house.ops.verify(tenant, "ann", wrong_for(secret), status=NO)
    result = house.ops.verify(tenant, "ann", code_of(secret, "+30s"), status=NO)
    assert result.stdout.startswith("LOCKED: ")
    assert re.search(r"^try again in +\d+ s$", result.stdout, re.M)
    text = lines(house.ops("login-requirement", tenant, "ann"))
    assert text["locked"].startswith("no code is looked at for ")


def test_not_enrolled_and_no_such_enrolment_are_a_no(house, tenant):
    assert house.ops.verify(tenant, "ann", "123456", status=NO).stdout.startswith("NOT_ENROLLED: ")
    result = house.ops.verify(tenant, "ann", "123456", "--enrollment-id", "0" * 32, status=NO)
    assert result.stdout.startswith("ENROLLMENT_EXPIRED: ")


def test_not_required_lets_the_user_in_and_says_so(house):
    result = house.ops.verify("nobody-knows", "ann", "123456")
    assert result.stdout.startswith("NOT_REQUIRED: ")
    assert "may come in" in result.stdout
    assert re.search("^because +POLICY_OFF$", result.stdout, re.M)


def test_the_same_request_gets_the_same_answer(house, tenant):
    secret = house.ops.enrolled(tenant, "ann")
    code, again = code_of(secret, "+30s"), "--request-id=5f0d7a1e-9f3b-4c80-8f16-0a2f0a6f3f11"
    assert house.ops.verify(tenant, "ann", code, again).stdout.startswith("ACCEPTED")
    assert house.ops.verify(tenant, "ann", code, again).stdout.startswith("ACCEPTED")


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", " 123456", "１２３４５６"])
def test_what_is_no_code_could_not_be_decided(house, tenant, code):
    house.ops.enrolled(tenant, "ann")
    result = house.ops.verify(tenant, "ann", code, status=UNDECIDED)
    assert re.search("^  field code: ", result.stderr, re.M) and result.stdout == ""


def test_an_outcome_from_the_future_is_a_no(speak):
    path = "/twostep.v1.TwoStepService/Verify"
    for answer, word in ((b"\x08\x63", "UNKNOWN: "), (b"", "UNSPECIFIED: ")):
        result = speak({path: answer}).verify("t", "u", "123456", status=NO)
        assert result.stdout.startswith(word) and "take it as a no" in result.stdout


# ---- errors -----------------------------------------------------------------------------------


def pb(number, value):
    """A field of a protobuf message: a number, a text or the bytes of a message."""
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


class Refusal:
    def __init__(self, code, message, *details):
        status = pb(1, code.value[0]) + pb(2, message)
        for name, value in details:
            status += pb(3, pb(1, "type.googleapis.com/" + name) + pb(2, value))
        self.code, self.message, self.status = code, message, status

    def __call__(self, context):
        context.set_trailing_metadata([("grpc-status-details-bin", self.status)])
        context.abort(self.code, self.message)


@pytest.fixture
def speak():
    """speak({path: answer}) is twostepctl with a server that says just that."""
    servers = []

    def start(answers):
        class Handler(grpc.GenericRpcHandler):
            def service(self, details):
                answer = answers[details.method]

                def serve(_, context):
                    return answer if isinstance(answer, bytes) else answer(context)

                return grpc.unary_unary_rpc_method_handler(serve)

        servers.append(grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[Handler()]))
        port = servers[-1].add_insecure_port("127.0.0.1:0")
        servers[-1].start()
        return Ctl("127.0.0.1:%d" % port)

    yield start
    for server in servers:
        server.stop(None).wait()


def test_the_details_of_an_error_are_told(speak):
    server = speak({"/twostep.v1.TwoStepService/GetPolicy": Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "too many cafés",
        ("google.rpc.ErrorInfo",
         pb(1, "RATE") + pb(2, "twostep") + pb(3, pb(1, "limit") + pb(2, "10"))),
        ("google.rpc.BadRequest",
         pb(1, pb(1, "a.b") + pb(2, "is wrong")) + pb(1, pb(1, "c") + pb(2, "too"))),
        ("google.rpc.RetryInfo", pb(1, pb(1, 3) + pb(2, 500_000_000))),
        ("google.rpc.Help", b""),
    )})  # fmt: skip
    assert server("policy", "get", "t", status=UNDECIDED).stderr.splitlines() == [
        "twostepctl: RESOURCE_EXHAUSTED: too many cafés",
        "  reason: RATE (twostep)",
        "  limit: 10",
        "  field a.b: is wrong",
        "  field c: too",
        "  try again in 4 s",
        "  and a detail of type google.rpc.Help",
    ]


def test_damaged_details_do_no_harm(speak):
    bad_detail = pb(3, pb(1, "google.rpc.ErrorInfo") + pb(2, b"\xff"))
    for status in (b"\xff", bad_detail, pb(3, b""), pb(1, 5) * 9):
        refusal = Refusal(grpc.StatusCode.NOT_FOUND, "gone")
        refusal.status = status
        server = speak({"/twostep.v1.TwoStepService/GetPolicy": refusal})
        result = server("policy", "get", "t", status=UNDECIDED)
        assert result.stderr.startswith("twostepctl: NOT_FOUND: gone\n")


def test_text_from_the_server_cannot_steer_the_terminal(speak):
    server = speak({
        "/twostep.v1.TwoStepService/GetPolicy": pb(1, pb(1, "t\x1b[2J") + pb(7, "caf\u00e9")),
        "/twostep.v1.TwoStepService/Enroll": Refusal(grpc.StatusCode.INTERNAL, "a\x07\nb"),
    })  # fmt: skip
    text = lines(server("policy", "get", "t"))
    assert text["tenant"] == r"t\x1b[2J" and text["issuer"] == "café"
    assert r"INTERNAL: a\x07\x0ab" in server("enroll", "t", "u", status=UNDECIDED).stderr


def test_an_answer_that_is_none_could_not_be_decided(speak):
    path = "/twostep.v1.TwoStepService/GetPolicy"
    for answer, complaint in ((b"\xff", "another version"), (b"", "no policy")):
        result = speak({path: answer})("policy", "get", "t", status=UNDECIDED)
        assert complaint in result.stderr and result.stdout == ""
    result = speak({path: pb(1, pb(1, b"\xff"))})("--json", "policy", "get", "t", status=UNDECIDED)
    assert "--json" in result.stderr and result.stdout == ""


# ---- code ------------------------------------------------------------------------------------

RFC_6238_SEEDS = {
    "SHA1": b"1234567890" * 2,
    "SHA256": b"1234567890" * 3 + b"12",
    "SHA512": b"1234567890" * 6 + b"1234",
}


@pytest.mark.parametrize("algorithm", RFC_6238_SEEDS)
@pytest.mark.parametrize("digits", [6, 7, 8])
def test_codes_are_those_of_oathtool(algorithm, digits):
    seed = RFC_6238_SEEDS[algorithm]
    secret = base64.b32encode(seed).decode().rstrip("=")
    for when in (59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000):
        for period in (30, 60):
            expected = subprocess.run(
                ["oathtool", "--totp=" + algorithm, "-d", str(digits), "-s", "%ds" % period,
                 "-N", "@%d" % when, seed.hex()],
                capture_output=True, text=True, check=True).stdout  # fmt: skip
            ours = run("code", "--algorithm", algorithm.lower(), "--digits", digits,
                       "--period", period, "--time", "@%d" % when, secret)  # fmt: skip
            assert ours.stdout == expected


def test_a_secret_comes_as_people_paste_it():
    for text in ("JBSWY3DPEHPK3PXP", "jbsw y3dp-ehpk 3pxp", "JBSWY3DPEHPK3PXP\n"):
        assert run("code", "--time=@0", stdin=text).stdout == "282760\n"
        assert run("code", "--time=@0", "-", stdin=text).stdout == "282760\n"
        assert json.loads(run("code", "--time=@0", "-j", stdin=text).stdout) == {"code": "282760"}


def test_times_of_a_code():
    at = lambda when: run("code", "--time", when, "JBSWY3DPEHPK3PXP").stdout
    assert at("2009-02-13T23:31:30Z") == at("@1234567890") == at("2009-02-14T01:31:30+02:00")


# ---- keyring and callers --------------------------------------------------------------------


def test_keyring(tmp_path):
    path = tmp_path / "keyring"
    run("keyring", "init", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    result = run("keyring", "init", path, status=UNDECIDED)
    assert str(path) in result.stderr and path.read_text() == before
    assert run("keyring", "list", path).stdout == "key 1 active\n"
    run("keyring", "add", path)
    result = run("keyring", "list", path)
    assert result.stdout == "key 1\nkey 2 active\n"
    assert json.loads(run("keyring", "add", "--json", path).stdout) == {"id": 3}
    keys = json.loads(run("keyring", "list", "--json", path).stdout)["keys"]
    assert keys[1:] == [{"id": 2, "active": False}, {"id": 3, "active": True}]
    path.chmod(0o644)
    assert "0600" in run("keyring", "list", path, status=UNDECIDED).stderr
    run("keyring", "add", path, status=UNDECIDED)


def test_callers_that_are_added_at_once_are_all_there(tmp_path):
    path = tmp_path / "callers"
    adding = [subprocess.Popen([CTL, "callers", "add", path, "c%d" % n, "--permissions=policy",
                                "--tenants=*"], stdout=subprocess.DEVNULL) for n in range(20)]
    assert [p.wait(PATIENCE) for p in adding] == [0] * 20
    listed = json.loads(run("callers", "list", path, "--json").stdout)["callers"]
    assert {c["name"] for c in listed} == {"c%d" % n for n in range(20)}


def test_callers(tmp_path):
    path = tmp_path / "callers"
    add = ["callers", "add", path]
    result = run(*add, "crm-web", "--permissions=login:web", "--tenants=acme,globex",
                 "--tenants=initech")  # fmt: skip
    token = result.stdout.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"\S+\.\S+", token) and token not in result.stderr
    assert token.split(".")[1] not in path.read_text()
    other = run(*add, "ops", "--permissions=policy,admin", "--tenants=*", "--json")
    other = json.loads(other.stdout)
    assert other["name"] == "ops" and other["token"] != token
    text = run("callers", "list", path).stdout
    assert "login:web" in text and "acme globex initech" in text and token.split(".")[1] not in text
    listed = json.loads(run("callers", "list", path, "--json").stdout)["callers"]
    assert [(c["name"], c["permissions"], c["tenants"]) for c in listed] == [
        ("crm-web", ["login:web"], ["acme", "globex", "initech"]),
        ("ops", ["policy", "admin"], ["*"]),
    ]
    result = run(*add, "crm-web", "--permissions=policy", "--tenants=*", status=UNDECIDED)
    assert "crm-web" in result.stderr
    run(*add, 'a"b', "--permissions=policy", "--tenants=*", status=USAGE)
    run("callers", "remove", path, "crm-web")
    run("callers", "remove", path, "crm-web", status=UNDECIDED)
    assert "crm-web" not in run("callers", "list", path).stdout
    run("callers", "list", tmp_path / "none", status=UNDECIDED)


# ---- stubs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """Google's Python messages of twostep.proto."""
    out = tmp_path_factory.mktemp("stubs")
    subprocess.run(["protoc", "-I", ROOT / "proto", "--python_out", out,
                    "twostep/v1/twostep.proto"], check=True)  # fmt: skip
    sys.path.insert(0, str(out))
    from twostep.v1 import twostep_pb2

    sys.path.remove(str(out))
    return twostep_pb2
