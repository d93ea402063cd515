# SPDX-License-Identifier: ISC
"""Goal: no answer leaves the process before what it says is on the disk: between a request's
arrival and its answer, the write-ahead log was written and then synced. strace is the witness."""
import os
import re
import shutil
import subprocess
import threading

import pytest

from kit import PATIENCE, T0, wait_until

CALLS = "read,write,writev,pwrite64,pwritev,sendto,sendmsg,fdatasync,fsync,sync_file_range"
DATA, HEADERS = 0, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def why_not():
    if shutil.which("strace") is None:
        return "strace is not installed"
    if os.geteuid() != 0:
        return "the daemon's /proc is root's, so only root's strace can name its files"
    r = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], stderr=subprocess.PIPE, text=True)
    return "strace cannot attach here: " + r.stderr.strip() if r.returncode != 0 else None


@pytest.fixture
def traced(make_daemon, tmp_path):
    """A daemon under strace, and what strace saw of it so far."""
    if why_not() is not None:
        pytest.skip(why_not())
    log = tmp_path / "strace"
    daemon = make_daemon(start=False, wrapper=["strace", "-D", "-f", "-y", "-xx", "-s", "65536",
                                               "-e", "trace=" + CALLS, "-e", "signal=none",
                                               "-o", str(log)])
    daemon.trace = lambda: read_trace(log)
    return daemon.start()


# ---- the trace -------------------------------------------------------------------------------------------

class Event:
    """A system call: where in the trace it began and ended, on which file, with which bytes."""

    def __init__(self, begin, name, text):
        self.begin, self.end, self.name, self.text = begin, None, name, text
        self.failed = False

    def finish(self, end, rest):
        self.end = end
        self.text += rest
        self.failed = re.search(r"\) = -1 ", self.text) is not None
        place = re.match(r"(\d+)<([^>]*)>", self.text)
        self.fd, path = place.groups() if place else (None, "")
        self.path = re.sub(r"\\x(..)", lambda m: chr(int(m.group(1), 16)), path)
        bytes_ = re.search(r', *"((?:\\x..)*)"', self.text)
        self.data = bytes.fromhex(bytes_.group(1).replace("\\x", "")) if bytes_ else b""

    @property
    def is_socket(self):
        return self.path.startswith(("socket:", "TCP:"))

    def frames(self):
        """The types of the HTTP/2 frames that begin in its bytes."""
        data = self.data[len(PREFACE):] if self.data.startswith(PREFACE) else self.data
        while len(data) >= 9:
            if data[3] != DATA or int.from_bytes(data[:3], "big") > 0:
                yield data[3]
            data = data[9 + int.from_bytes(data[:3], "big"):]


def read_trace(path):
    done, open_calls = [], {}
    with open(path) as f:
        for number, line in enumerate(f):
            m = re.match(r"(\d+) +(?:<\.\.\. \w+ resumed>|(\w+)\()(.*)", line)
            if m is None:
                continue
            thread, name, rest = m.groups()
            event = Event(number, name, "") if name else open_calls.pop(thread, None)
            if event is None:
                continue
            if rest.endswith("<unfinished ...>"):
                event.text = rest[:-len("<unfinished ...>")].rstrip()
                open_calls[thread] = event
                continue
            event.finish(number, rest)
            if not event.failed:
                done.append(event)
    return sorted(done, key=lambda e: e.begin)


def wal_writes(events):
    return [e for e in events if e.path.endswith("-wal") and "write" in e.name]


def wal_syncs(events):
    return [e for e in events if e.path.endswith("-wal") and e.name in ("fdatasync", "fsync")]


def exchanges(events):
    """(request, answer) of each socket in turn: each client waits for one before the other."""
    waiting = {}
    for e in events:
        if not e.is_socket:
            continue
        if e.name == "read" and DATA in e.frames():
            waiting[e.path] = e
        elif e.name != "read" and HEADERS in e.frames() and e.path in waiting:
            yield waiting.pop(e.path), e


def is_durable(request, answer, writes, syncs):
    """Was the log written after the request came, and synced after that, before the answer left?"""
    mine = [w for w in writes if w.begin > request.begin and w.end < answer.begin]
    return any(s.begin > mine[0].end and s.end < answer.begin for s in syncs) if mine else False


# ---- tests -----------------------------------------------------------------------------------------------

def sign_ins(daemon, factor, api, n):
    for step in range(1, n + 1):
        assert api.outcome(factor.tenant, factor.user, factor.code_of(T0 // 30000 + step)) == \
            ("ACCEPTED" if step == 1 else "WRONG_CODE")


def seen(daemon, n):
    """The events so far, when strace has written n exchanges."""
    wait_until(lambda: len(list(exchanges(daemon.trace()))) >= n, "the trace of %d calls" % n)
    return daemon.trace()


def test_no_answer_leaves_before_its_sync(traced):
    """One call at a time: at each answer nothing written is left unsynced."""
    tenant = traced.tenant()
    factor = traced.enrol(tenant, "ann")
    sign_ins(traced, factor, traced.api, 5)
    events = seen(traced, 9)
    writes, syncs = wal_writes(events), wal_syncs(events)
    pairs = list(exchanges(events))
    assert len(pairs) == 9  # SetPolicy, Enroll, GetPolicy, Verify and the sign-ins
    reads = [p for p in pairs if not any(p[0].begin < w.begin < p[1].begin for w in writes)]
    assert len(reads) == 1  # GetPolicy
    for request, answer in pairs:
        assert is_durable(request, answer, writes, syncs) or (request, answer) in reads
        last = max((w.end for w in writes if w.begin < answer.begin), default=-1)
        assert any(s.begin > last and s.end < answer.begin for s in syncs)


def test_no_answer_leaves_before_its_sync_when_calls_share_one(traced):
    """Eight clients at once: several answers may wait for one sync, none may go without."""
    tenant = traced.tenant()
    factors = [traced.enrol(tenant, "user%d" % n) for n in range(8)]
    start = 1 + 3 * len(factors)
    seen(traced, start)
    threads = [threading.Thread(target=sign_ins, args=(traced, f, traced.caller(), 5))
               for f in factors]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE)
    events = seen(traced, start + 40)
    writes, syncs = wal_writes(events), wal_syncs(events)
    pairs = list(exchanges(events))[start:]
    assert len(pairs) == 40
    for request, answer in pairs:
        assert is_durable(request, answer, writes, syncs)

