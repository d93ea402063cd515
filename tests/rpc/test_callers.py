# SPDX-License-Identifier: ISC
"""Goal: who calls decides what may be called, for which tenants, on which channel; no tenant
reaches another's data whatever the ids contain; and every error says why in a form that
programs can read."""
import base64
import unicodedata

import grpc
import pytest

import rawh2
from kit import METHODS, SERVICE, T0, Problem, fresh, invalid, pb, refused, status_pb2

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
UNSPECIFIED, WEB, MOBILE = pb.CHANNEL_UNSPECIFIED, pb.CHANNEL_WEB, pb.CHANNEL_MOBILE

CALLERS = {
    "web": (["login:web"], ["*"]),
    "mobile": (["login:mobile"], ["*"]),
    "both": (["login:web", "login:mobile"], ["*"]),
    "ops": (["policy"], ["*"]),
    "admin": (["admin"], ["*"]),
    "all": (["login:web", "login:mobile", "policy", "admin"], ["*"]),
    "of-a": (["login:web", "policy"], ["tenant-a"]),
    "of-b": (["login:web", "policy"], ["tenant-b"]),
    "of-two": (["login:web", "policy"], ["tenant-a", "a|b", "$HOME", 'with "quotes" and \\']),
}


@pytest.fixture(scope="module")
def guarded(make_service):
    """A daemon with a callers file."""
    return make_service(callers=CALLERS)


def requests(tenant, user="ann", channel=UNSPECIFIED):
    """A request of every method, good in itself."""
    common = dict(tenant_id=tenant, user_id=user, channel=channel)
    return {
        "GetLoginRequirement": pb.GetLoginRequirementRequest(**common),
        "Enroll": pb.EnrollRequest(password_verified=True, **common),
        "Verify": pb.VerifyRequest(password_verified=True, code="123456", **common),
        "SetPolicy": pb.SetPolicyRequest(policy=pb.Policy(tenant_id=tenant, mobile=True)),
        "GetPolicy": pb.GetPolicyRequest(tenant_id=tenant),
    }


def result(api, method, request):
    """OK, or the Problem's (code, reason)."""
    try:
        api.call(method, request)
        return "OK"
    except grpc.RpcError as e:
        problem = Problem(e)
        return problem.code, problem.reason


# ---- credentials -----------------------------------------------------------------------------------------

def credentials(daemon):
    token, other = daemon.tokens["all"], daemon.tokens["web"]
    key, secret = token.split(".")
    yield from (None, "", "Bearer", "Bearer ", "Bearer .", "Bearer " + key, "Bearer " + key + ".",
                "Bearer ." + secret, "Bearer " + key + secret, "Bearer " + key + "." + secret[:-1],
                "Bearer " + key + "." + secret + "0", "Bearer " + key + "." + secret.upper(),
                "Bearer " + key + "." + other.split(".")[1], "Bearer " + key.upper() + "." + secret,
                "bearer " + token, "Basic " + token, token, "Bearer  " + token, "Bearer " + token + " ",
                "Bearer 0000000000000000." + secret, "Bearer " + "a" * 4000 + "." + secret)


def test_without_a_valid_credential_nothing_is_answered(guarded):
    for method in METHODS:
        told = set()
        for value in credentials(guarded):
            metadata = () if value is None else (("authorization", value),)
            with pytest.raises(grpc.RpcError) as e:
                getattr(guarded.api.stub, method)(requests(fresh())[method], metadata=metadata)
            if value and value != value.strip():  # a client or a proxy may take blanks off
                continue
            problem = Problem(e.value)
            assert (problem.code, problem.reason) == (UNAUTHENTICATED, "CREDENTIAL_REJECTED"), value
            told.add((problem.message, str(e.value.trailing_metadata())))
        assert len(told) == 1, "the answer tells which part was wrong"


def test_a_bad_credential_is_refused_before_the_message_is_read(guarded):
    """The answer comes while the message is still on its way."""
    with rawh2.Connection(guarded.port) as c:
        stream = c.open(SERVICE + "Verify", authorization="Bearer no.good")
        assert c.wait(stream).grpc == UNAUTHENTICATED.value[0]


def test_the_first_credential_counts(guarded):
    api = guarded.caller("all")
    good, bad = api.metadata[0], ("authorization", "Bearer no.good")
    tenant = fresh()
    api.stub.GetPolicy(pb.GetPolicyRequest(tenant_id=tenant), metadata=(good, bad))
    with refused(UNAUTHENTICATED):
        api.stub.GetPolicy(pb.GetPolicyRequest(tenant_id=tenant), metadata=(bad, good))


def test_health_needs_no_credential(guarded):
    from grpc.health.v1 import health_pb2, health_pb2_grpc
    stub = health_pb2_grpc.HealthStub(guarded.api.channel)
    assert stub.Check(health_pb2.HealthCheckRequest()).status == 1


def test_reflection_needs_no_credential(guarded):
    """It shows what proto/ shows, and nothing of who may call."""
    from grpc.reflection.v1 import reflection_pb2 as messages
    call = guarded.api.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        messages.ServerReflectionRequest.SerializeToString,
        messages.ServerReflectionResponse.FromString)
    answer, = call(iter([messages.ServerReflectionRequest(list_services="")]))
    assert "twostep.v1.TwoStepService" in [s.name for s in answer.list_services_response.service]


# ---- permissions -------------------------------------------------------------------------------------------

MAY = {"web": METHODS[:3], "mobile": METHODS[:3], "both": METHODS[:3], "ops": METHODS[3:],
       "admin": (), "all": METHODS}


@pytest.mark.parametrize("caller", MAY)
def test_a_caller_calls_what_it_has_the_permission_for(guarded, caller):
    api = guarded.caller(caller)
    channel = WEB if caller in ("both", "all") else UNSPECIFIED
    for method, request in requests(fresh(), channel=channel).items():
        got = result(api, method, request)
        if method not in MAY[caller]:
            assert got == (DENIED, "PERMISSION_MISSING"), method
        else:
            assert got in ("OK", (grpc.StatusCode.FAILED_PRECONDITION, "POLICY_OFF")), method


def test_an_unknown_method_is_unimplemented_for_everybody(guarded):
    for path in (SERVICE + "Nothing", "/twostep.v1.NoService/Verify", SERVICE + "verify"):
        call = guarded.api.channel.unary_unary(path)
        with pytest.raises(grpc.RpcError) as e:
            call(b"", metadata=guarded.caller("all").metadata)
        assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED


# ---- channels ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("caller, asked, expected", [
    ("web", UNSPECIFIED, WEB), ("web", WEB, WEB), ("web", MOBILE, DENIED),
    ("mobile", UNSPECIFIED, MOBILE), ("mobile", MOBILE, MOBILE), ("mobile", WEB, DENIED),
    ("both", UNSPECIFIED, None), ("both", WEB, WEB), ("both", MOBILE, MOBILE),
    ("web", 3, None), ("mobile", -1, None), ("both", 2**31 - 1, None)])
def test_the_channel_comes_from_who_calls(guarded, caller, asked, expected):
    """What counts is seen in the answer: the mobile app needs no code in this tenant."""
    tenant = fresh()
    guarded.caller("ops").set_policy(tenant, enabled=True, mobile=False)
    api = guarded.caller(caller)
    calls = requests(tenant, channel=asked)
    for method in METHODS[:3]:
        if expected is None:
            with invalid("channel"):
                api.call(method, calls[method])
        elif expected is DENIED:
            assert result(api, method, calls[method]) == (DENIED, "CHANNEL_NOT_ALLOWED")
    if expected not in (WEB, MOBILE):
        return
    login = api.call("GetLoginRequirement", calls["GetLoginRequirement"])
    assert login.reason == (pb.REASON_CHANNEL_OFF if expected == MOBILE else pb.REASON_UNSPECIFIED)
    verify = api.call("Verify", calls["Verify"])
    assert verify.reason == (pb.REASON_CHANNEL_OFF if expected == MOBILE else pb.REASON_UNSPECIFIED)
    enroll = result(api, "Enroll", calls["Enroll"])
    assert (enroll == "OK") == (expected == WEB)


def test_the_author_of_a_policy_is_the_caller(guarded):
    tenant = fresh()
    api = guarded.caller("ops")
    assert api.set_policy(tenant, enabled=True).updated_by == "ops"
    assert api.set_policy(tenant, mobile=True, on_behalf_of="ann").updated_by == "ops/ann"


# ---- tenants -----------------------------------------------------------------------------------------------

def test_no_caller_reaches_another_tenant(guarded):
    """Every method, on ids that are there and ids that are not: one refusal, to the byte."""
    a, b = guarded.caller("of-a"), guarded.caller("of-b")
    for api, tenant in ((a, "tenant-a"), (b, "tenant-b")):
        api.set_policy(tenant, enabled=True)
        api.enrol(tenant, "ann", guarded.now)
    rows = guarded.rows()
    for api, own in ((a, "tenant-a"), (b, "tenant-b")):
        told = set()
        for tenant in ("tenant-a", "tenant-b", "never-heard-of", "tenant-", "tenant-aa", "TENANT-A",
                       "tenant-a ", " tenant-a", "*", "tenant-*"):
            if tenant == own:
                continue
            for method, request in requests(tenant).items():
                with pytest.raises(grpc.RpcError) as e:
                    api.call(method, request)
                problem = Problem(e.value)
                assert (problem.code, problem.reason) == (DENIED, "TENANT_NOT_ALLOWED")
                told.add((problem.message, str(e.value.trailing_metadata())))
        assert len(told) == 1
    assert guarded.rows() == rows, "a refused call wrote"
    assert a.get_policy("tenant-a").revision == b.get_policy("tenant-b").revision == 1


def test_an_enrolment_of_another_tenant_is_of_no_use(guarded):
    """Both have the user "ann"; the enrolment's id and the code are the other one's."""
    api = guarded.caller("all")
    one, other = fresh(), fresh()
    for tenant in (one, other):
        api.set_policy(tenant, enabled=True)
    theirs = api.pending(other, "ann", channel=WEB)
    api.pending(one, "ann", channel=WEB)
    code = theirs.code_at(guarded.now)
    assert api.outcome(one, "ann", code, enrollment_id=theirs.enrollment_id) == "ENROLLMENT_EXPIRED"
    assert api.outcome(one, "ann", code) == "NOT_ENROLLED"
    assert api.outcome(other, "ann", code, enrollment_id=theirs.enrollment_id) == "ACCEPTED"
    assert api.login(one, "ann").requirement == pb.LOGIN_REQUIREMENT_ENROLL


def test_a_list_of_tenants_is_a_list_of_tenants(guarded):
    api = guarded.caller("of-two")
    for tenant in CALLERS["of-two"][1]:
        assert api.get_policy(tenant).tenant_id == tenant
    for tenant in ("a", "b", "a|b ", "tenant-a|a|b", 'with "quotes" and ', "HOME"):
        assert result(api, "GetPolicy", pb.GetPolicyRequest(tenant_id=tenant)) == \
            (DENIED, "TENANT_NOT_ALLOWED")


NFC, NFD = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
# Pairs of (tenant, user) that some way of joining, folding or trimming would take for the same.
PAIRS = [
    (("a|b", "c"), ("a", "b|c")), (("a/b", "c"), ("a", "b/c")), (("a:b", "c"), ("a", "b:c")),
    (("a.b", "c"), ("a", "b.c")), (("ab", "c"), ("a", "bc")), (("a", "aa"), ("aa", "a")),
    (("a b", "c"), ("a", "b c")), (("a,b", "c"), ("a", "b,c")), (("a\u00a0b", "c"), ("a b", "c")),
    (("A", "u"), ("a", "u")), (("t", "U"), ("t", "u")), (("t", "u "), ("t", "u")),
    (("t ", "u"), ("t", "u")), (("t", " u"), ("t", "u")), ((NFC, "u"), (NFD, "u")),
    (("t", NFC), ("t", NFD)), (("t", "\ufeffu"), ("t", "u")), (("t", "u\u200b"), ("t", "u")),
    (("t", "\u202eu"), ("t", "u")), (("t", "ß"), ("t", "ss")), (("t", "ſ"), ("t", "s")),
    (("t", "İ"), ("t", "i")), (("t", "%75"), ("t", "u")), (("t", "\\u0075"), ("t", "u")),
    (("t", "u'--"), ("t", "u")), (("t", "u%"), ("t", "uu")), (("t", "u_"), ("t", "uu")),
    (("t", "0"), ("t", "00")), (("t", "1"), ("t", "1.0")), (("1", "u"), ("01", "u")),
    (("t" * 128, "u"), ("t" * 127, "u")), (("t", "u" * 128), ("t", "u" * 127)),
    (("\U0001f600" * 32, "u"), ("\U0001f601" * 32, "u")), (("$(id)", "u"), ("`id`", "u")),
    (("null", "u"), ("NULL", "u")), (("*", "u"), ("t", "u")), (("../t", "u"), ("t", "u")),
]


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_ids_that_look_alike_are_not_the_same(daemon, number):
    """Enrolled and locked as the one, unknown as the other, even after the caches were used."""
    one, other = PAIRS[number]
    for tenant in {one[0], other[0]}:
        daemon.api.set_policy(tenant, enabled=True)
    factor = daemon.enrol(*one)
    assert daemon.api.login(*other).requirement == pb.LOGIN_REQUIREMENT_ENROLL
    assert daemon.api.outcome(*other, factor.code_of(T0 // 30000 + 1)) == "NOT_ENROLLED"
    second = daemon.enrol(*other)
    for _ in range(5):
        assert daemon.api.outcome(*one, factor.wrong_at(T0)) == "WRONG_CODE"
    assert daemon.api.outcome(*one, factor.code_of(T0 // 30000 + 1)) == "LOCKED"
    assert daemon.api.outcome(*other, factor.code_of(T0 // 30000 + 1)) == "WRONG_CODE"
    assert daemon.api.outcome(*other, second.code_of(T0 // 30000 + 1)) == "ACCEPTED"


def test_many_tenants_do_not_mix(daemon):
    """More than any cache has places for: each with its own policy, key and user. They come back
    in another order after a restart."""
    tenants = [fresh("many") for _ in range(600)]
    for n, tenant in enumerate(tenants):
        daemon.api.set_policy(tenant, enabled=n % 3 > 0, window_steps=n % 3)
    for _ in range(2):
        for n, tenant in enumerate(tenants):
            asked = daemon.api.login(tenant, "ann").requirement == pb.LOGIN_REQUIREMENT_ENROLL
            assert asked == (n % 3 > 0), tenant
    factors = [daemon.enrol(tenant, "ann") for n, tenant in enumerate(tenants) if n % 3 > 0]
    daemon.restart()
    for factor in reversed(factors):
        assert daemon.api.outcome(factor.tenant, "ann", factor.code_of(T0 // 30000 + 1)) == "ACCEPTED"


# ---- errors ------------------------------------------------------------------------------------------------

def test_every_error_says_why_in_the_promised_form(daemon):
    """kit.Problem checks the form: google.rpc.Status with the same code and text, ErrorInfo of
    domain "twostep", BadRequest exactly with INVALID_ARGUMENT, RetryInfo where waiting helps."""
    api, status = daemon.api, grpc.StatusCode
    tenant = daemon.tenant()
    ann = daemon.enrol(tenant, "ann")
    for n in range(64):
        api.verify(tenant, "many", "000000", request_id="%08x-0000-4000-8000-000000000001" % n)
    seen = [
        (status.INVALID_ARGUMENT, lambda: api.verify(tenant, "ann", "12345")),
        (status.ALREADY_EXISTS, lambda: api.enroll(tenant, "ann")),
        (status.FAILED_PRECONDITION, lambda: api.enroll(fresh(), "ann")),
        (status.FAILED_PRECONDITION, lambda: api.enroll(tenant, "bob", password_verified=False)),
        (status.ABORTED, lambda: api.set_policy(tenant, mobile=True, expected_revision=9)),
        (status.RESOURCE_EXHAUSTED, lambda: api.verify(
            tenant, "many", "000000", request_id="ffffffff-0000-4000-8000-000000000001")),
        (status.INTERNAL, lambda: api.raw("Verify", b"\x0a\xff")),
    ]
    for code, call in seen:
        with refused(code) as held:
            call()
        waiting_helps = code == status.RESOURCE_EXHAUSTED
        assert (held.problem.retry is not None) == waiting_helps
        assert held.problem.message and ann.secret not in held.problem.message


def test_all_fields_at_fault_are_named_at_once(service):
    with invalid("tenant_id", "user_id", "code", "request_id", "client_address", "channel"):
        service.api.verify("", "u" * 129, "12x", channel=7, request_id="1", client_address="here")


def test_a_full_queue_answers_at_once_with_retry_info(make_daemon):
    daemon = make_daemon(env={"TWOSTEP_QUEUE_LENGTH": "1", "TWOSTEP_THREADS": "1"})
    tenant = daemon.tenant()
    message = requests(tenant, channel=WEB)["GetLoginRequirement"].SerializeToString()
    with rawh2.Connection(daemon.port) as c:
        out, streams = b"", [c.new_stream() for _ in range(90)]
        for stream in streams:
            out += c.header_frames(rawh2.request_headers(SERVICE + "GetLoginRequirement"), stream)
            out += rawh2.frame(rawh2.DATA, rawh2.END_STREAM, stream, rawh2.message(message))
        c.send(out)
        answers = [c.wait(stream) for stream in streams]
    refusals = [a for a in answers if a.grpc != 0]
    assert refusals and len(refusals) < len(answers)
    for answer in refusals:
        assert answer.grpc == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        details = base64.b64decode(answer.get("grpc-status-details-bin") + "==")
        status = status_pb2.Status.FromString(details)
        assert [d.type_url.rsplit(".", 1)[1] for d in status.details] == ["ErrorInfo", "RetryInfo"]
    assert daemon.api.login(tenant, "ann").requirement == pb.LOGIN_REQUIREMENT_ENROLL
