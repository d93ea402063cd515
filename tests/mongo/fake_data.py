# SPDX-License-Identifier: ISC
"""The collections of the fake MongoDB and the commands on them. One command at a time: whoever
calls holds the server's lock."""
import copy
import itertools

import bson
from bson import Int64, ObjectId

import fake_query
import fake_update
from fake_query import BAD_VALUE, FAILED_TO_PARSE, MISSING, Refused, find_values, order

MAX_DOCUMENT, MAX_BATCH = 16 * 1024 * 1024, 100_000
FIRST_BATCH = 101  # documents in a cursor's first answer, when the client does not say
DUPLICATE, NAMESPACE_NOT_FOUND, CURSOR_NOT_FOUND, COMMAND_NOT_FOUND = 11000, 26, 43, 59
CANNOT_CREATE_INDEX, UNKNOWN_FIELD = 67, 40415

CODE_NAMES = {
    1: "InternalError", 2: "BadValue", 9: "FailedToParse", 13: "Unauthorized", 14: "TypeMismatch",
    18: "AuthenticationFailed", 26: "NamespaceNotFound", 27: "IndexNotFound",
    28: "PathNotViable", 40: "ConflictingUpdateOperators", 43: "CursorNotFound",
    50: "MaxTimeMSExpired", 52: "DollarPrefixedFieldName", 53: "InvalidIdField",
    54: "NotSingleValueField", 56: "EmptyFieldName", 59: "CommandNotFound",
    64: "WriteConcernFailed", 66: "ImmutableField", 67: "CannotCreateIndex",
    72: "InvalidOptions", 85: "IndexOptionsConflict", 86: "IndexKeySpecsConflict",
    91: "ShutdownInProgress", 100: "UnsatisfiableWriteConcern",
    189: "PrimarySteppedDown", 197: "InvalidIndexSpecificationOption",
    225: "TransactionTooOld", 238: "NotImplemented", 262: "ExceededTimeLimit", 10107: "NotWritablePrimary",
    10334: "BSONObjectTooLarge", 11000: "DuplicateKey", 11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange", 13435: "NotPrimaryNoSecondaryOk",
}

# What any command may carry; what of it changes an answer is looked at in fake.py.
GENERIC = {"$db", "lsid", "txnNumber", "$clusterTime", "$readPreference", "readConcern",
           "writeConcern", "maxTimeMS", "comment", "apiVersion", "apiStrict", "apiDeprecationErrors",
           "bypassDocumentValidation"}


def code_name(code):
    return CODE_NAMES.get(code, "Location%d" % code)


def check_fields(what, document, *known):
    for field in document:
        if field not in known and field not in GENERIC:
            raise Refused(UNKNOWN_FIELD, "BSON field '%s.%s' is an unknown field." % (what, field))


class Index:
    KNOWN = ("key", "name", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression",
             "background", "v", "ns")

    def __init__(self, spec):
        for option in spec:
            if option not in self.KNOWN:
                raise Refused(197, "The field '%s' is not valid for an index specification" % option)
        if not isinstance(spec.get("key"), dict) or not spec["key"] or not spec.get("name"):
            raise Refused(FAILED_TO_PARSE, "an index needs a key and a name")
        self.spec = {k: v for k, v in spec.items() if k not in ("background", "v", "ns")}
        self.name, self.key = spec["name"], spec["key"]
        self.unique = bool(spec.get("unique")) or self.name == "_id_"
        self.check()
        self.entries = {}

    def check(self):
        for way in self.key.values():
            if way != "hashed" and (isinstance(way, bool) or way not in (1, -1)):
                raise Refused(CANNOT_CREATE_INDEX, "this server has no index of kind %r" % (way,))
        if self.unique and "hashed" in self.key.values():
            raise Refused(16764, "Currently hashed indexes cannot guarantee uniqueness. Use a regular index.")
        age = self.spec.get("expireAfterSeconds")
        if "expireAfterSeconds" in self.spec and (
                isinstance(age, bool) or not isinstance(age, (int, float)) or age < 0 or
                len(self.key) != 1 or list(self.key) == ["_id"]):
            raise Refused(CANNOT_CREATE_INDEX, "a TTL index has one field, not _id, and an age that is not negative")

    def identity(self):
        """Two indexes that are alike in this cannot both be."""
        return (list(self.key.items()), self.unique, bool(self.spec.get("sparse")),
                self.spec.get("partialFilterExpression"))

    def keys(self, document):
        """The index's entries for the document: several if a field holds an array."""
        partial = self.spec.get("partialFilterExpression")
        if partial is not None and not fake_query.matches(document, partial):
            return set()
        columns, there = [], False
        for path in self.key:
            column = set()
            for value, _ in find_values(document, path.split(".")):
                there |= value is not MISSING
                column |= {order(v) for v in value} if isinstance(value, list) and value else {order(value)}
            columns.append(column or {order(None)})
        if self.spec.get("sparse") and not there:
            return set()
        return set(itertools.product(*columns))

    def clash(self, document, me):
        if self.unique:
            for key in self.keys(document):
                if self.entries.get(key, me) != me:
                    return True
        return False

    def add(self, document, me):
        if self.unique:
            self.entries.update((key, me) for key in self.keys(document))

    def remove(self, document):
        if self.unique:
            for key in self.keys(document):
                self.entries.pop(key, None)


class Collection:
    def __init__(self, namespace):
        self.namespace, self.documents = namespace, {}
        self.indexes = [Index({"key": {"_id": 1}, "name": "_id_"})]

    def check(self, document, me):
        if isinstance(document["_id"], list):
            raise Refused(53, "The '_id' value cannot be of type array")
        if len(bson.encode(document)) > MAX_DOCUMENT:
            raise Refused(10334, "BSONObj size is invalid: more than 16 MiB")
        for index in self.indexes:
            if index.clash(document, me):
                value = {path: next((v for v, _ in find_values(document, path.split(".")) if v is not MISSING), None)
                         for path in index.key}
                raise Refused(DUPLICATE, "E11000 duplicate key error collection: %s index: %s dup key: %r"
                              % (self.namespace, index.name, value), keyPattern=index.key, keyValue=value)

    def insert(self, document):
        for key in document:
            if key.startswith("$"):
                raise Refused(fake_update.DOLLAR_FIELD, "Document can't have $ prefixed field names: " + key)
        new = {"_id": document.get("_id", MISSING), **document}
        if new["_id"] is MISSING:
            new["_id"] = ObjectId()
        me = order(new["_id"])
        self.check(new, None)
        self.documents[me] = new
        for index in self.indexes:
            index.add(new, me)
        return new

    def replace(self, old, new):
        """Whether it changed."""
        if bson.encode(old) == bson.encode(new):
            return False
        me = order(old["_id"])
        self.check(new, me)
        for index in self.indexes:
            index.remove(old)
            index.add(new, me)
        self.documents[me] = new
        return True

    def remove(self, document):
        for index in self.indexes:
            index.remove(document)
        del self.documents[order(document["_id"])]

    def find(self, query):
        """(document, positions) of each that meets the query."""
        among = self.documents.values()
        wanted = query.get("_id")
        if wanted is not None and not fake_query.is_operators(wanted) and not isinstance(wanted, bson.Regex):
            one = self.documents.get(order(wanted))
            among = [] if one is None else [one]
        if not among:
            fake_query.matches({}, query)  # a query that is wrong is so on an empty collection, too
        found = []
        for document in list(among):
            positions = {}
            if fake_query.matches(document, query, positions):
                found.append((document, positions))
        return found


class Data:
    """All databases, what sessions have written last, and open cursors."""

    def __init__(self):
        self.collections, self.sessions, self.cursors = {}, {}, {}
        self.cursor_ids = itertools.count(7001)

    def copy(self):
        new = Data()
        new.collections = copy.deepcopy(self.collections)
        new.sessions = dict(self.sessions)
        return new

    def there(self, db, name):
        return self.collections.get((db, name))

    def made(self, db, name):
        if not isinstance(name, str) or not name:
            raise Refused(73, "Invalid namespace specified")
        return self.collections.setdefault((db, name), Collection(db + "." + name))

    def looked(self, db, name):
        """To read from: an empty one if there is none."""
        return self.there(db, name) or Collection(db + "." + name)


def _whole(value, what):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise Refused(BAD_VALUE, what + " must be a whole number")
    return int(value)


def _open_cursor(data, namespace, documents, size, key="firstBatch", number=None):
    batch, rest = documents[:size], documents[size:]
    number = number if number is not None else next(data.cursor_ids)
    if rest:
        data.cursors[number] = (namespace, rest)
    else:
        data.cursors.pop(number, None)
        number = 0
    return {"cursor": {key: batch, "id": Int64(number), "ns": namespace}}


def find(data, db, body):
    check_fields("find", body, "find", "filter", "sort", "limit", "skip", "projection", "batchSize",
                 "singleBatch")
    found = [d for d, _ in data.looked(db, body["find"]).find(body.get("filter") or {})]
    found = fake_query.sort(found, body.get("sort"))
    limit = _whole(body.get("limit", 0), "limit")
    found = found[_whole(body.get("skip", 0), "skip"):]
    found = found[:abs(limit)] if limit else found
    found = [fake_query.project(d, body.get("projection")) for d in found]
    size = _whole(body.get("batchSize", FIRST_BATCH), "batchSize")
    if body.get("singleBatch") or limit < 0:
        found = found[:size]
    return _open_cursor(data, "%s.%s" % (db, body["find"]), found, size)


def get_more(data, db, body):
    check_fields("getMore", body, "getMore", "collection", "batchSize")
    number = body["getMore"]
    namespace, rest = data.cursors.get(number, (None, None))
    if namespace != "%s.%s" % (db, body.get("collection")):
        raise Refused(CURSOR_NOT_FOUND, "cursor id %d not found" % number)
    size = _whole(body.get("batchSize", 0), "batchSize") or len(rest)
    return _open_cursor(data, namespace, rest, size, "nextBatch", number)


def kill_cursors(data, _db, body):
    check_fields("killCursors", body, "killCursors", "cursors")
    known = [n for n in body["cursors"] if data.cursors.pop(n, None)]
    return {"cursorsKilled": known, "cursorsNotFound": [n for n in body["cursors"] if n not in known],
            "cursorsAlive": [], "cursorsUnknown": []}


def count(data, db, body):
    check_fields("count", body, "count", "query", "limit", "skip")
    n = len(data.looked(db, body["count"]).find(body.get("query") or {}))
    n = max(0, n - _whole(body.get("skip", 0), "skip"))
    limit = abs(_whole(body.get("limit", 0), "limit"))
    return {"n": min(n, limit) if limit else n}


def _write_error(i, e):
    return {"index": i, "code": e.code, "errmsg": e.text, **e.more}


def _each(statements, ordered, run):
    """Runs the statements of a command; their errors, as the answer carries them."""
    if not isinstance(statements, list) or not 1 <= len(statements) <= MAX_BATCH:
        raise Refused(72, "Write batch sizes must be between 1 and %d" % MAX_BATCH)
    errors = []
    for i, statement in enumerate(statements):
        try:
            run(i, statement)
        except Refused as e:
            errors.append(_write_error(i, e))
            if ordered:
                break
    return {"writeErrors": errors} if errors else {}


def insert(data, db, body):
    check_fields("insert", body, "insert", "documents", "ordered")
    collection, done = data.made(db, body["insert"]), []
    errors = _each(body.get("documents"), body.get("ordered", True),
                   lambda _, document: done.append(collection.insert(document)))
    return {"n": len(done), **errors}


def _upsert(collection, query, update):
    return collection.insert(fake_update.upserted(query, update))


def update(data, db, body):
    check_fields("update", body, "update", "updates", "ordered")
    collection = data.made(db, body["update"])
    total, made = {"n": 0, "nModified": 0}, []

    def one(i, s):
        check_fields("update.updates", s, "q", "u", "multi", "upsert")
        if s.get("multi") and fake_update.is_replacement(s["u"]):
            raise Refused(FAILED_TO_PARSE, "multi update is not supported for replacement-style update")
        found = collection.find(s["q"])
        for document, positions in found if s.get("multi") else found[:1]:
            new = fake_update.apply(document, s["u"], positions)
            total["nModified"] += collection.replace(document, new)
            total["n"] += 1
        if not found:
            fake_update.apply({}, s["u"], AnyPosition())  # an update that is wrong is so without a match
            if s.get("upsert"):
                made.append({"index": i, "_id": _upsert(collection, s["q"], s["u"])["_id"]})
                total["n"] += 1

    errors = _each(body.get("updates"), body.get("ordered", True), one)
    return {**total, **({"upserted": made} if made else {}), **errors}


class AnyPosition(dict):
    """Positions for an update that is only looked at, not done."""

    def get(self, _path, _default=None):
        return 0


def delete(data, db, body):
    check_fields("delete", body, "delete", "deletes", "ordered")
    collection, done = data.looked(db, body["delete"]), []

    def one(_i, s):
        check_fields("delete.deletes", s, "q", "limit")
        if s.get("limit") not in (0, 1):
            raise Refused(FAILED_TO_PARSE, "The limit field in delete objects must be 0 or 1")
        found = collection.find(s["q"])
        for document, _ in found[:1] if s["limit"] else found:
            collection.remove(document)
            done.append(document)

    errors = _each(body.get("deletes"), body.get("ordered", True), one)
    return {"n": len(done), **errors}


def find_and_modify(data, db, body):
    name = body.get("findAndModify", body.get("findandmodify"))
    check_fields("findAndModify", body, "findAndModify", "findandmodify", "query", "update", "new",
                 "upsert", "remove", "sort", "fields")
    if bool(body.get("remove")) == ("update" in body):
        raise Refused(FAILED_TO_PARSE, "Either an update or remove=true must be specified")
    if body.get("remove") and (body.get("new") or body.get("upsert")):
        raise Refused(FAILED_TO_PARSE, "Cannot specify both new=true or upsert=true and remove=true")
    collection, query = data.made(db, name), body.get("query") or {}
    matched = collection.find(query)
    found = {id(d): p for d, p in matched}
    ranked = fake_query.sort([d for d, _ in matched], body.get("sort"))
    old = ranked[0] if ranked else None
    last, new = {"n": 1, "updatedExisting": True}, None
    if body.get("remove"):
        last = {"n": 1 if old else 0}
        if old:
            collection.remove(old)
    elif old:
        new = fake_update.apply(old, body["update"], found[id(old)])
        collection.replace(old, new)
    elif body.get("upsert"):
        new = _upsert(collection, query, body["update"])
        last = {"n": 1, "updatedExisting": False, "upserted": new["_id"]}
    else:
        fake_update.apply({}, body["update"], AnyPosition())
        last = {"n": 0, "updatedExisting": False}
    value = new if body.get("new") else old
    return {"lastErrorObject": last,
            "value": None if value is None else fake_query.project(value, body.get("fields"))}


def create_indexes(data, db, body):
    check_fields("createIndexes", body, "createIndexes", "indexes", "commitQuorum")
    existed = data.there(db, body["createIndexes"]) is not None
    collection = data.made(db, body["createIndexes"])
    before = len(collection.indexes)
    if not body.get("indexes"):
        raise Refused(BAD_VALUE, "Must specify at least one index to create")
    for index in [Index(spec) for spec in body["indexes"]]:
        _create_index(collection, index)
    return {"numIndexesBefore": before, "numIndexesAfter": len(collection.indexes),
            "createdCollectionAutomatically": not existed}


def _create_index(collection, index):
    if list(index.key.items()) == [("_id", 1)]:
        return
    for old in collection.indexes:
        if old.name == index.name and old.identity() != index.identity():
            raise Refused(86, "An existing index has the same name as the requested index: " + index.name)
        if old.identity() == index.identity():
            if old.name == index.name and old.spec == index.spec:
                return
            raise Refused(85, "Index already exists with a different name or options: " + old.name)
    for me, document in collection.documents.items():
        if index.clash(document, me):
            raise Refused(DUPLICATE, "E11000 duplicate key error collection: %s index: %s"
                          % (collection.namespace, index.name), keyPattern=index.key)
        index.add(document, me)
    collection.indexes.append(index)


def list_indexes(data, db, body):
    check_fields("listIndexes", body, "listIndexes", "cursor")
    collection = data.there(db, body["listIndexes"])
    if collection is None:
        raise Refused(NAMESPACE_NOT_FOUND, "ns does not exist: %s.%s" % (db, body["listIndexes"]))
    specs = [{"v": 2, **index.spec} for index in collection.indexes]
    return _open_cursor(data, collection.namespace, specs, len(specs))


def drop_indexes(data, db, body):
    check_fields("dropIndexes", body, "dropIndexes", "index")
    collection = data.there(db, body["dropIndexes"])
    if collection is None:
        raise Refused(NAMESPACE_NOT_FOUND, "ns not found")
    before = len(collection.indexes)
    gone = [i for i in collection.indexes[1:] if body["index"] in ("*", i.name)]
    if not gone and body["index"] != "*":
        raise Refused(27, "index not found with name [%s]" % body["index"])
    collection.indexes = [i for i in collection.indexes if i not in gone]
    return {"nIndexesWas": before}


def list_collections(data, db, body):
    check_fields("listCollections", body, "listCollections", "filter", "nameOnly", "cursor",
                 "authorizedCollections")
    all_of_it = [{"name": name, "type": "collection", "options": {}, "info": {"readOnly": False},
                  "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}
                 for of, name in sorted(data.collections) if of == db]
    found = [c for c in all_of_it if fake_query.matches(c, body.get("filter") or {})]
    if body.get("nameOnly"):
        found = [{"name": c["name"], "type": c["type"]} for c in found]
    return _open_cursor(data, db + ".$cmd.listCollections", found, len(found))


def create(data, db, body):
    check_fields("create", body, "create")
    if data.there(db, body["create"]):
        raise Refused(48, "Collection already exists. NS: %s.%s" % (db, body["create"]))
    data.made(db, body["create"])
    return {}


def drop(data, db, body):
    check_fields("drop", body, "drop")
    if data.collections.pop((db, body["drop"]), None) is None:
        raise Refused(NAMESPACE_NOT_FOUND, "ns not found")
    return {"ns": "%s.%s" % (db, body["drop"])}


def drop_database(data, db, body):
    check_fields("dropDatabase", body, "dropDatabase")
    data.collections = {k: c for k, c in data.collections.items() if k[0] != db}
    return {"dropped": db}


READS = {"find": find, "count": count, "listIndexes": list_indexes, "listCollections": list_collections}
WRITES = {"insert": insert, "update": update, "delete": delete, "findAndModify": find_and_modify,
          "findandmodify": find_and_modify}
SCHEMA = {"createIndexes": create_indexes, "dropIndexes": drop_indexes, "create": create, "drop": drop,
          "dropDatabase": drop_database}
CURSORS = {"getMore": get_more, "killCursors": kill_cursors}
