# SPDX-License-Identifier: ISC
"""Goal: whatever comes in, the daemon answers what it promised, writes nothing, keeps its
memory, and goes on: the bounds of every field, bytes that are no messages, messages that would
unfold into much more than they are, and peers that speak something else."""
import os
import socket

import grpc
import pytest

import rawh2
from kit import (METHODS, PATIENCE, SERVICE, T0, fresh, invalid, one_by_one, pb, refused, seconds,
                 timestamp_pb2)

INTERNAL, EXHAUSTED = grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED

# What is no string on the wire (protobuf-c takes all of it).
NOT_UTF8 = [b"\xff", b"\xc3", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xed\xa0\x80",
            b"\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"a\x80b", b"a\xc3"]
CONTROLS = [b"\x01", b"\t", b"\n", b"\r", b"\x1b[2J", b"\x7f", "\u0080".encode(), "\u0085".encode(),
            "\u009f".encode(), "\u2028".encode(), "\u2029".encode()]
UUID = "12345678-1234-4123-8123-123456789abc"


@pytest.fixture(scope="module")
def alive(service):
    """The daemon of this file; after every test it must still serve."""
    tenant = service.tenant()
    ann = service.enrol(tenant, "ann")
    service.proof = lambda: service.api.outcome(tenant, "ann", ann.code_at(T0)) in (
        "REPLAYED_CODE", "LOCKED")
    return service


@pytest.fixture(autouse=True)
def unharmed(request):
    yield
    if "alive" in request.fixturenames:
        assert request.getfixturevalue("alive").proof()


@pytest.fixture
def untouched(alive):
    """The test must write nothing."""
    before = alive.rows()
    yield alive
    assert alive.rows() == before


# ---- messages by hand -----------------------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    """One field: bytes and text behind their length, numbers as varints."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def numbers(message):
    return {f.name: f.number for f in message.DESCRIPTOR.fields}


GOOD = {
    "GetLoginRequirement": pb.GetLoginRequirementRequest(tenant_id="t", user_id="u", channel=1),
    "Enroll": pb.EnrollRequest(tenant_id="t", user_id="u", channel=1, password_verified=True),
    "Verify": pb.VerifyRequest(tenant_id="t", user_id="u", channel=1, password_verified=True,
                               code="123456"),
    "SetPolicy": pb.SetPolicyRequest(policy=pb.Policy(tenant_id="t", digits=6)),
    "GetPolicy": pb.GetPolicyRequest(tenant_id="t"),
}
# (method, message, field's name) of every string that a request of a method served here has.
STRINGS = [(m, None, f.name) for m, request in GOOD.items() for f in request.DESCRIPTOR.fields
           if f.type == f.TYPE_STRING] + \
          [("SetPolicy", "policy", f.name) for f in pb.Policy.DESCRIPTOR.fields
           if f.type == f.TYPE_STRING]


def with_string(method, part, name, value):
    """A good request in which one string is these bytes."""
    good = GOOD[method]
    if part is None:
        return good.SerializeToString() + field(numbers(good)[name], value)
    inner = getattr(good, part).SerializeToString() + field(numbers(pb.Policy)[name], value)
    return field(numbers(good)[part], inner)


# ---- strings ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method, part, name", STRINGS)
def test_a_string_is_utf8_without_nul(untouched, method, part, name):
    for value in NOT_UTF8 + [b"\0", b"a\0", b"\0a", b"a\0b"]:
        with invalid(part + "." + name if part else name):
            untouched.api.raw(method, with_string(method, part, name, value))


@pytest.mark.parametrize("method, part, name", [s for s in STRINGS if s[2] not in ("updated_by",)])
def test_a_string_has_no_control_characters(untouched, method, part, name):
    for value in CONTROLS:
        for text in (value, b"a" + value, value + b"a"):
            with refused(grpc.StatusCode.INVALID_ARGUMENT) as held:
                untouched.api.raw(method, with_string(method, part, name, text))
            assert (part + "." + name if part else name) in held.problem.fields


# Fields with a length: (method, part, name, most bytes). What they hold is checked elsewhere.
LENGTHS = [(m, None, n, 128) for m in ("GetLoginRequirement", "Enroll", "Verify")
           for n in ("tenant_id", "user_id")] + [
    ("GetPolicy", None, "tenant_id", 128), ("SetPolicy", "policy", "tenant_id", 128),
    ("Enroll", None, "account_name", 128), ("SetPolicy", "policy", "issuer", 64),
    ("SetPolicy", "policy", "suspended_reason", 256), ("SetPolicy", "policy", "mail_from_name", 64),
    ("SetPolicy", None, "reason", 256), ("SetPolicy", None, "on_behalf_of", 128)]


@pytest.mark.parametrize("method, part, name, most", LENGTHS)
@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_a_length_counts_bytes_up_to_the_bound(alive, method, part, name, most, letter):
    at_bound = letter.encode() * (most // len(letter.encode()))
    at_bound += b"x" * (most - len(at_bound))
    try:
        alive.api.raw(method, with_string(method, part, name, at_bound))
    except grpc.RpcError as e:  # the policy of the tenant "t" is off
        assert e.code() == grpc.StatusCode.FAILED_PRECONDITION, e.details()
    for over in (at_bound + b"x", at_bound * 3):
        with invalid(part + "." + name if part else name):
            alive.api.raw(method, with_string(method, part, name, over))


@pytest.mark.parametrize("method, part, name", [s for s in STRINGS if s[2] in ("tenant_id", "user_id")])
def test_an_id_cannot_be_empty(untouched, method, part, name):
    with invalid(part + "." + name if part else name):
        untouched.api.raw(method, with_string(method, part, name, b""))


GOOD_VALUES = [
    ("Enroll", "client_address", ["192.0.2.1", "2001:db8::1", "::", "::ffff:192.0.2.1"]),
    ("Enroll", "notify_address", ["a@b", "ann.o'hara+crm@example.com", "x" * 64 + "@example.com"]),
    ("Enroll", "locale", ["en", "nl", "de", ""]),
    ("Verify", "client_address", ["255.255.255.255"]),
    ("Verify", "request_id", [UUID, UUID.upper()]),
    ("SetPolicy", "policy.reset_link", [
        "https://crm.example/reset?token={token}", "https://x/{token}#{token}",
        "http://localhost/{token}", "http://localhost:8080/{token}", "http://127.0.0.1/{token}",
        "http://[::1]:1/{token}", "https://x/" + "a" * 495 + "{token}"]),
    ("SetPolicy", "policy.mail_from", ["crm@example.com"]),
]
BAD_VALUES = [
    ("Enroll", "account_name", ["a:b", ":", "ann\u2028"]),
    ("Enroll", "client_address", ["localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "fe80::1%eth0",
                                  "[::1]", "192.0.2.1:80", "192.0.2.1/24", " 192.0.2.1", "x" * 5000]),
    ("Enroll", "notify_address", ["a", "@b", "a@", "a@b@c", "a b@c", "a@b c", "<a@b>", "a@b,c@d",
                                  "a@b;c", '"a"@b', "a\\b@c", "é@example.com", "a@é.example", ".a@b",
                                  "a.@b", "a@.b", "a@b.", "x" * 65 + "@b", "a@" + "b" * 253]),
    ("Enroll", "locale", ["fr", "EN", "en-GB", "e", "en\u00a0"]),
    ("Verify", "recovery_code", ["x" * 65]),
    ("Verify", "enrollment_id", ["x" * 65]),
    ("Verify", "request_id", [UUID[:-1], UUID + "0", UUID.replace("-", ""), "g" + UUID[1:],
                              "00000000-0000-0000-0000-000000000000", "urn:uuid:" + UUID]),
    ("SetPolicy", "policy.issuer", ["a:b"]),
    ("SetPolicy", "policy.reset_link", [
        "http://crm.example/{token}", "https://crm.example/", "crm.example/{token}",
        "javascript:alert({token})", "http://localhost.example/{token}", "https://", "//x/{token}",
        "http://127.0.0.1.example/{token}", "https://x/{token} y", 'https://x/"{token}', "ftp://x/{token}",
        "https://x/<{token}>", "HTTPS://x/{token}", "https://x/" + "a" * 496 + "{token}",
        "https://x/{TOKEN}", "https://x/{token", "http://user@localhost/{token}"]),
    ("SetPolicy", "policy.mail_from", ["x", "CRM <crm@example.com>"]),
    ("SetPolicy", "policy.locale", ["fr"]),
]


def with_value(method, name, value):
    part, _, leaf = name.rpartition(".")
    return with_string(method, part or None, leaf, value)


@pytest.mark.parametrize("method, name, values", GOOD_VALUES)
def test_good_values_are_taken(alive, method, name, values):
    for value in values:
        try:
            alive.api.raw(method, with_value(method, name, value))
        except grpc.RpcError as e:
            assert e.code() in (grpc.StatusCode.FAILED_PRECONDITION,), (value, e.details())


@pytest.mark.parametrize("method, name, values", BAD_VALUES)
def test_bad_values_are_invalid(untouched, method, name, values):
    for value in values:
        with refused(grpc.StatusCode.INVALID_ARGUMENT) as held:
            untouched.api.raw(method, with_value(method, name, value))
        assert name in held.problem.fields, value


# ---- numbers ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("field_name, good, bad", [
    ("period", [seconds(15), seconds(120)],
     [seconds(n) for n in (0, 14, 121, -30, 2**40)] + [type(seconds(1))(seconds=30, nanos=1)]),
    ("enrollment_lifetime", [seconds(60), seconds(86400)], [seconds(n) for n in (0, 59, 86401, -60)]),
    ("reset_lifetime", [seconds(300), seconds(86400)], [seconds(n) for n in (0, 299, 86401)]),
    ("digits", [6, 8], [1, 5, 7, 9, 2**32 - 1]),
    ("window_steps", [0, 1, 2], [3, 2**31, 2**32 - 1]),
    ("algorithm", [1, 2, 3], [4, -1, 2**31 - 1]),
    ("suspended_until", [timestamp_pb2.Timestamp(seconds=s) for s in (0, 1, 253402300799)],
     [timestamp_pb2.Timestamp(seconds=s) for s in (-1, 253402300800, 2**62)] +
     [timestamp_pb2.Timestamp(seconds=1, nanos=n) for n in (-1, 10**9)])])
def test_policy_numbers_have_bounds(alive, field_name, good, bad):
    tenant = fresh()
    for value in good:
        assert getattr(alive.api.set_policy(tenant, **{field_name: value}), field_name) == value
    policy = alive.api.get_policy(tenant)
    for value in bad:
        with invalid("policy." + field_name):
            alive.api.set_policy(tenant, **{field_name: value})
    assert alive.api.get_policy(tenant) == policy


@pytest.mark.parametrize("method", METHODS[:3])
@pytest.mark.parametrize("number", [3, 4, 100, 2**31 - 1, -1, -2**31])
def test_an_unknown_channel_is_invalid(untouched, method, number):
    message = type(GOOD[method])()
    message.CopyFrom(GOOD[method])
    message.channel = number
    with invalid("channel"):
        untouched.api.call(method, message)


@pytest.mark.parametrize("number", [5, 2**31 - 1, -1])
def test_an_unknown_format_is_invalid(untouched, number):
    with invalid("qr_format"):
        untouched.api.enroll("t", "u", qr_format=number)


# ---- bytes that are no message, and odd ones that are ----------------------------------------------------

def test_bytes_that_are_no_message_are_refused(untouched):
    name = GOOD["Verify"].SerializeToString()
    bad = [name[:-1], b"\xff", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x00\x00", b"\x0b\x0c", b"\x0c",
           b"\x0e", b"\x0f", b"\x0d\x01", b"\x09\x01", b"\x18" + b"\xff" * 10, b"\x18" + b"\x80" * 10,
           field(1, 7), field(4, b"yes"), varint(2**29 << 3), b"\xff" * 4096, os.urandom(4096)]
    for method in METHODS:
        for message in bad:
            if method != "Verify" and message == name[:-1]:
                continue
            with pytest.raises(grpc.RpcError) as e:
                untouched.api.raw(method, message)
            # Some of that is a message of some request after all: then a field is missing.
            assert e.value.code() in (INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize("bad", [b"\x0a\xff", b"\x00\x01", b"\x0b", b"\x0c", b"\x0f"],
                         ids=["truncated", "field 0", "group", "end of group", "type 7"])
def test_what_is_no_message_is_said_to_be_none(untouched, bad):
    with refused(INTERNAL, "MESSAGE_MALFORMED"):
        untouched.api.raw("Verify", GOOD["Verify"].SerializeToString() + bad)


def test_unknown_fields_do_no_harm_and_the_last_value_counts(alive):
    tenant = alive.tenant()
    unknown = field(99, 1) + field(100, b"x" * 100) + varint(101 << 3 | 1) + bytes(8) + \
        varint(2**28 << 3 | 5) + bytes(4)
    message = unknown + field(1, "other") + field(2, "somebody") + field(1, tenant) + unknown + \
        field(2, "ann") + field(3, 9) + field(3, 1)
    answer = pb.GetLoginRequirementResponse.FromString(alive.api.raw("GetLoginRequirement", message))
    assert answer.requirement == pb.LOGIN_REQUIREMENT_ENROLL


def test_a_part_that_comes_twice_is_refused(untouched):
    """protobuf-c does not put the two together, and guessing which one is meant is no good."""
    policy = lambda **fields: field(1, pb.Policy(**fields).SerializeToString())
    with refused(INTERNAL, "MESSAGE_MALFORMED"):
        untouched.api.raw("SetPolicy", policy(tenant_id="a", enabled=True) + policy(tenant_id="b"))


# ---- size ------------------------------------------------------------------------------------------------

LIMIT = 65536


def rss(daemon):
    with open("/proc/%d/status" % daemon.process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


@pytest.mark.unsanitized
@pytest.mark.parametrize("filler", [
    field(15, 1), field(15, b""), field(2, field(1, b"")), field(2, b""), field(1, b""),
    field(1, field(5, b"")), field(4, b""), varint(15 << 3 | 5) + bytes(4)],
    ids=["unknown numbers", "unknown strings", "mask paths", "masks", "policies", "timestamps",
         "reasons", "unknown fixed32"])
def test_a_message_that_unfolds_is_refused_and_takes_no_memory(alive, filler):
    """Messages at the limit, made of the smallest fields: protobuf-c would make 50 times as much
    of some. What fits is answered, what does not is refused; memory stays where it was."""
    message = filler * ((LIMIT - 100) // len(filler))
    paths = field(2, field(1, b"") * ((LIMIT - 100) // 2))
    for what in (message, paths):
        for warm in range(2):
            with pytest.raises(grpc.RpcError) as e:
                alive.api.raw("SetPolicy", what)
            assert e.value.code() in (EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT, INTERNAL)
    before = rss(alive)
    call = alive.api.channel.unary_unary(SERVICE + "SetPolicy")
    for _ in range(4):
        for future in [call.future(message, timeout=PATIENCE) for _ in range(50)]:
            assert future.exception() is not None
    assert rss(alive) - before < 8 * 1024, "KiB"


def test_a_mask_of_32000_paths_is_too_complex(untouched):
    with refused(EXHAUSTED, "MESSAGE_TOO_COMPLEX"):
        untouched.api.raw("SetPolicy", field(2, field(1, b"") * 32000))


def test_a_message_that_fills_a_requests_memory_is_answered(alive):
    """Just under and just over what a request may take: the answer has to fit beside it."""
    tenant, got = alive.tenant(), set()
    for times in range(2000, 4600, 20):
        policy = field(1, tenant) + field(3, 1) + field(5, b"") * times
        try:
            alive.api.raw("SetPolicy", field(1, policy))
            got.add(True)
        except grpc.RpcError as e:
            assert e.code() == EXHAUSTED
            got.add(False)
    assert got == {True, False}


def test_a_message_at_the_limit_is_read_and_one_byte_more_is_not(alive):
    tenant = alive.tenant()
    good = field(1, tenant) + field(2, "u") + field(3, 1)
    pad = lambda size: good + field(99, b"x" * (size - len(good) - 5))
    assert len(pad(LIMIT)) == LIMIT
    alive.api.raw("GetLoginRequirement", pad(LIMIT))
    for size in (LIMIT + 1, 2 * LIMIT, 3 * 1024 * 1024):
        with pytest.raises(grpc.RpcError) as e:
            alive.api.raw("GetLoginRequirement", pad(size))
        assert e.value.code() == EXHAUSTED


def test_an_empty_message_is_a_message_without_its_fields(untouched):
    for method in METHODS:
        with refused(grpc.StatusCode.INVALID_ARGUMENT):
            untouched.api.raw(method, b"")


# ---- something else on the port --------------------------------------------------------------------------

@pytest.mark.parametrize("sent", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /twostep.v1.TwoStepService/Verify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512), b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\0" * 24, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n" + bytes(100),
    rawh2.PREFACE + b"\xff" * 100, os.urandom(4096), rawh2.PREFACE + os.urandom(4096)],
    ids=["http1", "post1", "upgrade", "tls", "ssh", "zeros", "bad-preface", "other-version",
         "bad-frames", "noise", "noise-behind-preface"])
def test_who_speaks_something_else_is_hung_up_on(untouched, sent):
    with socket.create_connection(("127.0.0.1", untouched.port), timeout=PATIENCE) as s:
        s.sendall(sent)
        s.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while chunk := s.recv(65536):
                got += chunk
        except ConnectionResetError:
            pass
        assert len(got) < 1000 and b"grpc-status" not in got


def test_http_that_is_no_grpc_gets_an_http_answer(untouched):
    with rawh2.Connection(untouched.port) as c:
        for changes, expected in (({"content_type": "application/json"}, 415), ({"method": "GET"}, 405),
                                  ({"content_type": "application/grpc-web"}, 415)):
            stream = c.open(SERVICE + "Verify", end=True, **changes)
            assert c.wait(stream).http == expected


# ---- after all that --------------------------------------------------------------------------------------

def test_refused_calls_have_left_nothing_behind(daemon):
    """One of each kind, and then the file is looked at with the daemon stopped."""
    tenant = daemon.tenant()
    daemon.enrol(tenant, "ann")
    daemon.restart()
    before = daemon.rows()
    for method, part, name in STRINGS:
        for value in (b"\xff", b"\0", b"x" * 20000):
            try:
                daemon.api.raw(method, with_string(method, part, name, value))
            except grpc.RpcError as e:
                assert e.code() != grpc.StatusCode.UNKNOWN
            else:
                assert name == "updated_by"
    for method in METHODS:
        for message in (b"\xff", b"\x0a\xff", b"x" * 70000):
            with pytest.raises(grpc.RpcError):
                daemon.api.raw(method, message)
    assert daemon.stop() == 0
    after = daemon.rows()
    for table in ("user", "factor", "pending", "sign_in", "data_key"):
        assert after[table] == before[table], table
    if one_by_one():
        ok, = daemon.copy_db().execute("PRAGMA integrity_check").fetchone()
        assert ok == "ok"
