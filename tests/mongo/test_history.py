# SPDX-License-Identifier: ISC
"""Goal: whatever many clients are answered while daemons die and the store fails could have been
answered by one right service; and a history that could not is found out.

TWOSTEP_TEST_SEED says what chance does (default 1), as far as it has a say."""
import collections
import concurrent.futures
import os
import random
import threading
import time
import uuid

import grpc
import pytest

import fake as fake_mongo

import trio
from history import ACCEPTED, LOCKED, REPLAYED, WRONG, Attempt, violations
from kit import Api, fresh, pb

CLIENTS, CALLS, USERS = 20, 6, 6
STEP, PHASE = 30_000, 3600  # ms, s
SEED = os.environ.get("TWOSTEP_TEST_SEED", "1")
PERHAPS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


# ---- the checker ------------------------------------------------------------------------------------------

def one(step, start, end, outcome, phase=0, user="ann"):
    return Attempt(user, step, phase, "r%s" % start).add(start, end, outcome)


RIGHT = {
    "a code is used, then the next": [one(7, 1, 2, ACCEPTED), one(7, 3, 4, REPLAYED), one(8, 5, 6, ACCEPTED)],
    "at once, either may be first": [one(8, 1, 5, ACCEPTED), one(7, 2, 6, ACCEPTED)],
    "used by whom nobody heard of": [one(7, 1, 2, None), one(7, 3, 4, REPLAYED)],
    "used later by whom nobody heard of": [one(7, 1, 2, None), one(None, 3, 4, WRONG), one(7, 5, 6, REPLAYED)],
    "five, locked, one": [one(None, n, n + .5, WRONG) for n in range(5)] + [one(7, 6, 7, LOCKED)] +
                         [one(None, 8, 9, WRONG, phase=1)],
    "five and five": [one(None, n, n + .5, WRONG) for n in range(4)] + [one(7, 4, 5, ACCEPTED)] +
                     [one(7, n, n + .5, REPLAYED) for n in range(6, 11)],
    "ten at once with a success": [one(None, n, 20, WRONG) for n in range(9)] + [one(7, 10, 19, ACCEPTED)],
    "answered when asked again": [one(7, 1, 2, None).add(3, 4, ACCEPTED), one(7, 5, 6, REPLAYED)],
    "two users": [one(7, 1, 2, ACCEPTED), one(7, 1, 2, ACCEPTED, user="bob")],
}
WRONG_ONES = {
    "accepted twice": [one(7, 1, 3, ACCEPTED), one(7, 2, 4, ACCEPTED)],
    "accepted again much later": [one(7, 1, 2, ACCEPTED), one(8, 3, 4, ACCEPTED), one(7, 5, 6, ACCEPTED, phase=1)],
    "backwards": [one(8, 1, 2, ACCEPTED), one(7, 3, 4, ACCEPTED)],
    "backwards though each is once": [one(8, 1, 3, ACCEPTED), one(9, 2, 5, ACCEPTED), one(7, 4, 6, ACCEPTED)],
    "used, then not": [one(7, 1, 2, None), one(7, 3, 4, REPLAYED), one(7, 5, 6, ACCEPTED)],
    "used by nobody": [one(7, 1, 2, REPLAYED)],
    "used by an older one only": [one(6, 1, 2, ACCEPTED), one(7, 3, 4, REPLAYED)],
    "used by one that began later": [one(7, 1, 2, REPLAYED), one(7, 3, 4, ACCEPTED)],
    "six": [one(None, n, 20, WRONG) for n in range(6)],
    "six, and then a success": [one(None, n, n + .5, WRONG) for n in range(6)] + [one(7, 7, 8, ACCEPTED)],
    "six after a success": [one(7, 1, 2, ACCEPTED)] + [one(7, n, n + .5, REPLAYED) for n in range(3, 9)],
    "two after the first lock": [one(None, n, n + .5, WRONG) for n in range(5)] +
                                [one(None, n, n + .5, WRONG, phase=1) for n in range(6, 8)],
    "locked too early": [one(None, n, n + .5, WRONG) for n in range(4)] + [one(7, 6, 7, LOCKED)],
    "two answers": [one(None, 1, 2, WRONG).add(3, 4, LOCKED)],
    "accepted, and then replayed": [one(7, 1, 2, ACCEPTED).add(3, 4, REPLAYED)],
    "a wrong code": [one(None, 1, 2, ACCEPTED)],
    "a right code": [one(7, 1, 2, WRONG)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_history_is_right(name):
    assert violations(RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG_ONES)
def test_a_wrong_history_is_found_out(name):
    assert violations(WRONG_ONES[name]) != []


# ---- the clients ------------------------------------------------------------------------------------------

class World:
    """What the clients share: three daemons, the users of this phase, all that was asked."""

    def __init__(self, three):
        self.three, self.random = three, random.Random(SEED)
        self.tenant, self.phase = three.tenant(), 0
        self.factors, self.attempts, self.recent = [], [], []
        self.apis, self.channels, self.lock = {}, [], threading.Lock()

    def api(self, member):
        """Of the process that runs there now, or of the one before, that does not answer."""
        with self.lock:
            address = member.address
            if address not in self.apis:
                self.channels.append(grpc.insecure_channel(address, options=[
                    ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]))
                self.apis[address] = Api(self.channels[-1])
            return self.apis[address]

    def new_users(self):
        """Their first code is an attempt like the others."""
        self.factors = [self.three.next().api.pending(self.tenant, fresh("user")) for _ in range(USERS)]
        for factor in self.factors:
            step = self.three.now // STEP - 2  # before all that the clients try
            code = factor.code_of(step + 1)
            assert self.three.next().api.outcome(self.tenant, factor.user, code,
                                                 enrollment_id=factor.enrollment_id) == ACCEPTED
            self.attempts.append(Attempt(factor.user, step + 1, self.phase, "first").add(0, 0, ACCEPTED))

    def new_attempt(self, chance):
        factor = chance.choice(self.factors)
        step = self.three.now // STEP + chance.choice([-1, 0, 0, 1]) if chance.random() < 0.7 else None
        code = factor.code_of(step) if step is not None else factor.wrong_at(self.three.now)
        request = pb.VerifyRequest(tenant_id=self.tenant, user_id=factor.user, code=code,
                                   channel=pb.CHANNEL_WEB, password_verified=True, request_id=str(uuid.uuid4()))
        made = Attempt(factor.user, step, self.phase, request.request_id), request
        with self.lock:
            self.attempts.append(made[0])
            self.recent.append(made)
        return made

    def old_attempt(self, chance):
        with self.lock:
            return chance.choice(self.recent) if self.recent else None

    def ask(self, chance, attempt, request):
        """Whether there was an answer."""
        api = self.api(chance.choice(self.three.members))
        start = time.monotonic()
        try:
            answer = api.stub.Verify(request, timeout=10)
        except grpc.RpcError as e:
            assert e.code() in PERHAPS, e
            attempt.add(start, time.monotonic(), None)
            return False
        attempt.add(start, time.monotonic(), pb.VerifyOutcome.Name(answer.outcome)[15:],
                    answer.SerializeToString(deterministic=True))
        return True

    def client(self, seed):
        chance = random.Random(seed)
        for _ in range(CALLS):
            made = (self.old_attempt(chance) if chance.random() < 0.2 else None) or self.new_attempt(chance)
            patience = 1 if chance.random() < 0.1 else 200
            while not self.ask(chance, *made) and patience > 1:
                patience -= 1
                time.sleep(0.02)

    def run_phase(self, disturb):
        self.recent = []
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(self.client, self.random.random()) for _ in range(CLIENTS)]
            while not all(c.done() for c in running):
                disturb()
        for client in running:
            client.result()
        self.three.advance(PHASE)
        self.phase += 1

    def hang_up(self):
        for channel in self.channels:
            channel.close()

    def kill_one(self):
        victim = self.random.choice(self.three.members)
        time.sleep(self.random.random() * 0.1)
        victim.kill()
        time.sleep(self.random.random() * 0.05)
        victim.start()

    def outcomes(self):
        return collections.Counter(a.outcome for a in self.attempts if a.calls)


def judge(world):
    """The history is right, and it is one that has something of everything."""
    assert violations(world.attempts) == []
    seen = world.outcomes()
    assert all(seen[outcome] > 0 for outcome in (ACCEPTED, REPLAYED, WRONG, LOCKED)), seen
    assert seen[None] < sum(seen.values()) / 4, seen


def live(three, phases, disturb):
    world = World(three)
    for phase in range(phases):
        if phase % 2 == 0:
            world.new_users()
        world.run_phase(lambda: disturb(world))
    world.hang_up()
    judge(world)


def test_daemons_that_die(make_trio):
    live(make_trio(), 6, World.kill_one)


def disturb_store(server):
    """Makes a function that lets the fake fail in one way, now and then with a dead daemon."""
    kinds = [fake_mongo.DROP, fake_mongo.APPLY_DROP, fake_mongo.APPLY_DROP, fake_mongo.CONCERN, fake_mongo.CONCERN]

    def disturb(world):
        chance = world.random
        way = chance.random()
        if way < 0.1:
            return world.kill_one()
        if way < 0.2:
            server.step_down()
            server.roll_back()
            time.sleep(0.02)
            return server.step_up()
        if way < 0.3:
            return server.commit()
        # Mostly acceptances and charges; audit records, for one, are among the others.
        command, collection = chance.choice([("update", "users")] * 3 + [("findAndModify", "users"), ("insert", None)])
        server.fault(chance.choice(kinds), command, collection, nth=chance.randrange(1, 4))
        return time.sleep(0.03)
    return disturb


def test_daemons_that_die_and_a_store_that_fails(tmp_path_factory, _servers):
    place = _servers("fake")
    three = trio.Trio(tmp_path_factory.mktemp, place, {"TWOSTEP_START_WITHOUT_STORE": "yes"})
    for member in three.members:
        member.expected |= {"store_failed", "call_failed"}
    try:
        live(three, 4, disturb_store(place.server))
        assert sum(f.hits for f in place.server.faults) > 5
    finally:
        place.server.clear_faults()
        place.server.step_up()
        three.close()
