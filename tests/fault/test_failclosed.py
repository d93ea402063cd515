# SPDX-License-Identifier: ISC
"""Goal: when something is broken nobody gets in. Sealed secrets that were changed or moved, disks
that fail or are full, keys that are missing, memory that is refused: the answer is an error,
never ACCEPTED or NOT_REQUIRED, and what is not broken goes on."""
import contextlib
import ctypes
import errno
import mmap
import os
import signal
import shutil
import sqlite3
import subprocess
import time

import grpc
import pytest

import watching
from grpc.health.v1 import health_pb2, health_pb2_grpc
from kit import PATIENCE, T0, fresh, pb, refused, wait_until, write_private

STEP = 30_000
NOW = T0 // STEP
INTERNAL, UNAVAILABLE = grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE


def answers(daemon, factor):
    """What Verify says to a wrong and to the right code, and what the next screen is: outcomes, or
    the codes of errors. The right one comes last."""
    calls = [lambda: daemon.api.outcome(factor.tenant, factor.user, factor.wrong_at(daemon.now)),
             lambda: pb.LoginRequirement.Name(daemon.api.login(factor.tenant, factor.user).requirement),
             lambda: daemon.api.outcome(factor.tenant, factor.user, factor.code_at(daemon.now))]
    got = []
    for call in calls:
        try:
            got.append(call())
        except grpc.RpcError as e:
            got.append(e.code())
    return got


# ---- what is sealed ----------------------------------------------------------------------------------------

@pytest.fixture
def tampered(daemon):
    """tampered(sql, …): stops the daemon, changes its database, starts it again."""
    @contextlib.contextmanager
    def change():
        assert daemon.stop() == 0
        db = sqlite3.connect(daemon.db)
        yield db
        db.commit()
        db.close()
        daemon.expected.add("call_failed")
        daemon.start()
        daemon.advance(30)
    return change


def user_id(db, factor):
    (number,), = db.execute("SELECT u.id FROM user u JOIN tenant t ON t.id = u.tenant WHERE u.name = ?"
                            " AND t.name = ?", (factor.user.encode(), factor.tenant.encode()))
    return number


def is_damaged(daemon, factor, **more):
    """The right code and the wrong one are refused alike, with an alarm in the log (or, where there
    were very many in this second, a line that counts them)."""
    start = os.path.getsize(daemon.log_path)
    for code in (factor.code_at(daemon.now), factor.wrong_at(daemon.now)):
        with refused(INTERNAL, "DATA_DAMAGED"):
            daemon.api.verify(factor.tenant, factor.user, code, **more)
    alarms = [e for e in daemon.log(start) if e["event"] == "call_failed"]
    enough = len(alarms) == 2 or sum(e["event"] == "call_failed" for e in daemon.log()) >= 20
    return enough and all(a["error"] == "corrupt" and a["tenant"] == factor.tenant for a in alarms)


def test_secrets_that_were_swapped_do_not_open(daemon, tampered):
    """Between users of a tenant, and between tenants; also together with the ids of their keys,
    generations and enrolments."""
    one, other = daemon.tenant(), daemon.tenant()
    pairs = [[daemon.enrol(*who) for who in ((one, "a%d" % n), ((one, other)[n % 2], "b%d" % n))]
             for n in range(4)]
    well = daemon.enrol(one, "well")
    with tampered() as db:
        for n, (a, b) in enumerate(pairs):
            columns = ("sealed", "sealed, generation, key_id, enrollment")[n // 2]
            ids = user_id(db, a), user_id(db, b)
            rows = [db.execute("SELECT %s FROM factor WHERE user = ?" % columns, (i,)).fetchone()
                    for i in ids]
            for i, row in zip(ids, reversed(rows)):
                marks = ", ".join(c + " = ?" for c in columns.split(", "))
                db.execute("UPDATE factor SET %s WHERE user = ?" % marks, (*row, i))
    for a, b in pairs:
        for mine, theirs in ((a, b), (b, a)):
            assert is_damaged(daemon, mine)
            with refused(INTERNAL, "DATA_DAMAGED"):
                daemon.api.verify(mine.tenant, mine.user, theirs.code_at(daemon.now))
    assert answers(daemon, well) == ["WRONG_CODE", "LOGIN_REQUIREMENT_CODE", "ACCEPTED"]


def test_a_secret_with_any_bit_flipped_does_not_open(daemon, tampered):
    """Each user has another byte with a flipped bit; then bytes more and bytes less, and none."""
    tenant = daemon.tenant()
    factors = [daemon.enrol(tenant, "u%d" % n) for n in range(80)]
    well = daemon.enrol(tenant, "well")
    with tampered() as db:
        for n, factor in enumerate(factors):
            number = user_id(db, factor)
            (sealed,), = db.execute("SELECT sealed FROM factor WHERE user = ?", (number,))
            if n < len(sealed):
                sealed = sealed[:n] + bytes([sealed[n] ^ 1 << n % 8]) + sealed[n + 1:]
            else:
                n -= len(sealed)
                sealed = [sealed[:-1], sealed + b"\0", sealed[1:], sealed[:41], sealed[:40], sealed[:1],
                          bytes(len(sealed)), sealed[:1] + sealed][n % 8]
            db.execute("UPDATE factor SET sealed = ? WHERE user = ?", (sealed, number))
    for factor in factors:
        assert is_damaged(daemon, factor), factor.user
    assert answers(daemon, well) == ["WRONG_CODE", "LOGIN_REQUIREMENT_CODE", "ACCEPTED"]


@pytest.mark.parametrize("change", ["generation = generation + 1", "key_id = key_id + 1",
                                    "sealed = x''", "sealed = zeroblob(200)"])
def test_a_secret_is_bound_to_what_stands_beside_it(daemon, tampered, change):
    tenant = daemon.tenant()
    ann, bob = daemon.enrol(tenant, "ann"), daemon.enrol(tenant, "bob")
    with tampered() as db:
        db.execute("UPDATE factor SET %s WHERE user = ?" % change, (user_id(db, ann),))
    assert is_damaged(daemon, ann)
    assert answers(daemon, bob) == ["WRONG_CODE", "LOGIN_REQUIREMENT_CODE", "ACCEPTED"]


def test_a_pending_secret_is_bound_too(daemon, tampered):
    tenant = daemon.tenant()
    ann, bob = daemon.api.pending(tenant, "ann"), daemon.api.pending(tenant, "bob")
    with tampered() as db:
        a, b = user_id(db, ann), user_id(db, bob)
        rows = [db.execute("SELECT sealed FROM pending WHERE user = ?", (i,)).fetchone()[0] for i in (a, b)]
        db.execute("UPDATE pending SET sealed = ? WHERE user = ?", (rows[1], a))
    assert is_damaged(daemon, ann, enrollment_id=ann.enrollment_id)
    assert daemon.api.login(tenant, "ann").requirement == pb.LOGIN_REQUIREMENT_ENROLL
    assert daemon.api.outcome(tenant, "bob", bob.code_at(daemon.now),
                              enrollment_id=bob.enrollment_id) == "ACCEPTED"


def test_a_data_key_of_another_tenant_opens_nothing(daemon, tampered):
    one, other, third = daemon.tenant(), daemon.tenant(), daemon.tenant()
    ann, bob, well = daemon.enrol(one, "u"), daemon.enrol(other, "u"), daemon.enrol(third, "u")
    with tampered() as db:
        ids = [db.execute("SELECT id FROM tenant WHERE name = ?", (t.encode(),)).fetchone()[0]
               for t in (one, other)]
        keys = [db.execute("SELECT sealed FROM data_key WHERE tenant = ?", (i,)).fetchone()[0] for i in ids]
        for i, key in zip(ids, reversed(keys)):
            db.execute("UPDATE data_key SET sealed = ? WHERE tenant = ?", (key, i))
    for factor in (ann, bob):
        for code in (factor.code_at(daemon.now), factor.wrong_at(daemon.now)):
            with refused(INTERNAL):
                daemon.api.verify(factor.tenant, factor.user, code)
        with refused(INTERNAL):
            daemon.api.enroll(factor.tenant, "new")
    assert answers(daemon, well) == ["WRONG_CODE", "LOGIN_REQUIREMENT_CODE", "ACCEPTED"]


def test_without_its_data_key_a_tenant_is_closed_and_others_are_open(daemon, tampered):
    one, other = daemon.tenant(), daemon.tenant()
    ann, bob = daemon.enrol(one, "u"), daemon.enrol(other, "u")
    with tampered() as db:
        db.execute("DELETE FROM data_key WHERE tenant = (SELECT id FROM tenant WHERE name = ?)",
                   (one.encode(),))
    assert is_damaged(daemon, ann)
    assert answers(daemon, bob) == ["WRONG_CODE", "LOGIN_REQUIREMENT_CODE", "ACCEPTED"]


def keys_of(path):
    with open(path) as f:
        return [line.split()[2] for line in f if line.startswith("key ")]


def test_a_keyring_that_lost_the_key_of_some_tenants_closes_those(daemon):
    """One tenant's data key is sealed by the first key, the other's by the second, which goes."""
    ann = daemon.enrol(daemon.tenant(), "ann")
    daemon.stop()
    (first,), second = keys_of(daemon.keyring), "5" * 64
    write_private(daemon.keyring, "key 1 %s\nkey 2 %s active\n" % (first, second))
    daemon.start()
    bob = daemon.enrol(daemon.tenant(), "bob")
    daemon.advance(30)
    assert answers(daemon, ann)[-1] == answers(daemon, bob)[-1] == "ACCEPTED"
    daemon.stop()
    daemon.expected.add("call_failed")
    for lost in ("key 1 %s active\n" % first, "key 1 %s active\nkey 2 %s\n" % (first, "6" * 64)):
        write_private(daemon.keyring, lost)
        daemon.start()
        daemon.advance(30)
        assert answers(daemon, ann)[-1] == "ACCEPTED"
        assert answers(daemon, bob) == [INTERNAL, "LOGIN_REQUIREMENT_CODE", INTERNAL]
        with refused(INTERNAL):
            daemon.api.enroll(bob.tenant, "new")
        daemon.stop()
    write_private(daemon.keyring, "key 1 %s active\nkey 2 %s\n" % (first, second))
    daemon.start()
    daemon.advance(30)
    assert answers(daemon, bob)[-1] == "ACCEPTED"


def test_a_keyring_that_lost_the_services_own_key_starts_nothing(daemon):
    daemon.enrol(daemon.tenant(), "ann")
    daemon.stop()
    write_private(daemon.keyring, "key 2 %s active\n" % ("5" * 64))
    assert daemon.spawn().wait(PATIENCE) == 78
    daemon.expected.add("start_failed")
    assert any("no key 1" in e.get("detail", "") for e in daemon.log())


@pytest.mark.parametrize("change", ["UPDATE policy SET digits = 300", "UPDATE policy SET period = -1",
                                    "UPDATE policy SET window_steps = 200",
                                    "UPDATE factor SET digits = 0", "UPDATE factor SET algorithm = 9",
                                    "UPDATE factor SET period = 0", "UPDATE factor SET enrollment = x'00'",
                                    "UPDATE sign_in SET failures = -1"])
def test_values_that_make_no_sense_let_nobody_in(daemon, tampered, change):
    """Whatever else is answered."""
    ann = daemon.enrol(daemon.tenant(), "ann")
    try:
        with tampered() as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            db.execute(change)
    except AssertionError:  # it does not even start
        daemon.process = None
        daemon.expected.add("start_failed")
        return
    for answer in answers(daemon, ann):
        assert answer in (INTERNAL, "WRONG_CODE", "LOGIN_REQUIREMENT_CODE", grpc.StatusCode.INVALID_ARGUMENT)


# ---- faults on demand --------------------------------------------------------------------------------------

FIELDS = ("write_errno", "sync_errno", "read_errno", "allocations_left", "refuse_all", "refused")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("shim") / "faults.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", out,
                    os.path.join(os.path.dirname(__file__), "faults.c"), "-ldl"], check=True)
    return out


class Faults:
    """The page that faults.c reads."""

    def __init__(self, path):
        with open(path, "wb") as f:
            f.write(bytes(4 * len(FIELDS)))
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4 * len(FIELDS))
        self.values = (ctypes.c_int32 * len(FIELDS)).from_buffer(self.page)
        self.set()

    def set(self, **faults):
        for i, name in enumerate(FIELDS):
            self.values[i] = faults.get(name, -1 if name == "allocations_left" else 0)

    def refused(self):
        return self.values[FIELDS.index("refused")]


@pytest.fixture
def fragile(make_daemon, shim, tmp_path):
    """A daemon whose files and memory fail when .faults says so."""
    daemon = make_daemon(start=False, env={"LD_PRELOAD": shim, **watching.SETTINGS,
                                           "TWOSTEP_TEST_FAULTS": str(tmp_path / "faults")})
    daemon.faults = Faults(str(tmp_path / "faults"))
    daemon.expected |= {"call_failed", "store_failed"}
    return daemon.start()


def health(daemon):
    return health_pb2_grpc.HealthStub(daemon.api.channel).Check(
        health_pb2.HealthCheckRequest(), timeout=PATIENCE).status


@pytest.mark.unsanitized
@pytest.mark.parametrize("faults", [
    dict(sync_errno=errno.EIO), dict(sync_errno=errno.ENOSPC), dict(write_errno=errno.EIO),
    dict(write_errno=errno.ENOSPC), dict(write_errno=errno.EDQUOT),
    dict(write_errno=errno.EIO, sync_errno=errno.EIO, read_errno=errno.EIO)],
    ids=["sync fails", "no room at sync", "write fails", "disk full", "quota", "disk gone"])
def test_a_failing_disk_lets_nobody_in_and_is_got_over(fragile, faults):
    tenant, off = fragile.tenant(), fresh()
    ann, bob = fragile.enrol(tenant, "ann"), fragile.enrol(tenant, "bob")
    fragile.advance(30)
    assert fragile.api.outcome(tenant, "bob", bob.code_at(fragile.now)) == "ACCEPTED"
    request = dict(request_id="12345678-1234-4123-8123-123456789abc")
    fragile.faults.set(**faults)
    for _ in range(3):
        for user, code in (("ann", ann.code_at(fragile.now)), ("ann", ann.wrong_at(fragile.now)),
                           ("bob", bob.code_at(fragile.now))):
            with refused(UNAVAILABLE, "STORE_UNAVAILABLE") as held:
                fragile.api.verify(tenant, user, code, **request)
            assert held.problem.retry > 0
        with refused(UNAVAILABLE):
            fragile.api.set_policy(off, enabled=False)
        with refused(UNAVAILABLE):
            fragile.api.verify(off, "ann", "000000")  # not even NOT_REQUIRED
        with refused(UNAVAILABLE):
            fragile.api.enroll(tenant, "new")
        assert health(fragile) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert watching.ask(fragile, "/healthz")[0] == 503
    page = watching.sample(fragile)
    assert page.total("twostep_store_works") == 0 == page.total("twostep_serving")
    assert page.total("twostep_store_errors_total", error="unavailable") >= 18
    assert page.total("twostep_store_breaks_total") == 1
    assert page.total("twostep_store_failures_total") >= 18
    fragile.faults.set()
    wait_until(lambda: health(fragile) == health_pb2.HealthCheckResponse.SERVING, "it works again")
    assert fragile.api.outcome(tenant, "bob", bob.code_at(fragile.now)) == "REPLAYED_CODE"
    assert fragile.api.outcome(tenant, "ann", ann.code_at(fragile.now), **request) == "ACCEPTED"
    assert fragile.api.get_policy(off).revision == 0
    fragile.restart(hard=True)
    assert fragile.api.outcome(tenant, "ann", ann.code_at(fragile.now)) == "REPLAYED_CODE"
    assert fragile.copy_db().execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.unsanitized
def test_who_watches_sees_the_disk_fail_and_come_back(fragile):
    """Told at once by the store itself, without anybody asking."""
    tenant = fragile.tenant()
    stub = health_pb2_grpc.HealthStub(fragile.api.channel)
    watches = [stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE)
               for name in ("", "twostep.v1.TwoStepService", "", "nothing")]
    status = health_pb2.HealthCheckResponse
    assert [next(w).status for w in watches] == [status.SERVING] * 3 + [status.SERVICE_UNKNOWN]
    for _ in range(2):
        fragile.faults.set(sync_errno=errno.EIO)
        with refused(UNAVAILABLE):
            fragile.api.set_policy(tenant, enabled=False)
        assert [next(w).status for w in watches[:3]] == [status.NOT_SERVING] * 3
        fragile.faults.set()
        assert [next(w).status for w in watches[:3]] == [status.SERVING] * 3
    fragile.process.send_signal(signal.SIGTERM)
    assert [next(w).status for w in watches[:3]] == [status.NOT_SERVING] * 3
    for w in watches:  # the service that is unknown was never told of again
        with refused(UNAVAILABLE, "SERVER_STOPPING"):
            next(w)
    fragile.hang_up()
    assert fragile._end() == 0


@pytest.mark.unsanitized
@pytest.mark.parametrize("refuse_all", [0, 1], ids=["one", "all"])
def test_refused_memory_lets_nobody_in(fragile, refuse_all):
    """The n-th allocation of a sign-in fails, for every n. The process may end, as it does when
    memory is out; a wrong code is never accepted, and what was accepted is kept."""
    tenant = fragile.tenant()
    ann = fragile.enrol(tenant, "ann")
    accepted, n, reached = T0 // STEP, 0, True
    while reached:
        fragile.advance(7200)
        for code, good in ((ann.wrong_at(fragile.now), False), (ann.code_at(fragile.now), True)):
            fragile.faults.set(allocations_left=n, refuse_all=refuse_all)
            outcome = None
            with contextlib.suppress(grpc.RpcError):
                outcome = fragile.api.outcome(tenant, "ann", code)
            reached = fragile.faults.refused() > 0
            fragile.faults.set()
            assert outcome in (None, "WRONG_CODE", "LOCKED") or (good and outcome == "ACCEPTED"), n
            if outcome == "ACCEPTED":
                accepted = fragile.now // STEP
            if has_ended(fragile):
                fragile.process = None
                fragile.start()
                fragile.api.login(tenant, "ann")  # connected before the next fault
        n += 1 + n // 8
        assert n < 20_000
        assert fragile.api.outcome(tenant, "ann", ann.code_of(accepted)) in (
            "REPLAYED_CODE", "WRONG_CODE", "LOCKED")
    assert n > 10


def has_ended(daemon):
    """Did the process end by itself? Its last words may still be under way."""
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        if daemon.process.poll() is not None:
            return True
        time.sleep(0.002)
    return False


# ---- a disk that is full -----------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(place)],
                       stderr=subprocess.PIPE, text=True)
    if r.returncode != 0:
        pytest.skip("cannot mount a small disk: " + r.stderr.strip())
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_lets_nobody_in_and_is_got_over_without_a_restart(small_disk, make_daemon):
    daemon = make_daemon(start=False)
    daemon.expected |= {"call_failed", "store_failed"}
    db = small_disk / "twostep.db"
    daemon.db = str(db)
    daemon.env["TWOSTEP_STORE"] = "sqlite:" + str(db)
    daemon.start()
    tenant = daemon.tenant()
    factors = [daemon.enrol(tenant, "u%d" % n) for n in range(3)]
    accepted = {}
    filler = small_disk / "filler"
    for number in range(3):
        with contextlib.suppress(OSError):
            with open(filler, "wb", buffering=0) as f:
                while True:
                    f.write(bytes(4096))
        failed = False
        while not failed:  # what was reserved is used up first
            daemon.advance(30)
            for factor in factors:
                try:
                    outcome = daemon.api.outcome(tenant, factor.user, factor.code_at(daemon.now))
                    assert outcome == "ACCEPTED"
                    accepted[factor.user] = daemon.now // STEP
                except grpc.RpcError as e:
                    assert e.code() == UNAVAILABLE
                    failed = True
        daemon.api.login(tenant, factors[0].user)  # reads, and commits
        assert health(daemon) == health_pb2.HealthCheckResponse.NOT_SERVING
        for _ in range(3):
            for factor in factors:
                for code in (factor.code_at(daemon.now), factor.wrong_at(daemon.now)):
                    with contextlib.suppress(grpc.RpcError):
                        assert daemon.api.outcome(tenant, factor.user, code) in (
                            "REPLAYED_CODE", "WRONG_CODE", "LOCKED")
        assert shutil.disk_usage(small_disk).free < 8192
        os.remove(filler)
        wait_until(lambda: health(daemon) == health_pb2.HealthCheckResponse.SERVING,
                   "the store is found to work again")
        daemon.advance(7200)
        for factor in factors:
            if factor.user in accepted:
                assert daemon.api.outcome(tenant, factor.user, factor.code_of(accepted[factor.user])) in (
                    "REPLAYED_CODE", "WRONG_CODE")
            assert daemon.api.outcome(tenant, factor.user, factor.code_at(daemon.now)) == "ACCEPTED"
    assert daemon.copy_db().execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert daemon.stop() == 0
