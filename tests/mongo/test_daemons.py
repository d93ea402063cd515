# SPDX-License-Identifier: ISC
"""Goal: several twostepd on one database are one service. A code is accepted once by all of them
together, guesses have one budget, a request has one answer, and a policy holds everywhere."""
import collections
import concurrent.futures
import os
import types
import uuid

import grpc
import pytest

import audit
import mongo_servers
from kit import Factor, Problem, at, burst, fresh, pb, refused
from trio import FREE_TRIES, LOCK_WAIT, at_once


def test_a_real_server_is_used_where_there_is_one():
    """Says by being skipped that the tests of this folder ran on mongo-java-server only."""
    if mongo_servers.real_missing():
        pytest.skip(mongo_servers.real_missing())


def question(factor, code, **more):
    return pb.VerifyRequest(tenant_id=factor.tenant, user_id=factor.user, code=code, channel=pb.CHANNEL_WEB,
                            password_verified=True, **more)


def ask(member, factor, code, **more):
    return member.api.outcome(factor.tenant, factor.user, code, **more)


# ---- once ------------------------------------------------------------------------------------------------

def replayed_until_locked(three, factor, code, **more):
    """How many more of it are charged, over all daemons."""
    for n in range(FREE_TRIES + 1):
        outcome = ask(three.next(), factor, code, **more)
        if outcome == "LOCKED":
            return n
        assert outcome == "REPLAYED_CODE"
    raise AssertionError("the budget is exceeded")


def check_race(three, got, left, factor, code, **more):
    """What came of equal right codes at once, when `left` attempts were left. Every one is charged
    before it is looked at; one is accepted, which makes the count 0. So at most left - 1 were
    charged before that, and exactly five after it: those are REPLAYED_CODE, the others LOCKED.
    How many come before the acceptance, and how many of the five in time, is chance."""
    assert got["ACCEPTED"] == 1
    assert set(got) <= {"ACCEPTED", "REPLAYED_CODE", "LOCKED"}
    charged = got["REPLAYED_CODE"] + replayed_until_locked(three, factor, code, **more)
    assert FREE_TRIES <= charged <= FREE_TRIES + left - 1, (got, charged)


def test_of_64_equal_codes_at_once_one_is_accepted(three):
    ann, rounds = three.enrol(three.tenant(), "ann"), 100
    with three.connections(8) as connections:
        for n in range(rounds):
            three.advance(2 * LOCK_WAIT)
            left = 1  # the count is five
            if n % 2 == 1:
                assert ask(three.next(), ann, ann.code_at(three.now)) == "ACCEPTED"
                three.advance(LOCK_WAIT)
                left = FREE_TRIES
            code = ann.code_at(three.now)
            got = burst(connections, 8, question(ann, code).SerializeToString())
            check_race(three, got, left if n > 0 else FREE_TRIES, ann, code)
    records = three.stop()
    assert sum(r["outcome"] == "accepted" for r in records) == 1 + rounds + rounds // 2
    assert sum(r["action"] == "verify" for r in records) > 64 * rounds


def test_of_64_confirmations_at_once_one_is_accepted(three):
    """A secret becomes the user's own once; the code that did it opens nothing."""
    tenant = three.tenant()
    with three.connections(8) as connections:
        for user in (fresh("user") for _ in range(10)):
            factor = three.next().api.pending(tenant, user, reader=three.members[0].api)
            code = factor.code_at(three.now)
            confirmation = question(factor, code, enrollment_id=factor.enrollment_id)
            got = burst(connections, 8, confirmation.SerializeToString())
            check_race(three, got, FREE_TRIES, factor, code)
            for member in three.members:
                assert member.api.login(tenant, user).requirement == pb.LOGIN_REQUIREMENT_CODE


def test_of_many_secrets_made_at_once_one_is_left(three):
    tenant = three.tenant()
    request = pb.EnrollRequest(tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB,
                               password_verified=True, qr_format=pb.QR_FORMAT_NONE)
    made = [f.result() for f in at_once(4 * three.apis, request, "Enroll")]
    factors = [Factor(tenant, "ann", answer) for answer in made]
    got = collections.Counter()
    for factor in factors:
        got[ask(three.next(), factor, factor.code_at(three.now), enrollment_id=factor.enrollment_id)] += 1
    assert got == {"ACCEPTED": 1, "ENROLLMENT_EXPIRED": len(factors) - 1}


# ---- one budget ------------------------------------------------------------------------------------------

def all_locked(three, factor, wait):
    """Every daemon says so, and for how long."""
    for member in three.members:
        assert member.api.login(factor.tenant, factor.user).retry_after.ToMilliseconds() == wait * 1000
        assert ask(member, factor, factor.code_at(three.now)) == "LOCKED"


def test_parallel_guesses_get_the_budget_and_not_one_more(three):
    ann = three.enrol(three.tenant(), "ann")
    with three.connections(60) as connections:
        for compared, wait in ((5, 30), (1, 60), (1, 120), (1, 240), (1, 480)):
            guess = question(ann, ann.wrong_at(three.now)).SerializeToString()
            assert burst(connections, 5, guess) == {"WRONG_CODE": compared, "LOCKED": 300 - compared}
            right = question(ann, ann.code_at(three.now)).SerializeToString()
            assert burst(connections, 1, right) == {"LOCKED": 60}
            all_locked(three, ann, wait)
            three.advance(wait - 0.001)
            all_locked(three, ann, 0.001)
            three.advance(0.001)
        right = question(ann, ann.code_at(three.now)).SerializeToString()
        check_race(three, burst(connections, 1, right), 1, ann, ann.code_at(three.now))


def test_a_lock_holds_wherever_the_guesses_came(three):
    """Guesses go round; the next daemon knows of them all."""
    ann = three.enrol(three.tenant(), "ann")
    three.advance(30)
    for n in range(FREE_TRIES):
        assert ask(three.members[n % 3], ann, ann.wrong_at(three.now)) == "WRONG_CODE"
    all_locked(three, ann, LOCK_WAIT)
    three.advance(LOCK_WAIT)
    assert ask(three.members[2], ann, ann.code_at(three.now)) == "ACCEPTED"
    assert [ask(m, ann, ann.code_at(three.now)) for m in three.members] == 3 * ["REPLAYED_CODE"]


# ---- one answer ------------------------------------------------------------------------------------------

def named(answer):
    return pb.VerifyOutcome.Name(answer.outcome)[15:]


def one_answer(three, request, times=2):
    """Sends it to every daemon at once, and has one answer; its outcome."""
    answers = [f.result() for f in at_once(times * three.apis, request)]
    assert all(answer == answers[0] for answer in answers), answers
    return named(answers[0])


def test_a_request_that_comes_to_all_at_once_is_counted_once(three):
    ann = three.enrol(three.tenant(), "ann")
    for _ in range(12):
        three.advance(700)  # what came before is forgotten
        right, wrong = ann.code_at(three.now), ann.wrong_at(three.now)
        said = [one_answer(three, question(ann, code, request_id=str(uuid.uuid4())))
                for code in (right, wrong, right, wrong, wrong, wrong, right)]
        assert said == ["ACCEPTED", "WRONG_CODE", "REPLAYED_CODE"] + 3 * ["WRONG_CODE"] + ["LOCKED"]


def test_a_retry_gets_the_first_answer_at_every_daemon(three):
    """Whatever it was and whoever gave it, later and after the state has changed."""
    ann = three.enrol(three.tenant(), "ann")
    eve = types.SimpleNamespace(tenant=ann.tenant, user="eve")
    told = []
    three.advance(30)
    right = ann.code_at(three.now)
    asked = [(ann, right, "ACCEPTED"), (ann, right, "REPLAYED_CODE"), (eve, "000000", "NOT_ENROLLED")]
    asked += 4 * [(ann, ann.wrong_at(three.now), "WRONG_CODE")] + [(ann, right, "LOCKED")]
    for factor, code, outcome in asked:
        request = question(factor, code, request_id=str(uuid.uuid4()))
        told.append((request, three.next().api.call("Verify", request)))
        assert named(told[-1][1]) == outcome
    three.advance(10)
    assert told[-1][1].retry_after.seconds == LOCK_WAIT
    three.enrol(ann.tenant, "eve")
    for _ in range(3):
        for member in three.shuffled():
            for request, answer in told:
                assert member.api.call("Verify", request) == answer
        three.advance(60)
    # Nothing was counted: one guess is left, and the wait after it is the second.
    assert ask(three.next(), ann, ann.wrong_at(three.now)) == "WRONG_CODE"
    all_locked(three, ann, 60)


def test_a_request_id_is_of_one_request_at_every_daemon(three):
    ann = three.enrol(three.tenant(), "ann")
    request = question(ann, ann.wrong_at(three.now), request_id=str(uuid.uuid4()))
    assert named(three.members[0].api.call("Verify", request)) == "WRONG_CODE"
    request.code = ann.code_at(three.now)
    for member in three.members:
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", ["request_id"]):
            member.api.call("Verify", request)


# ---- one policy ------------------------------------------------------------------------------------------

def screens(three, tenant, channel=pb.CHANNEL_WEB):
    """What each daemon says of the next screen, in words."""
    answers = [api.login(tenant, "ann", channel) for api in three.apis]
    return [(pb.LoginRequirement.Name(a.requirement)[18:], pb.Reason.Name(a.reason)[7:]) for a in answers]


ENROLL = ("ENROLL", "UNSPECIFIED")


def change(three, tenant, setter, expected, channel=pb.CHANNEL_WEB, **fields):
    """Sets a policy at one daemon, when all have the one before in memory. It holds there at
    once, and everywhere a second later."""
    screens(three, tenant, channel)
    three.members[setter].api.set_policy(tenant, **fields)
    assert screens(three, tenant, channel)[setter] == expected
    three.advance(1)
    assert screens(three, tenant, channel) == 3 * [expected]


@pytest.mark.parametrize("setter", range(3))
def test_a_policy_holds_at_once_here_and_after_a_second_everywhere(three, setter):
    tenant = fresh()
    assert screens(three, tenant) == 3 * [("NOTHING", "POLICY_OFF")]
    change(three, tenant, setter, ENROLL, enabled=True)
    change(three, tenant, setter, ENROLL, pb.CHANNEL_MOBILE, mobile=True)
    change(three, tenant, setter, ("NOTHING", "CHANNEL_OFF"), pb.CHANNEL_MOBILE, mobile=False)
    change(three, tenant, setter, ("NOTHING", "SUSPENDED"), suspended_until=at(three.now + 3_600_000),
           suspended_reason="phones were lost")
    three.advance(3600 - 1.001)
    assert screens(three, tenant) == 3 * [("NOTHING", "SUSPENDED")]
    three.advance(0.001)
    assert screens(three, tenant) == 3 * [ENROLL]
    change(three, tenant, setter, ("NOTHING", "POLICY_OFF"), enabled=False)


def test_what_is_decided_obeys_the_policy_of_another_daemon(three):
    """Not the screens only."""
    ann = three.enrol(three.tenant(), "ann")
    for n in range(6):
        three.members[n % 3].api.set_policy(ann.tenant, enabled=n % 2 == 1)
        three.advance(1)
        three.advance(30)
        expected = "NOT_REQUIRED" if n % 2 == 0 else "ACCEPTED"
        assert ask(three.members[(n + 1) % 3], ann, ann.code_at(three.now)) == expected


def test_of_changes_to_one_revision_one_wins(three):
    tenant = three.tenant()
    for revision in range(1, 11):
        request = pb.SetPolicyRequest(policy=pb.Policy(tenant_id=tenant, suspended_reason=str(revision)),
                                      expected_revision=revision)
        problems = [Problem(f.exception()) for f in at_once(4 * three.apis, request, "SetPolicy") if f.exception()]
        assert [(p.code, p.reason) for p in problems] == 11 * [(grpc.StatusCode.ABORTED, "REVISION_CHANGED")]
    assert {api.get_policy(tenant).revision for api in three.apis} == {11}


def test_changes_to_any_revision_all_count(three):
    """Each takes over what the others set, and each is a revision."""
    tenant = three.tenant()
    fields = ["issuer", "suspended_reason", "mail_from_name"]
    sent = []
    for n in range(12):
        policy = pb.Policy(tenant_id=tenant, **{fields[n % 3]: "name %d" % n})
        sent.append(three.next().api.stub.SetPolicy.future(pb.SetPolicyRequest(policy=policy)))
    revisions = sorted(f.result().policy.revision for f in sent)
    assert revisions == list(range(2, 14))
    policies = [api.get_policy(tenant) for api in three.apis]
    assert all(p == policies[0] for p in policies)
    for n, field in enumerate(fields):
        assert getattr(policies[0], field) in {"name %d" % k for k in range(n, 12, 3)}


# ---- a start ------------------------------------------------------------------------------------------------

def test_many_may_start_at_once_on_an_empty_database(make_trio):
    """Each finds it empty, and each makes what is missing; afterwards it is there once."""
    many = make_trio(count=6, start=False)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda member: member.start(), many.members))
    assert [d["version"] for d in many.database["meta"].find()] == [1]
    assert {"mails", "sweep", "resets"} <= set(many.database["users"].index_information())
    service = [t for t in many.database["tenants"].find() if t["_id"] == b""]
    assert len(service) == 1 and len(service[0]["keys"]) == 1  # one key for request ids, of all
    factor = many.enrol(many.tenant(), "ann")
    many.advance(30)
    assert [ask(m, factor, factor.code_at(many.now)) for m in many.members] == ["ACCEPTED"] + 5 * ["REPLAYED_CODE"]


# ---- beside the database -----------------------------------------------------------------------------------

def test_a_daemon_has_nothing_to_leave_behind_on_the_machine(three):
    """In shared memory, where the next process of the same number would meet it."""
    ends = tuple("-%d" % member.process.pid for member in three.members)
    assert [name for name in os.listdir("/dev/shm") if name.endswith(ends)] == []


def test_the_audit_chains_show_what_was_tampered_with(three):
    """That the look at the chains, which ends each of these tests, can fail."""
    tenant = three.tenant()
    for n in range(9):
        three.next().api.set_policy(tenant, suspended_reason=str(n))
    three.stop()
    db, chains = three.database, audit.chains(three.database)
    assert len(chains) == 3 and sum(len(records) for _, records in chains.values()) == 10
    third = db.audit.find_one({"_id.seq": 3})["_id"]
    chain = {"_id": third["chain"]}
    last = {"chain": third["chain"], "seq": chains[bytes(third["chain"])][0]["records"]}
    changed = db.audit.find_one({"_id": third})["body"].replace("local", "ghost")
    for tamper in (lambda: db.audit.update_one({"_id": third}, {"$set": {"body": changed}}),
                   lambda: db.audit.update_one({"_id": third}, {"$set": {"hash": bytes(32)}}),
                   lambda: db.audit.delete_one({"_id": third}),
                   lambda: db.audit.delete_one({"_id": {"chain": third["chain"], "seq": 1}}),
                   lambda: db.audit.delete_one({"_id": last}),
                   lambda: db.audit.delete_many({"_id.chain": third["chain"]}),
                   lambda: db.chains.update_one(chain, {"$set": {"records": 2}}),
                   lambda: db.chains.delete_one(chain)):
        kept = [(c, list(c.find())) for c in (db.audit, db.chains)]
        tamper()
        with pytest.raises(AssertionError):
            audit.chains(db)
        for collection, documents in kept:
            collection.delete_many({})
            collection.insert_many(documents)
    assert audit.chains(db) == chains
