# SPDX-License-Identifier: ISC
"""The fake fails as it is told: each fault as an independent client sees it, and what was done to
the documents then. What all servers have in common is in test_agree.py."""
import contextlib
import datetime
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading

import bson
import pymongo
import pytest
from pymongo import ReturnDocument
from pymongo.errors import (AutoReconnect, DuplicateKeyError, NotMasterError, OperationFailure, PyMongoError,
                            ServerSelectionTimeoutError, WriteConcernError)
from pymongo.read_concern import ReadConcern

import fake as fake_mongo
import mongo_servers
from fake import (APPLY_DROP, APPLY_ERROR, APPLY_HANG, CONCERN, DROP, DUPLICATE, EDIT, ERROR, GARBAGE, HANG, LATE,
                  NOISE, PATIENCE, STEP_DOWN, TRUNCATED, WRONG_LENGTH)

pytestmark = pytest.mark.unsanitized  # there is nothing of the build in it
MAJORITY = {"w": "majority", "journal": True}


@pytest.fixture
def connect(fake):
    made = []

    def connect(**options):
        made.append(pymongo.MongoClient(fake.uri, serverSelectionTimeoutMS=PATIENCE * 1000, **options))
        return made[-1].x.users
    yield connect
    for client in made:
        client.close()


@pytest.fixture
def users(fake, connect):
    """A collection with one document, over a client that sends nothing twice."""
    users = connect(retryWrites=False, retryReads=False, **MAJORITY)
    users.insert_one({"_id": 1, "v": 0})
    fake.commands.reset()
    return users


def there(fake):
    return fake.collection("x", "users").one({"_id": 1})["v"]


OPERATIONS = {
    "findAndModify": lambda c: c.find_one_and_update({"_id": 1}, {"$inc": {"v": 1}}),
    "update": lambda c: c.update_one({"_id": 1}, {"$inc": {"v": 1}}),
    "insert": lambda c: c.insert_one({"_id": 2}),
    "delete": lambda c: c.delete_one({"_id": 1}),
}


def done(fake, name):
    """Whether the operation has changed the documents."""
    documents = fake.collection("x", "users").find()
    return documents != [{"_id": 1, "v": 0}]


# What is sent is what is counted.

def test_commands_are_recorded(fake, users):
    users.update_one({"_id": 1}, {"$set": {"v": 5}})
    users.find_one({"_id": 1})
    users.database.other.insert_one({"_id": 1})
    assert fake.commands.counts() == {("update", "users"): 1, ("find", "users"): 1, ("insert", "other"): 1}
    update = fake.commands.seen("update")[0]
    assert update.db == "x" and update.body["updates"] == [{"q": {"_id": 1}, "u": {"$set": {"v": 5}},
                                                            "multi": False, "upsert": False}]
    assert update.body["writeConcern"] == {"w": "majority", "j": True}
    fake.commands.reset()
    assert fake.commands.count() == 0


def test_strict_refuses_a_weaker_write_concern():
    with fake_mongo.Fake(strict=True) as fake:
        for options, fine in (({}, False), ({"w": "majority"}, False), ({"w": 1, "journal": True}, False),
                              (MAJORITY, True)):
            with pymongo.MongoClient(fake.uri, retryWrites=False, **options) as client:
                for name, operate in OPERATIONS.items():
                    if fine:
                        operate(client.x.users)
                        continue
                    with pytest.raises(OperationFailure) as e:
                        operate(client.x.users)
                    assert e.value.code == 72, name


def test_unknown_is_an_error(fake, users):
    for command, code in (({"aggregate": "users", "pipeline": [], "cursor": {}}, 59),
                          ({"find": "users", "collation": {"locale": "en"}}, 40415),
                          ({"find": "users", "projection": {"a": {"$slice": 1}}}, 9),
                          ({"update": "users", "updates": [{"q": {}, "u": {"$set": {"v": 1}}}], "let": {}}, 40415),
                          ({"findAndModify": "users", "update": [{"$set": {"v": 1}}]}, 9),
                          ({"findAndModify": "users", "update": {"$set": {"v.$[x]": 1}}}, 9),
                          ({"findAndModify": "users", "update": {"$push": {"a": {"$each": [1], "$sort": 1}}}}, 2)):
        with pytest.raises(OperationFailure) as e:
            users.database.command(command)
        assert e.value.code == code, command


# Unknown outcomes.

@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("kind", [DROP, APPLY_DROP, TRUNCATED, WRONG_LENGTH, GARBAGE, NOISE])
def test_connection_lost(fake, users, kind, name):
    fault = fake.fault(kind, name, "users")
    with pytest.raises((PyMongoError, bson.errors.BSONError, UnicodeDecodeError, struct.error, AssertionError)):
        OPERATIONS[name](users)
    fault.wait()
    assert done(fake, name) == (kind != DROP)
    assert users.find_one({"_id": 7}) is None, "the next one is answered"


@pytest.mark.parametrize("kind", [DROP, APPLY_DROP])
def test_a_retry_by_the_driver_is_done_once(fake, users, connect, kind):
    retrying = connect(retryWrites=True)
    fake.fault(kind, "findAndModify")
    after = retrying.find_one_and_update({"_id": 1}, {"$inc": {"v": 1}}, return_document=ReturnDocument.AFTER)
    assert after == {"_id": 1, "v": 1} == fake.collection("x", "users").one()
    first, second = fake.commands.seen("findAndModify")
    assert first.body["txnNumber"] == second.body["txnNumber"]


def in_thread(run, *args):
    got = []

    def call():
        try:
            got.append(run(*args))
        except Exception as e:
            got.append(e)
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread, got


@pytest.mark.parametrize("kind", [HANG, LATE, APPLY_HANG])
def test_hangs_until_released(fake, users, kind):
    fault = fake.fault(kind, "update")
    thread, got = in_thread(OPERATIONS["update"], users)
    fault.wait()
    assert thread.is_alive() and done(fake, "update") == (kind == APPLY_HANG)
    fault.release()
    thread.join(PATIENCE)
    assert got[0].matched_count == 1 and there(fake) == 1


@pytest.mark.parametrize("kind, applied", [(HANG, False), (LATE, True), (APPLY_HANG, True)])
def test_hangs_and_the_client_gives_up(fake, users, connect, kind, applied):
    hasty = connect(retryWrites=False, socketTimeoutMS=200, **MAJORITY)
    fault = fake.fault(kind, "update")
    with pytest.raises(AutoReconnect):
        OPERATIONS["update"](hasty)
    fault.wait()
    if kind == LATE:
        assert not done(fake, "update"), "not yet"
    fault.release()
    fake.close()  # joins the thread that ran it
    assert done(fake, "update") == applied


# Answers that say no.

def test_refusals(fake, users):
    for code, error in ((10107, NotMasterError), (11602, NotMasterError), (13, OperationFailure),
                        (8000, OperationFailure)):
        fake.fault(ERROR, "findAndModify", code=code, text="no")
        with pytest.raises(error):
            OPERATIONS["findAndModify"](users)
    assert not done(fake, "findAndModify")
    fake.fault(APPLY_ERROR, "findAndModify", code=11602)
    with pytest.raises(NotMasterError):
        OPERATIONS["findAndModify"](users)
    assert done(fake, "findAndModify")


@pytest.mark.parametrize("name", ["findAndModify", "update", "insert"])
def test_duplicate(fake, users, name):
    fake.fault(DUPLICATE, name)
    with pytest.raises(DuplicateKeyError):
        OPERATIONS[name](users)
    assert not done(fake, name)


def test_which_command_is_struck(fake, users):
    """The third update of document 1, and the one after."""
    fault = fake.fault(ERROR, "update", "users", where={"updates.q._id": 1}, nth=3, times=2, code=8000)
    seen = []
    for _ in range(6):
        users.update_one({"_id": 2}, {"$set": {"v": 1}})
        users.database.other.update_one({"_id": 1}, {"$set": {"v": 1}})
        try:
            users.update_one({"_id": 1}, {"$inc": {"v": 1}})
            seen.append(True)
        except OperationFailure:
            seen.append(False)
    assert seen == [True, True, False, False, True, True] and fault.hits == 2 and there(fake) == 4
    fake.fault(ERROR, where=lambda body: "find" in body, times=0, code=8000)
    for _ in range(3):
        with pytest.raises(OperationFailure):
            users.find_one()
    fake.clear_faults()
    assert users.find_one({"_id": 1})["v"] == 4


def test_indexes_refused(fake, users):
    fake.fault(ERROR, "createIndexes", where={"indexes.expireAfterSeconds": {"$exists": True}}, times=0, code=67)
    assert users.create_index("v", unique=True) == "v_1"
    with pytest.raises(OperationFailure) as e:
        users.create_index("t", expireAfterSeconds=0)
    assert e.value.code == 67 and list(fake.collection("x", "users").indexes()) == ["_id_", "v_1"]


def test_log_in_refused(fake):
    with pymongo.MongoClient(fake.uri, username="u", password="p", serverSelectionTimeoutMS=PATIENCE * 1000) as client:
        with pytest.raises(OperationFailure) as e:
            client.x.users.find_one()
    assert e.value.code == 18


def test_answers_edited(fake, users):
    def damage(reply):
        reply["cursor"]["firstBatch"][0]["v"] = "seven"
        return reply
    fake.fault(EDIT, "find", edit=damage)
    assert users.find_one() == {"_id": 1, "v": "seven"}
    assert users.find_one() == {"_id": 1, "v": 0}


# The majority.

def test_write_concern_error_then_confirmed(fake, users):
    fault = fake.fault(CONCERN, "update")
    with pytest.raises(WriteConcernError) as e:
        OPERATIONS["update"](users)
    fault.wait()
    majority = users.with_options(read_concern=ReadConcern("majority"))
    assert e.value.code == 64 and there(fake) == 1
    assert users.find_one()["v"] == 1 and majority.find_one()["v"] == 0
    fake.commit()
    assert majority.find_one()["v"] == 1 and not fake.roll_back()


def test_write_concern_error_then_rolled_back(fake, users):
    fake.fault(CONCERN, "update", times=2)
    for _ in range(2):
        with pytest.raises(WriteConcernError):
            OPERATIONS["update"](users)
    linearizable = users.with_options(read_concern=ReadConcern("linearizable"))
    with pytest.raises(OperationFailure):
        linearizable.find_one()
    assert there(fake) == 2 and fake.roll_back() and there(fake) == 0
    assert linearizable.find_one()["v"] == 0


def test_a_confirmed_write_confirms_those_before(fake, users):
    fake.fault(CONCERN, "update")
    with pytest.raises(WriteConcernError):
        OPERATIONS["update"](users)
    OPERATIONS["insert"](users)
    assert not fake.roll_back() and there(fake) == 1


# The primary.

def test_steps_down_and_up(fake, users):
    fake.fault(STEP_DOWN, "update")
    with pytest.raises(NotMasterError):
        OPERATIONS["update"](users)
    assert there(fake) == 1
    with pymongo.MongoClient(fake.uri, serverSelectionTimeoutMS=100) as hasty:
        with pytest.raises(ServerSelectionTimeoutError):
            hasty.x.users.find_one()
    fake.step_up()
    OPERATIONS["update"](users)
    assert there(fake) == 2


@pytest.mark.parametrize("operate", [OPERATIONS["insert"], lambda c: c.find_one()])
def test_a_secondary_refuses(fake, users, operate):
    """Here a client that does not know yet."""
    fake.step_down()
    with pytest.raises(NotMasterError):
        operate(users)
    assert not done(fake, "insert")


def test_steps_down_when_asked(fake, users):
    users.database.client.admin.command("replSetStepDown", 60)
    assert not fake.primary
    fake.step_up()
    OPERATIONS["update"](users)


def test_down_and_up(fake, users):
    fake.down()
    with pytest.raises(AutoReconnect):
        OPERATIONS["update"](users)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", fake.port))
    fake.up()
    OPERATIONS["update"](users)
    assert there(fake) == 1


def test_sessions_can_be_absent(connect):
    with fake_mongo.Fake(retryable=False) as fake, pymongo.MongoClient(fake.uri, retryWrites=True) as client:
        client.x.users.insert_one({"_id": 1})
        assert not {"lsid", "txnNumber"} & set(fake.commands.seen("insert")[0].body)


def test_expiry_runs_when_asked(fake, users):
    users.create_index("t", expireAfterSeconds=10)
    at, ms = datetime.datetime(2026, 11, 25, 14, 25), 1_795_616_700_000
    users.insert_many([{"_id": 2, "t": at}, {"_id": 3, "t": "no date"}, {"_id": 4}])
    assert fake.expire(ms + 9_999) == 0
    assert fake.expire(ms + 10_000) == 1
    assert [d["_id"] for d in users.find().sort("_id", 1)] == [1, 3, 4]


def test_documents_can_be_damaged(fake, users):
    view = fake.collection("x", "users")
    view.put({"_id": 1, "v": [None, {"w": "x"}]})
    view.put({"_id": 2})
    assert list(users.find().sort("_id", 1)) == [{"_id": 1, "v": [None, {"w": "x"}]}, {"_id": 2}]
    assert view.remove({"_id": 2}) == 1 and len(view.find()) == 1


def test_noise_to_it_ends_only_that_connection(fake, users):
    good = struct.pack("<iiii", 16 + 9, 1, 0, 2013)
    for noise in (b"\xff" * 100, struct.pack("<iiii", 2**31 - 1, 1, 0, 2013), struct.pack("<iiii", 5, 1, 0, 2013),
                  good + b"\0\0\0\0\x07\x05\0\0\0", good + b"\0\0\0\0\0\xff\xff\xff\x7f", b"GET / HTTP/1.1\r\n\r\n"):
        with contextlib.suppress(ConnectionError), \
                socket.create_connection(("127.0.0.1", fake.port), PATIENCE) as sock:
            sock.sendall(noise)
            assert sock.recv(1) == b"", noise
    assert users.find_one()


def test_tls(tmp_path):
    cert, key = str(tmp_path / "c.pem"), str(tmp_path / "k.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "3", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-out", cert,
                    "-keyout", key], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with fake_mongo.Fake(tls=context) as fake:
        with pymongo.MongoClient(fake.uri, tls=True, tlsCAFile=cert) as client:
            client.x.users.insert_one({"_id": 1})
        with pymongo.MongoClient(fake.uri, serverSelectionTimeoutMS=100) as client:
            with pytest.raises(ServerSelectionTimeoutError):
                client.x.users.find_one()


# The program, and the other server.

class Program:
    def __init__(self, *options):
        self.process = subprocess.Popen([sys.executable, os.path.join(os.path.dirname(__file__), "fake_program.py"), *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, port = self.process.stdout.readline().split()
        assert word == "listening"
        self.uri = "mongodb://127.0.0.1:%s/?replicaSet=fake" % port

    def do(self, **what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(PATIENCE)


def test_program():
    program = Program("--strict")
    with pymongo.MongoClient(program.uri, retryWrites=False, **MAJORITY) as client:
        assert program.do(do="fault", kind="apply-drop", command="insert") == {"ok": True, "fault": 0}
        with pytest.raises(AutoReconnect):
            client.x.users.insert_one({"_id": 1})
        assert program.do(do="wait", fault=0) == {"ok": True}
        assert program.do(do="find", db="x", collection="users") == {"ok": True, "documents": [{"_id": 1}]}
        assert program.do(do="count", command="insert") == {"ok": True, "n": 1}
        assert program.do(do="put", db="x", collection="users", document={"_id": 1, "v": {"$numberLong": "5"}})["ok"]
        assert client.x.users.find_one() == {"_id": 1, "v": 5}
        assert program.do(do="fault", kind="edit", command="findAndModify", edit={"ok": 1.0, "value": None})["ok"]
        assert client.x.users.find_one_and_update({}, {"$set": {"v": 6}}) is None
        assert client.x.users.find_one() == {"_id": 1, "v": 6}
        assert not program.do(do="nothing")["ok"] and not program.do(do="fault", kind="odd")["ok"]
        for what in ("reset", "step_down", "step_up", "down", "up", "commit", "clear"):
            assert program.do(do=what) == {"ok": True}
        assert client.x.users.find_one()
    assert program.end() == 0


def test_program_ends_by_a_signal():
    program = Program()
    program.process.terminate()
    assert program.process.wait(PATIENCE) == 0
    program.end()


def test_java_server_keeps_its_documents(tmp_path):
    with mongo_servers.java_server(tmp_path / "documents.h2") as place:
        for n in range(2):
            with pymongo.MongoClient(place.uri) as client:
                client[place.database].c.insert_one({"_id": n})
                assert [d["_id"] for d in client[place.database].c.find()] == list(range(n + 1))
            place.server.restart()
