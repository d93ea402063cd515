# SPDX-License-Identifier: ISC
"""Goal: guessing is hopeless. Attempts are counted before the code is looked at, so that no
number of parallel guesses gets more compares than the budget; locks last as long as they say and
survive everything; and answers tell nothing but what they are for."""
import collections

import grpc
import pytest

import rawh2
from kit import SERVICE, T0, burst, fresh, one_by_one, pb

STEP = 30_000
NOW = T0 // STEP
# After how many failures in a row which wait, in seconds.
WAITS = {5: 30, 6: 60, 7: 120, 8: 240, 9: 480, 10: 960, 11: 1920, **{n: 3600 for n in range(12, 100)}}


@pytest.fixture
def ann(daemon):
    return daemon.enrol(daemon.tenant(), "ann")


def wrong(daemon, factor, **more):
    return daemon.api.outcome(factor.tenant, factor.user, factor.wrong_at(daemon.now), **more)


def right(daemon, factor, **more):
    return daemon.api.outcome(factor.tenant, factor.user, factor.code_at(daemon.now), **more)


def lock(daemon, factor):
    """Uses up the free tries."""
    for _ in range(5):
        assert wrong(daemon, factor) == "WRONG_CODE"


def retry_after(daemon, factor):
    """The rest of the lock in milliseconds, which Verify and GetLoginRequirement agree on; None
    without one."""
    verify = daemon.api.verify(factor.tenant, factor.user, factor.wrong_at(daemon.now))
    login = daemon.api.login(factor.tenant, factor.user)
    assert login.requirement == pb.LOGIN_REQUIREMENT_CODE
    assert verify.outcome == pb.VERIFY_OUTCOME_LOCKED
    assert verify.HasField("retry_after") == login.HasField("retry_after")
    assert verify.retry_after == login.retry_after
    return verify.retry_after.ToMilliseconds() if verify.HasField("retry_after") else None


# ---- the schedule ----------------------------------------------------------------------------------------

def test_after_five_wrong_codes_the_right_one_waits_too(daemon, ann):
    daemon.advance(30)
    lock(daemon, ann)
    assert right(daemon, ann) == "LOCKED"
    assert retry_after(daemon, ann) == 30_000
    daemon.now += 29_999
    assert retry_after(daemon, ann) == 1
    assert right(daemon, ann) == "LOCKED"
    daemon.now += 1
    assert right(daemon, ann) == "ACCEPTED"


def test_being_refused_while_locked_counts_nothing(daemon, ann):
    lock(daemon, ann)
    for _ in range(200):
        assert wrong(daemon, ann) == "LOCKED"
    assert retry_after(daemon, ann) == 30_000
    daemon.advance(30)
    assert right(daemon, ann) == "ACCEPTED"


def test_the_waits_grow_to_an_hour_and_the_hundredth_failure_is_the_last(daemon, ann):
    for failures in range(1, 100):
        assert wrong(daemon, ann) == "WRONG_CODE", failures
        wait = WAITS.get(failures, 0)
        if wait == 0:
            assert not daemon.api.login(ann.tenant, "ann").HasField("retry_after")
            continue
        assert retry_after(daemon, ann) == wait * 1000, failures
        daemon.now += wait * 1000 - 1
        assert right(daemon, ann) == "LOCKED", failures
        daemon.now += 1
    assert wrong(daemon, ann) == "WRONG_CODE"
    for hard in (False, True):
        assert retry_after(daemon, ann) is None
        daemon.advance(10 * 365 * 86400)
        assert right(daemon, ann) == "LOCKED"
        daemon.restart(hard)


def test_a_right_code_begins_the_count_anew(daemon, ann):
    for _ in range(5):
        daemon.advance(30)
        for _ in range(4):
            assert wrong(daemon, ann) == "WRONG_CODE"
        assert right(daemon, ann) == "ACCEPTED"


def test_a_used_code_counts_as_a_failure(daemon, ann):
    for _ in range(5):
        assert right(daemon, ann) == "REPLAYED_CODE"
    assert right(daemon, ann) == "LOCKED"


def test_time_alone_does_not_begin_the_count_anew(daemon, ann):
    for _ in range(6):
        daemon.advance(86400)
        assert wrong(daemon, ann) == "WRONG_CODE"
    assert retry_after(daemon, ann) == 60_000


def test_the_numbers_are_settings(make_daemon):
    daemon = make_daemon(env={"TWOSTEP_LOCKOUT_FREE_TRIES": "2", "TWOSTEP_LOCKOUT_FIRST_WAIT": "7",
                              "TWOSTEP_LOCKOUT_LONGEST_WAIT": "20", "TWOSTEP_LOCKOUT_LIMIT": "6"})
    ann = daemon.enrol(daemon.tenant(), "ann")
    for wait in (0, 7, 14, 20, 20):
        assert wrong(daemon, ann) == "WRONG_CODE"
        if wait:
            assert retry_after(daemon, ann) == wait * 1000
        daemon.advance(wait)
    assert wrong(daemon, ann) == "WRONG_CODE"
    assert retry_after(daemon, ann) is None


# ---- one counter ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("hard", [False, True], ids=["restart", "kill-9"])
def test_a_lock_survives_a(daemon, ann, hard):
    daemon.advance(30)
    lock(daemon, ann)
    daemon.restart(hard)
    assert retry_after(daemon, ann) == 30_000
    assert right(daemon, ann) == "LOCKED"
    daemon.advance(30)
    assert wrong(daemon, ann) == "WRONG_CODE"
    daemon.restart(hard)
    assert retry_after(daemon, ann) == 60_000


@pytest.mark.parametrize("hard", [False, True], ids=["restart", "kill-9"])
def test_the_count_goes_on_where_it_was_after_a(daemon, ann, hard):
    for _ in range(5):
        assert wrong(daemon, ann) == "WRONG_CODE"
        daemon.restart(hard)
    assert right(daemon, ann) == "LOCKED"


def test_every_way_to_guess_counts_into_one_counter(daemon, ann):
    """Codes on both channels, recovery codes, and confirmations of the secret that is there."""
    daemon.api.set_policy(ann.tenant, mobile=True)
    assert wrong(daemon, ann) == "WRONG_CODE"
    assert wrong(daemon, ann, channel=pb.CHANNEL_MOBILE) == "WRONG_CODE"
    assert daemon.api.outcome(ann.tenant, "ann", recovery_code="abcd-efgh") == "WRONG_CODE"
    assert wrong(daemon, ann, enrollment_id=ann.enrollment_id) == "WRONG_CODE"
    assert wrong(daemon, ann) == "WRONG_CODE"
    daemon.advance(29)
    for more in ({}, {"channel": pb.CHANNEL_MOBILE}, {"enrollment_id": ann.enrollment_id}):
        assert right(daemon, ann, **more) == "LOCKED"
    assert daemon.api.outcome(ann.tenant, "ann", recovery_code="abcd-efgh") == "LOCKED"


def test_confirming_is_no_way_around_the_lock(daemon):
    """A pending secret is guessed at like any other, and a new one does not begin a new count."""
    tenant = daemon.tenant()
    for _ in range(5):
        ann = daemon.api.pending(tenant, "ann")
        assert wrong(daemon, ann, enrollment_id=ann.enrollment_id) == "WRONG_CODE"
    assert right(daemon, ann, enrollment_id=ann.enrollment_id) == "LOCKED"
    ann = daemon.api.pending(tenant, "ann")
    assert right(daemon, ann, enrollment_id=ann.enrollment_id) == "LOCKED"
    assert daemon.api.login(tenant, "ann").retry_after.seconds == 30
    daemon.advance(30)
    assert right(daemon, ann, enrollment_id=ann.enrollment_id) == "ACCEPTED"


def test_turning_the_policy_off_and_on_unlocks_nobody(daemon, ann):
    lock(daemon, ann)
    daemon.api.set_policy(ann.tenant, enabled=False)
    assert right(daemon, ann) == "NOT_REQUIRED"
    daemon.api.set_policy(ann.tenant, enabled=True)
    assert right(daemon, ann) == "LOCKED"


def test_locks_are_of_one_user(daemon, ann):
    other = daemon.tenant()
    bob, anns_namesake = daemon.enrol(ann.tenant, "bob"), daemon.enrol(other, "ann")
    daemon.advance(30)
    lock(daemon, ann)
    assert right(daemon, bob) == "ACCEPTED" and right(daemon, anns_namesake) == "ACCEPTED"


@pytest.mark.parametrize("jump", [-3600, -86400, -T0 // 1000])
def test_a_clock_that_steps_back_does_not_shorten_a_lock(daemon, ann, jump):
    daemon.advance(30)
    lock(daemon, ann)
    daemon.advance(jump)
    assert retry_after(daemon, ann) == 30_000  # never more than the wait itself
    assert right(daemon, ann) == "LOCKED"
    daemon.advance(-jump + 29.999)
    assert right(daemon, ann) == "LOCKED"
    daemon.now += 1
    assert right(daemon, ann) == "ACCEPTED"


# ---- the budget -------------------------------------------------------------------------------------------

def test_parallel_guesses_on_100_connections_get_the_budget_and_not_one_more(daemon, ann):
    """2,000 guesses at once after each wait: as many are compared as if they came one by one."""
    guess = pb.VerifyRequest(tenant_id=ann.tenant, user_id="ann", password_verified=True,
                             channel=pb.CHANNEL_WEB)
    connections = [rawh2.Connection(daemon.port) for _ in range(100)]
    spent = 0
    for compared in (5, 1, 1, 1, 1):
        guess.code = ann.wrong_at(daemon.now)
        got = burst(connections, 20, guess.SerializeToString())
        assert got == {"WRONG_CODE": compared, "LOCKED": 2000 - compared}
        spent += compared
        guess.code = ann.code_at(daemon.now)
        assert burst(connections, 1, guess.SerializeToString()) == {"LOCKED": 100}
        daemon.advance(WAITS[spent])
    daemon.advance(30)
    guess.code = ann.code_at(daemon.now)
    got = burst(connections, 1, guess.SerializeToString())
    if one_by_one():
        assert got == {"ACCEPTED": 1, "REPLAYED_CODE": 5, "LOCKED": 94}
    else: # those that come while it is being accepted are locked out
        assert got["ACCEPTED"] == 1 and got["REPLAYED_CODE"] <= 5 and sum(got.values()) == 100
    for c in connections:
        c.close()
    if one_by_one():
        daemon.stop()
        assert set(daemon.counted().values()) == {5}


def test_guesses_with_request_ids_have_the_same_budget(daemon, ann):
    """Each guess with an id of its own, on ten connections at once."""
    connections = [rawh2.Connection(daemon.port) for _ in range(10)]
    got = collections.Counter()
    streams = []
    for n, c in enumerate(connections * 6):
        message = pb.VerifyRequest(tenant_id=ann.tenant, user_id="ann", password_verified=True,
                                   channel=pb.CHANNEL_WEB, code=ann.wrong_at(daemon.now),
                                   request_id="%08x-0000-4000-8000-00000000000a" % n)
        streams.append((c, c.open(SERVICE + "Verify")))
        c.data(streams[-1][1], rawh2.message(message.SerializeToString()))
    for c, stream in streams:
        got[pb.VerifyResponse.FromString(c.wait(stream).message).outcome] += 1
    assert got == {pb.VERIFY_OUTCOME_WRONG_CODE: 5, pb.VERIFY_OUTCOME_LOCKED: 55}


# ---- what answers tell ------------------------------------------------------------------------------------

def test_answers_differ_in_what_is_documented_and_in_nothing_else(daemon, ann):
    """Headers, trailers, sizes: only the outcome's number, with NOT_REQUIRED the reason, and with
    LOCKED retry_after. Locked answers are the same for a right and a wrong code, to the byte."""
    eve = daemon.enrol(ann.tenant, "eve")
    daemon.advance(30)
    lock(daemon, eve)
    wrong_code, right_code = eve.wrong_at(daemon.now), eve.code_at(daemon.now)
    asked = {
        "unknown user": (ann.tenant, "nobody", wrong_code),
        "unknown tenant": (fresh(), "ann", wrong_code),
        "wrong": (ann.tenant, "ann", ann.wrong_at(daemon.now)),
        "replayed": (ann.tenant, "ann", ann.code_of(NOW)),
        "locked and wrong": (ann.tenant, "eve", wrong_code),
        "locked and right": (ann.tenant, "eve", right_code),
        "right": (ann.tenant, "ann", ann.code_at(daemon.now)),
    }
    seen = {}
    for what, (tenant, user, code) in asked.items():
        with rawh2.Connection(daemon.port) as c:
            message = pb.VerifyRequest(tenant_id=tenant, user_id=user, code=code,
                                       channel=pb.CHANNEL_WEB, password_verified=True)
            answer = c.call(SERVICE + "Verify", message.SerializeToString())
            assert (answer.http, answer.grpc) == (200, 0), what
            seen[what] = (answer.blocks, answer.message)
    assert len({repr(blocks) for blocks, _ in seen.values()}) == 1
    assert seen["locked and wrong"] == seen["locked and right"]
    bare = {}
    for what, (_, message) in seen.items():
        response = pb.VerifyResponse.FromString(message)
        assert response.HasField("retry_after") == what.startswith("locked")
        assert bool(response.reason) == (what == "unknown tenant")
        response.ClearField("retry_after")
        response.ClearField("reason")
        response.outcome = pb.VERIFY_OUTCOME_ACCEPTED
        bare[what] = response.SerializeToString()
        if what in ("unknown user", "wrong", "replayed", "right"):
            assert len(message) == len(bare[what])
    assert len(set(bare.values())) == 1


def test_the_next_screen_is_the_same_for_users_that_are_not_enrolled(service):
    """Whether the service has ever heard of them, or not."""
    tenant = service.tenant()
    service.api.pending(tenant, "pending")
    service.api.outcome(tenant, "tried", "000000")
    answers = {service.api.login(tenant, user).SerializeToString()
               for user in ("pending", "tried", "nobody")}
    assert len(answers) == 1


def test_refusals_do_not_tell_whether_a_user_is_known(service):
    tenant = service.tenant()
    service.enrol(tenant, "ann")
    told = set()
    for user in ("ann", "nobody"):
        for request in (dict(password_verified=False), dict(code="12345")):
            with pytest.raises(grpc.RpcError) as e:
                service.api.verify(tenant, user, **{"code": "000000", **request})
            told.add((e.value.code(), e.value.details(), str(e.value.trailing_metadata())))
    assert len(told) == 2
