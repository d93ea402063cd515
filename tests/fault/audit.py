# SPDX-License-Identifier: ISC
"""Checks an audit chain with nothing of the daemon's: a record's hash is BLAKE2b-256 over the
hash before, the number as 8 bytes big-endian and the body, each behind its length as 8 bytes."""
import hashlib
import json

START = bytes(32)


def chain(before, seq, body):
    h = hashlib.blake2b(digest_size=32)
    for part in (before, seq.to_bytes(8, "big"), body.encode()):
        h.update(len(part).to_bytes(8, "big") + part)
    return h.digest()


def verify(db, head=(0, START)):
    """The records of a database after a head (number, hash) that was seen before, as dicts, and
    the new head; after checking that none is missing or changed."""
    seq, before = head
    records = []
    for number, tenant, body, digest in db.execute(
            "SELECT seq, tenant, body, hash FROM audit WHERE seq > ? ORDER BY seq", (seq,)):
        seq += 1
        assert number == seq, "record %d is missing" % seq
        assert chain(before, seq, body) == digest, "record %d does not fit" % seq
        record = json.loads(body)
        assert record["tenant"].encode() == tenant
        records.append(record)
        before = digest
    return records, (seq, before)
