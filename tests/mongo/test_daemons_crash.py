# SPDX-License-Identifier: ISC
"""Goal: one daemon may die at any moment, and nothing that any of them answered is lost. Six
clients, two at each of three daemons, sign in, guess, enrol, ask for resets and change policies;
one daemon is killed; the others must go on as if nothing were; then everything that was answered
is looked for at all of them.

TWOSTEP_TEST_ROUNDS says how often (default 50)."""
import collections
import concurrent.futures
import os
import random
import threading
import time
import uuid

import grpc
import pytest

import postbox
from kit import fresh, pb, seconds, wait_until
from trio import FREE_TRIES

ROUNDS = int(os.environ.get("TWOSTEP_TEST_ROUNDS", "50"))
STEP = 30_000
ROUND = 400  # seconds from one to the next: longer than a lease and than the first waits
MAIL = dict(reset_link="https://crm.example/reset?token={token}", mail_from="crm@crm.example")
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Client:
    """One tenant with a few users, and what it was told of them."""

    def __init__(self, seed):
        self.random, self.tenant = random.Random(seed), fresh("crash")
        self.policy = None   # the last one answered
        self.users = []      # the factors that are in use
        self.steps = {}      # user: the newest accepted step
        self.failures = {}   # user: failures in a row, answered
        self.doubt = set()   # users with a call whose answer did not come
        self.answers = []    # (request, answer) of this round
        self.resets = {}     # address: reset_id, until its mail is looked for
        self.answered = 0

    def change_policy(self, api, _now):
        self.policy = api.set_policy(self.tenant, enabled=True, suspended_reason=str(self.random.random()),
                                     reset_lifetime=seconds(86400), **MAIL)

    def enrol(self, api, now):
        user = fresh("user")
        factor = api.pending(self.tenant, user)
        self.doubt.add(user)
        self.users.append(factor)
        self.steps[user] = self.failures[user] = 0
        self.tell(api, factor, factor.code_at(now), now // STEP, "ACCEPTED", enrollment_id=factor.enrollment_id)

    def sign_in(self, api, now):
        factor = self.pick()
        step = max(self.steps[factor.user], now // STEP - 2) + 1
        if step <= now // STEP + 1:
            self.tell(api, factor, factor.code_of(step), step, "ACCEPTED")

    def guess(self, api, now):
        factor = self.pick()
        if self.failures[factor.user] < FREE_TRIES - 1:
            self.tell(api, factor, factor.wrong_at(now), None, "WRONG_CODE")

    def replay(self, api, now):
        factor = self.pick()
        step = self.steps[factor.user]
        if self.failures[factor.user] < FREE_TRIES - 1 and step >= now // STEP - 1:
            self.tell(api, factor, factor.code_of(step), None, "REPLAYED_CODE")

    def reset(self, api, _now):
        user = fresh("mailed")
        address = user + "@mail.example"
        self.resets[address] = api.call("ResetRequest", pb.ResetRequestRequest(
            tenant_id=self.tenant, user_id=user, channel=pb.CHANNEL_WEB, password_verified=True,
            mail_address=address)).reset_id

    def pick(self):
        return self.random.choice([f for f in self.users if f.user not in self.doubt])

    def tell(self, api, factor, code, step, expected, **more):
        request = pb.VerifyRequest(tenant_id=self.tenant, user_id=factor.user, code=code,
                                   channel=pb.CHANNEL_WEB, password_verified=True,
                                   request_id=str(uuid.uuid4()), **more)
        self.doubt.add(factor.user)
        answer = api.call("Verify", request)
        assert pb.VerifyOutcome.Name(answer.outcome)[15:] == expected, (answer, factor.user, self.failures)
        self.doubt.discard(factor.user)
        self.answers.append((request, answer))
        if step is not None:
            self.steps[factor.user], self.failures[factor.user] = step, 0
        else:
            self.failures[factor.user] += 1

    def act(self, api, now):
        if self.policy is None:
            return self.change_policy(api, now)
        if not any(f.user not in self.doubt for f in self.users):
            return self.enrol(api, now)
        action, = self.random.choices([self.sign_in, self.guess, self.replay, self.enrol, self.reset,
                                       self.change_policy], [8, 6, 3, 3, 1, 2])
        return action(api, now)

    def run(self, member, now, victim, enough):
        """Calls until it is enough; an error is what a client of the victim may have, and no other."""
        api = member.caller()
        try:
            while not enough.is_set():
                self.act(api, now)
                self.answered += 1
        except grpc.RpcError as e:
            assert member is victim and e.code() in GONE, e

    # What must be there afterwards.

    def check(self, three):
        for api in three.apis:
            if self.policy is not None:
                policy = api.get_policy(self.tenant)
                assert policy == self.policy or policy.revision == self.policy.revision + 1
            for request, answer in self.answers[-6:]:
                assert api.call("Verify", request) == answer
            for factor in self.users[-6:]:
                if factor.user not in self.doubt:
                    assert api.login(self.tenant, factor.user).requirement == pb.LOGIN_REQUIREMENT_CODE
        self.policy = three.next().api.get_policy(self.tenant)
        known = [f for f in self.users if f.user not in self.doubt]
        for factor in self.random.sample(known, min(2, len(known))):
            self.use_up(three, factor)
        # Of whom it is not known what happened, is none of the next round's.
        self.users = [f for f in self.users if f.user not in self.doubt][-4:]
        self.answers = []

    def use_up(self, three, factor):
        """The code that was accepted is good nowhere, and as many attempts are left as answers say."""
        code = factor.code_of(self.steps[factor.user])
        is_near = self.steps[factor.user] >= three.now // STEP - 1
        for _ in range(FREE_TRIES - self.failures[factor.user]):
            assert three.next().api.outcome(self.tenant, factor.user, code) == \
                ("REPLAYED_CODE" if is_near else "WRONG_CODE")
        for api in three.apis:
            assert api.outcome(self.tenant, factor.user, code) == "LOCKED"
        self.users.remove(factor)


@pytest.mark.unsanitized
def test_what_was_answered_survives_the_death_of_a_daemon(make_trio):
    chance, sink = random.Random(31), postbox.Sink()
    three = make_trio(dict(sink.settings(), TWOSTEP_RESET_LIMIT_TENANT="100000"))
    clients = [Client(n) for n in range(6)]
    pool = concurrent.futures.ThreadPoolExecutor(len(clients))
    for number in range(ROUNDS):
        victim, enough = chance.choice(three.members), threading.Event()
        before = [c.answered for c in clients]
        running = [pool.submit(c.run, three.members[n % 3], three.now, victim, enough)
                   for n, c in enumerate(clients)]
        wait_until(lambda: sum(c.answered for c in clients) - sum(before) > 30, "load")
        time.sleep(chance.random() * 0.05)  # any moment will do
        victim.kill()
        seen = [c.answered for c in clients]
        others = [n for n in range(6) if three.members[n % 3] is not victim]
        wait_until(lambda: all(clients[n].answered - seen[n] > 3 or running[n].done() for n in others),
                   "the others go on")
        enough.set()
        for client in running:
            client.result()
        victim.start()
        for member in three.members:
            member.hang_up()
            member.api = member.caller()
        three.advance(1)  # and all know the policies
        for client in clients:
            client.check(three)
        three.advance(ROUND)
        if number % 50 == 49 or number == ROUNDS - 1:  # before the links are too old
            check_mails(three, sink, clients, number + 1)
    sink.stop()


def check_mails(three, sink, clients, crashes):
    """Each reset that was answered is mailed: once, or once more for a daemon that died of it."""
    for client in clients:
        for reset_id in client.resets.values():
            question = pb.GetResetRequest(tenant_id=client.tenant, reset_id=reset_id)
            wait_until(lambda: three.next().api.call("GetReset", question).state == pb.RESET_STATE_SENT, "mail")
    sent = collections.Counter(recipient for (recipient,), _ in sink.taken)
    asked = {address for client in clients for address in client.resets}
    assert asked and asked <= set(sent)
    assert sum(sent.values()) <= len(sent) + crashes
    for client in clients:
        client.resets.clear()
