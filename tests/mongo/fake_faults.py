# SPDX-License-Identifier: ISC
"""What can be scripted to go wrong in the fake MongoDB, and the record of what came over its wire."""
import collections
import os
import select
import struct
import threading

import fake_data
import fake_query

HEADER = struct.Struct("<iiii")  # of a message: its length, its number, the number it answers, its kind
PATIENCE = 60  # seconds for what happens by itself; never waited for when all is well

# Before the command is run:
DROP = "drop"                # the connection is closed, nothing was done
HANG = "hang"                # no answer until released; done then, unless the client has gone
LATE = "late"                # no answer until released; done then, even if the client has gone
ERROR = "error"              # refused with code (and text)
DUPLICATE = "duplicate"      # refused as a duplicate key
# After the command was run:
APPLY_DROP = "apply-drop"    # the connection is closed
APPLY_HANG = "apply-hang"    # no answer until released
APPLY_ERROR = "apply-error"  # an error is answered all the same: with code (and text)
STEP_DOWN = "step-down"      # NotWritablePrimary is answered, and it is a secondary from then on
CONCERN = "write-concern"    # answered with a writeConcernError; see roll_back and commit
TRUNCATED = "truncated"      # half of the answer, then the connection is closed
WRONG_LENGTH = "wrong-length"  # the header's length is that of length
GARBAGE = "garbage"          # a document of the right length and end, with noise in between
NOISE = "noise"              # a header and then noise
EDIT = "edit"                # the answer is what edit(answer) makes of it, or edit
KINDS = (DROP, HANG, LATE, ERROR, DUPLICATE, APPLY_DROP, APPLY_HANG, APPLY_ERROR, STEP_DOWN, CONCERN,
         TRUNCATED, WRONG_LENGTH, GARBAGE, NOISE, EDIT)

# These say nothing of what a client wants.
UNCOUNTED = {"hello", "isMaster", "ping", "buildInfo", "endSessions", "saslStart", "saslContinue"}


class Gone(Exception):
    """The connection ends here."""


Command = collections.namedtuple("Command", "name db collection body")


class Commands:
    """What came over the wire, in order; without what drivers send on their own."""

    def __init__(self):
        self._lock, self._seen = threading.Lock(), []

    def add(self, command):
        if command.name not in UNCOUNTED:
            with self._lock:
                self._seen.append(command)

    def seen(self, name=None, collection=None):
        with self._lock:
            return [c for c in self._seen if name in (None, c.name) and
                    collection in (None, c.collection)]

    def count(self, name=None, collection=None):
        return len(self.seen(name, collection))

    def counts(self):
        return collections.Counter((c.name, c.collection) for c in self.seen())

    def reset(self):
        with self._lock:
            self._seen.clear()


class Fault:
    """One scripted fault. It strikes the nth command that matches and those after it, times in
    all (0: for ever). where: a query on the command, or a function of it."""

    def __init__(self, kind, command=None, collection=None, where=None, nth=1, times=1, code=None,
                 text=None, labels=None, length=None, edit=None):
        if kind not in KINDS:
            raise ValueError(kind)
        self.kind, self.command, self.collection, self.where = kind, command, collection, where
        self.skip, self.left = nth - 1, times or float("inf")
        self.code, self.text, self.labels, self.length, self.edit = code, text, labels, length, edit
        self.hits, self._changed = 0, threading.Condition()
        self._released, self._pipe = False, os.pipe()

    def strikes(self, command):
        if self.left <= 0 or self.command not in (None, command.name) or \
                self.collection not in (None, command.collection):
            return False
        if self.command is None and command.name in UNCOUNTED:
            return False
        if callable(self.where):
            if not self.where(command.body):
                return False
        elif self.where and not fake_query.matches(command.body, self.where):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        return True

    def hit(self):
        with self._changed:
            self.hits += 1
            self._changed.notify_all()

    def wait(self, hits=1):
        """Returns when it has struck; what it does before an answer is done then."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.hits >= hits, PATIENCE), "never came: " + self.kind

    def release(self):
        """Lets go those that hang, now and later."""
        with self._changed:
            if not self._released:
                self._released = True
                os.write(self._pipe[1], b"x")

    def hold(self, sock):
        """Until it is released; Gone if the client goes first. Without a client: just that."""
        ready, _, _ = select.select([self._pipe[0]] + ([sock] if sock else []), [], [])
        if sock in ready:  # a client that waits for an answer says nothing else
            raise Gone

    def close(self):
        os.close(self._pipe[0])
        os.close(self._pipe[1])


def _wrong_length(message, fault):
    length = fault.length if fault.length is not None else len(message) + 1000
    return struct.pack("<i", length) + message[4:]


def _noise(n):
    return bytes((i * 151 + 77) % 256 for i in range(n))


def _garbage(message, _fault):
    start = HEADER.size + 4 + 1 + 4  # the flags, the section's kind, the document's length
    return message[:start] + _noise(len(message) - start - 1) + b"\0"


MANGLERS = {TRUNCATED: lambda message, _: message[:len(message) // 2], WRONG_LENGTH: _wrong_length,
            GARBAGE: _garbage, NOISE: lambda message, _: message[:HEADER.size] + _noise(len(message) - HEADER.size)}


def duplicate(command):
    """The answer that a key was there already."""
    error = {"code": fake_data.DUPLICATE, "keyPattern": {"_id": 1}, "keyValue": {"_id": None},
             "errmsg": "E11000 duplicate key error collection: %s.%s index: _id_ dup key: { _id: null }"
                       % (command.db, command.collection)}
    if command.name in ("insert", "update"):
        changed = {"nModified": 0} if command.name == "update" else {}
        return {"ok": 1.0, "n": 0, **changed, "writeErrors": [{"index": 0, **error}]}
    return {"ok": 0.0, "codeName": "DuplicateKey", **error}
