# SPDX-License-Identifier: ISC
"""The fake, mongo-java-server and a real MongoDB, where there is one, do the same; where one does
not, the case says so, and README.md why."""
import datetime
import sys
import threading

import pytest
from bson import Int64
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, OperationFailure, WriteError

import mongo_servers

pytestmark = pytest.mark.unsanitized  # there is nothing of the build in it
THREADS = 16
WHEN = datetime.datetime(2026, 11, 25, 14, 25)
MAX_DOCUMENT = 16 * 1024 * 1024


class Failed:
    """The outcome is an error with one of these codes."""

    def __init__(self, *codes):
        self.codes = codes

    def __eq__(self, other):
        return isinstance(other, Failed) and bool(set(self.codes) & set(other.codes))

    def __repr__(self):
        return "Failed%r" % (self.codes,)


def outcome(run, *args):
    try:
        return run(*args)
    except BulkWriteError as e:
        return Failed(e.details["writeErrors"][0]["code"])
    except (OperationFailure, WriteError) as e:
        return Failed(e.code)


def find(query, key="_id"):
    return lambda c: [d[key] for d in c.find(query).sort("_id", 1)]


def change(query, update, **more):
    """findAndModify; the document afterwards, without its _id."""
    def run(c):
        new = c.find_one_and_update(query, update, return_document=ReturnDocument.AFTER, **more)
        return new and {k: v for k, v in new.items() if k != "_id"}
    return run


def statements(*updates, **more):
    """update: its answer's counts, and the documents afterwards."""
    def run(c):
        reply = c.database.command("update", c.name, updates=list(updates), **more)
        errors = [(e["index"], e["code"]) for e in reply.get("writeErrors", [])]
        return reply["n"], reply["nModified"], errors, list(c.find().sort("_id", 1))
    return run


def index(keys, then=lambda c: None, **options):
    def run(c):
        name = c.create_index(keys, **options)
        return name, then(c)
    return run


A = [{"_id": 1, "a": [{"n": 1, "v": 1}, {"n": 2, "v": 1}]}, {"_id": 2, "a": [{"n": 3}]}, {"_id": 3, "a": []},
     {"_id": 4}]
ONE = [{"_id": 1, "v": 7}]
MIXED = [{"_id": 1}, {"_id": 2, "a": None}, {"_id": 3, "a": 1}, {"_id": 4, "a": "x"}, {"_id": 5, "a": WHEN},
         {"_id": 6, "a": True}, {"_id": 7, "a": Int64(1)}, {"_id": 8, "a": 9.5}, {"_id": 9, "a": b"x"}]
IDS = [{"_id": b"\x01\xff"}, {"_id": b"\x80\x00"}, {"_id": b"\x02\x00"}, {"_id": b"\xff\x00"}, {"_id": b"\x7f"}]

# name: (documents, what is done, what comes of it[, what mongo-java-server makes of it])
CASES = {
    # Queries.
    "equal": (MIXED, find({"a": 1}), [3, 7]),
    "equal null": (MIXED, find({"a": None}), [1, 2]),
    "not equal": (MIXED, find({"a": {"$ne": 1}}), [1, 2, 4, 5, 6, 8, 9]),
    "less": (MIXED, find({"a": {"$lt": 5}}), [3, 7]),
    "not less": (MIXED, find({"a": {"$not": {"$lt": 5}}}), [1, 2, 4, 5, 6, 8, 9]),
    "at least": (MIXED, find({"a": {"$gte": 1, "$lte": 9.5}}), [3, 7, 8]),
    "dates": (MIXED, find({"a": {"$lte": WHEN}}), [5]),
    "in": (MIXED, find({"a": {"$in": [1, None, b"x"]}}), [1, 2, 3, 7, 9]),
    "not in": (MIXED, find({"a": {"$nin": [1, None]}}), [4, 5, 6, 8, 9]),
    "exists": (MIXED, find({"a": {"$exists": False}}), [1]),
    "or": (MIXED, find({"$or": [{"a": 1}, {"_id": 4}]}), [3, 4, 7]),
    "nor": (MIXED, find({"$nor": [{"a": 1}, {"_id": {"$gt": 3}}]}), [1, 2]),
    "and": (MIXED, find({"$and": [{"a": 1}, {"_id": {"$gt": 3}}]}), [7]),
    "type": (MIXED, find({"a": {"$type": "binData"}}), [9]),
    "type by number": (MIXED, find({"a": {"$type": 18}}), [7]),
    "array's documents": (A, find({"a.n": 2}), [1]),
    "array's documents less": (A, find({"a.n": {"$lt": 2}}), [1]),
    "array's documents not": (A, find({"a.n": {"$ne": 2}}), [2, 3, 4]),
    "by index": (A, find({"a.0.n": 1}), [1]),
    "by index, past the end": ([{"_id": 1, "a": [0] * 63}, {"_id": 2, "a": [0] * 64}, {"_id": 3}],
                               find({"a.63": {"$exists": False}}), [1, 3]),
    "nothing there in an array": (
        [{"_id": 1}, {"_id": 2, "a": []}, {"_id": 3, "a": [{"b": 1}, {}]}, {"_id": 4, "a": [{}]}],
        find({"a.b": {"$exists": False}}), [1, 2, 4], [1, 3, 4]),
    "size": (A, find({"a": {"$size": 0}}), [3]),
    "all": ([{"_id": 1, "a": [1, 2, 3]}, {"_id": 2, "a": [1]}], find({"a": {"$all": [1, 2]}}), [1]),
    "element": (A, find({"a": {"$elemMatch": {"n": 2, "v": {"$lt": 5}}}}), [1]),
    "no element": (A, find({"a": {"$not": {"$elemMatch": {"n": 2}}}}), [2, 3, 4]),
    "element of values": ([{"_id": 1, "a": [1, 9]}, {"_id": 2, "a": [5]}],
                          find({"a": {"$elemMatch": {"$gt": 3, "$lt": 7}}}), [2]),
    "document's order": ([{"_id": 1, "a": {"x": 1, "y": 2}}, {"_id": 2, "a": {"y": 2, "x": 1}}],
                         find({"a": {"x": 1, "y": 2}}), [1]),
    "binary _id": (IDS, find({"_id": b"\x80\x00"}), [b"\x80\x00"]),
    "binary _id by length, then bytes": (IDS, find({}), [b"\x7f", b"\x01\xff", b"\x02\x00", b"\x80\x00", b"\xff\x00"]),
    "binary _id range": (IDS, find({"_id": {"$gte": b"\x02\x00", "$lt": b"\xff\x00"}}), [b"\x02\x00", b"\x80\x00"]),
    "document as _id": ([{"_id": {"t": b"a", "u": n}} for n in range(5)],
                        find({"_id": {"$gt": {"t": b"a", "u": 2}}}), [{"t": b"a", "u": 3}, {"t": b"a", "u": 4}]),
    "unknown operator": (ONE, find({"v": {"$foo": 1}}), Failed(2)),
    "unknown operator at the top": (ONE, find({"$foo": 1}), Failed(2)),
    "unknown operator, nothing there": ([], find({"v": {"$foo": 1}}), Failed(2), []),
    "sort and limit": ([{"_id": 1, "a": 2, "b": 1}, {"_id": 2, "a": 1, "b": 2}, {"_id": 3, "a": 1, "b": 1},
                        {"_id": 4, "a": 1, "b": 3}],
                       lambda c: [d["_id"] for d in c.find().sort([("a", 1), ("b", -1)]).limit(3)], [4, 2, 3]),
    "sort types": (MIXED, lambda c: [d["_id"] for d in c.find().sort([("a", 1), ("_id", 1)])],
                   [1, 2, 3, 7, 8, 4, 9, 6, 5]),
    "projection": ([{"_id": 1, "a": 1, "b": {"c": 1, "d": 2}}],
                   lambda c: (c.find_one({}, {"b.c": 1}), c.find_one({}, {"a": 0})),
                   ({"_id": 1, "b": {"c": 1}}, {"_id": 1, "b": {"c": 1, "d": 2}})),
    "batches": ([{"_id": i} for i in range(250)], lambda c: len(list(c.find(batch_size=100))), 250),
    "read concern": (ONE, lambda c: c.database.command("find", c.name, maxTimeMS=5000, readConcern={
        "level": "majority"})["cursor"]["firstBatch"], ONE),
    "count": (MIXED, lambda c: c.database.command("count", c.name, query={"a": 1})["n"], 2),
    # findAndModify.
    "condition met": (ONE, change({"_id": 1, "v": {"$lt": 8}}, {"$set": {"v": 8}}), {"v": 8}),
    "condition not met": (ONE, change({"_id": 1, "v": {"$lt": 7}}, {"$set": {"v": 8}}), None),
    "before": (ONE, lambda c: c.find_one_and_update({"_id": 1}, {"$set": {"v": 8}}), {"_id": 1, "v": 7}),
    "sorted": (A, lambda c: c.find_one_and_delete({}, sort=[("_id", -1)]), {"_id": 4}),
    "upsert": (ONE, change({"_id": 2, "w": 4}, {"$set": {"v": 5}, "$setOnInsert": {"x": 1}}, upsert=True),
               {"w": 4, "v": 5, "x": 1}),
    "upsert, condition not met": (ONE, change({"_id": 1, "v": {"$lt": 5}}, {"$set": {"v": 5}}, upsert=True),
                                  Failed(11000)),
    "replace": ([{"_id": 1, "v": 1, "x": 1}], change({"_id": 1}, {"$unset": {"x": 1}, "$inc": {"v": 1}}), {"v": 2}),
    "write concern and time": (ONE, lambda c: c.database.command(
        "findAndModify", c.name, query={"_id": 1}, update={"$set": {"v": 8}}, new=True, maxTimeMS=5000,
        writeConcern={"w": "majority", "j": True, "wtimeout": 5000})["value"], {"_id": 1, "v": 8}),
    "what it says of a hit": (ONE, lambda c: c.database.command(
        "findAndModify", c.name, query={"_id": 1}, update={"$set": {"v": 8}})["lastErrorObject"],
        {"n": 1, "updatedExisting": True}),
    "what it says of a miss": (ONE, lambda c: c.database.command(
        "findAndModify", c.name, query={"_id": 2}, update={"$set": {"v": 8}}).get("lastErrorObject"),
        {"n": 0, "updatedExisting": False}, None),
    # Update operators.
    "push": ([{"_id": 1, "a": [1, 2, 3]}], change({}, {"$push": {"a": {"$each": [4, 5], "$slice": -3}}}),
             {"a": [3, 4, 5]}),
    "push, the first": ([{"_id": 1, "a": [1, 2, 3]}], change({}, {"$push": {"a": {"$each": [4], "$slice": 2}}}),
                        {"a": [1, 2]}),
    "push, nothing there": (ONE, change({}, {"$push": {"a": {"$each": [4, 5], "$slice": -1}}}), {"v": 7, "a": [5]}),
    "push to no array": (ONE, change({}, {"$push": {"v": 1}}), Failed(2)),
    "pull": ([{"_id": 1, "a": [1, 2, 1]}], change({}, {"$pull": {"a": 1}}), {"a": [2]}),
    "pull by operator": ([{"_id": 1, "a": [1, 2, 3]}], change({}, {"$pull": {"a": {"$gte": 2}}}), {"a": [1]}),
    "pull documents": (A, change({"_id": 1}, {"$pull": {"a": {"n": {"$lt": 2}}}}), {"a": [{"n": 2, "v": 1}]}),
    "add to set": ([{"_id": 1, "a": [1]}], change({}, {"$addToSet": {"a": {"$each": [1, 2, 2]}}}), {"a": [1, 2]}),
    "position by equality": (A, change({"_id": 1, "a.n": 2}, {"$inc": {"a.$.v": 5}}),
                             {"a": [{"n": 1, "v": 1}, {"n": 2, "v": 6}]}),
    "position by element": (A, change({"_id": 1, "a": {"$elemMatch": {"n": 2, "v": {"$lt": 5}}}},
                                      {"$inc": {"a.$.v": 5}}),
                            {"a": [{"n": 1, "v": 1}, {"n": 2, "v": 6}]}, Failed(2)),
    "position of a value": ([{"_id": 1, "a": [3, 7]}], change({"a": 7}, {"$set": {"a.$": 5}}), {"a": [3, 5]}),
    "position of nothing": (A, change({"_id": 1}, {"$set": {"a.$.v": 5}}), Failed(2)),
    "by index, set": ([{"_id": 1, "a": [1, 2]}], change({}, {"$set": {"a.1": 9, "a.4": 1}}),
                      {"a": [1, 9, None, None, 1]}),
    "unset": ([{"_id": 1, "a": [1, 2], "b": {"c": 1}}], change({}, {"$unset": {"a.0": 1, "b.c": 1, "z.z": 1}}),
              {"a": [None, 2], "b": {}}),
    "min and max": ([{"_id": 1, "i": 5, "j": 5}], change({}, {"$min": {"i": 4, "k": 1}, "$max": {"j": 6}}),
                    {"i": 4, "j": 6, "k": 1}),
    "types kept": ([{"_id": 1, "i": 1, "l": Int64(1), "f": 1.5, "o": 2**31 - 1}],
                   lambda c: [type(v) for v in change({}, {"$inc": {"i": 1, "l": 1, "f": 1, "o": 1}})(c).values()],
                   [int, Int64, float, Int64]),
    "64 bits overflow": ([{"_id": 1, "v": 2**63 - 1}], change({}, {"$inc": {"v": 1}}), Failed(2),
                         {"v": -2**63}),
    "no number": ([{"_id": 1, "v": "x"}], change({}, {"$inc": {"v": 1}}), Failed(14)),
    "conflict": (ONE, change({}, {"$set": {"a": 1}, "$inc": {"a": 1}}), Failed(40)),
    "conflict above": (ONE, change({}, {"$set": {"a": {"b": 1}}, "$inc": {"a.b": 1}}), Failed(40)),
    "conflict of push and pull": (A, change({"_id": 1}, {"$pull": {"a": 1}, "$push": {"a": 2}}), Failed(40)),
    "into a number": (ONE, change({}, {"$set": {"v.b": 9}}), Failed(28)),
    "into null": ([{"_id": 1, "v": None}], change({}, {"$set": {"v.b": 9}}), Failed(28), {"v": {"b": 9}}),
    "a name in an array": (A, change({"_id": 1}, {"$set": {"a.b": 9}}), Failed(28)),
    "another _id": (ONE, change({}, {"$set": {"_id": 9}}), Failed(66)),
    "new fields by name": (ONE, lambda c: list(change({}, {"$set": {"z": 1, "b": 2, "a": 3}})(c)),
                           ["v", "a", "b", "z"], ["v", "z", "b", "a"]),
    "unknown update operator": (ONE, change({}, {"$foo": {"v": 1}}), Failed(9)),
    # insert, update, delete.
    "insert twice": (ONE, lambda c: c.insert_one({"_id": 1}), Failed(11000)),
    "insert, ordered": (ONE, lambda c: (outcome(c.insert_many, [{"_id": 2}, {"_id": 1}, {"_id": 3}]), find({})(c)),
                        (Failed(11000), [1, 2])),
    "insert, unordered": (ONE, lambda c: (outcome(lambda: c.insert_many([{"_id": 2}, {"_id": 1}, {"_id": 3}],
                                                                        ordered=False)), find({})(c)),
                          (Failed(11000), [1, 2, 3])),
    "insert's count": (ONE, lambda c: c.database.command("insert", c.name, documents=[
        {"_id": 2}, {"_id": 1}, {"_id": 3}])["n"], 1, 3),
    "statements": (ONE, statements({"q": {"_id": 1}, "u": {"$inc": {"v": 1}}},
                                   {"q": {"_id": 9}, "u": {"$set": {"v": 1}}, "upsert": True},
                                   {"q": {}, "u": {"$set": {"v": 2}}, "multi": True}),
                   (4, 3, [], [{"_id": 1, "v": 2}, {"_id": 9, "v": 2}])),
    "statements, one fails": (ONE, statements({"q": {"_id": 1, "v": 0}, "u": {"$set": {"v": 1}}, "upsert": True},
                                              {"q": {"_id": 1}, "u": {"$set": {"v": 2}}}),
                              (0, 0, [(0, 11000)], ONE), (1, 1, [(0, 11000)], [{"_id": 1, "v": 2}])),
    "statements, one fails, unordered": (
        ONE, statements({"q": {"_id": 1, "v": 0}, "u": {"$set": {"v": 1}}, "upsert": True},
                        {"q": {"_id": 1}, "u": {"$set": {"v": 2}}}, ordered=False),
        (1, 1, [(0, 11000)], [{"_id": 1, "v": 2}])),
    "nothing new": (ONE, statements({"q": {"_id": 1}, "u": {"$set": {"v": 7}}}), (1, 0, [], ONE)),
    "replacement by version": (ONE, statements({"q": {"_id": 1, "v": 7}, "u": {"v": 8, "w": 1}},
                                               {"q": {"_id": 1, "v": 7}, "u": {"v": 9}}),
                               (1, 1, [], [{"_id": 1, "v": 8, "w": 1}])),
    "replacement upsert": ([], statements({"q": {"_id": 2, "v": 9}, "u": {"w": 2}, "upsert": True}),
                           (1, 0, [], [{"_id": 2, "w": 2}])),
    "delete": (MIXED, lambda c: (c.database.command("delete", c.name, deletes=[
        {"q": {"a": 1}, "limit": 1}, {"q": {"a": 77}, "limit": 1}, {"q": {"_id": {"$gt": 3}}, "limit": 0}])["n"],
        find({})(c)), (7, [1, 2])),
    "too big": ([{"_id": 1, "a": b"x" * (MAX_DOCUMENT - 200)}],
                lambda c: c.update_one({"_id": 1}, {"$set": {"b": b"x" * 1000}}).modified_count,
                Failed(10334, 17419, 17420), 1),
    # Indexes.
    "unique": (ONE, index("v", lambda c: outcome(c.insert_one, {"_id": 2, "v": 7}), unique=True),
               ("v_1", Failed(11000))),
    "unique, update": (ONE + [{"_id": 2}], index("v", lambda c: outcome(change({"_id": 2}, {"$set": {"v": 7}}), c),
                                                 unique=True), ("v_1", Failed(11000))),
    "unique, missing twice": (ONE + [{"_id": 2}], index("v", lambda c: outcome(c.insert_one, {"_id": 3}), unique=True),
                              ("v_1", Failed(11000))),
    "unique, sparse": (ONE + [{"_id": 2}], index("v", lambda c: c.insert_one({"_id": 3}).inserted_id, unique=True,
                                                 sparse=True), ("v_1", 3)),
    "unique, two fields": (ONE, index([("v", 1), ("w", 1)], lambda c: (
        c.insert_one({"_id": 2, "v": 7, "w": 1}).inserted_id, outcome(c.insert_one, {"_id": 3, "v": 7, "w": 1})),
        unique=True), ("v_1_w_1", (2, Failed(11000)))),
    "unique, array": (A[:2], index("a.n", lambda c: outcome(c.insert_one, {"_id": 7, "a": [{"n": 9}, {"n": 2}]}),
                                   unique=True), ("a.n_1", Failed(11000))),
    "unique, array, sparse": (A, index("a.n", lambda c: outcome(
        lambda: c.insert_one({"_id": 7, "a": [{"n": 9}, {"n": 2}]}).inserted_id), unique=True, sparse=True),
        ("a.n_1", Failed(11000)), ("a.n_1", 7)),
    "unique, too late": ([{"_id": 1, "v": 1}, {"_id": 2, "v": 1}], index("v", unique=True), Failed(11000)),
    "unique, partial": (ONE, index("v", lambda c: outcome(lambda: c.insert_one({"_id": 2, "v": 7}).inserted_id),
                                   unique=True, partialFilterExpression={"u": 1}),
                        ("v_1", 2), ("v_1", Failed(11000))),
    "same index again": (ONE, index("v", lambda c: c.create_index("v")), ("v_1", "v_1")),
    "same index, now unique": (ONE, index("v", lambda c: outcome(lambda: c.create_index("v", unique=True))),
                               ("v_1", Failed(85, 86))),
    "same name, other key": (ONE, index("v", lambda c: outcome(lambda: c.create_index("w", name="v_1"))),
                             ("v_1", Failed(86)), ("v_1", "v_1")),
    "expiry": (ONE, index("t", lambda c: c.index_information()["t_1"]["expireAfterSeconds"], expireAfterSeconds=0),
               ("t_1", 0)),
    "other expiry": (ONE, index("t", lambda c: outcome(lambda: c.create_index("t", expireAfterSeconds=5)),
                                expireAfterSeconds=0), ("t_1", Failed(85)), ("t_1", "t_1")),
    "partial": (ONE, index("t", lambda c: c.index_information()["t_1"]["partialFilterExpression"],
                           partialFilterExpression={"t": {"$exists": True}}), ("t_1", {"t": {"$exists": True}})),
    "hashed": (ONE, index([("v", "hashed")], lambda c: find({"v": 7})(c)), ("v_hashed", [1])),
    "indexes of nothing": ([], lambda c: c.database.command("listIndexes", "none")["cursor"]["firstBatch"],
                           Failed(26), []),
    "collections": (ONE, lambda c: c.database.list_collection_names(filter={"name": c.name}), ["c"]),
    "unknown command": (ONE, lambda c: c.database.command("nonsense"), Failed(59)),
    "unknown field": (ONE, lambda c: c.database.command("find", c.name, nonsense=1), Failed(40415, 9), "accepted"),
}


@pytest.mark.parametrize("name", CASES)
def test_all_servers_do_the_same(place, database, name):
    documents, run, *wants = CASES[name]
    want = wants[-1] if place.name == "java" else wants[0]
    if documents:
        database.c.insert_many([dict(d) for d in documents])
    got = outcome(run, database.c)
    assert got == want or (want == "accepted" and not isinstance(got, Failed))


@pytest.fixture(autouse=True)
def _hasty_threads():
    """Threads of Python take turns so often that the fake's commands would mix without its lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(run):
    """What THREADS threads get that begin at once."""
    results, barrier = [None] * THREADS, threading.Barrier(THREADS)

    def one(i):
        barrier.wait()
        results[i] = outcome(run, i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("when", [ReturnDocument.BEFORE, ReturnDocument.AFTER])
def test_one_of_many_sets_a_step(database, when):
    for step in range(1, 21):
        database.c.update_one({"_id": 1}, {"$set": {"step": step - 1}}, upsert=True)
        got = together(lambda i: database.c.find_one_and_update(
            {"_id": 1, "step": {"$lt": step}}, {"$set": {"step": step, "by": i}, "$inc": {"wins": 1}},
            return_document=when))
        winners = [i for i, d in enumerate(got) if d is not None]
        document = database.c.find_one({"_id": 1})
        assert winners == [document["by"]] and document["wins"] == step


def test_one_of_many_replaces_a_version(database):
    database.c.insert_one({"_id": 1, "v": 0})
    for version in range(20):
        got = together(lambda i: database.c.replace_one({"_id": 1, "v": version}, {"v": version + 1, "by": i})
                       .matched_count)
        assert sum(got) == 1
        assert database.c.find_one() == {"_id": 1, "v": version + 1, "by": got.index(1)}


def test_no_count_is_lost(database):
    database.c.insert_one({"_id": 1, "n": 0, "a": []})

    def add(i):
        for n in range(20):
            database.c.update_one({"_id": 1}, {"$inc": {"n": 1}, "$push": {"a": i * 100 + n}})
    assert together(add) == [None] * THREADS
    document = database.c.find_one()
    assert document["n"] == THREADS * 20 == len(set(document["a"]))


def test_one_of_many_inserts(database):
    for n in range(20):
        got = together(lambda i: database.c.insert_one({"_id": n, "by": i}).inserted_id)
        assert sorted(map(str, got)) == sorted([str(n)] + [repr(Failed(11000))] * (THREADS - 1))


def test_one_of_many_upserts_with_a_condition(database):
    for n in range(20):
        got = together(lambda i: database.c.find_one_and_update(
            {"_id": n, "step": {"$lt": 5}}, {"$set": {"step": 5, "by": i}}, upsert=True,
            return_document=ReturnDocument.AFTER))
        winners = [d for d in got if d != Failed(11000)]
        assert winners == [database.c.find_one({"_id": n})]


def test_a_unique_index_holds_under_many(database):
    database.c.create_index("k", unique=True)
    for n in range(20):
        got = together(lambda i: database.c.insert_one({"_id": n * 100 + i, "k": n}).inserted_id)
        assert got.count(Failed(11000)) == THREADS - 1 and len(find({"k": n})(database.c)) == 1


def test_a_real_server_is_among_them():
    if mongo_servers.real_missing():
        pytest.skip(mongo_servers.real_missing())
