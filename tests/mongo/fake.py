# SPDX-License-Identifier: ISC
"""A MongoDB of one process for tests: the primary of a replica set with one member, in memory,
one command at a time, that fails where a test tells it to. What it does not know is an error.

In a test:

    with Fake() as f:
        f.uri                                        # give it to the client
        f.fault(APPLY_DROP, "findAndModify", "users")
        f.commands.count("findAndModify")

fake_program.py makes a program of it.
"""
import copy
import datetime
import itertools
import socket
import struct
import threading

import bson
from bson import CodecOptions
from bson.binary import UuidRepresentation

import fake_data
import fake_query
from fake_data import Data
# The kinds of faults are for whoever imports this, too.
from fake_faults import (APPLY_DROP, APPLY_ERROR, APPLY_HANG, CONCERN, DROP, DUPLICATE, EDIT, ERROR, GARBAGE, HANG,
                         HEADER, KINDS, LATE, MANGLERS, NOISE, PATIENCE, STEP_DOWN, TRUNCATED, WRONG_LENGTH, Command,
                         Commands, Fault, Gone, duplicate)  # noqa: F401
from fake_query import Refused, order

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
CHECKSUM_PRESENT, MORE_TO_COME = 1, 2
MAX_MESSAGE = 48_000_000
WIRE_VERSION = 13  # MongoDB 5.0
CODEC = CodecOptions(uuid_representation=UuidRepresentation.UNSPECIFIED)

NOT_WRITABLE_PRIMARY, INTERRUPTED, AUTHENTICATION_FAILED = 10107, 11602, 18
NOT_PRIMARY_NO_SECONDARY_OK, MAX_TIME_EXPIRED, INVALID_OPTIONS = 13435, 50, 72
TRANSACTION_TOO_OLD, WRITE_CONCERN_TIMEOUT, INTERNAL_ERROR = 225, 64, 1
# After these the driver may send a retryable write again, and the server says so.
RETRYABLE = {6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}


class View:
    """The documents of a collection, past the protocol: to look at them and to damage them."""

    def __init__(self, fake, db, name):
        self._fake, self._db, self._name = fake, db, name

    def find(self, query=None):
        with self._fake.lock:
            found = self._fake.data.looked(self._db, self._name).find(query or {})
            return copy.deepcopy([d for d, _ in found])

    def one(self, query=None):
        found = self.find(query)
        assert len(found) == 1, "%d documents" % len(found)
        return found[0]

    def put(self, document):
        """In place of the one with its _id, if there is one."""
        with self._fake.lock:
            collection = self._fake.data.made(self._db, self._name)
            old = collection.documents.get(order(document["_id"]))
            if old is None:
                collection.insert(copy.deepcopy(document))
            else:
                collection.replace(old, copy.deepcopy(document))

    def remove(self, query=None):
        with self._fake.lock:
            collection = self._fake.data.looked(self._db, self._name)
            found = collection.find(query or {})
            for document, _ in found:
                collection.remove(document)
            return len(found)

    def indexes(self):
        """{name: specification}"""
        with self._fake.lock:
            return {i.name: copy.deepcopy(i.spec)
                    for i in self._fake.data.looked(self._db, self._name).indexes}


class Fake:
    """strict: a write that does not ask for w: majority and j: true is refused. retryable: it
    knows sessions, so that drivers send writes again on their own. tls: an ssl.SSLContext."""

    def __init__(self, port=0, strict=False, retryable=True, tls=None):
        self.strict, self.retryable, self.tls = strict, retryable, tls
        self.lock = threading.RLock()  # data, committed, primary
        self.data, self.committed, self.primary = Data(), None, True
        self.commands, self.faults, self._cleared = Commands(), [], []
        self.connections, self.ids = 0, itertools.count(1)
        self._open, self._threads, self._guard = set(), [], threading.Lock()
        self._socket, self.port = None, port
        self.up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    @property
    def uri(self):
        return "mongodb://%s/?replicaSet=fake" % self.address

    # What a test says.

    def fault(self, kind, command=None, collection=None, **more):
        fault = Fault(kind, command, collection, **more)
        with self._guard:
            self.faults.append(fault)
        return fault

    def clear_faults(self):
        with self._guard:
            faults, self.faults = self.faults, []
        for fault in faults:
            fault.release()
        self._cleared += faults

    def collection(self, db, name):
        return View(self, db, name)

    def step_down(self):
        with self.lock:
            self.primary = False

    def step_up(self):
        with self.lock:
            self.primary = True

    def roll_back(self):
        """Undoes what was answered with a write concern error and is not confirmed since: as when
        another member has become the primary without it. Whether there was anything."""
        with self.lock:
            was, self.committed = self.committed, None
            if was is not None:
                self.data = was
            return was is not None

    def commit(self):
        """What was answered with a write concern error has reached the majority after all."""
        with self.lock:
            self.committed = None

    def expire(self, now_ms):
        """Runs the TTL indexes as of that time; how many documents went."""
        with self.lock:
            return sum(_expire(c, now_ms) for c in self.data.collections.values())

    def down(self):
        """Closes all connections and refuses new ones; what hangs and what is stored stays."""
        with self._guard:
            listening, self._socket = self._socket, None
            sockets = list(self._open)
        if listening:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for sock in sockets:
            _shut(sock)

    def up(self):
        listening = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = listening.getsockname()[1]
        with self._guard:
            self._socket = listening
        self._start(self._accept, listening)

    def close(self):
        self.down()
        self.clear_faults()
        for thread in self._threads:
            thread.join(PATIENCE)
        while self._cleared:
            self._cleared.pop().close()

    # Connections.

    def _start(self, run, *args):
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def _accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._guard:
                if self._socket is not listening:
                    sock.close()
                    return
                self._open.add(sock)
                self.connections += 1
            self._start(self._serve, sock)

    def _serve(self, raw):
        sock = raw
        try:
            if self.tls:
                sock = self.tls.wrap_socket(raw, server_side=True)
                with self._guard:
                    self._open.add(sock)
            while True:
                self._message(sock)
        except (Gone, OSError, ValueError, IndexError, struct.error, bson.errors.BSONError):
            pass
        finally:
            with self._guard:
                self._open -= {raw, sock}
            _shut(sock)
            sock.close()

    def _message(self, sock):
        length, request, _, op = HEADER.unpack(_read(sock, HEADER.size))
        if not HEADER.size < length <= MAX_MESSAGE:
            raise Gone
        body = _read(sock, length - HEADER.size)
        if op == OP_QUERY:
            self._legacy(sock, request, body)
        elif op == OP_MSG:
            self._modern(sock, request, body)
        else:
            raise Gone

    def _legacy(self, sock, request, body):
        """The first handshake of a driver that does not know who listens."""
        end = body.index(b"\0", 4)
        size = struct.unpack_from("<i", body, end + 9)[0]
        command = bson.decode(body[end + 9:end + 9 + size], CODEC)
        command = command.get("$query", command)
        name = next(iter(command))
        if name not in HANDSHAKES:
            raise Gone
        self._answer(sock, Command("hello", "admin", None, command), lambda reply: HEADER.pack(
            HEADER.size + 20 + len(reply), next(self.ids), request, OP_REPLY) +
            struct.pack("<iqii", 8, 0, 0, 1) + reply)

    def _modern(self, sock, request, body):
        flags, document = _parse(body)
        name, value = next(iter(document.items()))
        name = NAMES.get(name, name)
        collection = document.get("collection") if name == "getMore" else value
        command = Command(name, document.get("$db"), collection if isinstance(collection, str) else None,
                          document)
        self.commands.add(command)
        frame = None if flags & MORE_TO_COME else lambda reply: HEADER.pack(
            HEADER.size + 5 + len(reply), next(self.ids), request, OP_MSG) + struct.pack("<iB", 0, 0) + reply
        self._answer(sock, command, frame)

    def _answer(self, sock, command, frame):
        """frame makes a message of an encoded document; None: no answer is wanted."""
        with self._guard:
            fault = next((f for f in self.faults if f.strikes(command)), None)
        reply = self._strike(sock, command, fault) if fault else self.run(command)
        if frame is None:
            return
        message = frame(bson.encode(reply))
        if fault and fault.kind in MANGLERS:
            sock.sendall(MANGLERS[fault.kind](message, fault))
            raise Gone
        sock.sendall(message)

    def _strike(self, sock, command, fault):
        """The answer, if one is left to be given."""
        kind, refusal = fault.kind, None
        if kind in (HANG, LATE):
            fault.hit()
            fault.hold(sock if kind == HANG else None)
            return self.run(command)
        if kind == ERROR:
            refusal = self._refusal(command, fault.code, fault.text, fault.labels)
        elif kind == DUPLICATE:
            refusal = duplicate(command)
        elif kind == DROP:
            fault.hit()
            raise Gone
        if refusal:
            fault.hit()
            return refusal
        with self.lock:
            reply = self.run(command, confirmed=kind != CONCERN)
            if kind == STEP_DOWN:
                self.step_down()
        fault.hit()
        return self._struck(sock, command, fault, reply)

    def _struck(self, sock, command, fault, reply):
        kind = fault.kind
        if kind == APPLY_DROP:
            raise Gone
        if kind == APPLY_HANG:
            fault.hold(sock)
        elif kind == STEP_DOWN:
            return self._refusal(command, NOT_WRITABLE_PRIMARY, "not primary", fault.labels)
        elif kind == APPLY_ERROR:
            return self._refusal(command, fault.code, fault.text, fault.labels)
        elif kind == CONCERN:
            code = fault.code or WRITE_CONCERN_TIMEOUT
            return {**reply, "writeConcernError": {
                "code": code, "codeName": fake_data.code_name(code),
                "errmsg": fault.text or "waiting for replication timed out",
                "errInfo": {"wtimeout": True} if code == WRITE_CONCERN_TIMEOUT else {}}}
        elif kind == EDIT:
            return fault.edit(copy.deepcopy(reply)) if callable(fault.edit) else fault.edit
        return reply

    def _refusal(self, command, code, text, labels=None):
        if labels is None:
            labels = ["RetryableWriteError"] if "txnNumber" in command.body and code in RETRYABLE else []
        return {"ok": 0.0, "errmsg": text or fake_data.code_name(code), "code": code,
                "codeName": fake_data.code_name(code), **({"errorLabels": labels} if labels else {})}

    # Commands.

    def run(self, command, confirmed=True):
        with self.lock:
            try:
                reply = self._run(command, confirmed)
            except Refused as e:
                reply = {**self._refusal(command, e.code, e.text), **e.more}
            except Exception as e:  # a command that this server did not think of
                reply = self._refusal(command, INTERNAL_ERROR, "%s: %s" % (type(e).__name__, e))
        return {**reply, "ok": 1.0} if "ok" not in reply else reply

    def _run(self, command, confirmed):
        name, body = command.name, command.body
        if name in ADMIN:
            return ADMIN[name](self, body)
        if name in fake_data.WRITES:
            self._check_primary()
            self._check_concern(body)
            return self._write(command, confirmed)
        if name in fake_data.SCHEMA:
            self._check_primary()
            return self._write(command, confirmed, fake_data.SCHEMA)
        if name in fake_data.READS:
            mode = (body.get("$readPreference") or {}).get("mode", "primary")
            if not self.primary and mode == "primary":
                raise Refused(NOT_PRIMARY_NO_SECONDARY_OK, "not primary and secondaryOk=false")
            return fake_data.READS[name](self._read_from(body), command.db, body)
        if name in fake_data.CURSORS:
            return fake_data.CURSORS[name](self.data, command.db, body)
        raise Refused(fake_data.COMMAND_NOT_FOUND, "no such command: '%s'" % name)

    def _check_primary(self):
        if not self.primary:
            raise Refused(NOT_WRITABLE_PRIMARY, "not primary")

    def _check_concern(self, body):
        concern = body.get("writeConcern") or {}
        if self.strict and not (concern.get("w") == "majority" and concern.get("j") is True):
            raise Refused(INVALID_OPTIONS, "this server wants w: majority and j: true, not %r" % (concern,))

    def _read_from(self, body):
        """What the majority has is older than what is here, while a write is not confirmed."""
        level = (body.get("readConcern") or {}).get("level", "local")
        if self.committed is None or level in ("local", "available"):
            return self.data
        if level == "linearizable":
            raise Refused(MAX_TIME_EXPIRED, "operation exceeded time limit")
        return self.committed

    def _write(self, command, confirmed, table=fake_data.WRITES):
        body = command.body
        before = self.data.copy() if not confirmed and self.committed is None else None
        session, number = (body.get("lsid") or {}).get("id"), body.get("txnNumber")
        last, answered = self.data.sessions.get(session, (-1, None))
        if number is not None and number < last:
            raise Refused(TRANSACTION_TOO_OLD, "Retryable write with txnNumber %d is too old" % number)
        if number is not None and number == last:
            reply = answered
        else:
            reply = copy.deepcopy(table[command.name](self.data, command.db, body))
            if number is not None:
                self.data.sessions[session] = (number, reply)
        # One majority that confirms a write has confirmed all those before it.
        self.committed = None if confirmed else self.committed or before
        return reply

    def _hello(self, body):
        fake_data.check_fields("hello", body, "hello", "isMaster", "ismaster", "helloOk", "client", "compression",
                               "saslSupportedMechs", "speculativeAuthenticate", "hostInfo",
                               "topologyVersion", "maxAwaitTimeMS", "loadBalanced", "forShell")
        word = "isWritablePrimary" if "hello" in body else "ismaster"
        return {"helloOk": True, word: self.primary, "secondary": not self.primary, "setName": "fake",
                "setVersion": 1, "hosts": [self.address], "me": self.address,
                **({"primary": self.address} if self.primary else {}),
                "maxBsonObjectSize": fake_data.MAX_DOCUMENT, "maxMessageSizeBytes": MAX_MESSAGE,
                "maxWriteBatchSize": fake_data.MAX_BATCH, "localTime": datetime.datetime.utcnow(),
                "minWireVersion": 0, "maxWireVersion": WIRE_VERSION, "readOnly": False,
                **({"logicalSessionTimeoutMinutes": 30} if self.retryable else {})}

    def _step_down_command(self, _body):
        self._check_primary()
        self.primary = False
        return {}

    def _log_in(self, _body):
        raise Refused(AUTHENTICATION_FAILED, "Authentication failed.")

    def _nothing(self, _body):
        return {}

    def _build_info(self, _body):
        return {"version": "5.0.0", "versionArray": [5, 0, 0, 0], "maxBsonObjectSize": fake_data.MAX_DOCUMENT}


ADMIN = {"hello": Fake._hello, "ping": Fake._nothing, "endSessions": Fake._nothing,
         "buildInfo": Fake._build_info, "saslStart": Fake._log_in, "replSetStepDown": Fake._step_down_command}
HANDSHAKES = ("hello", "isMaster", "ismaster")
NAMES = {"isMaster": "hello", "ismaster": "hello", "buildinfo": "buildInfo", "findandmodify": "findAndModify"}


def _expire(collection, now_ms):
    gone = 0
    for index in collection.indexes:
        age = index.spec.get("expireAfterSeconds")
        for document in list(collection.documents.values()) if age is not None else []:
            dates = [key[0][1] for key in index.keys(document) if key[0][0] == fake_query.DATE]
            if dates and min(dates) + age * 1000 <= now_ms:
                collection.remove(document)
                gone += 1
    return gone


def _shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _read(sock, n):
    got = bytearray()
    while len(got) < n:
        more = sock.recv(n - len(got))
        if not more:
            raise Gone
        got += more
    return bytes(got)


def _parse(body):
    """The flags and the one document of an OP_MSG, its sequences put into it as arrays."""
    flags = struct.unpack_from("<I", body)[0]
    end, at = len(body) - (4 if flags & CHECKSUM_PRESENT else 0), 4
    document, sequences = None, {}
    while at < end:
        kind, at = body[at], at + 1
        size = struct.unpack_from("<i", body, at)[0]
        if kind == 0:
            document = bson.decode(body[at:at + size], CODEC)
        elif kind == 1:
            name_end = body.index(b"\0", at + 4)
            sequences[body[at + 4:name_end].decode()] = bson.decode_all(body[name_end + 1:at + size], CODEC)
        else:
            raise Gone
        at += size
    if not document:
        raise Gone
    return flags, {**document, **sequences}
