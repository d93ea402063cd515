# SPDX-License-Identifier: ISC
"""Goal: what the daemon does by itself is bounded and loses nothing: the audit log when it cannot be
written, and what has expired when the server does not delete it."""
import grpc
import pytest

import kit
import operations
import scene
from fake_faults import ERROR
from grpc.health.v1 import health_pb2, health_pb2_grpc
from twostep.v1 import twostep_pb2 as pb

WAITING_MAX = 8192  # records that wait for the store, src/store/mongo_audit.c
MEMORY_MAX = 64 * 1024 * 1024  # bytes that they may take, several times what they need


def resident(process):
    with open("/proc/%d/status" % process.pid) as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def serving(stage):
    stub = health_pb2_grpc.HealthStub(stage.api.channel)
    return stub.Check(health_pb2.HealthCheckRequest(), timeout=kit.PATIENCE).status == \
        health_pb2.HealthCheckResponse.SERVING


def outcomes(stage, n, request):
    """So many calls, a hundred at once: a word for each."""
    words = []
    while len(words) < n:
        calls = [stage.send("Verify", request, kit.PATIENCE) for _ in range(min(100, n - len(words)))]
        words += [scene.said(call)[1] for call in calls]
    return words


@pytest.mark.unsanitized
def test_an_audit_log_that_cannot_be_written_stops_decisions_when_too_much_waits(tmp_path):
    with scene.Scene(tmp_path / "d", mail=False, store_workers=2) as stage:
        stage.daemon.expected |= {"call_failed", "store_failed"}
        factor, off = operations.enrolled(stage), kit.fresh()
        stage.api.set_policy(off, enabled=False)
        # It is recorded and asks nothing of the store: the quickest way to fill the queue.
        cheap = pb.VerifyRequest(tenant_id=off, user_id="bob", channel=pb.CHANNEL_WEB, code="123456",
                                 password_verified=True)
        stage.server.fault(ERROR, "insert", "audit", code=91, times=0)
        before = resident(stage.daemon.process)
        assert set(outcomes(stage, WAITING_MAX - 100, cheap)) == {"NOT_REQUIRED"}
        assert "UNAVAILABLE" in outcomes(stage, 300, cheap)

        code, request = factor.code_at(stage.daemon.now), scene.request_id()
        assert scene.said(stage.verify(factor, code, request_id=request))[1] == "UNAVAILABLE"
        assert set(outcomes(stage, 2000, cheap)) == {"UNAVAILABLE"}
        assert resident(stage.daemon.process) - before < MEMORY_MAX

        stage.server.clear_faults()
        kit.wait_until(lambda: serving(stage), "it serves again")
        kit.wait_until(lambda: scene.said(stage.verify(factor, code, request_id=request))[1] == "ACCEPTED",
                       "who asks again is let in")
        assert stage.api.outcome(factor.tenant, "ann", code) == "REPLAYED_CODE"
        assert stage.daemon.stop() == 0
        assert len(stage.check_end()) > WAITING_MAX


# ---- what has expired ---------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [67, 72, 238])
def test_a_server_without_expiring_indexes(tmp_path, code):
    """The start goes on, and the daemon itself deletes what is over, by the clock that it has."""
    with scene.Scene(tmp_path / "d", start=False) as stage:
        refused = stage.server.fault(ERROR, "createIndexes", "limits", code=code, times=0)
        stage.daemon.start()
        assert refused.hits and "expires" not in stage.view("limits").indexes()

        factor, pending = operations.enrolled(stage, **scene.MAIL), stage.daemon.tenant()
        stage.api.enroll(pending, "ann")
        assert stage.api.outcome(pending, "stranger", "123456", request_id=scene.request_id()) == "NOT_ENROLLED"
        stage.api.call("ResetRequest", operations.reset_request(factor.tenant, "ann@mail.example"))
        operations.letters_to(stage, "ann@mail.example", 1)
        kit.wait_until(lambda: not stage.user(factor.tenant)["mails"], "the mail is done")
        assert len(stage.view("limits").find()) == 2

        stage.daemon.advance(12 * 60)
        kit.wait_until(lambda: "next" not in stage.user(pending), "the pending secret goes")
        kit.wait_until(lambda: stage.user(pending, "stranger") is None, "the stranger goes")
        assert len(stage.view("limits").find()) == 2
        stage.daemon.advance(3600)
        kit.wait_until(lambda: not stage.view("limits").find(), "the counters go")
        assert stage.user(factor.tenant)["resets"]
        stage.daemon.advance(8 * 24 * 3600)
        kit.wait_until(lambda: not stage.user(factor.tenant)["resets"], "the reset goes")
        assert stage.api.outcome(factor.tenant, "ann", factor.code_at(stage.daemon.now)) == "ACCEPTED"


def test_nothing_is_good_when_it_is_over_though_it_is_still_there(tmp_path):
    """Neither a pending secret nor a mailed link waits for the sweeper to be over."""
    with scene.Scene(tmp_path / "d") as stage:
        stage.daemon.expected |= {"call_failed", "store_failed"}
        tenant = stage.daemon.tenant(**scene.MAIL)
        pending = stage.api.pending(tenant, "bob")
        factor = stage.daemon.enrol(tenant, "ann")
        stage.api.call("ResetRequest", operations.reset_request(tenant, "ann@mail.example"))
        letter = scene.postbox.Letter(operations.letters_to(stage, "ann@mail.example", 1)[0])
        kit.wait_until(lambda: not stage.user(tenant)["mails"], "the mail is done")
        stage.server.fault(ERROR, "find", "users", code=91, times=0,
                           where=lambda body: "sweep" in body["filter"])
        stage.daemon.advance(3601)
        assert "next" in stage.user(tenant, "bob")
        assert stage.api.outcome(tenant, "bob", pending.code_at(stage.daemon.now),
                                 enrollment_id=pending.enrollment_id) == "ENROLLMENT_EXPIRED"
        with kit.refused(grpc.StatusCode.NOT_FOUND, "RESET_NOT_FOUND"):
            stage.api.call("ResetConfirm", pb.ResetConfirmRequest(
                tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB, password_verified=True,
                token=letter.token, qr_format=pb.QR_FORMAT_NONE))
        assert stage.api.outcome(tenant, "ann", factor.code_at(stage.daemon.now)) == "ACCEPTED"
        stage.server.clear_faults()

