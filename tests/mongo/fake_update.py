# SPDX-License-Identifier: ISC
"""MongoDB's update operators on one document, and the document that an upsert begins with."""
import copy

from bson import Decimal128, Int64

from fake_query import (BAD_VALUE, FAILED_TO_PARSE, MISSING, NUMBER, TYPE_MISMATCH, Refused, is_index,
                        is_operators, matches, order, same, type_name)

PATH_NOT_VIABLE, CONFLICT, IMMUTABLE, DOLLAR_FIELD = 28, 40, 66, 52
MAX_PADDING = 1_500_000  # the server's own


def is_replacement(update):
    return not is_operators(update)


def _get(node, parts):
    for part in parts:
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and is_index(part) and int(part) < len(node):
            node = node[int(part)]
        else:
            return MISSING
    return node


def _put(document, parts, value):
    node = document
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(node, dict):
            if last:
                node[part] = value
            else:
                node = node.setdefault(part, {})
        elif isinstance(node, list) and is_index(part):
            at = int(part)
            if at - len(node) > MAX_PADDING:
                raise Refused(BAD_VALUE, "can't backfill array to larger than %d elements" % MAX_PADDING)
            while len(node) <= at:
                node.append({} if len(node) == at and not last else None)
            if last:
                node[at] = value
            else:
                node = node[at]
        else:
            raise Refused(PATH_NOT_VIABLE, "Cannot create field '%s' in element of type %s"
                          % (part, type_name(node)))


def _set(_old, argument, _path):
    return argument


def _check_number(value, what, path):
    if order(value)[0] != NUMBER:
        raise Refused(TYPE_MISMATCH, "Cannot %s: '%s' has the type %s" % (what, path, type_name(value)))


def _sum(a, b):
    """The wider of the two types; 32 bits that overflow become 64, 64 bits that do are an error."""
    if isinstance(a, Decimal128) or isinstance(b, Decimal128):
        raise Refused(BAD_VALUE, "decimals do not add on this server")
    if isinstance(a, float) or isinstance(b, float):
        return float(a) + float(b)
    total = int(a) + int(b)
    if not -2**63 <= total < 2**63:
        raise Refused(BAD_VALUE, "Failed to apply $inc operations to current value: overflow")
    wide = isinstance(a, Int64) or isinstance(b, Int64) or not -2**31 <= total < 2**31
    return Int64(total) if wide else total


def _inc(old, argument, path):
    _check_number(argument, "increment with non-numeric argument", path)
    if old is MISSING:
        return argument
    _check_number(old, "apply $inc to a value of non-numeric type", path)
    return _sum(old, argument)


def _min(old, argument, _path):
    return argument if old is MISSING or order(argument) < order(old) else old


def _max(old, argument, _path):
    return argument if old is MISSING or order(argument) > order(old) else old


def _array(old, path, operator):
    if old is MISSING:
        return []
    if not isinstance(old, list):
        raise Refused(BAD_VALUE, "The field '%s' must be an array but is of type %s (%s)"
                      % (path, type_name(old), operator))
    return list(old)


def _each(argument, operator, modifiers):
    """The values to add and the modifiers that come with them."""
    if not (isinstance(argument, dict) and "$each" in argument):
        return [argument], {}
    unknown = [k for k in argument if k not in modifiers]
    if unknown:
        raise Refused(BAD_VALUE, "Unrecognized clause in %s: %s" % (operator, unknown[0]))
    if not isinstance(argument["$each"], list):
        raise Refused(BAD_VALUE, "The argument to $each in %s must be an array" % operator)
    return argument["$each"], argument


def _push(old, argument, path):
    values, modifiers = _each(argument, "$push", ("$each", "$slice"))
    array = _array(old, path, "$push") + values
    if "$slice" not in modifiers:
        return array
    keep = modifiers["$slice"]
    if isinstance(keep, bool) or not isinstance(keep, int):
        raise Refused(BAD_VALUE, "The value for $slice must be an integer value")
    return array[:keep] if keep >= 0 else array[keep:]


def _add_to_set(old, argument, path):
    values, _ = _each(argument, "$addToSet", ("$each",))
    array = _array(old, path, "$addToSet")
    for value in values:
        if not any(same(value, v) for v in array):
            array.append(value)
    return array


def _pulls(element, condition):
    if isinstance(condition, dict):
        if is_operators(condition) and next(iter(condition)) not in ("$and", "$or", "$nor"):
            return matches({"x": element}, {"x": condition})
        return isinstance(element, dict) and matches(element, condition)
    return same(element, condition)


def _pull(old, argument, path):
    if old is MISSING:
        return MISSING
    return [v for v in _array(old, path, "$pull") if not _pulls(v, argument)]


OPERATORS = {"$set": _set, "$setOnInsert": _set, "$inc": _inc, "$min": _min, "$max": _max,
             "$push": _push, "$addToSet": _add_to_set, "$pull": _pull, "$unset": None}


def _unset(document, parts):
    parent = _get(document, parts[:-1])
    if isinstance(parent, dict):
        parent.pop(parts[-1], None)
    elif isinstance(parent, list) and is_index(parts[-1]) and int(parts[-1]) < len(parent):
        parent[int(parts[-1])] = None


def _resolve(path, positions):
    """The parts of a path with "$" replaced by the index that the query found."""
    parts = path.split(".")
    if "" in parts:
        raise Refused(56, "The update path '%s' contains an empty field name" % path)
    for i, part in enumerate(parts):
        if part == "$":
            at = positions.get(".".join(parts[:i]))
            if i == 0 or at is None:
                raise Refused(BAD_VALUE, "The positional operator did not find the match needed from the query.")
            parts[i] = str(at)
        elif part.startswith("$["):
            raise Refused(FAILED_TO_PARSE, "filtered positional operators are not for this server")
        elif part.startswith("$"):
            raise Refused(DOLLAR_FIELD, "The dollar ($) prefixed field '%s' is not valid for storage" % part)
    return parts


def _steps(update, positions, inserting):
    """(parts, operator, argument), in the order that the server applies them in: by path."""
    steps = []
    for operator, fields in update.items():
        if operator not in OPERATORS:
            raise Refused(FAILED_TO_PARSE, "Unknown modifier: " + operator)
        if not isinstance(fields, dict):
            raise Refused(FAILED_TO_PARSE, "Modifiers operate on fields but we found type %s instead"
                          % type_name(fields))
        for path, argument in fields.items():
            steps.append((_resolve(path, positions), operator, argument))
    steps.sort(key=lambda s: [(0, int(p), "") if is_index(p) else (1, 0, p) for p in s[0]])
    for i, a in enumerate(steps):
        for b in steps[i + 1:]:
            n = min(len(a[0]), len(b[0]))
            if a[0][:n] == b[0][:n]:
                raise Refused(CONFLICT, "Updating the path '%s' would create a conflict at '%s'"
                              % (".".join(b[0]), ".".join(a[0][:n])))
    return [s for s in steps if inserting or s[1] != "$setOnInsert"]


def _operate(document, update, positions, inserting):
    for parts, operator, argument in _steps(update, positions, inserting):
        if operator == "$unset":
            _unset(document, parts)
            continue
        old = _get(document, parts)
        new = OPERATORS[operator](old, argument, ".".join(parts))
        if new is not MISSING and new is not old:
            _put(document, parts, copy.deepcopy(new))


def _replace(document, update):
    for key in update:
        if key.startswith("$"):
            raise Refused(DOLLAR_FIELD, "The dollar ($) prefixed field '%s' is not allowed in a replacement" % key)
    new = copy.deepcopy(update)
    if "_id" in document:
        if "_id" in new and not same(new["_id"], document["_id"]):
            raise Refused(IMMUTABLE, "the (immutable) field '_id' was found to have been altered")
        new = {"_id": document["_id"], **{k: v for k, v in new.items() if k != "_id"}}
    return new


def apply(document, update, positions=None, inserting=False):
    """The document after the update; the one given stays as it is."""
    if isinstance(update, list):
        raise Refused(FAILED_TO_PARSE, "update pipelines are not for this server")
    if is_replacement(update):
        return _replace(document, update)
    if any(not k.startswith("$") for k in update):
        raise Refused(FAILED_TO_PARSE, "Unknown modifier: " + next(k for k in update if k[0] != "$"))
    new = copy.deepcopy(document)
    _operate(new, update, positions or {}, inserting)
    if "_id" in document and not same(new.get("_id", MISSING), document["_id"]):
        raise Refused(IMMUTABLE, "Performing an update on the path '_id' would modify the immutable field '_id'")
    return new


def _equalities(query, found):
    for key, condition in query.items():
        if key == "$and" or (key == "$or" and len(condition) == 1):
            for clause in condition:
                _equalities(clause, found)
        elif key.startswith("$"):
            continue
        elif not is_operators(condition):
            found.append((key, condition))
        elif "$eq" in condition:
            found.append((key, condition["$eq"]))
        elif isinstance(condition.get("$in"), list) and len(condition["$in"]) == 1:
            found.append((key, condition["$in"][0]))
        elif isinstance(condition.get("$all"), list) and len(condition["$all"]) == 1:
            found.append((key, condition["$all"][0]))


def upserted(query, update):
    """The document that an update makes when none met its query, without an _id perhaps."""
    equal, base = [], {}
    _equalities(query, equal)
    if is_replacement(update) and not isinstance(update, list):
        equal = [(k, v) for k, v in equal if k == "_id"]
    for path, value in equal:
        if _get(base, path.split(".")) is not MISSING:
            raise Refused(54, "cannot infer query fields to set, path '%s' is matched twice" % path)
        _put(base, path.split("."), copy.deepcopy(value))
    return apply(base, update, {}, True)
