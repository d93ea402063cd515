# SPDX-License-Identifier: ISC
"""Several twostepd on one MongoDB, with one keyring and one clock: what runs in production."""
import contextlib
import itertools
import random
import threading

import pymongo

import audit
import kit
import rawh2

LOCK_WAIT = 30    # seconds: the first wait of the lockout rule
FREE_TRIES = 5


class Member(kit.Daemon):
    """One of them. Remembers how each of its processes ended."""

    def __init__(self, folder, first, fates, env):
        super().__init__(folder, clock=True, env=env)
        self.fates = fates
        if first is not None:
            self.clock = first.clock
            self.env["TWOSTEP_TEST_CLOCK_FILE"] = first.clock.path
            self.env["TWOSTEP_KEYRING_FILE"] = first.keyring

    def stop(self):
        pid = self.process.pid
        status = super().stop()
        self.fates[pid] = "stopped"
        return status

    def kill(self):
        self.fates[self.process.pid] = "killed"
        super().kill()


class Trio:
    """Three of them, started. mktemp(name) gives a folder; place is where the database is."""

    def __init__(self, mktemp, place, env=None, count=3, start=True):
        self.place, self.fates, self.members = place, {}, []
        server, _, options = place.uri.partition("/?")
        uri = "%s/%s%s" % (server.rstrip("/"), place.database, "?" + options if options else "")
        settings = {"TWOSTEP_STORE": uri, "TWOSTEP_STORE_DEVELOPMENT": "yes", "TWOSTEP_STORE_WORKERS": "8",
                    **(env or {})}
        for _ in range(count):
            first = self.members[0] if self.members else None
            self.members.append(Member(mktemp("daemon"), first, self.fates, settings))
        self._client = pymongo.MongoClient(place.uri, serverSelectionTimeoutMS=kit.PATIENCE * 1000)
        self.database = self._client[place.database]
        self._next = itertools.cycle(self.members)
        self._lock = threading.Lock()
        for member in self.members if start else ():
            member.start()

    @property
    def now(self):
        return self.members[0].now

    def advance(self, s):
        """Both clocks of all: what is kept for a second is forgotten, too."""
        clock = self.members[0].clock
        clock.value.value += round(s * 1000)
        clock.ahead.value += round(s * 1000)

    def next(self):
        """One after the other."""
        with self._lock:
            return next(self._next)

    @property
    def apis(self):
        return [m.api for m in self.members]

    @contextlib.contextmanager
    def connections(self, n):
        """So many connections, spread over all."""
        made = [rawh2.Connection(self.next().port, seconds=kit.PATIENCE) for _ in range(n)]
        try:
            yield made
        finally:
            for c in made:
                c.close()

    def enrol(self, tenant, user):
        """Begun at one of them and confirmed at another: the step of now is used up."""
        factor = self.next().api.pending(tenant, user, reader=self.members[0].api)
        assert self.next().api.outcome(tenant, user, factor.code_at(self.now),
                                       enrollment_id=factor.enrollment_id) == "ACCEPTED"
        return factor

    def tenant(self, **policy):
        """A tenant that asks for codes, as all know."""
        name = self.members[0].tenant(**policy)
        self.advance(1)
        return name

    def shuffled(self):
        return random.sample(self.members, len(self.members))

    def stop(self):
        """Ends all, and then looks at what they recorded: each process had a chain of its own,
        and only those that were told to stop have ended it. The records."""
        for member in self.members:
            if member.process is not None:
                assert member.stop() == 0, member.text()[-2000:]
            member.check_log()
        chains = list(audit.chains(self.database).values())
        for document, _ in chains:
            fate = self.fates[document["pid"]]
            assert ("ended" in document) == (fate == "stopped"), (fate, document)
        pids = {document["pid"] for document, _ in chains}
        assert {pid for pid, fate in self.fates.items() if fate == "stopped"} <= pids
        return [record for _, records in chains for record in records]

    def close(self):
        try:
            self.stop()
        finally:
            for member in self.members:
                if member.process is not None:
                    member.kill()
            self._client.drop_database(self.place.database)
            self._client.close()


def at_once(calls, request, method="Verify"):
    """Sends a request with each of the Apis before an answer is read: the futures."""
    futures = [getattr(api.stub, method).future(request, timeout=kit.PATIENCE) for api in calls]
    for f in futures:
        f.exception()
    return futures
