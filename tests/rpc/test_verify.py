# SPDX-License-Identifier: ISC
"""Goal: a code is accepted once, ever: not twice in its window, not in parallel, not after a
crash, not under a clock that jumps; and exactly the codes of the window are accepted."""
import collections

import grpc
import pytest

import rawh2
from kit import SERVICE, T0, burst, fresh, invalid, one_by_one, pb, refused, seconds

STEP = 30_000
NOW = T0 // STEP  # the step at T0
HOUR = 3_600_000


def name(outcome):
    return pb.VerifyOutcome.Name(outcome)[len("VERIFY_OUTCOME_"):]


@pytest.fixture
def ann(daemon):
    """An enrolled user; the step NOW is used up."""
    return daemon.enrol(daemon.tenant(), "ann")


def ask(daemon, factor, step):
    """The outcome of the code of a step."""
    return daemon.api.outcome(factor.tenant, factor.user, factor.code_of(step))


# ---- once --------------------------------------------------------------------------------------------

def test_a_code_is_accepted_once(daemon, ann):
    daemon.now = T0 + STEP
    assert ask(daemon, ann, NOW + 1) == "ACCEPTED"
    for _ in range(3):
        assert ask(daemon, ann, NOW + 1) == "REPLAYED_CODE"


def test_a_code_is_accepted_once_as_long_as_it_is_in_the_window(daemon, ann):
    assert ask(daemon, ann, NOW + 1) == "ACCEPTED"  # a fast phone
    for now in (T0 + STEP - 1, T0 + STEP, T0 + 2 * STEP, T0 + 3 * STEP - 1):
        daemon.now = now
        assert ask(daemon, ann, NOW + 1) == "REPLAYED_CODE"
    daemon.now = T0 + 3 * STEP
    daemon.advance(30)  # the free tries are used up
    assert ask(daemon, ann, NOW + 1) == "WRONG_CODE"


@pytest.mark.parametrize("hard", [False, True], ids=["restart", "kill-9"])
def test_a_code_stays_used_up_over(daemon, ann, hard):
    daemon.now = T0 + STEP
    assert ask(daemon, ann, NOW + 1) == "ACCEPTED"
    for _ in range(3):
        daemon.restart(hard)
        assert ask(daemon, ann, NOW + 1) == "REPLAYED_CODE"
    assert ask(daemon, ann, NOW + 2) == "ACCEPTED"


def test_a_step_before_an_accepted_one_is_not_accepted_any_more(daemon, ann):
    daemon.now = T0 + 2 * STEP
    assert ask(daemon, ann, NOW + 2) == "ACCEPTED"
    assert ask(daemon, ann, NOW + 1) == "REPLAYED_CODE"  # in the window, and never used
    assert ask(daemon, ann, NOW + 3) == "ACCEPTED"
    for step in (NOW + 1, NOW + 2, NOW + 3):
        assert ask(daemon, ann, step) == "REPLAYED_CODE"


@pytest.fixture
def patient(make_daemon):
    """A daemon whose locks are far away, so that more codes are compared."""
    return make_daemon(env={"TWOSTEP_LOCKOUT_FREE_TRIES": "20", "TWOSTEP_LOCKOUT_FIRST_WAIT": "1"})


def sign_in(daemon, factor):
    """The bytes of a Verify with the present code."""
    return pb.VerifyRequest(tenant_id=factor.tenant, user_id=factor.user, password_verified=True,
                            channel=pb.CHANNEL_WEB,
                            code=factor.code_at(daemon.now)).SerializeToString()


def check_one_of_64(got):
    """One is accepted. Of the others as many are compared as a lock of 20 free tries lets through:
    none, when the accepted one is still under way and locks them out."""
    if one_by_one():
        assert got == {"ACCEPTED": 1, "REPLAYED_CODE": 20, "LOCKED": 43}
    else:
        assert got["ACCEPTED"] == 1 and sum(got.values()) == 64
        assert got["REPLAYED_CODE"] <= 40 and set(got) <= {"ACCEPTED", "REPLAYED_CODE", "LOCKED"}


def test_of_64_identical_codes_at_once_one_is_accepted(patient):
    """1,000 rounds over 8 connections, each of which sends its 8 calls in one piece."""
    ann = patient.enrol(patient.tenant(), "ann")
    connections = [rawh2.Connection(patient.port) for _ in range(8)]
    for _ in range(1000 if one_by_one() else 100):
        patient.advance(3600)
        check_one_of_64(burst(connections, 8, sign_in(patient, ann)))
    for c in connections:
        c.close()


def test_of_64_identical_codes_of_grpcio_one_is_accepted(patient):
    ann = patient.enrol(patient.tenant(), "ann")
    calls = [patient.channel().unary_unary(SERVICE + "Verify") for _ in range(8)]
    for _ in range(100 if one_by_one() else 25):
        patient.advance(3600)
        message = sign_in(patient, ann)
        futures = [call.future(message, timeout=30) for _ in range(8) for call in calls]
        got = collections.Counter(name(pb.VerifyResponse.FromString(f.result()).outcome)
                                  for f in futures)
        check_one_of_64(got)


def test_of_parallel_confirmations_one_is_accepted(service):
    """The same code, and those of its neighbours: nobody gets in twice."""
    calls = [service.channel().unary_unary(SERVICE + "Verify") for _ in range(4)]
    for _ in range(25):
        tenant = service.tenant()
        ann = service.api.pending(tenant, "ann")
        request = pb.VerifyRequest(tenant_id=tenant, user_id="ann", password_verified=True,
                                   channel=pb.CHANNEL_WEB, code=ann.code_of(NOW),
                                   enrollment_id=ann.enrollment_id)
        message = request.SerializeToString()
        futures = [call.future(message, timeout=30) for _ in range(4) for call in calls]
        got = [name(pb.VerifyResponse.FromString(f.result()).outcome) for f in futures]
        assert got.count("ACCEPTED") == 1 and set(got) <= {"ACCEPTED", "REPLAYED_CODE", "LOCKED"}


# ---- only codes ---------------------------------------------------------------------------------------

# What people, phones and attackers make of a code; {} is the code.
VARIANTS = ["{} ", " {}", "{}\n", "{}\t", "+{}", "-{}", "0{}", "00{}", "{}0", "{}.0", "{}e0", "0x{}",
            "{}{}", "{},", "'{}'", "{}\u200b", "\ufeff{}", "{}\u0301", "{}\x00", "\x00{}", "{}\x0000"]


def in_digits_from(zero, code):
    return "".join(chr(ord(zero) + int(d)) for d in code)


def variants(code):
    yield from (v.format(code, code) for v in VARIANTS)
    yield code[:3] + " " + code[3:]
    yield code[:3] + "-" + code[3:]
    yield from (in_digits_from(zero, code) for zero in "\uff10\u0660\u06f0\u0966\u2080\U0001d7ce")
    yield from (code[:-1], code[:-1] + in_digits_from("\uff10", code[-1]), "", "abcdef", "12345a")


def test_a_code_is_ascii_digits_and_nothing_else(service):
    """No variant is accepted, none reaches a compare, none counts as an attempt."""
    tenant = service.tenant()
    ann = service.enrol(tenant, "ann")
    code = ann.code_of(NOW + 1)
    for variant in variants(code):
        if len(variant) in (6, 8) and variant.isascii() and variant.isdigit():
            continue
        with invalid():
            service.api.verify(tenant, "ann", variant)
    assert service.api.outcome(tenant, "ann", code) == "ACCEPTED"
    for variant in variants(code):
        if not (len(variant) in (6, 8) and variant.isascii() and variant.isdigit()):
            with invalid():
                service.api.verify(tenant, "ann", variant)
    assert service.api.outcome(tenant, "ann", code) == "REPLAYED_CODE"


def test_a_code_of_another_length_is_invalid_and_counts_nothing(service):
    tenant = service.tenant()
    ann = service.enrol(tenant, "ann")
    for _ in range(10):
        with invalid("code"):
            service.api.verify(tenant, "ann", "00" + ann.code_of(NOW + 1))
    assert service.api.outcome(tenant, "ann", ann.code_of(NOW + 1)) == "ACCEPTED"


def test_a_code_or_a_recovery_code_but_not_both_and_not_none(service):
    tenant = service.tenant()
    ann = service.enrol(tenant, "ann")
    with invalid("code"):
        service.api.verify(tenant, "ann")
    with invalid("code"):
        service.api.verify(tenant, "ann", ann.code_of(NOW + 1), recovery_code="abcd-efgh")
    assert service.api.outcome(tenant, "ann", recovery_code="abcd-efgh") == "WRONG_CODE"


def test_codes_with_leading_zeros_are_codes(service):
    tenant = service.tenant()
    ann = service.enrol(tenant, "ann")
    step = next(s for s in range(NOW + 2, NOW + 1000) if ann.code_of(s).startswith("0"))
    service.now = step * STEP
    try:
        with invalid("code"):
            service.api.verify(tenant, "ann", ann.code_of(step)[1:])
        assert service.api.outcome(tenant, "ann", ann.code_of(step)) == "ACCEPTED"
    finally:
        service.now = T0


# ---- when ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("around", [-1, 0, 1], ids=["1ms-before", "at", "1ms-after"])
def test_at_the_border_of_a_step_exactly_the_window_is_accepted(daemon, window, around):
    tenant = daemon.tenant(window_steps=window)
    ann = daemon.enrol(tenant, "ann")
    for offset in (-3, -2, -1, 0, 1, 2, 3):
        daemon.now = (daemon.now // HOUR + 1) * HOUR + around  # longer than any lock so far
        step = daemon.now // STEP + offset
        expected = "ACCEPTED" if abs(offset) <= window else "WRONG_CODE"
        assert ask(daemon, ann, step) == expected, offset


@pytest.mark.parametrize("period", [15, 120])
def test_the_window_counts_steps_of_the_secrets_own_period(daemon, period):
    tenant = daemon.tenant(period=seconds(period))
    ann = daemon.enrol(tenant, "ann")
    for offset, expected in ((-2, "WRONG_CODE"), (-1, "ACCEPTED"), (0, "ACCEPTED"), (1, "ACCEPTED"),
                             (2, "WRONG_CODE")):
        daemon.now += HOUR
        step = daemon.now // 1000 // period + offset
        assert ask(daemon, ann, step) == expected, offset


YEAR_2038, YEAR_2106 = 2**31 * 1000, 2**32 * 1000


@pytest.mark.parametrize("jump", [-HOUR, HOUR, -1, 1, YEAR_2038 - T0, YEAR_2106 - T0,
                                  YEAR_2106 * 8 - T0, -T0 - HOUR, -T0],
                         ids=["1h-back", "1h-on", "1ms-back", "1ms-on", "2038", "2106", "2722",
                              "negative", "1970"])
def test_no_jump_of_the_clock_makes_a_used_code_good_again(daemon, ann, jump):
    """Used codes stay used wherever the clock goes and comes back from. What waits longer is
    only the user: until the clock is past the last accepted step."""
    daemon.now = T0 + STEP
    assert ask(daemon, ann, NOW + 1) == "ACCEPTED"
    daemon.now += jump
    step = max(0, daemon.now // STEP)
    for used in (NOW, NOW + 1):
        assert ask(daemon, ann, used) in ("REPLAYED_CODE", "WRONG_CODE")
    assert ask(daemon, ann, step) == ("ACCEPTED" if step > NOW + 1 else "REPLAYED_CODE")
    daemon.restart(hard=True)
    assert ask(daemon, ann, step) == "REPLAYED_CODE"
    daemon.now = T0 + STEP
    assert ask(daemon, ann, NOW + 1) in ("REPLAYED_CODE", "WRONG_CODE", "LOCKED")


@pytest.mark.parametrize("start", [1, 0, -HOUR])
def test_at_the_beginning_of_time_codes_are_accepted_once_too(daemon, start):
    daemon.now = start
    ann = daemon.enrol(daemon.tenant(window_steps=2), "ann")  # with the code of step 0
    assert ask(daemon, ann, 2) == "ACCEPTED"
    daemon.now = -HOUR  # read as 1970
    for step in (0, 1, 2):
        assert ask(daemon, ann, step) == "REPLAYED_CODE"


def test_a_clock_before_1970_does_no_harm(daemon):
    daemon.now = -1
    tenant = daemon.tenant()
    ann = daemon.enrol(tenant, "ann")
    assert daemon.api.get_policy(tenant).update_time.seconds in (-1, 0)
    assert ask(daemon, ann, 0) == "REPLAYED_CODE"


# ---- retries -------------------------------------------------------------------------------------------

@pytest.fixture
def retry(daemon):
    """retry(tenant, user, request_id, **fields): (outcome, the whole answer)."""
    def call(tenant, user, request_id, code="", **fields):
        answer = daemon.api.verify(tenant, user, code, request_id=request_id, **fields)
        return name(answer.outcome), answer
    return call


IDS = ["%08x-0000-4000-8000-000000000000" % n for n in range(1, 200)]


def scenes(daemon):
    """(outcome, tenant, user, fields) for every outcome that Verify can have."""
    tenant = daemon.tenant(enrollment_lifetime=seconds(60))
    ann, bob, eve = (daemon.enrol(tenant, user) for user in ("ann", "bob", "eve"))
    for _ in range(5):
        assert daemon.api.outcome(tenant, "eve", eve.wrong_at(T0)) == "WRONG_CODE"
    pending = daemon.api.pending(tenant, "dan")
    late = daemon.api.pending(tenant, "pat")
    daemon.api.pending(tenant, "pat")
    off = fresh()
    confirm = dict(code=pending.code_of(NOW), enrollment_id=pending.enrollment_id)
    return [("ACCEPTED", tenant, "ann", dict(code=ann.code_of(NOW + 1), client_address="192.0.2.7")),
            ("ACCEPTED", tenant, "dan", confirm),
            ("WRONG_CODE", tenant, "bob", dict(code=bob.wrong_at(T0))),
            ("WRONG_CODE", tenant, "bob", dict(recovery_code="abcd-efgh")),
            ("REPLAYED_CODE", tenant, "bob", dict(code=bob.code_of(NOW))),
            ("LOCKED", tenant, "eve", dict(code=eve.code_of(NOW + 1))),
            ("NOT_ENROLLED", tenant, "zoe", dict(code="000000")),
            ("NOT_REQUIRED", off, "ann", dict(code="000000")),
            ("ENROLLMENT_EXPIRED", tenant, "pat",
             dict(code=late.code_of(NOW), enrollment_id=late.enrollment_id))]


@pytest.mark.parametrize("again", ["at once", "restart", "kill-9", "9:59 later"])
def test_the_same_request_gets_the_same_answer_and_counts_nothing(daemon, retry, again):
    played = []
    for request_id, (expected, tenant, user, fields) in zip(IDS, scenes(daemon)):
        outcome, answer = retry(tenant, user, request_id, **fields)
        assert outcome == expected
        played.append((tenant, user, request_id, fields, answer))
    before = daemon.counted()
    if again in ("restart", "kill-9"):
        daemon.restart(hard=again == "kill-9")
    daemon.now += 599_999 if again == "9:59 later" else 1_000
    for tenant, user, request_id, fields, answer in played * 3:
        assert retry(tenant, user, request_id, **fields)[1] == answer
    assert daemon.counted() == before


def test_after_ten_minutes_a_request_is_a_new_one(daemon, retry):
    tenant = daemon.tenant()
    ann = daemon.enrol(tenant, "ann")
    fields = dict(code=ann.code_of(NOW + 1))
    assert retry(tenant, "ann", IDS[0], **fields)[0] == "ACCEPTED"
    daemon.now += 600_000
    assert retry(tenant, "ann", IDS[0], **fields)[0] == "WRONG_CODE"


def test_the_same_request_id_with_other_fields_is_invalid(daemon, retry):
    for request_id, (expected, tenant, user, fields) in zip(IDS, scenes(daemon)):
        assert retry(tenant, user, request_id, **fields)[0] == expected
        code = fields.get("code", "")
        others = [dict(fields, client_address="2001:db8::1"), dict(fields, channel=pb.CHANNEL_MOBILE)]
        if "recovery_code" not in fields:
            others += [dict(fields, code="%06d" % (999_999 - int(code))),
                       dict(recovery_code="x"), dict(fields, enrollment_id="ab" * 16)]
        before = daemon.counted()
        if fields.get("channel") != pb.CHANNEL_MOBILE:
            daemon.api.set_policy(tenant, mobile=True)
        for other in others:
            with invalid("request_id"):
                retry(tenant, user, request_id, **other)
        assert daemon.counted() == before
        assert retry(tenant, user, request_id, **fields)[0] == expected


def test_request_ids_belong_to_users(daemon, retry):
    """The same id of two users, of two tenants: each has its own answer."""
    one, other = daemon.tenant(), daemon.tenant()
    users = [daemon.enrol(t, u) for t in (one, other) for u in ("ann", "bob")]
    for factor in users:
        assert retry(factor.tenant, factor.user, IDS[0], factor.wrong_at(T0))[0] == "WRONG_CODE"
    for factor in users:
        assert retry(factor.tenant, factor.user, IDS[1], factor.code_of(NOW + 1))[0] == "ACCEPTED"
        assert retry(factor.tenant, factor.user, IDS[1], factor.code_of(NOW + 1))[0] == "ACCEPTED"
        assert ask(daemon, factor, NOW + 1) == "REPLAYED_CODE"


def test_a_request_id_is_a_uuid_in_either_case(daemon, retry):
    tenant = daemon.tenant()
    ann = daemon.enrol(tenant, "ann")
    upper = "ABCDEF00-0000-4000-8000-00000000000A"
    assert retry(tenant, "ann", upper, ann.code_of(NOW + 1))[0] == "ACCEPTED"
    assert retry(tenant, "ann", upper.lower(), ann.code_of(NOW + 1))[0] == "ACCEPTED"
    for bad in ("1", "{%s}" % upper, upper.replace("-", ""), upper[:-1] + "G", upper + "0",
                "00000000-0000-0000-0000-000000000000", upper.replace("-", "_"), " " + upper[1:]):
        with invalid("request_id"):
            retry(tenant, "ann", bad, ann.code_of(NOW + 2))
    assert ask(daemon, ann, NOW + 1) == "REPLAYED_CODE"


def test_the_same_request_64_times_at_once_is_one_attempt(daemon):
    """Four wrong codes are free: had one of them counted twice, the right one would be refused."""
    ann = daemon.enrol(daemon.tenant(), "ann")
    calls = [daemon.channel().unary_unary(SERVICE + "Verify") for _ in range(8)]
    ids = iter(IDS)
    for _ in range(10):
        daemon.advance(30)
        for code, expected in [(ann.wrong_at(daemon.now), "WRONG_CODE")] * 4 + \
                [(ann.code_at(daemon.now), "ACCEPTED")]:
            message = pb.VerifyRequest(tenant_id=ann.tenant, user_id="ann", password_verified=True,
                                       channel=pb.CHANNEL_WEB, request_id=next(ids),
                                       code=code).SerializeToString()
            futures = [call.future(message, timeout=30) for _ in range(8) for call in calls]
            [answer] = {f.result() for f in futures}
            assert name(pb.VerifyResponse.FromString(answer).outcome) == expected


def test_a_users_request_ids_are_limited_and_others_do_not_notice(daemon, retry):
    tenant = daemon.tenant()
    bob = daemon.enrol(tenant, "bob")
    for request_id in IDS[:64]:
        assert retry(tenant, "ann", request_id, "000000")[0] == "NOT_ENROLLED"
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS") as held:
        retry(tenant, "ann", IDS[64], "000000")
    assert held.problem.retry > 0
    assert retry(tenant, "ann", IDS[0], "000000")[0] == "NOT_ENROLLED"
    assert retry(tenant, "bob", IDS[64], bob.code_of(NOW + 1))[0] == "ACCEPTED"
    daemon.now += 600_000
    assert retry(tenant, "ann", IDS[64], "000000")[0] == "NOT_ENROLLED"
