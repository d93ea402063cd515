# SPDX-License-Identifier: ISC
"""Goal: a user with a new phone gets a mail with a link, scans a new QR code and is in; and what
goes wrong with mail hurts nobody else."""
import collections
import os
import subprocess
import time
import uuid

import pytest

import grpc
from twostep.v1 import twostep_pb2 as pb

import postbox
from kit import PATIENCE, SERVICE, Daemon, Factor, fresh, refused, wait_until, write_private

LINK = "https://crm.example/reset?token={token}&from=mail"
MAIL = dict(reset_link=LINK, mail_from="crm@crm.example", mail_from_name="Café & Söhne")
HOUR = 3600


@pytest.fixture
def sink():
    server = postbox.Sink()
    yield server
    server.stop()


@pytest.fixture
def make_daemon(tmp_path):
    made = []

    def make(env):
        made.append(Daemon(tmp_path / ("d%d" % len(made)), env=env).start())
        made[-1].expected.add("mail_server_down")  # the servers of tests come and go
        return made[-1]
    yield make
    for daemon in made:
        if daemon.process is not None:
            assert daemon.stop() == 0
            daemon.check_log()


@pytest.fixture
def daemon(make_daemon, sink):
    return make_daemon(sink.settings())


def reset(daemon, tenant, user="ann", address="ann@mail.example", **more):
    return daemon.api.call("ResetRequest", pb.ResetRequestRequest(
        tenant_id=tenant, user_id=user, channel=pb.CHANNEL_WEB, password_verified=True,
        mail_address=address, **more))


def confirm(daemon, tenant, token, user="ann", **more):
    return daemon.api.call("ResetConfirm", pb.ResetConfirmRequest(
        tenant_id=tenant, user_id=user, channel=pb.CHANNEL_WEB, password_verified=True, token=token,
        **more))


def state(daemon, tenant, reset_id):
    answer = daemon.api.call("GetReset", pb.GetResetRequest(tenant_id=tenant, reset_id=reset_id))
    return pb.ResetState.Name(answer.state)[12:]


def becomes(daemon, tenant, reset_id, wanted):
    wait_until(lambda: state(daemon, tenant, reset_id) == wanted, "the reset is " + wanted)


# ---- the whole story, with a real mail server ----------------------------------------------------

@pytest.fixture
def mailpit(tmp_path):
    if not os.path.exists(postbox.MAILPIT):
        pytest.skip("mailpit could not be built here")
    (tmp_path / "pit").mkdir()
    server = postbox.Mailpit(tmp_path / "pit")
    yield server
    server.stop()


def test_a_new_phone_from_the_mail_to_the_code(make_daemon, mailpit, tmp_path):
    password_file = str(tmp_path / "password")
    write_private(password_file, postbox.PASSWORD + "\n")
    daemon = make_daemon(mailpit.settings(password_file))
    tenant = daemon.tenant(**MAIL)
    old = daemon.enrol(tenant, "ann")
    assert daemon.api.login(tenant, "ann").reset_by_mail_available

    asked = reset(daemon, tenant, locale="nl")
    assert pb.ResetState.Name(asked.state) == "RESET_STATE_QUEUED"
    becomes(daemon, tenant, asked.reset_id, "SENT")
    letter, = mailpit.letters()
    assert letter.message["to"] == "ann@mail.example"
    assert letter.message["from"].addresses[0].display_name == "Café & Söhne"
    assert letter.message["auto-submitted"] == "auto-generated"
    assert letter.message["content-language"] == "nl"

    fresh_one = confirm(daemon, tenant, letter.token, qr_format=pb.QR_FORMAT_PNG,
                        notify_address="ann@mail.example", locale="de")
    png = tmp_path / "qr.png"
    png.write_bytes(fresh_one.qr_png)
    uri = subprocess.run(["zbarimg", "-q", "--raw", str(png)], check=True, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    assert uri == fresh_one.otpauth_uri
    daemon.advance(60)
    assert daemon.api.outcome(tenant, "ann", old.code_at(daemon.now)) == "ACCEPTED"
    code = subprocess.run(["oathtool", "--totp", "-b", fresh_one.secret_base32,
                           "-N", "@%d" % (daemon.now // 1000)], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()
    assert daemon.api.outcome(tenant, "ann", code,
                              enrollment_id=fresh_one.enrollment_id) == "ACCEPTED"

    daemon.advance(60)
    answer = daemon.api.verify(tenant, "ann", old.code_at(daemon.now))
    assert pb.VerifyOutcome.Name(answer.outcome) == "VERIFY_OUTCOME_SUPERSEDED_SECRET"
    assert answer.enrollment_id == fresh_one.enrollment_id
    notice = wait_until(lambda: mailpit.letters()[1:], "a notice")[0]
    assert notice.message["content-language"] == "de" and "http" not in notice.text
    assert state(daemon, tenant, asked.reset_id) == "CONFIRMED"
    assert postbox.PASSWORD.encode() not in left_behind(daemon)


# ---- tokens -----------------------------------------------------------------------------------------

def test_of_64_confirmations_at_once_one_gets_a_secret(daemon, sink):
    tenant = daemon.tenant(**MAIL)
    daemon.enrol(tenant, "ann")
    reset(daemon, tenant)
    letter, = sink.wait_for(1)
    request = pb.ResetConfirmRequest(
        tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB, password_verified=True,
        token=letter.token, qr_format=pb.QR_FORMAT_NONE)
    calls = [daemon.channel().unary_unary(SERVICE + "ResetConfirm") for _ in range(8)]
    message = request.SerializeToString()
    futures = [c.future(message, timeout=PATIENCE) for _ in range(8) for c in calls]
    got = collections.Counter(f.code() for f in futures)
    assert got == {grpc.StatusCode.OK: 1, grpc.StatusCode.NOT_FOUND: 63}


def test_every_token_that_is_not_good_gets_the_same_answer(daemon, sink):
    tenant, other = daemon.tenant(**MAIL), daemon.tenant(**MAIL)
    for t, user in ((tenant, "ann"), (tenant, "bob"), (other, "ann")):
        daemon.enrol(t, user)
    reset(daemon, tenant)
    token = sink.wait_for(1)[0].token
    seen = set()
    for t, user, word in [(tenant, "bob", token), (other, "ann", token), (tenant, "ann", token[:-1]),
                          (tenant, "ann", token + "A"), (tenant, "ann", token.swapcase()),
                          (tenant, "ann", "x"), (tenant, "nobody", token)]:
        with refused(grpc.StatusCode.NOT_FOUND, "RESET_NOT_FOUND") as held:
            confirm(daemon, t, word, user)
        seen.add(held.problem.message)
    daemon.advance(HOUR)
    with refused(grpc.StatusCode.NOT_FOUND, "RESET_NOT_FOUND") as held:
        confirm(daemon, tenant, token)
    assert seen == {held.problem.message}


def test_a_reset_of_another_tenant_is_unknown(daemon):
    tenant, other = daemon.tenant(**MAIL), daemon.tenant(**MAIL)
    asked = reset(daemon, tenant)
    for t, reset_id in ((other, asked.reset_id), (tenant, "0" * 32), (tenant, "nonsense")):
        with refused(grpc.StatusCode.NOT_FOUND, "RESET_NOT_FOUND"):
            state(daemon, t, reset_id)


# ---- what the API promises ---------------------------------------------------------------------------

def test_without_a_mail_server_there_is_no_reset(make_daemon):
    daemon = make_daemon({})
    tenant = daemon.tenant(**MAIL)
    daemon.enrol(tenant, "ann")
    assert not daemon.api.login(tenant, "ann").reset_by_mail_available
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MAIL_NOT_CONFIGURED"):
        reset(daemon, tenant)


@pytest.mark.parametrize("address", ["", "ann", "ann@", "a@b@c", "ann@mail.example>\r\nRCPT TO:<x@y>",
                                     "a b@c.example", "<ann@mail.example>", "jürgen@mail.example",
                                     "ann@mail.example,bob@mail.example", "ann@" + "a" * 260])
def test_addresses_that_are_none_are_refused(daemon, address):
    tenant = daemon.tenant(**MAIL)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, fields=["mail_address"]):
        reset(daemon, tenant, address=address)
    assert daemon.rows()["outbox"] == 0


def test_limits_hold_to_the_mail(make_daemon, sink):
    daemon = make_daemon(dict(sink.settings(), TWOSTEP_RESET_LIMIT_USER="3",
                              TWOSTEP_RESET_LIMIT_ADDRESS="4", TWOSTEP_RESET_LIMIT_TENANT="6"))
    tenant = daemon.tenant(**MAIL)
    calls = [daemon.channel().unary_unary(SERVICE + "ResetRequest") for _ in range(4)]
    message = pb.ResetRequestRequest(
        tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB, password_verified=True,
        mail_address="ann@mail.example").SerializeToString()
    futures = [c.future(message, timeout=PATIENCE) for _ in range(8) for c in calls]
    got = collections.Counter(f.code() for f in futures)
    assert got == {grpc.StatusCode.OK: 3, grpc.StatusCode.RESOURCE_EXHAUSTED: 29}
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "USER_LIMIT") as held:
        reset(daemon, tenant)
    assert 0 < held.problem.retry <= HOUR
    reset(daemon, tenant, "bob")
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "ADDRESS_LIMIT"):
        reset(daemon, tenant, "cid")
    reset(daemon, tenant, "dan", "dan@mail.example")
    reset(daemon, tenant, "eve", "eve@mail.example")
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "TENANT_LIMIT"):
        reset(daemon, tenant, "fay", "fay@mail.example")
    assert len(sink.wait_for(6)) == 6
    daemon.advance(HOUR)
    reset(daemon, tenant)
    assert len(sink.wait_for(7)) == 7


def test_the_same_request_mails_once(daemon, sink):
    tenant, request_id = daemon.tenant(**MAIL), str(uuid.uuid4())
    first = reset(daemon, tenant, request_id=request_id)
    becomes(daemon, tenant, first.reset_id, "SENT")
    daemon.restart(hard=True)
    again = reset(daemon, tenant, request_id=request_id)
    assert again.reset_id == first.reset_id
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", ["request_id"]):
        reset(daemon, tenant, address="eve@mail.example", request_id=request_id)
    second = reset(daemon, tenant)  # a mail more shows that none was on its way before it
    becomes(daemon, tenant, second.reset_id, "SENT")
    assert len(sink.letters()) == 2


def test_a_reset_unlocks_nobody(daemon, sink):
    tenant = daemon.tenant(**MAIL)
    ann = daemon.enrol(tenant, "ann")
    for _ in range(5):
        assert daemon.api.outcome(tenant, "ann", ann.wrong_at(daemon.now)) == "WRONG_CODE"
    reset(daemon, tenant)
    answer = confirm(daemon, tenant, sink.wait_for(1)[0].token)
    new = Factor(tenant, "ann", answer)
    assert daemon.api.outcome(tenant, "ann", new.code_at(daemon.now),
                              enrollment_id=answer.enrollment_id) == "LOCKED"


# ---- mail that does not go ---------------------------------------------------------------------------

def test_a_mail_that_fails_kills_no_older_link(make_daemon):
    sink = postbox.Sink(script=lambda n: "550 5.7.1 not today" if n == 1 else None)
    try:
        daemon = make_daemon(sink.settings())
        tenant = daemon.tenant(**MAIL)
        first = reset(daemon, tenant)
        becomes(daemon, tenant, first.reset_id, "SENT")
        second = reset(daemon, tenant)
        becomes(daemon, tenant, second.reset_id, "FAILED")
        answer = daemon.api.call("GetReset", pb.GetResetRequest(tenant_id=tenant,
                                                                reset_id=second.reset_id))
        assert "550" in answer.last_error and "@" not in answer.last_error
        assert state(daemon, tenant, first.reset_id) == "SENT"
        third = reset(daemon, tenant)
        becomes(daemon, tenant, third.reset_id, "SENT")
        assert state(daemon, tenant, first.reset_id) == "REPLACED"
        tokens = [letter.token for letter in sink.letters()]
        with refused(grpc.StatusCode.NOT_FOUND):
            confirm(daemon, tenant, tokens[0])
        confirm(daemon, tenant, tokens[1])
    finally:
        sink.stop()


def test_a_deferred_mail_comes_when_it_can(make_daemon):
    sink = postbox.Sink(script=lambda n: "451 4.7.1 later" if n < 2 else None)
    try:
        daemon = make_daemon(sink.settings())
        tenant = daemon.tenant(**MAIL)
        asked = reset(daemon, tenant)
        for tries in (1, 2):
            wait_until(lambda: sink.seen >= tries, "a try")
            becomes(daemon, tenant, asked.reset_id, "DEFERRED")
            daemon.advance(10)  # more than the longest wait after the second try
        letter, = sink.wait_for(1)
        becomes(daemon, tenant, asked.reset_id, "SENT")
        confirm(daemon, tenant, letter.token)
    finally:
        sink.stop()


def test_a_mail_server_that_is_dead_slows_nobody(make_daemon):
    """A mute mail server and many waiting mails, against none of both, in one run and in turns."""
    mute = postbox.Mute()
    try:
        busy = make_daemon(dict(mute.settings(), TWOSTEP_RESET_LIMIT_TENANT="1000000"))
        idle = make_daemon({})
        tenants = {d: d.tenant(**MAIL) for d in (busy, idle)}
        factors = {d: d.enrol(tenants[d], "ann") for d in (busy, idle)}
        call = busy.api.stub.ResetRequest
        futures = [call.future(pb.ResetRequestRequest(
            tenant_id=tenants[busy], user_id="u%d" % n, channel=pb.CHANNEL_WEB,
            password_verified=True, mail_address="u%d@mail.example" % n), timeout=PATIENCE)
            for n in range(2000)]
        for f in futures:
            assert f.result().state == pb.RESET_STATE_QUEUED
        spent = {busy: [], idle: []}
        for _ in range(200):
            for d in (busy, idle):
                d.advance(30)
                code = factors[d].code_at(d.now)
                start = time.perf_counter()
                assert d.api.outcome(tenants[d], "ann", code) == "ACCEPTED"
                spent[d].append(time.perf_counter() - start)
        # Not a measurement of speed: a mail server in the way would cost seconds.
        assert max(spent[busy]) < 1 + max(spent[idle])
    finally:
        mute.stop()


# ---- crashes ------------------------------------------------------------------------------------------

def test_kill_9_between_request_and_mail_loses_none(make_daemon, sink):
    """Whatever was answered QUEUED is mailed once or, after a crash, perhaps twice: with the same
    Message-ID and the same token."""
    daemon = make_daemon(dict(sink.settings(), TWOSTEP_RESET_LIMIT_USER="1000",
                              TWOSTEP_RESET_LIMIT_ADDRESS="1000"))
    daemon.expected.add("call_failed")
    tenant, asked, crashes = daemon.tenant(**MAIL), {}, 0
    for number in range(25):
        user, before = fresh("u"), sink.seen
        future = daemon.api.stub.ResetRequest.future(pb.ResetRequestRequest(
            tenant_id=tenant, user_id=user, channel=pb.CHANNEL_WEB, password_verified=True,
            mail_address=user + "@mail.example"), timeout=PATIENCE)
        if number % 5 != 4:
            asked[user] = future.result().reset_id
        if number % 3 == 0:
            wait_until(lambda: sink.seen > before, "mail goes out")
        daemon.restart(hard=True)
        crashes += 1
    daemon.advance(301)  # leases of the dead have ended
    for user, reset_id in asked.items():
        becomes(daemon, tenant, reset_id, "SENT")
    letters = collections.defaultdict(list)
    for recipients, content in list(sink.taken):
        letters[recipients[0]].append(postbox.Letter(content))
    for user in asked:
        mine = letters[user + "@mail.example"]
        assert mine and len({m.id for m in mine}) == 1 and len({m.token for m in mine}) == 1
    assert sum(len(m) for m in letters.values()) <= len(letters) + crashes
    for user in asked:
        confirm(daemon, tenant, letters[user + "@mail.example"][0].token, user)


# ---- secrets ------------------------------------------------------------------------------------------

def left_behind(daemon):
    """Everything that others could look at: files, log, environment, command line."""
    paths = [daemon.db, daemon.db + "-wal", daemon.log_path]
    paths += ["/proc/%d/%s" % (daemon.process.pid, name) for name in ("environ", "cmdline")]
    return b"".join(open(p, "rb").read() for p in paths if os.path.exists(p))


def test_tokens_are_nowhere_but_in_the_mail(make_daemon):
    held = postbox.Sink(script=lambda n: "451 4.7.1 later" if n < 3 else None)
    try:
        daemon = make_daemon(dict(held.settings(), TWOSTEP_LOG_LEVEL="debug"))
        tenant = daemon.tenant(**MAIL)
        asked = reset(daemon, tenant)
        left = []
        for tries in (1, 2, 3):
            wait_until(lambda: held.seen >= tries, "a try")
            becomes(daemon, tenant, asked.reset_id, "DEFERRED")
            left.append(left_behind(daemon))
            daemon.advance(25)  # more than the longest wait after the third try
        letter, = held.wait_for(1)
        confirm(daemon, tenant, letter.token)
        left.append(left_behind(daemon))
        assert all(letter.token.encode() not in place for place in left)
        assert b"ann@mail.example" not in daemon.text().encode()
    finally:
        held.stop()
