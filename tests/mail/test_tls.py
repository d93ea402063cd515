# SPDX-License-Identifier: ISC
"""Goal: no mail, no password and no address leaves in the clear or to a server that cannot prove
its name; and a server that cannot does not cost a mail."""
import base64
import ssl

import pytest

from smtpd import CLOSE, TOKEN

USER, PASSWORD = "crm-mailer", "correct-horse-battery-2"
BY_US = ("user=" + USER, "password=" + PASSWORD)


def ca(authority):
    return "ca_file=" + authority.cert


def in_clear(server):
    return [line for tls, line in server.commands if not tls]


def assert_nothing_leaked(server, postman):
    """Before TLS only what asks for it, and the log knows no password, token or address."""
    assert all(line.split(b" ")[0] in (b"EHLO", b"STARTTLS", b"QUIT") for line in in_clear(server))
    log = "".join(postman.log_lines)
    for secret in (PASSWORD, TOKEN, base64.b64encode(PASSWORD.encode()).decode(), "user@example"):
        assert secret not in log


def delivers(make_postman, server, *options, scheme="smtp"):
    postman = make_postman(server.url(scheme, "localhost"), *options)
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert_nothing_leaked(server, postman)
    assert len(server.mails) == 1


def is_deferred(make_postman, server, *options, scheme="smtp", host="localhost"):
    postman = make_postman(server.url(scheme, host), "timeout_ms=3000", *options)
    end, error = postman.send()
    assert end == "deferred" and error.startswith("mail server: "), error
    postman.stop()
    assert_nothing_leaked(server, postman)
    assert server.mails == [] and len(postman.events("mail_server_down")) == 1
    return error


def test_starttls(make_server, make_postman, authority):
    server = make_server(tls=authority.server())
    delivers(make_postman, server, ca(authority))
    assert [line.split(b" ")[0] for line in in_clear(server)] == [b"EHLO", b"STARTTLS"]


def test_smtps(make_server, make_postman, authority):
    server = make_server(tls=authority.server(), implicit_tls=True)
    delivers(make_postman, server, ca(authority), scheme="smtps")
    assert in_clear(server) == []


@pytest.mark.parametrize("offered, used", [("PLAIN", "PLAIN"), ("LOGIN", "LOGIN"),
                                           ("CRAM-MD5 DIGEST-MD5 PLAIN", "PLAIN"),
                                           ("GSSAPI NTLM XOAUTH2 LOGIN", "LOGIN")])
def test_log_in(make_server, make_postman, authority, offered, used):
    server = make_server(tls=authority.server(), auth=offered)
    delivers(make_postman, server, ca(authority), *BY_US)
    assert server.log_ins == [(used, USER + "\0" + PASSWORD)]


def test_starttls_that_is_not_offered(make_server, make_postman, authority):
    """M5: stripped on the way."""
    server = make_server(tls=authority.server(), offers_tls=False, auth="PLAIN")
    error = is_deferred(make_postman, server, ca(authority), *BY_US)
    assert "no STARTTLS" in error


@pytest.mark.parametrize("answer", ["454 4.7.0 not now", "502 5.5.1 what", CLOSE])
def test_starttls_that_is_refused(make_server, make_postman, authority, answer):
    def script(stage, n):
        return answer if stage == "STARTTLS" else None
    is_deferred(make_postman, make_server(script, tls=authority.server(), auth="PLAIN"),
                ca(authority), *BY_US)


def test_replies_put_in_before_tls(make_server, make_postman, authority):
    """Somebody on the way adds replies in the clear behind the one to STARTTLS; what follows
    would be taken for answers from within TLS."""
    def script(stage, n):
        if stage == "STARTTLS":
            return "220 go on\n250-mx.example\n250 AUTH PLAIN\n235 in\n250 a\n250 b\n354 c\n250 d"
        return None
    server = make_server(script, tls=authority.server())
    is_deferred(make_postman, server, ca(authority))


@pytest.mark.parametrize("what", ["handshake", "close"])
def test_tls_that_fails(make_server, make_postman, authority, what):
    def script(stage, n):
        return {"handshake": "this is no TLS", "close": CLOSE}[what] if stage == "TLS" else None
    is_deferred(make_postman, make_server(script, tls=authority.server()), ca(authority))


def test_wrong_host_name(make_server, make_postman, authority):
    error = is_deferred(make_postman, make_server(tls=authority.server("mx.example")),
                        ca(authority))
    assert "certificate" in error
    error = is_deferred(make_postman, make_server(tls=authority.server()), ca(authority),
                        host="127.0.0.1")
    assert "certificate" in error


def test_expired_certificate(make_server, make_postman, authority):
    error = is_deferred(make_postman, make_server(tls=authority.server(days=-1)), ca(authority))
    assert "expired" in error


def test_certificate_of_somebody_else(make_server, make_postman, authority, tmp_path):
    """Signed by a CA that we were not told of: the system's are no help, nor is it theirs."""
    error = is_deferred(make_postman, make_server(tls=authority.server()))
    assert "certificate" in error
    other = type(authority)(tmp_path)
    error = is_deferred(make_postman, make_server(tls=authority.server()), ca(other))
    assert "certificate" in error


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_old_tls(make_server, make_postman, authority):
    context = authority.server()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    is_deferred(make_postman, make_server(tls=context), ca(authority))


def test_a_ca_file_that_is_none(make_server, make_postman, authority, tmp_path):
    (tmp_path / "ca.pem").write_text("not a certificate\n")
    is_deferred(make_postman, make_server(tls=authority.server()),
                "ca_file=%s" % (tmp_path / "ca.pem"))


def test_smtps_that_is_none(make_server, make_postman, authority):
    is_deferred(make_postman, make_server(), ca(authority), scheme="smtps")


@pytest.mark.parametrize("answer", ["535 5.7.8 who are you", "454 4.7.0 not now", "421 4.3.2 busy",
                                    CLOSE])
def test_a_log_in_that_is_refused(make_server, make_postman, authority, answer):
    def script(stage, n):
        return answer if stage == "AUTH" else None
    server = make_server(script, tls=authority.server(), auth="PLAIN LOGIN")
    is_deferred(make_postman, server, ca(authority), *BY_US)
    assert "MAIL" not in server.verbs()


def test_a_log_in_that_is_not_offered(make_server, make_postman, authority):
    """libcurl goes on without; a server that then refuses to relay does not mean the mail."""
    def script(stage, n):
        return "554 5.7.1 relay access denied" if stage == "RCPT" else None
    server = make_server(script, tls=authority.server())
    error = is_deferred(make_postman, server, ca(authority), *BY_US)
    assert error == "mail server: it offered no log-in that we can: 554 5.7.1 relay access denied"
    server = make_server(tls=authority.server(), auth="GSSAPI CRAM-MD5")
    error = is_deferred(make_postman, server, ca(authority), *BY_US)
    assert error == "mail server: it offered no log-in that we can: Login denied"
    assert "MAIL" not in server.verbs()


def test_the_log_in_of_a_kept_connection_counts(make_server, make_postman, authority):
    def script(stage, n):
        return "550 5.1.1 nobody" if stage == "RCPT" and n == 1 else None
    server = make_server(script, tls=authority.server(), auth="PLAIN")
    postman = make_postman(server.url(host="localhost"), ca(authority), *BY_US)
    assert postman.send() == ("delivered", "")
    assert postman.send() == ("refused", "550 5.1.1 nobody")
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert server.connections == 2


def test_a_kept_connection_with_tls_that_proves_dead(make_server, make_postman, authority):
    """Writing to it must not end the process."""
    server = make_server(lambda stage, n: CLOSE if (stage, n) == ("taken", 0) else None,
                         tls=authority.server())
    postman = make_postman(server.url(host="localhost"), ca(authority))
    assert postman.send() == ("delivered", "")
    assert postman.send() == ("delivered", "")
    postman.stop()
    assert len(server.mails) == 2 and server.connections == 2


def test_no_proxy_of_the_environment(make_server, make_postman, authority, monkeypatch):
    proxy = make_server()
    for name in ("ALL_PROXY", "all_proxy", "SMTP_PROXY", "smtp_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:%d" % proxy.port)
    delivers(make_postman, make_server(tls=authority.server()), ca(authority))
    assert proxy.connections == 0
