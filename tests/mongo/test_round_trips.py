# SPDX-License-Identifier: ISC
"""Goal: a sign-in costs two commands, any other answer to a code one, and that stays so however
many users there are and whatever was tried before."""
import bson
import collections
import time

import pytest

import operations
import scene
from fake_faults import HANG
from kit import refused, wait_until
from operations import enrolled, reset_request
from twostep.v1 import twostep_pb2 as pb

import grpc

CHARGE, MOVE, LOOK = ("findAndModify", "users"), ("update", "users"), ("find", "users")
LOG_MAX = 192  # entries of a user's log, src/store/attempt_log_internal.h
DOCUMENT_MAX = 64 * 1024  # bytes; far more than LOG_MAX entries take


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with scene.Scene(tmp_path_factory.mktemp("d"), store_workers=1) as made:
        yield made


def about(tenant, command):
    """Not what the daemon does by itself, and nothing of the audit log."""
    return command.collection not in scene.AUDIT and (
        tenant.encode() in repr(command.body).encode() or
        (command.collection == "limits" and command.name != "delete"))


def commands(stage, tenant, act):
    """What came over the wire for it."""
    stage.server.commands.reset()
    act()
    return [c for c in stage.server.commands.seen() if about(tenant, c)]


def counted(stage, tenant, act):
    return collections.Counter((c.name, c.collection) for c in commands(stage, tenant, act))


def without_policy(counts):
    """The policy is read anew once a second at the most, whoever asks."""
    assert counts.pop(("find", "tenants"), 0) <= 1
    return counts


def answers(stage, factor, outcome, code, **more):
    def act():
        assert stage.api.outcome(factor.tenant, "ann", code, **more) == outcome
    return act


@pytest.fixture(params=["named", "nameless"])
def named(request):
    """The fields of a request with an id of its own, or without one."""
    return (lambda: {"request_id": scene.request_id()}) if request.param == "named" else dict


def test_an_accepted_code_takes_two(stage, named):
    factor = enrolled(stage)
    for _ in range(40):  # the log is folded now and then, which costs nothing more
        stage.daemon.advance(30)
        act = answers(stage, factor, "ACCEPTED", factor.code_at(stage.daemon.now), **named())
        assert without_policy(counted(stage, factor.tenant, act)) == {CHARGE: 1, MOVE: 1}
    assert len(stage.user(factor.tenant)["log"]) < LOG_MAX


def test_any_other_answer_takes_one(stage, named):
    factor = enrolled(stage)
    used, wrong = factor.code_at(stage.daemon.now), factor.wrong_at(stage.daemon.now)
    assert stage.api.outcome(factor.tenant, "ann", used) == "ACCEPTED"
    for outcome, code in (("REPLAYED_CODE", used), *(("WRONG_CODE", wrong),) * 4, ("LOCKED", wrong), ("LOCKED", used)):
        act = answers(stage, factor, outcome, code, **named())
        assert without_policy(counted(stage, factor.tenant, act)) == {CHARGE: 1}, outcome


def test_a_repeated_request_takes_one(stage):
    factor = enrolled(stage)
    code, request = factor.code_at(stage.daemon.now), scene.request_id()
    assert stage.api.outcome(factor.tenant, "ann", code, request_id=request) == "ACCEPTED"
    act = answers(stage, factor, "ACCEPTED", code, request_id=request)
    assert without_policy(counted(stage, factor.tenant, act)) == {CHARGE: 1}


def test_a_first_code_takes_two(stage, named):
    tenant = stage.daemon.tenant()
    factor = stage.api.pending(tenant, "ann")
    act = answers(stage, factor, "ACCEPTED", factor.code_at(stage.daemon.now),
                  enrollment_id=factor.enrollment_id, **named())
    assert without_policy(counted(stage, tenant, act)) == {CHARGE: 1, MOVE: 1}


def test_a_login_requirement_takes_one(stage):
    factor = enrolled(stage)
    act = lambda: stage.api.login(factor.tenant, "ann")  # noqa: E731
    assert without_policy(counted(stage, factor.tenant, act)) == {LOOK: 1}


def test_where_no_code_is_asked_nothing_is_asked(stage):
    tenant = stage.daemon.tenant()
    stage.api.set_policy(tenant, enabled=False)

    def act():
        assert stage.api.outcome(tenant, "ann", "123456") == "NOT_REQUIRED"
    assert without_policy(counted(stage, tenant, act)) == {}


def test_what_the_rest_takes(stage):
    """Rarely called, so it may be more; the table is for whoever changes it."""
    factor = enrolled(stage, **scene.MAIL)
    tenant, api = factor.tenant, stage.api
    asked = []
    address = "ann@%s.example" % tenant

    def reset():
        asked.append(api.call("ResetRequest", reset_request(tenant, address)).reset_id)

    def not_enrolled():
        assert api.outcome(tenant, "eve", "123456", request_id=scene.request_id()) == "NOT_ENROLLED"
    table = {
        "GetPolicy": (lambda: api.get_policy(tenant), {}),
        "SetPolicy": (lambda: api.set_policy(tenant, mask=["mobile"], mobile=True),
                      {("find", "tenants"): 2, ("update", "tenants"): 1}),
        "Enroll": (lambda: api.enroll(tenant, "bob"), {LOOK: 1, ("insert", "users"): 1}),
        "Enroll again": (lambda: api.enroll(tenant, "bob"), {LOOK: 2, MOVE: 1}),
        "Verify, not enrolled": (not_enrolled, {CHARGE: 2, LOOK: 1}),
        "GetReset": (lambda: api.call("GetReset", pb.GetResetRequest(tenant_id=tenant, reset_id=asked[0])), {LOOK: 1}),
    }
    reset()
    operations.letters_to(stage, address, 1)
    wait_until(lambda: not stage.user(tenant)["mails"], "the mail is done")
    got = {}
    for name, (act, expected) in table.items():
        api.login(tenant, "ann")  # the policy is known
        counts = counted(stage, tenant, act)
        if ("find", "tenants") not in expected:
            counts = without_policy(counts)
        got[name] = dict(counts)
        print("%-22s %s" % (name, ", ".join("%d %s %s" % (n, *what) for what, n in counts.items())))
    assert got == {name: expected for name, (_, expected) in table.items()}


def test_the_policy_is_not_read_for_each_call(stage):
    factor = enrolled(stage)
    start = time.monotonic()

    def act():
        for _ in range(50):
            stage.api.login(factor.tenant, "ann")
    reads = counted(stage, factor.tenant, act)[("find", "tenants")]
    assert reads <= time.monotonic() - start + 1


# ---- the audit log -----------------------------------------------------------------------------------

def test_no_answer_waits_for_the_audit_log(stage):
    factor = enrolled(stage)
    wait_until(lambda: len(records(stage, factor.tenant)) == 3, "what was before is recorded")
    hanging = stage.server.fault(HANG, "insert", "audit", times=0)
    assert stage.api.outcome(factor.tenant, "ann", factor.code_at(stage.daemon.now)) == "ACCEPTED"
    hanging.wait()
    assert len(records(stage, factor.tenant)) == 3
    stage.server.clear_faults()
    wait_until(lambda: len(records(stage, factor.tenant)) == 4, "the acceptance is recorded")
    stage.chains()


def records(stage, tenant):
    return stage.view("audit").find({"tenant": tenant.encode()})


# ---- what does not grow ------------------------------------------------------------------------------

def test_a_command_is_about_one_document(stage):
    """By its key: how many there are does not matter."""
    factor = enrolled(stage)

    def act():
        for code in (factor.code_at(stage.daemon.now), factor.wrong_at(stage.daemon.now)):
            stage.api.outcome(factor.tenant, "ann", code)
        stage.api.login(factor.tenant, "ann")
    for command in commands(stage, factor.tenant, act):
        body = command.body
        query = body.get("filter") or body.get("query") or body["updates"][0]["q"]
        assert isinstance(query["_id"], bytes), command
        assert len(body.get("updates", [0])) == 1


def test_each_command_asks_for_a_majority(stage):
    """Writes until it has them in its journal, reads of what it has, both from the primary."""
    factor = enrolled(stage)

    def act():
        stage.api.outcome(factor.tenant, "ann", factor.code_at(stage.daemon.now))
        stage.api.login(factor.tenant, "ann")
        stage.api.set_policy(factor.tenant, mobile=True)
    seen = commands(stage, factor.tenant, act)
    assert {"find", "findAndModify", "update"} <= {c.name for c in seen}
    for command in seen:
        if command.name == "find":
            assert command.body["readConcern"] == {"level": "majority"}, command
        else:
            concern = command.body["writeConcern"]
            assert (concern["w"], concern["j"], concern["wtimeout"] > 0) == ("majority", True, True), command
        assert command.body.get("$readPreference", {"mode": "primary"})["mode"] == "primary"


def size_of(stage, tenant):
    return len(bson.encode(stage.user(tenant)))


@pytest.mark.parametrize("kind, times", [("nameless", 1000), ("named", 200)])
def test_a_locked_user_who_is_hammered_costs_the_same(stage, kind, times):
    factor = enrolled(stage)
    tenant, wrong = factor.tenant, factor.wrong_at(stage.daemon.now)
    for _ in range(5):
        assert stage.api.outcome(tenant, "ann", wrong) == "WRONG_CODE"
    longest = largest = 0

    def act():
        nonlocal longest, largest
        for i in range(times):
            try:
                more = {"request_id": scene.request_id()} if kind == "named" else {}
                assert stage.api.outcome(tenant, "ann", wrong, **more) == "LOCKED"
            except grpc.RpcError as e:  # more requests with an id than are remembered
                assert kind == "named" and e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            if i % 50 == 0:
                longest = max(longest, len(stage.user(tenant)["log"]))
                largest = max(largest, size_of(stage, tenant))
    counts = counted(stage, tenant, act)
    del counts[("find", "tenants")]
    assert sum(counts.values()) <= times * 1.1, counts
    assert longest <= LOG_MAX and largest <= DOCUMENT_MAX
    stage.daemon.advance(31)  # nothing of all that counted
    code = factor.code_at(stage.daemon.now)
    if kind == "named":
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS"):
            stage.api.verify(tenant, "ann", code, request_id=scene.request_id())
    assert stage.api.outcome(tenant, "ann", code) == "ACCEPTED"
    assert scene.failures(stage.user(tenant)) == 0
