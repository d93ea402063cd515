# SPDX-License-Identifier: ISC
"""A twostepd on the fake MongoDB, with a mail server, and what a test looks at afterwards."""
import collections
import hashlib
import uuid

import grpc
from twostep.v1 import twostep_pb2 as pb

import fake
import kit
import postbox

DATABASE = "two"
MAIL = {"reset_link": "https://crm.example/reset?token={token}", "mail_from": "crm@crm.example"}
# What the answer to a call that could not be decided may be.
UNDECIDED = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
TRIED, NOTED, WON = 1, 2, 3  # the kinds of entries in a user's log
AUDIT = {"audit", "chains"}  # what no answer waits for
WAIT_MS = 200  # how long the daemons of tests wait for an answer of the server


def uri(server, database=DATABASE, **options):
    more = {"replicaSet": "fake", "socketTimeoutMS": WAIT_MS, **options}
    return "mongodb://%s/%s?%s" % (server.address, database, "&".join("%s=%s" % o for o in more.items()))


def request_id():
    return str(uuid.uuid4())


def name_of(answer):
    """What a call came to, in a word."""
    if isinstance(answer, pb.VerifyResponse):
        return pb.VerifyOutcome.Name(answer.outcome)[15:]
    if isinstance(answer, pb.GetLoginRequirementResponse):
        return pb.LoginRequirement.Name(answer.requirement)[18:]
    return "OK"


def said(call):
    """The answer, or None, and a word for it."""
    try:
        answer = call.result()
    except grpc.RpcError as e:
        return None, e.code().name
    return answer, name_of(answer)


class Scene:
    def __init__(self, folder, server=None, mail=True, start=True, **settings):
        self.server = server or fake.Fake(strict=True)
        self.sink = postbox.Sink() if mail else None
        self.refusals = {}  # the number of a letter: what the mail server says to it
        if mail:
            self.sink.script = lambda number: self.refusals.get(number)
        env = {"TWOSTEP_STORE": uri(self.server), "TWOSTEP_STORE_WORKERS": "2", "TWOSTEP_THREADS": "1",
               "TWOSTEP_DRAIN_SECONDS": "5", **(self.sink.settings() if mail else {}),
               **{"TWOSTEP_" + k.upper(): str(v) for k, v in settings.items()}}
        self.daemon = kit.Daemon(folder, env=env)
        if start:
            self.daemon.start()

    def close(self):
        try:
            if self.daemon.process is not None:
                assert self.daemon.stop() == 0, self.daemon.text()[-2000:]
            self.daemon.check_log()
        finally:
            if self.daemon.process is not None:
                self.daemon.kill()
            self.server.close()
            if self.sink:
                self.sink.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def api(self):
        return self.daemon.api

    # calls that do not wait for their answer
    def send(self, method, request, deadline):
        return getattr(self.api.stub, method).future(request, timeout=deadline)

    def verify(self, factor, code, deadline=kit.PATIENCE, **more):
        return self.send("Verify", pb.VerifyRequest(
            tenant_id=factor.tenant, user_id=factor.user, channel=pb.CHANNEL_WEB, code=code,
            password_verified=True, **more), deadline)

    # documents
    def view(self, collection):
        return self.server.collection(DATABASE, collection)

    def user(self, tenant, user="ann"):
        """The user's document, or None."""
        found = self.view("users").find({"_id": key(tenant, user)})
        return found[0] if found else None

    def chains(self):
        """The audit chains, each the list of its records, after a check that nothing is missing."""
        records = collections.defaultdict(list)
        for record in self.view("audit").find():
            records[record["_id"]["chain"]].append(record)
        for chain in records.values():
            chain.sort(key=lambda record: record["_id"]["seq"])
            check_chain(chain)
        return records

    def check_end(self):
        """After a clean stop: one chain, whose end is where its own document says."""
        chain, = self.view("chains").find()
        records = self.chains()[chain["_id"]]
        assert chain["records"] == len(records) and (not records or chain["hash"] == records[-1]["hash"])
        return records


def key(tenant, user="ann"):
    return bytes([len(tenant)]) + tenant.encode() + user.encode()


def check_chain(records):
    before = bytes(32)
    for number, record in enumerate(records, 1):
        assert record["_id"]["seq"] == number, "record %d is missing" % number
        digest = hashlib.blake2b(digest_size=32)
        for part in (before, number.to_bytes(8, "big"), record["body"].encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
        before = record["hash"]
        assert before == digest.digest(), "record %d is not what it was" % number


def failures(document):
    """How many attempts count against a user who is not locked out, as the log tells it."""
    n, seen = document["failures"], set()
    for entry in document["log"]:
        if entry["kind"] == WON:
            n = 0
        elif entry["kind"] == TRIED and entry["id"] not in seen:
            n += 1
        seen.add(entry["id"])
    return n
