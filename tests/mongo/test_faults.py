# SPDX-License-Identifier: ISC
"""Goal: whatever goes wrong with whichever command of whichever operation, the answer is the right
one or that nobody knows, nothing happens twice, and who asks again is told what is true."""
import concurrent.futures

import pytest

import fake
import kit
import operations
import scene
from fake_faults import APPLY_DROP, APPLY_ERROR, APPLY_HANG, CONCERN, DROP, DUPLICATE, EDIT, ERROR, GARBAGE, HANG, \
    LATE, STEP_DOWN, TRUNCATED
from operations import IN_TIME, OPERATIONS, SHORT

NOT_PRIMARY, INTERRUPTED = fake.NOT_WRITABLE_PRIMARY, fake.INTERRUPTED
FOREVER = {"times": 0}  # and so longer than the call


def other_types(reply):
    """A reply that says it went well, and nothing else that makes sense."""
    return {k: v if k == "ok" else [7] if isinstance(v, (str, int, dict)) else "?" for k, v in reply.items()}


def with_errors_of_no_sense(reply):
    return {**reply, "writeErrors": "?"}


def nothing_but_ok(_reply):
    return {"ok": 1.0}


FAULTS = {
    "lost before": (DROP, {}),
    "lost after": (APPLY_DROP, {}),
    "hangs": (HANG, {}),
    "hangs longer than the call": (HANG, FOREVER),
    "done, but hangs": (APPLY_HANG, {}),
    "done, but hangs longer than the call": (APPLY_HANG, FOREVER),
    "done late": (LATE, {}),
    "not primary": (ERROR, {"code": NOT_PRIMARY}),
    "done, but not primary": (APPLY_ERROR, {"code": NOT_PRIMARY}),
    "interrupted": (ERROR, {"code": INTERRUPTED}),
    "done, but interrupted": (APPLY_ERROR, {"code": INTERRUPTED}),
    "steps down": (STEP_DOWN, {}),
    "majority comes later": (CONCERN, {}),
    "majority never comes": (CONCERN, {}),
    "key that is not there": (DUPLICATE, {}),
    "garbage": (GARBAGE, {}),
    "half an answer": (TRUNCATED, {}),
    "wrong types": (EDIT, {"edit": other_types}),
    "errors of wrong types": (EDIT, {"edit": with_errors_of_no_sense}),
    "empty answer": (EDIT, {"edit": nothing_but_ok}),
}


class Strike:
    """One fault, on the nth command of one operation."""

    def __init__(self, stage, plan, name, nth):
        self.stage, self.name = stage, name
        kind, more = FAULTS[name]
        self.forever = more is FOREVER
        self.fault = stage.server.fault(kind, where=plan.concerns, nth=nth, **more)
        if name == "majority never comes":
            # Another member has become the primary without it, before the next command.
            stage.server.fault(EDIT, where=self.roll_back)

    def roll_back(self, _body):
        if self.fault.hits:
            self.stage.server.roll_back()
        return False

    def meanwhile(self, plan):
        """What happens before there is an answer."""
        if self.name == "steps down":
            self.wait(plan)
            self.stage.server.step_up()
        elif self.forever and not plan.is_call:
            self.wait(plan)
            self.stage.server.clear_faults()

    def wait(self, plan):
        """The daemon may have looked for what is due in the very moment before it was."""
        kit.wait_until(lambda: self.fault.hits or not plan.is_call and plan.call(None).done(), "the fault strikes")

    def end(self, plan):
        assert self.fault.hits > 0 or not plan.is_call, "the operation has fewer commands"
        self.stage.server.clear_faults()
        if self.name == "majority never comes":
            self.stage.server.roll_back()
        self.stage.server.commit()


def strike(stage, operation, name, nth):
    plan = OPERATIONS[operation][0](stage)
    blow = Strike(stage, plan, name, nth)
    try:
        if plan.begin:
            plan.begin()
        call = plan.call(SHORT if blow.forever else IN_TIME)
        blow.meanwhile(plan)
        first, word = scene.said(call)
    finally:
        stage.server.clear_faults()
    blow.end(plan)
    assert word in plan.right, word
    assert word not in scene.UNDECIDED or blow.forever or name in NOT_SETTLED, "time was left to find out"
    assert first is None or plan.lasts(first), "it was told, and is not so any more"
    second, again = scene.said(plan.call(IN_TIME))
    assert again in (plan.again if first is None or operation in NOT_TWICE else plan.right), (word, again)
    plan.check(first, second)
    return word


# Their second call is another one, or is told that it came before.
NOT_TWICE = {"right code, no request id", "reset confirm", "set policy"}

# A reading whose answer makes no sense is not asked for again; and for somebody who was quicker, but
# is not there, it waits as long as it may.
NOT_SETTLED = {"wrong types", "empty answer", "key that is not there"}


# ---- the table, a lane a fault -----------------------------------------------------------------------

def cases():
    return [(name, operation, nth) for name in FAULTS for operation, (_, n) in OPERATIONS.items()
            for nth in range(1, n + 1)]


def run_lane(folder, todo, results):
    # One worker, so that what a caller gave up on has ended before the same is asked again.
    stage = scene.Scene(folder, store_workers=1)
    try:
        stage.daemon.expected |= {"call_failed", "mail_queue_down", "mail_failed", "mail_server_down"}
        for case in todo:
            name, operation, nth = case
            try:
                results[case].set_result(strike(stage, operation, name, nth))
            except BaseException as e:
                results[case].set_exception(e)
        ended = stage.daemon.stop()
        assert ended == 0
        stage.check_end()
    finally:
        stage.close()


@pytest.fixture(scope="module")
def lanes(request, tmp_path_factory):
    """Each fault has a server and a daemon of its own, and all of them run at once: most of the
    time of a case is waiting until the driver looks for the server again."""
    wanted = [item.callspec.params["case"] for item in request.session.items
              if item.function.__name__ == test_a_fault.__name__]
    results = {case: concurrent.futures.Future() for case in wanted}
    names = sorted({name for name, _, _ in wanted})
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        ends = {name: pool.submit(run_lane, tmp_path_factory.mktemp("lane"),
                                  [case for case in wanted if case[0] == name], results)
                for name in names}
        yield results, ends


@pytest.mark.parametrize("case", cases(), ids=lambda case: "%s-%s-%d" % case)
def test_a_fault(lanes, case):
    results, ends = lanes
    name = case[0]
    while not results[case].done():
        concurrent.futures.wait([results[case], ends[name]], return_when="FIRST_COMPLETED")
        if ends[name].done() and not results[case].done():
            ends[name].result()
            raise AssertionError("the lane ended early")
    results[case].result()


@pytest.mark.parametrize("name", FAULTS)
def test_a_lane_ends_well(lanes, name):
    """The daemon stops, logged no error that nobody expected, and its audit chain has no gap."""
    _, ends = lanes
    if name in ends:
        ends[name].result()


# ---- the two that matter most, in full ---------------------------------------------------------------

@pytest.fixture
def stage(tmp_path):
    with scene.Scene(tmp_path / "d", mail=False, store_workers=1) as made:
        made.daemon.expected.add("call_failed")
        yield made


@pytest.mark.parametrize("named", [True, False])
def test_an_acceptance_whose_answer_was_lost_is_one(stage, named):
    factor = operations.enrolled(stage)
    code, more = factor.code_at(stage.daemon.now), {"request_id": scene.request_id()} if named else {}
    lost = stage.server.fault(APPLY_DROP, "update", "users")
    assert scene.said(stage.verify(factor, code, **more))[1] == "ACCEPTED"
    assert lost.hits == 1
    assert scene.said(stage.verify(factor, code, **more))[1] == ("ACCEPTED" if named else "REPLAYED_CODE")
    assert len(operations.wins(stage.user(factor.tenant), stage.daemon.now)) == 1


def test_a_charge_without_its_acceptance_is_decided_by_the_next_call(stage):
    factor = operations.enrolled(stage)
    code, request = factor.code_at(stage.daemon.now), scene.request_id()
    hanging = stage.server.fault(HANG, "update", "users", times=0)
    assert scene.said(stage.verify(factor, code, SHORT, request_id=request))[1] in scene.UNDECIDED
    hanging.wait()
    document = stage.user(factor.tenant)
    assert scene.failures(document) == 1 and document["step"] < stage.daemon.now // 30000
    stage.server.clear_faults()
    for _ in range(2):
        stage.daemon.advance(40)  # when it is told does not matter: it was right when it was asked
        assert scene.said(stage.verify(factor, code, request_id=request))[1] == "ACCEPTED"
    document = stage.user(factor.tenant)
    assert scene.failures(document) == 0 and len([e for e in document["log"] if e["kind"] == scene.WON]) == 1
