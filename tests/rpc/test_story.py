# SPDX-License-Identifier: ISC
"""Goal: the story of a CRM whose tenant turns two-step verification on, signs its users in,
suspends it and turns it off and on again, as grpcio sees it. What each answer promises is in
proto/twostep/v1/twostep.proto."""
import itertools

import grpc
import pyotp
import pytest

from kit import (HASHES, T0, at, fresh, invalid, pb, refused, seconds, wait_until)

MINUTE, HOUR = 60, 3600
WEB, MOBILE = pb.CHANNEL_WEB, pb.CHANNEL_MOBILE
NOTHING, CODE, ENROLL = (pb.LOGIN_REQUIREMENT_NOTHING, pb.LOGIN_REQUIREMENT_CODE,
                         pb.LOGIN_REQUIREMENT_ENROLL)
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def screen(daemon, tenant, user, channel=WEB):
    """(requirement, reason) of the next screen."""
    answer = daemon.api.login(tenant, user, channel)
    return answer.requirement, answer.reason


# ---- the screens, in the order of the story --------------------------------------------------------

def test_before_a_policy_nothing_is_asked(daemon):
    assert screen(daemon, "crm", "ann") == (NOTHING, pb.REASON_POLICY_OFF)


def test_from_the_policy_to_the_daily_sign_in(daemon):
    api = daemon.api
    api.set_policy("crm", enabled=True)
    assert screen(daemon, "crm", "ann") == (ENROLL, pb.REASON_UNSPECIFIED)
    factor = api.pending("crm", "ann")
    assert screen(daemon, "crm", "ann") == (ENROLL, pb.REASON_UNSPECIFIED)
    assert api.outcome("crm", "ann", factor.code_at(daemon.now),
                       enrollment_id=factor.enrollment_id) == "ACCEPTED"
    assert screen(daemon, "crm", "ann") == (CODE, pb.REASON_UNSPECIFIED)
    for _ in range(3):
        daemon.advance(30)
        assert api.outcome("crm", "ann", factor.code_at(daemon.now)) == "ACCEPTED"


def test_verify_time_is_the_time_of_the_decision(daemon):
    tenant = daemon.tenant()
    factor = daemon.enrol(tenant, "ann")
    daemon.now = T0 + 30_123
    answer = daemon.api.verify(tenant, "ann", factor.code_at(daemon.now))
    assert answer.verify_time == at(T0 + 30_123)


def test_the_mobile_flag_decides_for_the_mobile_app_only(daemon):
    tenant = daemon.tenant()
    factor = daemon.enrol(tenant, "ann")
    assert screen(daemon, tenant, "ann", MOBILE) == (NOTHING, pb.REASON_CHANNEL_OFF)
    answer = daemon.api.verify(tenant, "ann", "000000", channel=MOBILE)
    assert (answer.outcome, answer.reason) == (pb.VERIFY_OUTCOME_NOT_REQUIRED, pb.REASON_CHANNEL_OFF)
    assert screen(daemon, tenant, "ann") == (CODE, pb.REASON_UNSPECIFIED)
    daemon.api.set_policy(tenant, mobile=True)
    assert screen(daemon, tenant, "ann", MOBILE) == (CODE, pb.REASON_UNSPECIFIED)
    daemon.advance(30)
    code = factor.code_at(daemon.now)
    assert daemon.api.outcome(tenant, "ann", code, channel=MOBILE) == "ACCEPTED"
    assert daemon.api.outcome(tenant, "ann", code) == "REPLAYED_CODE"  # one user, one last step


def test_a_suspension_ends_by_itself_to_the_millisecond(daemon):
    tenant = daemon.tenant()
    factor = daemon.enrol(tenant, "ann")
    end = T0 + HOUR * 1000
    daemon.api.set_policy(tenant, suspended_until=at(end), suspended_reason="phones are late")
    daemon.now = end - 1
    assert screen(daemon, tenant, "ann") == (NOTHING, pb.REASON_SUSPENDED)
    answer = daemon.api.verify(tenant, "ann", factor.wrong_at(daemon.now))
    assert (answer.outcome, answer.reason) == (pb.VERIFY_OUTCOME_NOT_REQUIRED, pb.REASON_SUSPENDED)
    daemon.now = end
    assert screen(daemon, tenant, "ann") == (CODE, pb.REASON_UNSPECIFIED)
    assert daemon.api.outcome(tenant, "ann", factor.wrong_at(daemon.now)) == "WRONG_CODE"
    assert daemon.api.outcome(tenant, "ann", factor.code_at(daemon.now)) == "ACCEPTED"


def test_a_suspension_can_be_ended_early(daemon):
    tenant = daemon.tenant(suspended_until=at(T0 + HOUR * 1000))
    assert screen(daemon, tenant, "ann") == (NOTHING, pb.REASON_SUSPENDED)
    daemon.api.set_policy(tenant, mask=["suspended_until"])
    assert screen(daemon, tenant, "ann") == (ENROLL, pb.REASON_UNSPECIFIED)


def test_off_and_on_again_keeps_the_enrolment(daemon):
    tenant = daemon.tenant()
    factor = daemon.enrol(tenant, "ann")
    daemon.api.set_policy(tenant, enabled=False)
    assert screen(daemon, tenant, "ann") == (NOTHING, pb.REASON_POLICY_OFF)
    daemon.api.set_policy(tenant, enabled=True)
    daemon.restart()
    assert screen(daemon, tenant, "ann") == (CODE, pb.REASON_UNSPECIFIED)
    daemon.advance(30)
    assert daemon.api.outcome(tenant, "ann", factor.code_at(daemon.now)) == "ACCEPTED"


def test_remember_password_is_never_offered_while_a_code_is_asked(service):
    """All combinations of the policy, the channel and the user."""
    now = service.now
    for enabled, mobile, suspended, enrolled in itertools.product((False, True), repeat=4):
        tenant = service.tenant(mobile=True)
        if enrolled:
            service.enrol(tenant, "ann")
        service.api.set_policy(tenant, mask=["enabled", "mobile", "suspended_until"],
                               enabled=enabled, mobile=mobile,
                               suspended_until=at(now + 1000) if suspended else None)
        for channel in (WEB, MOBILE):
            answer = service.api.login(tenant, "ann", channel)
            off = not enabled or (channel == MOBILE and not mobile)
            asked = not off and not suspended
            assert answer.requirement == (NOTHING if not asked else CODE if enrolled else ENROLL)
            assert (answer.reason == pb.REASON_UNSPECIFIED) == asked
            assert answer.may_remember_password == off


def test_a_policy_holds_from_the_next_call_on(service):
    tenant = fresh()
    for enabled in (True, False) * 10:
        service.api.set_policy(tenant, enabled=enabled)
        assert (screen(service, tenant, "ann")[0] == ENROLL) == enabled


# ---- enrolment ----------------------------------------------------------------------------------------

def test_a_pending_secret_never_opens_a_login(service):
    tenant = service.tenant()
    factor = service.api.pending(tenant, "ann")
    for step in range(T0 // 30000 - 2, T0 // 30000 + 3):
        assert service.api.outcome(tenant, "ann", factor.code_of(step)) == "NOT_ENROLLED"


def test_a_pending_secret_expires(daemon):
    tenant = daemon.tenant(enrollment_lifetime=seconds(60))
    factor = daemon.api.enroll(tenant, "ann")
    assert factor.expire_time == at(T0 + 60_000)
    code = pyotp.TOTP(factor.secret_base32)
    daemon.now = T0 + 60_000
    ask = dict(enrollment_id=factor.enrollment_id)
    assert daemon.api.outcome(tenant, "ann", code.at(daemon.now // 1000), **ask) == "ENROLLMENT_EXPIRED"
    daemon.now = T0 + 59_999
    assert daemon.api.outcome(tenant, "ann", code.at(daemon.now // 1000), **ask) == "ACCEPTED"


def test_the_default_lifetime_is_ten_minutes_and_what_expired_is_swept(daemon):
    tenant = daemon.tenant()
    assert daemon.api.enroll(tenant, "ann").expire_time == at(T0 + 600_000)
    daemon.now = T0 + 600_000
    wait_until(lambda: daemon.rows()["pending"] == 0, "the sweep of every second")
    assert screen(daemon, tenant, "ann") == (ENROLL, pb.REASON_UNSPECIFIED)


def test_a_new_enroll_replaces_the_pending_secret(service):
    tenant = service.tenant()
    old, new = (service.api.pending(tenant, "ann") for _ in range(2))
    assert old.secret != new.secret and old.enrollment_id != new.enrollment_id
    ask = dict(enrollment_id=old.enrollment_id)
    now = service.now
    assert service.api.outcome(tenant, "ann", old.code_at(now), **ask) == "ENROLLMENT_EXPIRED"
    assert service.api.outcome(tenant, "ann", new.code_at(now), **ask) == "ENROLLMENT_EXPIRED"
    ask = dict(enrollment_id=new.enrollment_id)
    assert service.api.outcome(tenant, "ann", old.code_at(now), **ask) == "WRONG_CODE"
    assert service.api.outcome(tenant, "ann", new.code_at(now), **ask) == "ACCEPTED"


def test_the_confirming_code_does_not_open_a_login(daemon):
    tenant = daemon.tenant()
    factor = daemon.enrol(tenant, "ann")
    assert daemon.api.outcome(tenant, "ann", factor.code_at(T0)) == "REPLAYED_CODE"
    daemon.advance(30)  # it is still in the window
    assert daemon.api.outcome(tenant, "ann", factor.code_at(T0)) == "REPLAYED_CODE"
    assert daemon.api.outcome(tenant, "ann", factor.code_at(T0), enrollment_id=factor.enrollment_id) \
        == "REPLAYED_CODE"


def test_an_enrolled_user_cannot_be_enrolled_again(service):
    tenant = service.tenant()
    factor = service.enrol(tenant, "ann")
    with refused(grpc.StatusCode.ALREADY_EXISTS, "ALREADY_ENROLLED"):
        service.api.enroll(tenant, "ann")
    assert service.api.outcome(tenant, "ann", factor.code_of(T0 // 30000 + 1)) == "ACCEPTED"


def test_only_ones_own_pending_enrolment_can_be_confirmed(service):
    """With the id of nobody, of another user, of another tenant: all alike."""
    one, other = service.tenant(), service.tenant()
    mine = service.api.pending(one, "ann")
    theirs = [service.api.pending(one, "bob"), service.api.pending(other, "ann")]
    ids = ["0" * 32, "f" * 32, "short", "not hexadecimal at all, but text", "é" * 32]
    for enrollment_id in ids + [f.enrollment_id for f in theirs]:
        for factor in theirs + [mine]:
            assert service.api.outcome(one, "ann", factor.code_at(service.now),
                                       enrollment_id=enrollment_id) == "ENROLLMENT_EXPIRED"
    for factor in theirs + [mine]:
        assert service.api.outcome(factor.tenant, factor.user, factor.code_at(service.now),
                                   enrollment_id=factor.enrollment_id) == "ACCEPTED"


def test_an_abandoned_enrolment_leaves_the_user_unenrolled(daemon):
    tenant = daemon.tenant()
    daemon.api.pending(tenant, "ann")
    daemon.advance(HOUR)
    assert screen(daemon, tenant, "ann") == (ENROLL, pb.REASON_UNSPECIFIED)
    assert daemon.enrol(tenant, "ann")


def test_nothing_is_done_without_a_verified_password(service):
    tenant = service.tenant()
    with refused(PRECONDITION, "PASSWORD_NOT_VERIFIED"):
        service.api.enroll(tenant, "ann", password_verified=False)
    factor = service.enrol(tenant, "ann")
    for code in (factor.code_of(T0 // 30000 + 1), factor.wrong_at(T0)):
        for _ in range(6):  # more than the free tries, had they counted
            with refused(PRECONDITION, "PASSWORD_NOT_VERIFIED"):
                service.api.verify(tenant, "ann", code, password_verified=False)
    assert service.api.outcome(tenant, "ann", factor.code_of(T0 // 30000 + 1)) == "ACCEPTED"


@pytest.mark.parametrize("policy", [
    dict(), dict(enabled=False), dict(enabled=True, suspended_until=at(T0 + 1)),
    dict(enabled=True, mobile=False)])
def test_nobody_enrols_where_no_code_is_asked(service, policy):
    tenant = fresh()
    if policy:
        service.api.set_policy(tenant, **policy)
    with refused(PRECONDITION, "POLICY_OFF"):
        service.api.enroll(tenant, "ann", channel=MOBILE)


@pytest.mark.parametrize("digits", [6, 8])
@pytest.mark.parametrize("algorithm", HASHES)
@pytest.mark.parametrize("period", [15, 30, 60, 120])
def test_every_form_of_code_works_and_hints_name_the_apps_that_ignore_it(
        service, algorithm, digits, period):
    tenant = service.tenant(algorithm=algorithm, digits=digits, period=seconds(period))
    answer = service.api.enroll(tenant, "ann")
    plain = algorithm == pb.ALGORITHM_SHA1
    assert len(answer.app_hints) == (not plain) + (digits != 6 or period != 30)
    assert all("Google Authenticator" in hint for hint in answer.app_hints)
    codes = pyotp.TOTP(answer.secret_base32, digits, HASHES[algorithm], interval=period)
    step = T0 // 1000 // period
    assert service.api.outcome(tenant, "ann", codes.generate_otp(step),
                               enrollment_id=answer.enrollment_id) == "ACCEPTED"
    assert service.api.outcome(tenant, "ann", codes.generate_otp(step + 1)) == "ACCEPTED"
    with invalid("code"):
        service.api.verify(tenant, "ann", "0" * (14 - digits))


def test_a_new_form_of_code_holds_for_new_secrets_only(service):
    tenant = service.tenant()
    old = service.enrol(tenant, "ann")
    service.api.set_policy(tenant, digits=8, algorithm=pb.ALGORITHM_SHA512, period=seconds(60))
    new = service.enrol(tenant, "bob")
    assert service.api.outcome(tenant, "ann", old.code_of(T0 // 30000 + 1)) == "ACCEPTED"
    assert service.api.outcome(tenant, "bob", new.code_of(T0 // 60000 + 1)) == "ACCEPTED"


@pytest.mark.parametrize("window", [0, 1, 2])
def test_the_window_is_exactly_as_wide_as_the_policy_says(daemon, window):
    tenant = daemon.tenant(window_steps=window)
    factor = daemon.enrol(tenant, "ann")
    for offset in range(-4, 5):
        daemon.advance(HOUR)
        got = daemon.api.outcome(tenant, "ann", factor.code_of(daemon.now // 30000 + offset))
        assert got == ("ACCEPTED" if abs(offset) <= window else "WRONG_CODE"), offset
