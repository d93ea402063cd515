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


def verify(db):
    """The records of a database as dicts, after checking that none is missing or changed."""
    before, records = START, []
    for n, (seq, tenant, body, digest) in enumerate(
            db.execute("SELECT seq, tenant, body, hash FROM audit ORDER BY seq"), start=1):
        assert seq == n, "record %d is missing" % n
        assert chain(before, seq, body) == digest, "record %d does not fit" % n
        record = json.loads(body)
        assert record["tenant"].encode() == tenant
        records.append(record)
        before = digest
    return records
