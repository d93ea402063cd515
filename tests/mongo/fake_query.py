# SPDX-License-Identifier: ISC
"""How MongoDB orders values, finds them by a path, matches documents and shows parts of them.
What is not here is refused with the server's own code, never passed over."""
import datetime
import decimal
import math

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

EPOCH = datetime.datetime(1970, 1, 1)
MISSING = object()

BAD_VALUE, FAILED_TO_PARSE, TYPE_MISMATCH = 2, 9, 14


class Refused(Exception):
    """An answer with ok: 0."""

    def __init__(self, code, text, **more):
        super().__init__(text)
        self.code, self.text, self.more = code, text, more


# The canonical order of types; see "Comparison/Sort Order" in MongoDB's manual.
(MIN, NULL, NUMBER, STRING, DOCUMENT, ARRAY, BINARY, OBJECT_ID, BOOL, DATE, TIMESTAMP, REGEX, CODE,
 MAX) = range(14)


def _number(value):
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    is_nan = value.is_nan() if isinstance(value, decimal.Decimal) else math.isnan(value)
    return (NUMBER, 0, 0) if is_nan else (NUMBER, 1, value)


def _date(value):
    value = value.replace(tzinfo=None) if value.tzinfo is None else \
        value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (DATE, (value - EPOCH) // datetime.timedelta(milliseconds=1))


def order(value):
    """A tuple that compares and hashes as MongoDB compares the value."""
    if value is MISSING or value is None:
        return (NULL,)
    if isinstance(value, bool):
        return (BOOL, value)
    if isinstance(value, (int, float, Decimal128)):
        return _number(value)
    if isinstance(value, Code):
        return (CODE, str(value).encode())
    if isinstance(value, str):
        return (STRING, value.encode())
    if isinstance(value, dict):
        return (DOCUMENT, tuple((order(v)[0], k.encode(), order(v)) for k, v in value.items()))
    if isinstance(value, list):
        return (ARRAY, tuple(order(v) for v in value))
    if isinstance(value, bytes):
        return (BINARY, len(value), getattr(value, "subtype", 0), bytes(value))
    if isinstance(value, ObjectId):
        return (OBJECT_ID, value.binary)
    if isinstance(value, datetime.datetime):
        return _date(value)
    if isinstance(value, Timestamp):
        return (TIMESTAMP, value.time, value.inc)
    if isinstance(value, Regex):
        return (REGEX, str(value.pattern), value.flags)
    if isinstance(value, MinKey):
        return (MIN,)
    if isinstance(value, MaxKey):
        return (MAX,)
    raise Refused(BAD_VALUE, "a value of type %s is not for this server" % type(value).__name__)


def same(a, b):
    return order(a) == order(b)


TYPES = {
    "double": (1, lambda v: isinstance(v, float)),
    "string": (2, lambda v: isinstance(v, str) and not isinstance(v, Code)),
    "object": (3, lambda v: isinstance(v, dict)),
    "array": (4, lambda v: isinstance(v, list)),
    "binData": (5, lambda v: isinstance(v, bytes)),
    "objectId": (7, lambda v: isinstance(v, ObjectId)),
    "bool": (8, lambda v: isinstance(v, bool)),
    "date": (9, lambda v: isinstance(v, datetime.datetime)),
    "null": (10, lambda v: v is None),
    "regex": (11, lambda v: isinstance(v, Regex)),
    "int": (16, lambda v: isinstance(v, int) and not isinstance(v, (bool, Int64))),
    "timestamp": (17, lambda v: isinstance(v, Timestamp)),
    "long": (18, lambda v: isinstance(v, Int64)),
    "decimal": (19, lambda v: isinstance(v, Decimal128)),
}


def type_name(value):
    return next((name for name, (_, test) in TYPES.items() if test(value)), "unknown")


def _is_type(value, wanted):
    if wanted == "number":
        return order(value)[0] == NUMBER
    for name, (number, test) in TYPES.items():
        if wanted == name or (wanted == number and not isinstance(wanted, (str, bool))):
            return test(value)
    raise Refused(BAD_VALUE, "Unknown type name alias or type code: %r" % (wanted,))


def is_index(part):
    return part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")


def find_values(value, parts, array=None, walked=()):
    """What a path leads to: (value or MISSING, outermost array passed as (path, index) or None).
    Arrays on the way are looked into, by their index and by what their documents hold."""
    if not parts:
        return [(value, array)]
    head, rest = parts[0], parts[1:]
    here = walked + (head,)
    if isinstance(value, dict):
        if head not in value:
            return [(MISSING, array)]
        return find_values(value[head], rest, array, here)
    if not isinstance(value, list):
        return [(MISSING, array)]
    found = []
    if is_index(head) and int(head) < len(value):
        found += find_values(value[int(head)], rest, array, here)
    for i, element in enumerate(value):
        if isinstance(element, dict):
            found += find_values(element, parts, array or (".".join(walked), i), walked)
    return found


def leaves(document, path):
    """The values of a path and, where one is an array, its elements, too."""
    found = []
    for value, array in find_values(document, path.split(".")):
        found.append((value, array))
        if isinstance(value, list):
            found += [(v, array or (path, i)) for i, v in enumerate(value)]
    return found


def _equals(value, wanted):
    if value is MISSING:
        return wanted is None
    return same(value, wanted)


def _compares(test):
    """Only values of one type compare; not a number compares with itself alone."""
    def compare(value, wanted):
        a, b = order(value), order(wanted)
        if b[0] in (MIN, MAX):
            return test(a, b)
        if a[0] != b[0] or (value is MISSING and wanted is not None):
            return False
        if a[0] == NUMBER and (a[1] == 0 or b[1] == 0):
            return a == b and test(0, 0)
        return test(a, b)
    return compare


def _in(value, wanted):
    if not isinstance(wanted, list):
        raise Refused(BAD_VALUE, "$in needs an array")
    return any(_equals(value, w) for w in wanted)


LEAF = {
    "$eq": _equals,
    "$lt": _compares(lambda a, b: a < b),
    "$lte": _compares(lambda a, b: a <= b),
    "$gt": _compares(lambda a, b: a > b),
    "$gte": _compares(lambda a, b: a >= b),
    "$in": _in,
    "$type": lambda value, wanted: value is not MISSING and any(
        _is_type(value, w) for w in (wanted if isinstance(wanted, list) else [wanted])),
}


def is_operators(value):
    return isinstance(value, dict) and bool(value) and next(iter(value)).startswith("$")


def _element(value, condition):
    """Whether an array's element meets $elemMatch."""
    if is_operators(condition) and next(iter(condition)) not in ("$and", "$or", "$nor"):
        return _meets({"": value}, "", condition, {})
    return isinstance(value, dict) and matches(value, condition)


def _elem_match(document, path, condition, positions):
    if not isinstance(condition, dict):
        raise Refused(BAD_VALUE, "$elemMatch needs an Object")
    for value, array in find_values(document, path.split(".")):
        for i, element in enumerate(value if isinstance(value, list) else []):
            if _element(element, condition):
                at = array or (path, i)
                positions[at[0]] = at[1]
                return True
    return False


def _size(document, path, wanted, _positions):
    if isinstance(wanted, bool) or not isinstance(wanted, (int, float)) or wanted != int(wanted) or wanted < 0:
        raise Refused(BAD_VALUE, "$size needs a whole number that is not negative")
    return any(isinstance(v, list) and len(v) == wanted
               for v, _ in find_values(document, path.split(".")))


def _exists(document, path, wanted, _positions):
    there = any(v is not MISSING for v, _ in find_values(document, path.split(".")))
    return there == bool(wanted)


def _all(document, path, wanted, positions):
    if not isinstance(wanted, list):
        raise Refused(BAD_VALUE, "$all needs an array")
    for w in wanted:
        w = w if isinstance(w, dict) and list(w) == ["$elemMatch"] else {"$eq": w}
        if not _meets(document, path, w, positions):
            return False
    return bool(wanted)


def _not(document, path, wanted, _positions):
    if not is_operators(wanted):
        raise Refused(BAD_VALUE, "$not needs a document of operators")
    return not _meets(document, path, wanted, {})


def _some_leaf(document, path, test, wanted, positions):
    test(None, wanted)  # a wrong operand is an error, however empty the collection
    for value, array in leaves(document, path):
        if test(value, wanted):
            if array:
                positions[array[0]] = array[1]
            return True
    return False


FIELD = {
    "$ne": lambda d, p, w, _: not _some_leaf(d, p, _equals, w, {}),
    "$nin": lambda d, p, w, _: not _some_leaf(d, p, _in, w, {}),
    "$exists": _exists,
    "$elemMatch": _elem_match,
    "$size": _size,
    "$all": _all,
    "$not": _not,
}


def _meets(document, path, condition, positions):
    if not is_operators(condition):
        if isinstance(condition, Regex):
            raise Refused(BAD_VALUE, "regular expressions are not for this server")
        return _some_leaf(document, path, _equals, condition, positions)
    result = True
    for operator, wanted in condition.items():
        if operator in FIELD:
            result &= FIELD[operator](document, path, wanted, positions)
        elif operator in LEAF:
            result &= _some_leaf(document, path, LEAF[operator], wanted, positions)
        else:
            raise Refused(BAD_VALUE, "unknown operator: " + operator)
    return result


def _clauses(operator, value):
    if not isinstance(value, list) or not value or not all(isinstance(c, dict) for c in value):
        raise Refused(BAD_VALUE, operator + " needs an array of documents that is not empty")
    return value


def matches(document, query, positions=None):
    """Whether the document meets the query. positions gets, for each array that a condition was
    met in, by its path, the index of the element that met it (for "$" in an update)."""
    positions = {} if positions is None else positions
    result = True
    for key, condition in query.items():
        if key == "$and":
            result &= all([matches(document, c, positions) for c in _clauses(key, condition)])
        elif key == "$or":
            result &= any([matches(document, c, positions) for c in _clauses(key, condition)])
        elif key == "$nor":
            result &= not any([matches(document, c) for c in _clauses(key, condition)])
        elif key.startswith("$") and key != "$comment":
            raise Refused(BAD_VALUE, "unknown top level operator: " + key)
        elif key != "$comment":
            result &= _meets(document, key, condition, positions)
    return result


def sort(documents, keys):
    """In the order of keys ({path: 1 or -1}); an array goes by its least or greatest element."""
    for path, way in reversed(list((keys or {}).items())):
        if isinstance(way, bool) or way not in (1, -1):
            raise Refused(BAD_VALUE, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")

        def rank(document):
            ranks = []
            for value, _ in find_values(document, path.split(".")):
                ranks += [order(v) for v in (value if isinstance(value, list) and value else [value])]
            return (min if way == 1 else max)(ranks or [order(None)])
        documents = sorted(documents, key=rank, reverse=way == -1)
    return documents


def _tree(paths):
    tree = {}
    for path in paths:
        node = tree
        *parents, last = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
            if node is None:
                raise Refused(31249, "Path collision at " + path)
        if last in node:
            raise Refused(31250, "Path collision at " + path)
        node[last] = None
    return tree


def _keep(value, tree, include):
    if isinstance(value, list):
        return [_keep(v, tree, include) for v in value if isinstance(v, (dict, list)) or not include]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, inner in value.items():
        if key not in tree:
            if not include:
                kept[key] = inner
        elif tree[key] is None:
            if include:
                kept[key] = inner
        elif isinstance(inner, (dict, list)) or not include:
            kept[key] = _keep(inner, tree[key], include)
    return kept


def project(document, projection):
    """Which fields are shown or left out; nothing but that."""
    if not projection:
        return document
    flags = {}
    for path, flag in projection.items():
        if not isinstance(flag, (bool, int, float)) or "$" in path:
            raise Refused(FAILED_TO_PARSE, "a projection that is not for this server: " + path)
        flags[path] = bool(flag)
    with_id = flags.pop("_id", None)
    if len(set(flags.values())) > 1:
        raise Refused(31254, "Cannot do inclusion and exclusion in one projection")
    include = next(iter(flags.values())) if flags else bool(with_id)
    if include:
        shown = {} if with_id is False else {"_id": None}
        return _keep(document, {**shown, **_tree(flags)}, True)
    hidden = {"_id": None} if with_id is False else {}
    return _keep(document, {**hidden, **_tree(flags)}, False)
