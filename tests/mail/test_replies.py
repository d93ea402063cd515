# SPDX-License-Identifier: ISC
"""Goal: whatever a mail server does at whatever stage, no mail is lost, none is tried in a hurry,
and what is the mail's own fault is kept apart from what is the server's."""
import time

import pytest

from kit import wait_until
from smtpd import CLOSE, HANG, Server, elapsed

QUICK = ("plaintext", "timeout_ms=1000")


def at(stage, answer, n=0):
    """Answers so when the stage is reached for the n-th time (from 0); n=None: always."""
    return lambda s, i: answer if s == stage and n in (i, None) else None


def one_mail(make_server, make_postman, script, *options):
    server = make_server(script)
    postman = make_postman(server.url(), *(options or QUICK))
    end, error = postman.send()
    postman.stop()
    return server, postman, end, error


def then_delivered(make_postman, server):
    """The same mail again, by a postman that never heard of it: as after its backoff."""
    postman = make_postman(server.url(), *QUICK)
    assert postman.send()[0] == "delivered"
    postman.stop()


@pytest.mark.parametrize("answer", ["451 4.3.0 later", "554 5.7.1 go away", "421 4.3.2 busy",
                                    "hello", CLOSE, HANG])
@pytest.mark.parametrize("stage", ["connect", "EHLO"])
def test_a_server_that_does_not_let_us_in(make_server, make_postman, stage, answer):
    script = at(stage, answer, None if stage == "EHLO" else 0)
    server, postman, end, error = one_mail(make_server, make_postman, script)
    assert end == "deferred" and error.startswith("mail server: ")
    assert "MAIL" not in server.verbs()
    assert len(postman.events("mail_server_down")) == 1
    server.script = None
    then_delivered(make_postman, server)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("answer, end, down", [
    ("451 4.7.1 grey", "deferred", False), ("450-one\n450 two", "deferred", False),
    ("550 5.1.1 no such user", "refused", False), ("554-5.7.1 no\n554 5.7.1 spam", "refused", False),
    ("421 4.3.2 shutting down", "deferred", True), ("530 5.7.0 log in first", "deferred", True),
    ("250-a reply that never ends", "deferred", True), ("999 what", "deferred", True),
    (CLOSE, "deferred", True), (HANG, "deferred", True)])
def test_what_it_has_against_a_mail(make_server, make_postman, stage, answer, end, down):
    server, postman, got, error = one_mail(make_server, make_postman, at(stage, answer))
    assert got == end, error
    assert len(postman.events("mail_server_down")) == down
    assert error.startswith("mail server: ") == down
    if answer[0] in "45":
        assert answer[:3] in error
    assert server.mails == []
    if end == "deferred":
        then_delivered(make_postman, server)
        assert len(server.mails) == 1


def test_the_words_of_the_server_without_addresses(make_server, make_postman):
    answer = "550 5.1.1 <User@Example.ORG>: user unknown, see https://x.example/y?user@example.org"
    _, postman, end, error = one_mail(make_server, make_postman, at("RCPT", answer))
    assert (end, error) == ("refused", "550 5.1.1 (...) (...) unknown, see (...)")
    assert not any("example.org" in line.lower() for line in postman.log_lines)


def test_a_reply_without_end(make_server, make_postman):
    flood = "\n".join("550-%s" % ("x " * 400) for _ in range(200)) + "\n550 x"
    _, _, end, error = one_mail(make_server, make_postman, at("RCPT", flood), "plaintext")
    assert end == "refused" and len(error) <= 160


def test_a_mail_that_was_taken_is_taken(make_server, make_postman):
    """M4: the connection is lost after the 250."""
    server = make_server(at("taken", CLOSE, None))
    postman = make_postman(server.url(), "plaintext")
    for i in range(3):
        assert postman.send() == ("delivered", "")
    postman.stop()
    assert len(server.mails) == 3 and server.connections == 3
    assert postman.events("mail_server_down") == []


def test_a_yes_that_libcurl_does_not_know(make_server, make_postman):
    """It calls anything but 250 an error; RFC 5321 calls 2xx a yes."""
    server, postman, end, error = one_mail(make_server, make_postman, at("dot", "251 2.6.0 queued"))
    assert (end, error) == ("delivered", "")
    assert len(server.stuffed) == 1 and postman.events("mail_server_down") == []


def test_a_mail_whose_answer_was_lost_comes_again(make_server, make_postman):
    """M4: the connection is lost after the whole mail, before the 250."""
    server = make_server(at("dot", CLOSE))
    postman = make_postman(server.url(), "plaintext")
    assert postman.send(id="42.1")[0] == "deferred"
    assert postman.send(id="42.1") == ("delivered", "")
    postman.stop()
    assert len(server.stuffed) == 2 and len(server.mails) == 1
    assert all(b"Message-ID: <42.1@crm.example>" in mail for mail in server.stuffed)


@pytest.mark.parametrize("stage, answer", [("MAIL", CLOSE), ("RCPT", CLOSE), ("dot", CLOSE),
                                           ("MAIL", "421 4.4.2 idle for too long"),
                                           ("taken", "421 4.4.2 bye")])
def test_a_kept_connection_that_proves_dead(make_server, make_postman, stage, answer):
    """Says nothing about the server: the mail goes over a new one at once."""
    server = make_server(at(stage, answer, 0 if stage == "taken" else 1))
    postman = make_postman(server.url(), "plaintext")
    assert postman.send() == ("delivered", "")
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert server.connections == 2 and len(server.mails) == 2
    assert len(server.stuffed) <= 3
    assert postman.events("mail_server_down") == []


def test_a_kept_connection_that_hangs(make_server, make_postman):
    server = make_server(at("MAIL", HANG, 1))
    postman = make_postman(server.url(), *QUICK)
    assert postman.send() == ("delivered", "")
    end, error = postman.send()
    assert end == "deferred" and error.startswith("mail server: too slow: ")
    postman.stop()


def test_a_connection_that_owes_a_reply_is_not_used_again(make_server, make_postman):
    """Else the reply to one mail would be taken for the reply to the next."""
    server = make_server(at("dot", HANG))
    postman = make_postman(server.url(), *QUICK)
    assert postman.send()[0] == "deferred"
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert server.connections == 2


def test_a_server_that_comes_back(make_server, make_postman):
    """One line when it goes and one when it is back; one mail a rest, and no rest is skipped,
    whatever is put into the queue meanwhile."""
    server = make_server(lambda stage, n: "451 later" if stage == "connect" and n < 2 else None)
    postman = make_postman(server.url(), "plaintext")
    start = time.monotonic()
    numbers = [postman.mail() for _ in range(20)]
    reports = [postman.report() for _ in numbers]
    assert elapsed(start) >= 1 + 2 - 0.1
    assert [end for end, _, _ in reports] == ["deferred"] * 2 + ["delivered"] * 18
    assert [number for _, number, _ in reports] == numbers
    asked, _ = postman.stop()
    assert server.connections == 3 and asked < 60
    assert len(postman.events("mail_server_down")) == 1
    (up,) = postman.events("mail_server_up")
    assert up["failures"] == 2
    assert len(postman.events("mail_sent")) == 18


def test_a_mail_that_is_refused_does_not_hold_up_the_next(make_server, make_postman):
    server = make_server(at("RCPT", "550 5.1.1 nobody"))
    postman = make_postman(server.url(), "plaintext")
    numbers = [postman.mail() for _ in range(3)]
    assert [postman.report()[:2] for _ in numbers] == [("refused", 0), ("delivered", 1),
                                                       ("delivered", 2)]
    postman.stop()


def test_a_stop_does_not_wait_for_a_farewell(make_server, make_postman):
    server = make_server(at("QUIT", HANG))
    postman = make_postman(server.url(), "plaintext", "timeout_ms=60000")
    assert postman.send() == ("delivered", "")
    start = time.monotonic()
    postman.stop()
    assert elapsed(start) < 10  # a second, on a machine that has nothing else to do
    assert "QUIT" in server.verbs()


def test_a_refusal_does_not_wait_for_a_farewell(make_server, make_postman):
    def script(stage, n):
        return {"RCPT": "550 5.1.1 nobody", "QUIT": HANG}.get(stage)
    server = make_server(script)
    postman = make_postman(server.url(), "plaintext", "timeout_ms=60000")
    start = time.monotonic()
    assert postman.send() == ("refused", "550 5.1.1 nobody")
    assert elapsed(start) < 15
    postman.stop()


@pytest.mark.parametrize("stage", ["connect", "EHLO", "RCPT", "dot"])
def test_a_stop_cuts_off_what_is_under_way(make_server, make_postman, stage):
    server = make_server(at(stage, HANG))
    postman = make_postman(server.url(), "plaintext", "timeout_ms=60000")
    postman.mail()
    wait_until(lambda: server.reached.get(stage), stage)
    start = time.monotonic()
    _, reports = postman.stop()
    assert elapsed(start) < 10
    assert reports == ["report deferred 0 cut off: the service stopped"]
    assert server.mails == []


def test_reports_that_could_not_be_recorded_come_again(make_server, make_postman):
    server = make_server()
    postman = make_postman(server.url(), "plaintext")
    assert postman.send() == ("delivered", "")
    postman.fail(3)
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert len(server.mails) == 2
    assert len(postman.events("mail_queue_down")) == len(postman.events("mail_queue_up")) == 1


def test_an_idle_connection_is_ended(make_server, make_postman):
    server = make_server()
    postman = make_postman(server.url(), "plaintext")
    assert postman.send() == ("delivered", "")
    wait_until(lambda: "QUIT" in server.verbs(), "a farewell")
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert server.connections == 2


def test_the_name_we_say(make_server, make_postman):
    server = make_server()
    postman = make_postman(server.url() + "/login.crm.example", "plaintext")
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert server.commands[0] == (False, b"EHLO login.crm.example")


def test_a_server_that_is_not_there(make_postman):
    gone = Server()
    gone.stop()
    postman = make_postman(gone.url(), "plaintext")
    end, error = postman.send()
    assert end == "deferred" and error.startswith("mail server: no connection: ")
    postman.stop()
