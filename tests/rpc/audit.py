# SPDX-License-Identifier: ISC
"""Checks audit chains with nothing of the daemon's: a record's hash is BLAKE2b-256 over the
hash before, the number as 8 bytes big-endian and the body, each behind its length as 8 bytes."""
import hashlib
import json

START = bytes(32)


def chain(before, seq, body):
    h = hashlib.blake2b(digest_size=32)
    for part in (before, seq.to_bytes(8, "big"), body.encode()):
        h.update(len(part).to_bytes(8, "big") + part)
    return h.digest()


def follow(rows, head=(0, START)):
    """The records of rows (number, tenant, body, hash) that come after a head (number, hash), as
    dicts, and the new head; after checking that none is missing or changed."""
    seq, before = head
    records = []
    for number, tenant, body, digest in rows:
        seq += 1
        assert number == seq, "record %d is missing" % seq
        assert chain(before, seq, body) == digest, "record %d does not fit" % seq
        record = json.loads(body)
        assert record["tenant"].encode() == tenant
        records.append(record)
        before = digest
    return records, (seq, before)


def verify(db, head=(0, START)):
    """The same of an SQLite database."""
    return follow(db.execute("SELECT seq, tenant, body, hash FROM audit WHERE seq > ? ORDER BY seq",
                             head[:1]), head)


def chains(database):
    """Of a MongoDB database, {id: (its document, its records)}. A chain that was ended says how
    many records it has and what the last one's hash is."""
    found = {}
    for document in database.chains.find():
        rows = [(int(r["_id"]["seq"]), bytes(r["tenant"]), r["body"], bytes(r["hash"]))
                for r in database.audit.find({"_id.chain": document["_id"]})]
        records, head = follow(sorted(rows))
        if "ended" in document:
            assert (document["records"], bytes(document["hash"])) == head, "an end is missing"
        found[bytes(document["_id"])] = (document, records)
    total = sum(len(records) for _, records in found.values())
    assert len(list(database.audit.find({}, {"_id": 1}))) == total, "records of no chain"
    return found
