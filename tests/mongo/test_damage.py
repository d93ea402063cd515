# SPDX-License-Identifier: ISC
"""Goal: a document that somebody damaged hurts the user whose it is, with a clear error, opens no
door, ends no process, and nobody else notices."""
import copy

import pytest

import operations
import scene
from kit import fresh, wait_until
from operations import enrolled, letters_to, reset_request

# What a damaged user may be told; never that a code is good.
REFUSALS = {"INTERNAL", "DATA_LOSS", "UNAVAILABLE"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with scene.Scene(tmp_path_factory.mktemp("d")) as made:
        made.daemon.expected |= {"call_failed", "mail_failed", "mail_queue_down"}
        yield made


def without(field):
    def damage(document):
        del document[field]
    return damage


def with_value(path, value):
    def damage(document):
        *way, last = path.split(".")
        for step in way:
            document = document[int(step) if step.isdigit() else step]
        document[int(last) if last.isdigit() else last] = value
    return damage


DAMAGE = {
    **{"%s is missing" % f: without(f) for f in ("gen", "step", "failures", "last", "log", "writes")},
    **{"%s is a text" % f: with_value(f, "x") for f in ("v", "gen", "step", "failures", "last", "log", "own", "writes")},
    **{"own.%s is a text" % f: with_value("own." + f, "x") for f in
       ("gen", "key", "algorithm", "digits", "period", "confirmed", "sealed", "id")},
    "own.sealed is too long": with_value("own.sealed", bytes(5000)),
    "own.sealed is too short": with_value("own.sealed", b"\x01"),
    "own.sealed is other bytes": with_value("own.sealed", bytes(80)),
    "own.key is none": with_value("own.key", 77),
    "own.period is 0": with_value("own.period", 0),
    "own.digits is 0": with_value("own.digits", 0),
    "own.digits is 200": with_value("own.digits", 200),
    "own.algorithm is 9": with_value("own.algorithm", 9),
    "own was never confirmed": with_value("own.confirmed", 0),
    "step is negative": with_value("step", -7),
    "failures are negative": with_value("failures", -1),
    "the log has a number": with_value("log.0", 5),
    "the log has an empty entry": with_value("log.0", {}),
    "the log has an unknown kind": with_value("log.0.kind", 9),
    "the log is far too long": lambda document: document["log"].extend(
        copy.deepcopy(document["log"][0]) for _ in range(500)),
    "writes are no ids": with_value("writes", b"odd"),
    "writes are too many": with_value("writes", bytes(16 * 500)),
}


def alive(stage):
    """Somebody else signs in."""
    factor = enrolled(stage)
    assert stage.api.outcome(factor.tenant, "ann", factor.code_at(stage.daemon.now)) == "ACCEPTED"


def tried(stage, factor, user="ann"):
    return scene.said(stage.verify(factor, factor.code_at(stage.daemon.now)))[1]


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_user_is_not_let_in(stage, what):
    factor = enrolled(stage)
    document = stage.user(factor.tenant)
    DAMAGE[what](document)
    stage.view("users").put(document)
    for _ in range(2):
        assert tried(stage, factor) in REFUSALS | {"NOT_ENROLLED", "INVALID_ARGUMENT", "WRONG_CODE", "LOCKED"}
    scene.said(stage.send("GetLoginRequirement", operations.pb.GetLoginRequirementRequest(
        tenant_id=factor.tenant, user_id="ann", channel=1), 5))
    alive(stage)


def test_a_version_that_is_missing_is_begun_again_and_does_no_harm(stage):
    factor = enrolled(stage)
    document = stage.user(factor.tenant)
    del document["v"]
    stage.view("users").put(document)
    assert [tried(stage, factor) for _ in range(2)] == ["ACCEPTED", "REPLAYED_CODE"]


def test_the_error_says_whose_document_it_is(tmp_path):
    with scene.Scene(tmp_path / "d", mail=False) as stage:
        stage.daemon.expected.add("call_failed")
        for what in ("own.sealed is other bytes", "own.sealed is a text", "step is missing", "v is a text"):
            factor = enrolled(stage)
            document = stage.user(factor.tenant)
            DAMAGE[what](document)
            stage.view("users").put(document)
            assert tried(stage, factor) in REFUSALS
            told = [e for e in stage.daemon.log() if e["event"] == "call_failed"][-1]
            assert told["tenant"] == factor.tenant and told["user"] == "ann" and told["detail"], what


# ---- bytes of others ------------------------------------------------------------------------------------

def test_the_secret_of_another_user_opens_nothing(stage):
    """Neither that user's codes nor one's own."""
    tenant = stage.daemon.tenant()
    ann, eve = stage.daemon.enrol(tenant, "ann"), stage.daemon.enrol(tenant, "eve")
    far = enrolled(stage)
    for source, donor in ((stage.user(tenant, "eve"), eve), (stage.user(far.tenant), far)):
        document = stage.user(tenant)
        document["own"]["sealed"] = source["own"]["sealed"]
        stage.view("users").put(document)
        for factor in (ann, donor):
            call = stage.verify(ann, factor.code_at(stage.daemon.now))
            assert scene.said(call)[1] in REFUSALS
    assert stage.api.outcome(tenant, "eve", eve.code_at(stage.daemon.now)) == "ACCEPTED"
    alive(stage)


@pytest.mark.parametrize("same_tenant", [True, False])
@pytest.mark.parametrize("renamed", [True, False])
def test_the_whole_document_of_another_user_opens_nothing(stage, same_tenant, renamed):
    tenant = stage.daemon.tenant()
    stage.daemon.enrol(tenant, "ann")
    eve = stage.daemon.enrol(tenant if same_tenant else stage.daemon.tenant(), "eve")
    stage.daemon.advance(60)
    document = stage.user(eve.tenant, "eve")
    document["_id"] = scene.key(tenant)
    if renamed:
        document.update(tenant=tenant.encode(), user=b"ann")
    stage.view("users").put(document)
    call = stage.verify(type("Ann", (), {"tenant": tenant, "user": "ann"}), eve.code_at(stage.daemon.now))
    assert scene.said(call)[1] in REFUSALS
    assert stage.api.outcome(eve.tenant, "eve", eve.code_at(stage.daemon.now)) == "ACCEPTED"


@pytest.mark.parametrize("damage", [
    without("v"), without("policy"), with_value("policy", 7), with_value("policy.enabled", "no"),
    with_value("policy.period", "30"), with_value("keys", 7), with_value("keys.0.sealed", b"x")])
def test_a_damaged_tenant_lets_nobody_in(stage, damage):
    """Above all, it is not one that asks for no codes. Without a policy it is a new tenant."""
    factor = enrolled(stage)
    document, = stage.view("tenants").find({"_id": factor.tenant.encode()})
    damage(document)
    if "policy" not in document:
        return
    stage.view("tenants").put(document)
    stage.daemon.restart()  # nothing is known from before
    assert tried(stage, factor) in REFUSALS
    alive(stage)


# ---- mails ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("damage", [
    with_value("mails.0.address", 7), with_value("mails.0.token", b"short"), with_value("mails.0.token", bytes(90)),
    with_value("mails.0.kind", 99), with_value("mails", "none"), with_value("resets", 3), with_value("v", "x"),
    with_value("mails.0.due", "now")])
def test_a_damaged_mail_stands_in_nobodys_way(stage, damage):
    bad, good = enrolled(stage, **scene.MAIL), enrolled(stage, **scene.MAIL)
    held = stage.server.fault("error", "find", "users", code=91, times=0, where=lambda b: "due" in b["filter"])
    addresses = [fresh("ann") + "@mail.example" for _ in range(2)]
    for factor, address in zip((bad, good), addresses):
        stage.api.call("ResetRequest", reset_request(factor.tenant, address))
    document = stage.user(bad.tenant)
    damage(document)
    stage.view("users").put(document)
    held.left = 0
    assert len(letters_to(stage, addresses[1], 1)) == 1
    wait_until(lambda: not stage.user(good.tenant)["mails"], "the mail is done")
    assert not [to for to, _ in list(stage.sink.taken) if to == [addresses[0]]]
    alive(stage)
