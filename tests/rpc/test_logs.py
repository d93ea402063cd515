# SPDX-License-Identifier: ISC
"""Goal: one line of JSON for each thing that an operator should know, with the names under which
the caller's own logs know the call; whatever strangers send stays inside its line, nothing secret
is in one, and nobody fills the disk with them."""
import json
import os
import sqlite3
import uuid

import grpc
import pytest

import rawh2
from kit import SERVICE, Api, fresh, pb, refused, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = "00-%s-00f067aa0ba902b7-01" % TRACE
PER_SECOND = 20
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED.value[0]


@pytest.fixture(scope="module")
def guarded(make_service):
    """Knows one caller, so that everybody else is refused."""
    return make_service(callers={"web": (["login:web"], ["mine"])})


def lines_of(daemon, event):
    return [e for e in daemon.log() if e["event"] == event]


def size(daemon):
    return os.path.getsize(daemon.log_path)


def refusal(daemon, *fields):
    """The line of a call without a credential and with these metadata; None when HTTP/2 itself does
    not take them. Where the lines of this second are used up it is called again."""
    def attempt():
        start = size(daemon)
        with rawh2.Connection(daemon.port) as c:
            answer = c.call(SERVICE + "Verify", fields=fields)
        lines = checked_lines(daemon, start)
        if not answer.blocks:
            assert not lines
            return [None]
        assert answer.grpc == UNAUTHENTICATED and len(lines) <= 1
        return lines
    line, = wait_until(attempt, "a line that is not left out")
    return line


def checked_lines(daemon, start):
    """The lines `refused` since start, after a look at every byte."""
    found = []
    with open(daemon.log_path, "rb") as f:
        f.seek(start)
        text = f.read()
    for line in text.splitlines():
        assert all(32 <= b < 127 or b >= 128 for b in line)
        fields = json.loads(line, object_pairs_hook=lambda pairs: pairs)
        names = [n for n, _ in fields]
        assert len(set(names)) == len(names) and names[:3] == ["time", "level", "event"]
        assert dict(fields)["event"] in ("refused", "left_out")
        found += [dict(fields)] if dict(fields)["event"] == "refused" else []
    return found


# ---- whose call it was -----------------------------------------------------------------------------------

def test_a_refused_call_is_logged_with_the_callers_own_ids(guarded):
    line = refusal(guarded, ("traceparent", TRACEPARENT), ("x-request-id", "crm-4711/ann?"))
    assert line["trace_id"] == TRACE and line["request_id"] == "crm-4711/ann?"
    assert line["path"] == SERVICE + "Verify" and line["code"] == "UNAUTHENTICATED"
    assert line["peer"].startswith("127.0.0.1:")


def test_without_ids_there_are_no_fields_for_them(guarded):
    line = refusal(guarded)
    assert "trace_id" not in line and "request_id" not in line


@pytest.mark.parametrize("value", ["", "00", TRACE, TRACEPARENT.upper(), TRACEPARENT + "-more",
                                   TRACEPARENT.replace(TRACE, "0" * 32), TRACEPARENT.replace("4", "\"", 1),
                                   "ff" + TRACEPARENT[2:], TRACEPARENT[:-1] + "{"])
def test_a_traceparent_that_is_none_is_not_there(guarded, value):
    assert "trace_id" not in refusal(guarded, ("traceparent", value))


def test_a_request_id_has_a_size(guarded):
    assert refusal(guarded, ("x-request-id", "x" * 64))["request_id"] == "x" * 64
    assert "request_id" not in refusal(guarded, ("x-request-id", "x" * 65))


def test_the_request_id_of_the_message_comes_first(make_daemon):
    """A tenant that is not the caller's: the message has been read."""
    daemon = make_daemon(callers={"web": (["login:web"], ["mine"])})
    mine = str(uuid.uuid4())
    api = daemon.caller("web")
    api.metadata += (("traceparent", TRACEPARENT), ("x-request-id", "other"))
    with refused(grpc.StatusCode.PERMISSION_DENIED, "TENANT_NOT_ALLOWED"):
        api.verify("theirs", "ann", "000000", request_id=mine)
    line, = lines_of(daemon, "refused")
    assert line["request_id"] == mine and line["trace_id"] == TRACE


def test_a_failed_call_is_logged_with_them(daemon):
    tenant = daemon.tenant()
    ann = daemon.enrol(tenant, "ann")
    assert daemon.stop() == 0
    with sqlite3.connect(daemon.db) as db:
        db.execute("UPDATE factor SET sealed = zeroblob(length(sealed))")
    db.close()
    daemon.expected.add("call_failed")
    daemon.start()
    mine = str(uuid.uuid4())
    daemon.api.metadata = (("traceparent", TRACEPARENT),)
    with refused(grpc.StatusCode.INTERNAL, "DATA_DAMAGED"):
        daemon.api.verify(tenant, "ann", ann.wrong_at(daemon.now), request_id=mine)
    line, = lines_of(daemon, "call_failed")
    assert line["trace_id"] == TRACE and line["request_id"] == mine
    assert line["tenant"] == tenant and line["user"] == "ann" and line["error"] == "corrupt"


# ---- what strangers send ---------------------------------------------------------------------------------

FORGED = '{"time":"2026-01-01T00:00:00.000Z","level":"error","event":"forged"}'
HOSTILE = [FORGED, '"},' + FORGED, "\\", "\\\"", "\\n" + FORGED, "\x7f", "a\tb", "%0a" + FORGED, "\u2028",
           "\u202egnp.exe", "\x85" + FORGED, "\ud7ff\uffff", "\u001b[2J", "\r\n" + FORGED, "\n" + FORGED,
           "\0" + FORGED, "x" * 6000]


@pytest.mark.parametrize("value", HOSTILE + [b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"],
                         ids=lambda v: ascii(v)[:20])
@pytest.mark.parametrize("name", ["user-agent", "x-request-id", "traceparent", "authorization"])
def test_metadata_stay_inside_their_line(guarded, name, value):
    """Also those that a client of gRPC would not send."""
    value = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    line = refusal(guarded, (name, value))
    text = value.decode(errors="replace")
    if line is not None and name == "x-request-id":
        assert line.get("request_id", text) == text
    assert line is not None or set(value) & set(b"\x7f\r\n\0\x1b") or len(value) > 5000


@pytest.mark.parametrize("value", [v for v in HOSTILE if len(v) < 128 and v.isprintable()])
def test_ids_of_tenants_and_users_stay_inside_their_line(daemon, value):
    """Ids may be any text without control characters; a failure names them."""
    daemon.api.set_policy(value, enabled=True)
    daemon.api.enrol(value, value, daemon.now)
    assert daemon.stop() == 0
    with sqlite3.connect(daemon.db) as db:
        db.execute("UPDATE factor SET sealed = zeroblob(length(sealed))")
    db.close()
    daemon.expected.add("call_failed")
    daemon.start()
    with refused(grpc.StatusCode.INTERNAL):
        daemon.api.verify(value, value, "000000")
    line, = lines_of(daemon, "call_failed")
    assert line["tenant"] == value == line["user"]
    assert not any(e["event"] == "forged" for e in daemon.log())


def test_nothing_secret_is_in_a_line(make_daemon):
    daemon = make_daemon(callers={"web": (["login:web"], ["mine"])})
    token = daemon.tokens["web"]
    with refused(grpc.StatusCode.PERMISSION_DENIED):
        daemon.caller("web").get_policy("mine")
    with refused(grpc.StatusCode.UNAUTHENTICATED):
        Api(daemon.channel(), token[:-1] + "0x").login("mine", "ann")
    text = daemon.text()
    assert len(lines_of(daemon, "refused")) == 2
    assert token.split(".")[1][:16] not in text and "Bearer" not in text


# ---- repeats ---------------------------------------------------------------------------------------------

def test_repeats_are_left_out_and_counted(make_daemon):
    daemon = make_daemon(callers={"web": (["login:web"], ["*"])})
    calls = 500
    with rawh2.Connection(daemon.port) as c:
        for _ in range(calls):
            assert c.call(SERVICE + "Verify").grpc == UNAUTHENTICATED

    def told():
        lines = lines_of(daemon, "refused")
        left = [e for e in lines_of(daemon, "left_out") if e["of"] == "refused"]
        return len(lines) + sum(e["lines"] for e in left) == calls and (lines, left)
    lines, left = wait_until(told, "all are told of")
    assert left and all(e["level"] == "warn" for e in left)
    by_second = {}
    for e in lines:
        by_second[e["time"][:19]] = by_second.get(e["time"][:19], 0) + 1
    assert max(by_second.values()) <= 2 * PER_SECOND  # its seconds are not the wall clock's
    assert len(lines) <= PER_SECOND * (len(left) + 1)


def test_what_is_left_out_at_the_end_is_told(make_daemon):
    daemon = make_daemon(callers={"web": (["login:web"], ["*"])})
    calls = 200
    with rawh2.Connection(daemon.port) as c:
        for _ in range(calls):
            c.call(SERVICE + "Verify")
    assert daemon.stop() == 0
    left = sum(e["lines"] for e in lines_of(daemon, "left_out"))
    assert len(lines_of(daemon, "refused")) + left == calls
