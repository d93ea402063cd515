# SPDX-License-Identifier: ISC
"""Goal: what was answered survives kill -9. Four clients enrol, sign in, guess wrong and change
policies; the daemon is killed at a random moment, the file it left is checked as it lies, the
daemon is started again, and everything that was answered must be there.

TWOSTEP_TEST_ROUNDS says how often (default 50)."""
import concurrent.futures
import os
import random
import time
import uuid

import grpc
import pytest

import audit
from kit import T0, fresh, pb, wait_until

ROUNDS = int(os.environ.get("TWOSTEP_TEST_ROUNDS", "50"))
STEP = 30_000
CLIENTS = 4


class Client:
    """One tenant with a few users, and what it was told of them. Steps are its own clock: the
    daemon's stands still within a round, and only codes of the window are right."""

    def __init__(self):
        self.tenant = fresh("crash")
        self.policy = None  # the last one answered
        self.factors = []
        self.steps = {}     # user: newest accepted step
        self.failures = {}  # user: failures in a row, answered
        self.doubt = set()  # users with a call whose answer did not come
        self.requests = []  # (request, answer) of this round
        self.answered = 0

    # What each does is told to the daemon first, and written down when the answer is there.
    def change_policy(self, api):
        self.policy = api.set_policy(self.tenant, enabled=True, suspended_reason=str(random.random()))

    def enrol(self, api, now):
        user = fresh("user")
        self.doubt.add(user)
        factor = api.pending(self.tenant, user)
        assert api.outcome(self.tenant, user, factor.code_at(now),
                           enrollment_id=factor.enrollment_id) == "ACCEPTED"
        self.factors.append(factor)
        self.steps[user], self.failures[user] = now // STEP, 0
        self.doubt.discard(user)

    def try_code(self, api, factor, code, step, expected):
        request = pb.VerifyRequest(tenant_id=self.tenant, user_id=factor.user, code=code,
                                   channel=pb.CHANNEL_WEB, password_verified=True,
                                   request_id=str(uuid.uuid4()))
        self.doubt.add(factor.user)
        answer = api.call("Verify", request)
        self.doubt.discard(factor.user)
        assert answer.outcome == expected, (answer, factor.user, self.steps, self.failures)
        self.requests.append((request, answer))
        if answer.outcome == pb.VERIFY_OUTCOME_ACCEPTED:
            self.steps[factor.user], self.failures[factor.user] = step, 0
        else:
            self.failures[factor.user] += 1

    def sign_in(self, api, factor, now):
        step = max(self.steps[factor.user], now // STEP - 2) + 1
        if step <= now // STEP + 1:
            self.try_code(api, factor, factor.code_of(step), step, pb.VERIFY_OUTCOME_ACCEPTED)

    def guess(self, api, factor, now):
        if self.failures[factor.user] < 4:
            self.try_code(api, factor, factor.wrong_at(now), None, pb.VERIFY_OUTCOME_WRONG_CODE)

    def run(self, api, now):
        """Calls until the daemon is gone."""
        try:
            while True:
                known = [f for f in self.factors[-8:] if f.user not in self.doubt]
                action = random.random()
                if self.policy is None or action < 0.1:
                    self.change_policy(api)
                elif not known or action < 0.2:
                    self.enrol(api, now)
                elif action < 0.6:
                    self.sign_in(api, random.choice(known), now)
                else:
                    self.guess(api, random.choice(known), now)
                self.answered += 1
        except grpc.RpcError as e:
            assert e.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), e

    # What must be there afterwards.
    def check_file(self, db):
        """The users' state in the file: at least what was answered; exactly that where no call
        was left open."""
        users = dict(db.execute("SELECT u.name, u.id FROM user u JOIN tenant t ON t.id = u.tenant"
                                " WHERE t.name = ?", (self.tenant.encode(),)))
        for factor in self.factors[-100:]:
            last_step, failures = state_of(db, users[factor.user.encode()])
            step = self.steps[factor.user]
            if factor.user not in self.doubt:
                assert (last_step, failures) == (step, self.failures[factor.user]), factor.user
            elif last_step == step:
                assert failures in (self.failures[factor.user], self.failures[factor.user] + 1)
            else:
                assert last_step > step and failures == 0

    def check_answers(self, api):
        if self.policy is not None:
            policy = api.get_policy(self.tenant)
            assert policy == self.policy or policy.revision == self.policy.revision + 1
            self.policy = policy
        for factor in self.factors[-8:]:
            assert api.login(self.tenant, factor.user).requirement == pb.LOGIN_REQUIREMENT_CODE
        for request, answer in self.requests[-20:]:
            assert api.call("Verify", request) == answer
        self.requests = []

    def settle(self, api, db):
        """Takes over what is in the file of the calls that were left open, and shows for one
        user a round that the last step stays used up."""
        for factor in [f for f in self.factors if f.user in self.doubt]:
            (user,), = db.execute("SELECT id FROM user WHERE name = ?", (factor.user.encode(),))
            self.steps[factor.user], self.failures[factor.user] = state_of(db, user)
        self.doubt.clear()
        for factor in self.factors[-1:]:
            outcome = api.outcome(self.tenant, factor.user, factor.code_of(self.steps[factor.user]))
            assert outcome in ("REPLAYED_CODE", "WRONG_CODE", "LOCKED")
            self.failures[factor.user] += outcome != "LOCKED"


def state_of(db, user):
    """(newest accepted step, failures in a row): the newest row of the log, or the table's."""
    row = db.execute("SELECT last_step, failures FROM sign_in WHERE user = ? ORDER BY seq DESC LIMIT 1",
                     (user,)).fetchone()
    return row or db.execute("SELECT last_step, failures FROM hot WHERE user = ?", (user,)).fetchone() \
        or (-1, 0)


@pytest.mark.unsanitized
def test_what_was_answered_survives_kill_9(daemon):
    random.seed(20)
    clients = [Client() for _ in range(CLIENTS)]
    pool = concurrent.futures.ThreadPoolExecutor(CLIENTS)
    head = (0, audit.START)
    for number in range(ROUNDS):
        calls = sum(c.answered for c in clients)
        running = [pool.submit(client.run, daemon.caller(), daemon.now) for client in clients]
        wait_until(lambda: sum(c.answered for c in clients) - calls > 20, "load")
        time.sleep(random.random() * 0.1)  # any moment will do
        daemon.kill()
        for client in running:
            client.result()
        db = daemon.copy_db()
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        kept, head = audit.verify(db, head)
        assert len(kept) > 20, number
        for client in clients:
            client.check_file(db)
        daemon.start()
        for client in clients:
            client.check_answers(daemon.api)
            client.settle(daemon.api, db)
        db.close()
        daemon.advance(3600)  # past every lock
    daemon.kill()
    assert audit.verify(daemon.copy_db())[1][0] >= head[0]  # all of it once more


@pytest.mark.unsanitized
def test_a_crash_while_it_starts_does_no_harm(daemon):
    """Killed again and again at random moments of the start, with a log to take over."""
    tenant = daemon.tenant()
    factors = [daemon.enrol(tenant, fresh("user")) for _ in range(20)]
    daemon.kill()
    random.seed(21)
    for _ in range(20):
        process = daemon.spawn()
        time.sleep(random.random() * 0.03)
        process.kill()
        process.wait()
    db = daemon.copy_db()
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    audit.verify(db)
    daemon.start()
    for factor in factors:
        assert daemon.api.outcome(tenant, factor.user, factor.code_of(T0 // STEP)) == "REPLAYED_CODE"
        assert daemon.api.outcome(tenant, factor.user, factor.code_of(T0 // STEP + 1)) == "ACCEPTED"


def test_the_audit_chain_shows_what_was_tampered_with(daemon):
    """That the check above can fail: a record changed, taken out, put in, or cut off the front."""
    tenant = daemon.tenant()
    for n in range(5):
        daemon.api.set_policy(tenant, suspended_reason=str(n))
    daemon.stop()
    whole = daemon.copy_db()
    assert [r["number"] for r in audit.verify(whole)[0]] == [1, 2, 3, 4, 5, 6]
    for change in ("UPDATE audit SET body = replace(body, 'local', 'ghost') WHERE seq = 3",
                   "DELETE FROM audit WHERE seq = 3", "DELETE FROM audit WHERE seq = 1",
                   "UPDATE audit SET seq = 100 WHERE seq = 3",
                   "UPDATE audit SET hash = zeroblob(32) WHERE seq = 6",
                   "UPDATE audit SET body = body || ' ' WHERE seq = 6"):
        db = daemon.copy_db()
        db.execute(change)
        with pytest.raises(AssertionError):
            audit.verify(db)
        db.close()
