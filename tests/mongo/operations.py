# SPDX-License-Identifier: ISC
"""Everything that twostepd does to its store, each ready to be struck by a fault: how it is begun,
which commands are its own, what it may answer, and what must be true in the end."""
import grpc
from twostep.v1 import twostep_pb2 as pb

import scene
from fake_query import matches
from kit import Factor, fresh, seconds, wait_until
from scene import AUDIT, UNDECIDED

IN_TIME, SHORT = 5, 0.3  # seconds


class Begun:
    """What takes place without a call: its end is that it has come about."""

    def __init__(self, done, what):
        self.done, self.what = done, what

    def result(self):
        wait_until(self.done, self.what)


class Plan:
    """One operation on a tenant of its own. call(deadline) begins it, and begins the same again.
    owns(name, body): is this command one of it? right: what it may answer; again: what it may
    answer after nobody knew how it ended. lasts(first): is what was answered there, whoever is the
    primary now? check(first, second): the answers, None: undecided."""

    def __init__(self, stage, tenant, call, right, check, again=None, owns=None, begin=None, lasts=None):
        self.stage, self.tenant, self.call, self.check = stage, tenant, call, check
        self.lasts = lasts or (lambda first: True)
        self.right, self.again = {right} | UNDECIDED, {right} if again is None else again
        self.begin, self.is_call = begin, begin is None
        self.owns = owns or (lambda name, body: not (name == "find" and body[name] == "tenants"))

    def concerns(self, body):
        name = next(iter(body))
        if body[name] in AUDIT or body[name] == "meta":
            return False
        if self.is_call and name in ("delete", "dropIndexes"):
            return False
        mine = not self.is_call or self.tenant.encode() in repr(body).encode() or body[name] == "limits"
        return mine and self.owns(name, body)


OPERATIONS = {}  # name: (how to plan it, how many commands it takes)


def operation(name, commands):
    def add(plan):
        OPERATIONS[name] = (plan, commands)
        return plan
    return add


# ---- codes ----------------------------------------------------------------------------------------

def enrolled(stage, **policy):
    tenant = stage.daemon.tenant(**policy)
    factor = stage.daemon.enrol(tenant, "ann")
    stage.daemon.advance(60)
    return factor


def wins(document, ms):
    return [e for e in document["log"] if e["kind"] == scene.WON and e["time"] == ms]


def check_accepted(stage, factor, now, code):
    """Once, whatever came in between."""
    document = stage.user(factor.tenant)
    assert document["step"] == now // 30000 and document["own"]["id"] and "next" not in document
    assert scene.failures(document) == 0
    assert len(wins(document, now)) <= 1
    assert scene.name_of(stage.api.verify(factor.tenant, "ann", code)) == "REPLAYED_CODE"
    told = [r for r in stage.view("audit").find() if r["tenant"] == factor.tenant.encode() and
            '"accepted"' in r["body"] and scene_time(now) in r["body"] and '"repeated"' not in r["body"]]
    assert len(told) <= 1


def scene_time(ms):
    import datetime
    return datetime.datetime.utcfromtimestamp(ms / 1000).strftime("%Y-%m-%dT%H:%M:%S")


def right_code(stage, factor, **more):
    now, code = stage.daemon.now, factor.code_at(stage.daemon.now)
    request = scene.request_id()
    return Plan(stage, factor.tenant, right="ACCEPTED", lasts=lambda first: moved(stage, factor, now),
                call=lambda deadline: stage.verify(factor, code, deadline, request_id=request, **more),
                check=lambda first, second: check_accepted(stage, factor, now, code))


@operation("right code", 2)
def plan_right(stage):
    return right_code(stage, enrolled(stage))


@operation("right code, no request id", 2)
def plan_nameless(stage):
    """Asked again, it is another attempt: of a code that was used, if it was."""
    factor = enrolled(stage)
    now, code = stage.daemon.now, factor.code_at(stage.daemon.now)
    return Plan(stage, factor.tenant, right="ACCEPTED", again={"ACCEPTED", "REPLAYED_CODE"},
                lasts=lambda first: moved(stage, factor, now),
                call=lambda deadline: stage.verify(factor, code, deadline),
                check=lambda first, second: check_moved(stage, factor, now, first, second))


def moved(stage, factor, now):
    return stage.user(factor.tenant)["step"] == now // 30000


def check_moved(stage, factor, now, first, second):
    names = [scene.name_of(a) for a in (first, second) if a is not None]
    assert names.count("ACCEPTED") <= 1
    assert stage.user(factor.tenant)["step"] == now // 30000


@operation("right code, policy not cached", 3)
def plan_uncached(stage):
    factor = enrolled(stage)
    stage.api.set_policy(factor.tenant, enabled=True)
    plan = right_code(stage, factor)
    plan.owns = lambda name, body: True
    return plan


@operation("wrong code", 1)
def plan_wrong(stage):
    factor = enrolled(stage)
    code, request = factor.wrong_at(stage.daemon.now), scene.request_id()

    def check(_first, _second):
        assert scene.failures(stage.user(factor.tenant)) == 1
    return Plan(stage, factor.tenant, right="WRONG_CODE", check=check,
                lasts=lambda first: scene.failures(stage.user(factor.tenant)) == 1,
                call=lambda deadline: stage.verify(factor, code, deadline, request_id=request))


@operation("replayed code", 1)
def plan_replayed(stage):
    factor = enrolled(stage)
    code, request = factor.code_at(stage.daemon.now), scene.request_id()
    assert stage.api.outcome(factor.tenant, "ann", code) == "ACCEPTED"

    def check(_first, _second):
        document = stage.user(factor.tenant)
        assert scene.failures(document) == 1 and document["step"] == stage.daemon.now // 30000
    return Plan(stage, factor.tenant, right="REPLAYED_CODE", check=check,
                lasts=lambda first: scene.failures(stage.user(factor.tenant)) == 1,
                call=lambda deadline: stage.verify(factor, code, deadline, request_id=request))


@operation("locked out", 1)
def plan_locked(stage):
    factor = enrolled(stage)
    for _ in range(5):
        assert stage.api.outcome(factor.tenant, "ann", factor.wrong_at(stage.daemon.now)) == "WRONG_CODE"
    code, request = factor.code_at(stage.daemon.now), scene.request_id()

    def check(_first, _second):
        stage.daemon.advance(31)  # one more failure would have doubled the wait
        assert stage.api.outcome(factor.tenant, "ann", factor.code_at(stage.daemon.now)) == "ACCEPTED"
    return Plan(stage, factor.tenant, right="LOCKED", check=check,
                call=lambda deadline: stage.verify(factor, code, deadline, request_id=request))


@operation("first code, with a notice", 2)
def plan_first(stage):
    tenant = stage.daemon.tenant(**scene.MAIL)
    address = fresh("ann") + "@mail.example"
    factor = stage.api.pending(tenant, "ann", notify_address=address)
    plan = right_code(stage, factor, enrollment_id=factor.enrollment_id)
    accepted = plan.check
    # The mail thread's own commands begin when there is a mail.
    plan.owns = lambda name, body: body[name] == "users" and not (stage.user(tenant) or {}).get("mails")

    def check(first, second):
        assert len(letters_to(stage, address, 1)) == 1
        wait_until(lambda: not stage.user(tenant)["mails"], "the mail is done")
        accepted(first, second)
    plan.check = check
    return plan


# ---- secrets ----------------------------------------------------------------------------------------

def enroll_call(stage, tenant):
    request = pb.EnrollRequest(tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB,
                               password_verified=True, qr_format=pb.QR_FORMAT_NONE)
    return lambda deadline: stage.send("Enroll", request, deadline)


def is_pending(stage, tenant, answer):
    return stage.user(tenant)["next"]["id"].hex() == answer.enrollment_id.replace("-", "")


def check_pending(stage, tenant, answer):
    """There is one pending secret, and it is the one that was shown last."""
    assert "own" not in stage.user(tenant) and is_pending(stage, tenant, answer)
    factor = Factor(tenant, "ann", answer, stage.api.get_policy(tenant))
    assert stage.api.outcome(tenant, "ann", factor.code_at(stage.daemon.now),
                             enrollment_id=factor.enrollment_id) == "ACCEPTED"


@operation("enroll", 2)
def plan_enroll(stage):
    tenant = stage.daemon.tenant()
    stage.api.enroll(tenant, "bob")  # the tenant's key is there
    return Plan(stage, tenant, enroll_call(stage, tenant), "OK",
                lambda first, second: check_pending(stage, tenant, second),
                lasts=lambda first: is_pending(stage, tenant, first))


@operation("first use of a tenant", 7)
def plan_first_use(stage):
    tenant = stage.daemon.tenant()

    def check(_first, second):
        check_pending(stage, tenant, second)
        document, = stage.view("tenants").find({"_id": tenant.encode()})
        assert len(document["keys"]) == 1
    return Plan(stage, tenant, enroll_call(stage, tenant), "OK", check, owns=lambda name, body: True)


# ---- resets and mail --------------------------------------------------------------------------------

def letters_to(stage, address, n):
    def arrived():
        found = [content for to, content in list(stage.sink.taken) if to == [address]]
        return found if len(found) >= n else None
    return wait_until(arrived, "%d mails to %s" % (n, address))


def reset_request(tenant, address, request=""):
    return pb.ResetRequestRequest(tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB,
                                  password_verified=True, mail_address=address, request_id=request)


@operation("reset request", 7)
def plan_reset(stage):
    factor = enrolled(stage, **scene.MAIL)
    tenant, address, request = factor.tenant, fresh("ann") + "@mail.example", scene.request_id()

    def owns(name, body):
        return body[name] in ("users", "limits") and not stage.user(tenant)["resets"] and \
            "due" not in repr(body.get("filter"))

    def check(first, second):
        assert first is None or first.reset_id == second.reset_id
        assert len(letters_to(stage, address, 1)) == 1
        wait_until(lambda: not stage.user(tenant)["mails"], "the mail is done")
        reset, = stage.user(tenant)["resets"]
        counted = [d for d in stage.view("limits").find({"_id": b"t" + tenant.encode()})]
        events = len(counted[0]["events"]) // 16
        assert events == 1 if first is not None else events in (1, 2)
    def lasts(_first):
        return len(stage.user(tenant)["resets"]) == 1
    return Plan(stage, tenant, right="OK", check=check, owns=owns, lasts=lasts, call=lambda deadline: stage.send(
        "ResetRequest", reset_request(tenant, address, request), deadline))


def reset_mailed(stage):
    """A user with a reset whose mail has come: the tenant, the reset's id, the mail's token."""
    factor = enrolled(stage, **scene.MAIL)
    address = fresh("ann") + "@mail.example"
    asked = stage.api.call("ResetRequest", reset_request(factor.tenant, address))
    content, = letters_to(stage, address, 1)
    wait_until(lambda: not stage.user(factor.tenant)["mails"], "the mail is done")
    return factor, asked.reset_id, scene.postbox.Letter(content).token


@operation("reset confirm", 3)
def plan_confirm(stage):
    old, reset_id, token = reset_mailed(stage)
    request = pb.ResetConfirmRequest(tenant_id=old.tenant, user_id="ann", channel=pb.CHANNEL_WEB,
                                     password_verified=True, token=token, qr_format=pb.QR_FORMAT_NONE)

    def check(first, second):
        """One pending secret; it is good if somebody was shown it, and the old one is."""
        assert first is None or second is None, "one link, two secrets"
        document = stage.user(old.tenant)
        assert document["gen"] == 2 and document["next"] and document["resets"][0]["state"] == CONFIRMED
        assert stage.api.outcome(old.tenant, "ann", old.code_at(stage.daemon.now)) == "ACCEPTED"
        shown = first or second
        if shown is not None:
            new = Factor(old.tenant, "ann", shown, stage.api.get_policy(old.tenant))
            assert stage.api.outcome(old.tenant, "ann", new.code_at(stage.daemon.now),
                                     enrollment_id=new.enrollment_id) == "ACCEPTED"
    return Plan(stage, old.tenant, right="OK", again={"OK", "NOT_FOUND"}, check=check,
                lasts=lambda first: is_pending(stage, old.tenant, first),
                call=lambda deadline: stage.send("ResetConfirm", request, deadline))


CONFIRMED = pb.RESET_STATE_CONFIRMED


@operation("get reset", 1)
def plan_get_reset(stage):
    factor, reset_id, _ = reset_mailed(stage)

    def check(first, second):
        assert all(a is None or a.state == pb.RESET_STATE_SENT for a in (first, second))
    return Plan(stage, factor.tenant, right="OK", check=check, call=lambda deadline: stage.send(
        "GetReset", pb.GetResetRequest(tenant_id=factor.tenant, reset_id=reset_id), deadline))


def mailing(stage, refusal, state, error, take):
    """From the request on. take: which of the mail thread's commands on the user count."""
    factor = enrolled(stage, **scene.MAIL)
    tenant, address = factor.tenant, fresh("ann") + "@mail.example"
    asked = []

    def owns(name, body):
        if body[name] != "users" or not stage.user(tenant)["mails"]:
            return False
        if name == "find" and "due" in body["filter"]:
            return matches(stage.user(tenant), body["filter"]) and take(name, body)
        return (tenant.encode() in repr(body).encode() and "resets.id" not in body.get("filter", {})) and \
            take(name, body)

    def begin():
        if refusal:
            stage.refusals[stage.sink.seen] = refusal
        asked.append(stage.api.call("ResetRequest", reset_request(tenant, address)).reset_id)

    def done():
        reset, = stage.user(tenant)["resets"]
        return reset["state"] == state

    def check(_first, _second):
        reset, = stage.user(tenant)["resets"]
        assert reset["error"] == "" or error in reset["error"]
        mails = stage.user(tenant)["mails"]
        assert len(mails) == (state == pb.RESET_STATE_DEFERRED)
        if state == pb.RESET_STATE_DEFERRED:
            assert mails[0]["attempts"] == 1
            stage.daemon.advance(6)
        if state != pb.RESET_STATE_FAILED:
            first, *more = letters_to(stage, address, 1)
            assert not more
            wait_until(lambda: not stage.user(tenant)["mails"], "the mail is done")
            stage.api.call("ResetConfirm", pb.ResetConfirmRequest(
                tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB, password_verified=True,
                token=scene.postbox.Letter(first).token, qr_format=pb.QR_FORMAT_NONE))
    return Plan(stage, tenant, begin=begin, owns=owns, right="OK", check=check,
                call=lambda deadline: Begun(done, "the mail's end is written"))


@operation("mail that is sent", 4)
def plan_sent(stage):
    """Leased: a find and an update; its end written: again."""
    return mailing(stage, None, pb.RESET_STATE_SENT, "", lambda name, body: True)


def of_the_end():
    """Those after the lease."""
    seen = []

    def take(name, body):
        seen.append(name)
        return "update" in seen[:-1]
    return take


@operation("mail that is refused", 2)
def plan_failed(stage):
    return mailing(stage, "550 nobody here", pb.RESET_STATE_FAILED, "550", of_the_end())


@operation("mail that is deferred", 2)
def plan_deferred(stage):
    return mailing(stage, "451 later", pb.RESET_STATE_DEFERRED, "451", of_the_end())


# ---- policies ---------------------------------------------------------------------------------------

@operation("set policy", 3)
def plan_set_policy(stage):
    tenant = stage.daemon.tenant()
    before = stage.api.get_policy(tenant).revision
    request = pb.SetPolicyRequest(policy=pb.Policy(tenant_id=tenant, enabled=True, mobile=True,
                                                   period=seconds(30)), expected_revision=before)

    def check(first, _second):
        policy = stage.api.get_policy(tenant)
        assert policy.revision == before + 1 and policy.mobile
        assert first is None or first.policy.revision == before + 1
    return Plan(stage, tenant, right="OK", again={"OK", "ABORTED"}, check=check,
                lasts=lambda first: stage.view("tenants").one({"_id": tenant.encode()})["policy"]["mobile"],
                owns=lambda name, body: True,
                call=lambda deadline: stage.send("SetPolicy", request, deadline))


@operation("get policy", 1)
def plan_get_policy(stage):
    tenant = stage.daemon.tenant(digits=8)

    def check(*answers):
        assert all(a is None or a.policy.digits == 8 for a in answers)
    return Plan(stage, tenant, right="OK", check=check, owns=lambda name, body: True,
                call=lambda deadline: stage.send("GetPolicy", pb.GetPolicyRequest(tenant_id=tenant), deadline))


@operation("login requirement", 1)
def plan_login(stage):
    factor = enrolled(stage)
    request = pb.GetLoginRequirementRequest(tenant_id=factor.tenant, user_id="ann", channel=pb.CHANNEL_WEB)
    return Plan(stage, factor.tenant, right="CODE", check=lambda first, second: None,
                call=lambda deadline: stage.send("GetLoginRequirement", request, deadline))


# ---- sweeping ---------------------------------------------------------------------------------------

def sweeping(stage, owns):
    tenant = stage.daemon.tenant()
    stage.api.enroll(tenant, "ann")

    def check(_first, _second):
        document = stage.user(tenant)
        assert "next" not in document and document["gen"] == 1
    return Plan(stage, tenant, right="OK", check=check, begin=lambda: stage.daemon.advance(601),
                owns=lambda name, body: "next" in stage.user(tenant) and owns(tenant, name, body),
                call=lambda deadline: Begun(lambda: "next" not in stage.user(tenant), "the secret is gone"))


@operation("sweep: looking", 1)
def plan_sweep_find(stage):
    return sweeping(stage, lambda tenant, name, body: name == "find" and "sweep" in body["filter"])


@operation("sweep: what is over goes", 1)
def plan_sweep_user(stage):
    return sweeping(stage, lambda tenant, name, body: name == "update" and body[name] == "users" and
                    body["updates"][0]["q"]["_id"] == scene.key(tenant))


@operation("sweep: counters", 1)
def plan_sweep_limits(stage):
    tenant = stage.daemon.tenant()
    stage.view("limits").put({"_id": b"t" + tenant.encode(), "v": 1, "events": b"", "expires": _date(0)})

    def left():
        return stage.view("limits").find({"_id": b"t" + tenant.encode()})
    return Plan(stage, tenant, right="OK", check=lambda first, second: None, begin=lambda: None,
                owns=lambda name, body: name == "delete",
                call=lambda deadline: Begun(lambda: not left(), "the counter is gone"))


def _date(ms):
    import datetime
    return datetime.datetime.utcfromtimestamp(ms / 1000)
