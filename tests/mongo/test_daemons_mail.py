# SPDX-License-Identifier: ISC
"""Goal: several twostepd share one outbox: a mail is sent once, whoever queued it, and is not lost
with the daemon that was about to send it; and a mailed link works once, wherever it is brought."""
import asyncio
import collections
import threading

import grpc
import pytest

import postbox
from kit import PATIENCE, Factor, Problem, pb, wait_until
from trio import at_once

LEASE = 300  # seconds
MAIL = dict(reset_link="https://crm.example/reset?token={token}", mail_from="crm@crm.example")
ROOMY = {"TWOSTEP_RESET_LIMIT_TENANT": "100000"}


class Holding(postbox.Sink):
    """Takes the first letter and never says so."""

    def __init__(self):
        self.held = threading.Event()
        super().__init__()

    async def handle_DATA(self, server, session, envelope):
        if not self.held.is_set():
            self.first = postbox.Letter(envelope.original_content or envelope.content)
            self.held.set()
            await asyncio.Event().wait()
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def sink():
    server = postbox.Sink()
    yield server
    server.stop()


@pytest.fixture
def holding():
    server = Holding()
    yield server
    server.stop()


def reset_of(tenant, user):
    return pb.ResetRequestRequest(tenant_id=tenant, user_id=user, channel=pb.CHANNEL_WEB,
                                  password_verified=True, mail_address=user + "@mail.example")


def state(api, tenant, reset_id):
    return api.call("GetReset", pb.GetResetRequest(tenant_id=tenant, reset_id=reset_id))


def becomes(member, tenant, reset_id, wanted):
    wait_until(lambda: state(member.api, tenant, reset_id).state == wanted, "another state of a reset")


def letters_to(sink):
    """{address: its letters}"""
    found = collections.defaultdict(list)
    for (recipient,), content in list(sink.taken):
        found[recipient].append(postbox.Letter(content))
    return found


def test_mails_queued_everywhere_are_sent_once(make_trio, sink):
    three = make_trio(dict(sink.settings(), **ROOMY))
    tenants = [three.tenant(**MAIL) for _ in range(3)]
    requests = [reset_of(tenants[n % 3], "user%d" % n) for n in range(45)]
    futures = [three.next().api.stub.ResetRequest.future(r, timeout=PATIENCE) for r in requests]
    asked = [(r.tenant_id, f.result().reset_id) for r, f in zip(requests, futures)]
    for tenant, reset_id in asked:
        becomes(three.next(), tenant, reset_id, pb.RESET_STATE_SENT)
        answers = [state(api, tenant, reset_id) for api in three.apis]
        assert all(answer == answers[0] for answer in answers)
    three.stop()  # whoever still had one has let go of it
    letters = letters_to(sink)
    assert {a: len(found) for a, found in letters.items()} == \
        {"user%d@mail.example" % n: 1 for n in range(45)}
    assert len({found[0].id for found in letters.values()}) == 45


def test_of_64_confirmations_of_a_link_one_gets_a_secret(make_trio, sink):
    three = make_trio(sink.settings())
    tenant = three.tenant(**MAIL)
    for n in range(5):
        ann = three.enrol(tenant, "ann%d" % n)
        asked = three.next().api.call("ResetRequest", reset_of(tenant, ann.user))
        letter = sink.wait_for(n + 1)[n]
        becomes(three.next(), tenant, asked.reset_id, pb.RESET_STATE_SENT)
        request = pb.ResetConfirmRequest(tenant_id=tenant, user_id=ann.user, channel=pb.CHANNEL_WEB,
                                         password_verified=True, token=letter.token,
                                         qr_format=pb.QR_FORMAT_NONE)
        futures = at_once((22 * three.apis)[:64], request, "ResetConfirm")
        problems = [Problem(f.exception()) for f in futures if f.exception()]
        assert [(p.code, p.reason) for p in problems] == 63 * [(grpc.StatusCode.NOT_FOUND, "RESET_NOT_FOUND")]
        made, = [Factor(tenant, ann.user, f.result()) for f in futures if not f.exception()]
        for api in three.apis:
            assert state(api, tenant, asked.reset_id).state == pb.RESET_STATE_CONFIRMED
        three.advance(30)
        assert three.next().api.outcome(tenant, ann.user, ann.code_at(three.now)) == "ACCEPTED"
        assert three.next().api.outcome(tenant, ann.user, made.code_at(three.now),
                                        enrollment_id=made.enrollment_id) == "ACCEPTED"


def test_the_mail_of_a_killed_daemon_is_sent_by_another(make_trio, holding):
    """Not while the dead one could still be sending it, and then it is the same mail."""
    three = make_trio(holding.settings(), start=False)
    first, *others = three.members
    first.start()
    tenant = first.tenant(**MAIL)
    first.enrol(tenant, "ann")
    asked = first.api.call("ResetRequest", reset_of(tenant, "ann"))
    assert holding.held.wait(PATIENCE)
    for member in others:
        member.start()
    first.kill()
    three.advance(LEASE - 1)
    for n, member in enumerate(others):  # whoever looked for mail has passed over that one
        more = member.api.call("ResetRequest", reset_of(tenant, "user%d" % n))
        becomes(member, tenant, more.reset_id, pb.RESET_STATE_SENT)
    assert set(letters_to(holding)) == {"user0@mail.example", "user1@mail.example"}
    for member in others:
        assert state(member.api, tenant, asked.reset_id).state == pb.RESET_STATE_QUEUED
    three.advance(1)
    becomes(others[0], tenant, asked.reset_id, pb.RESET_STATE_SENT)
    letter, = letters_to(holding)["ann@mail.example"]
    assert (letter.id, letter.token) == (holding.first.id, holding.first.token)
    others[1].api.call("ResetConfirm", pb.ResetConfirmRequest(
        tenant_id=tenant, user_id="ann", channel=pb.CHANNEL_WEB, password_verified=True, token=letter.token))
    first.start()
    for member in three.members:
        assert state(member.api, tenant, asked.reset_id).state == pb.RESET_STATE_CONFIRMED
