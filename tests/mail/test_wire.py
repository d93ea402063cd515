# SPDX-License-Identifier: ISC
"""Goal: what reaches the server is one mail to one reader, and a strict parser reads out of it
what was put in, whatever that was."""
import email.header
import email.utils
import re

import pytest

from postbox import Letter, Sink
from smtpd import LINK

HEADERS = {"date", "from", "to", "subject", "message-id", "auto-submitted", "content-language",
           "mime-version", "content-type"}

# What ends a line somewhere, or could.
BREAKS = [b"\r\nBcc: evil@x.example", b"\nBcc: evil@x.example", b"\rBcc: evil@x.example", b"\0",
          b"\n.\nMAIL FROM:<evil@x.example>", b"\r\n.\r\nMAIL FROM:<evil@x.example>",
          b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85", b"\x0b", b"\x1b[2J", b"\x7f", b"\xff",
          b"\xc0\x8a"]
# What only looks like it, or ends something else.
ODD = ["%0d%0aBcc: evil@x.example", "=?utf-8?Q?=0D=0ABcc:_evil@x.example?=",
       "=?utf-8?B?DQpCY2M6IGV2aWxAeC5leGFtcGxl?=", "\\r\\nBcc: x", "x\" <evil@x.example>, \"y",
       "a, b; c: (d) <e@f> [g]", "\\", "\"", "<script>alert(1)</script>", "&amp;<b>'\"",
       "{link} {issuer} %s %n", "Müller, Zoë & Søn — 漢字 🔑", "x" * 60, "é" * 32, " a  b ", "=?", "?="]
ADDRESSES = [">\r\nRCPT TO:<evil@x.example", "a@b> SIZE=1 <c", "evil@x.example,user",
             "user@example.org@x.example", "<user@example.org>", "\"a b\"@x.example", "@x.example",
             "user@[127.0.0.1]", "mü@x.example", "u@mü.example", "a b@x.example", "user", "",
             "a" * 65 + "@x.example", "a@" + "b" * 253, "a..b@x.example", "u@x.example\0"]
TEXTS = ("name", "issuer", "id", "link")


def read_back(server):
    """The only mail, parsed; fails when anything but one mail in one session was said."""
    assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert server.commands[1][1] == b"MAIL FROM:<crm@crm.example>"
    assert server.commands[2][1] == b"RCPT TO:<user@example.org>"
    ((_, _, raw),) = server.mails
    letter = Letter(raw)
    assert {name.lower() for name in letter.message.keys()} == HEADERS
    assert len(letter.message.keys()) == len(HEADERS)
    return letter


def display_name(letter):
    """By the older parser: the newer one leaves the spaces between encoded words."""
    (raw,) = [value for name, value in letter.message.raw_items() if name == "From"]
    name = re.sub(r"\s*<crm@crm\.example>$", "", raw)
    if name.startswith('"'):
        return email.utils.unquote(name)
    return str(email.header.make_header(email.header.decode_header(name)))


def send_one(make_server, make_postman, *options, **fields):
    server = make_server()
    postman = make_postman(server.url(), "plaintext", *options)
    result = postman.send(**fields)
    postman.stop()
    return server, result


@pytest.mark.parametrize("field", ["to", "sender", *TEXTS])
def test_line_breaks_do_not_go_out(make_server, make_postman, field):
    """M2: none of them in any field; nor are they in the log, which has ids, in JSON."""
    good = {"to": b"user@example.org", "sender": b"crm@crm.example", "link": LINK.encode()}
    server = make_server()
    postman = make_postman(server.url(), "plaintext")
    for bad in BREAKS:
        before = good.get(field, b"7.1")
        for value in (before + bad, bad + before, before[:3] + bad + before[3:]):
            end, error = postman.send(**{field: value})
            assert end == "refused" and "@" not in error, value
    postman.stop()
    assert server.connections == 0
    assert field == "id" or not any("evil" in line for line in postman.log_lines)


@pytest.mark.parametrize("field", ["to", "sender"])
def test_addresses_that_are_none(make_server, make_postman, field):
    server = make_server()
    postman = make_postman(server.url(), "plaintext")
    for bad in ADDRESSES:
        assert postman.send(**{field: bad})[0] == "refused", bad
    postman.stop()
    assert server.connections == 0


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("kind", [1, 2])
def test_odd_names_arrive_as_they_are(make_server, make_postman, text, kind):
    server, (end, _) = send_one(make_server, make_postman, name=text, issuer=text, kind=kind)
    assert end == "delivered"
    letter = read_back(server)
    (sender,) = letter.message["from"].addresses
    assert sender.addr_spec == "crm@crm.example"
    assert display_name(letter) == text
    assert text.strip() in letter.message["subject"]
    assert text in letter.text
    assert "<script>" not in letter.html and "<b>" not in letter.html
    assert letter.message["to"] == "user@example.org"


@pytest.mark.parametrize("locale", ["en", "nl", "de"])
@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_strict_parser_is_content(make_server, make_postman, kind, locale):
    """M8 for the built-in texts."""
    server, (end, _) = send_one(make_server, make_postman, kind=kind, locale=locale,
                                name="Café & Söhne", issuer="Möbel Ümläut", id="1795616700000.4")
    assert end == "delivered"
    letter = read_back(server)
    assert letter.message["message-id"] == "<1795616700000.4@crm.example>"
    assert letter.message["auto-submitted"] == "auto-generated"
    assert letter.message["content-language"] == locale
    assert letter.message["date"].datetime.isoformat() == "2026-11-25T14:25:00+00:00"
    if kind == 1:
        assert letter.link == LINK
    else:
        assert "http" not in letter.text and "http" not in letter.html
    head, _ = letter.raw.split(b"\r\n\r\n", 1)
    assert head.isascii() and letter.raw.isascii()
    ours = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Type:")]
    assert all(len(line) <= 78 for line in ours)  # the other is libcurl's, with 80
    bodies = [part for part in letter.message.walk() if not part.is_multipart()]
    assert [part["content-transfer-encoding"] for part in bodies] == ["quoted-printable"] * 2
    assert [part.get_content_type() for part in bodies] == ["text/plain", "text/html"]
    assert all(len(line) <= 76 for part in bodies
               for line in part.get_payload(decode=False).split("\r\n"))


def test_bodies_that_could_end_a_mail(make_server, make_postman, tmp_path):
    """M8: dots at the beginning of lines, over all the borders of libcurl's buffers; long lines;
    bare line feeds in the file; spaces at the ends of lines."""
    lines = ["." * (1 + i % 3) + "x" * (i % 7) for i in range(5000)]
    lines += [".", "..", "", ".", "x" * 3000, "From here", "trailing  ", "tab\t", "é" * 700]
    lines += ["MAIL FROM:<evil@x.example>", ".", "{link}"]
    text = "\n".join(lines) + "\n"
    (tmp_path / "reset.en.txt").write_text("Subject: dots\n\n" + text)
    server, (end, _) = send_one(make_server, make_postman, "templates=%s" % tmp_path)
    assert end == "delivered"
    letter = read_back(server)
    arrived = letter.text == text.replace("{link}", LINK).replace("\n", "\r\n")
    assert arrived  # and no long explanation
    (stuffed,) = server.stuffed
    assert b"\r\n.\r\n" not in stuffed
    assert all(line.startswith(b"..") for line in stuffed.split(b"\r\n") if line.startswith(b"."))


def test_a_thousand_mails_over_one_connection(make_server, make_postman, capsys):
    server = make_server()
    postman = make_postman(server.url(), "plaintext")
    numbers = [postman.mail() for _ in range(1000)]
    assert [postman.report()[:2] for _ in numbers] == [("delivered", n) for n in numbers]
    asked, _ = postman.stop()
    assert server.connections == 1 and asked < 1100
    ids = [re.search(rb"(?m)^Message-ID: <(.*)@", raw).group(1).decode()
           for _, _, raw in server.mails]
    assert ids == ["7.%d" % n for n in numbers]


def test_a_server_of_others(make_postman):
    """aiosmtpd reads the same out of it."""
    sink = Sink()
    try:
        postman = make_postman("smtp://127.0.0.1:%d" % sink.port, "plaintext")
        for _ in range(3):
            assert postman.send(name="Café", issuer=". é\u00a0.") == ("delivered", "")
        postman.stop()
    finally:
        sink.stop()
    assert [readers for readers, _ in sink.taken] == [["user@example.org"]] * 3
    for letter in sink.letters():
        assert letter.message["from"] == "Café <crm@crm.example>"
        assert letter.link == LINK


def test_templates_that_do_not_parse_are_named(make_postman, tmp_path):
    (tmp_path / "reset.nl.txt").write_text("Subject: a\n\n{link}\n{lnik}\n")
    postman = make_postman("smtp://127.0.0.1:1", "plaintext", "templates=%s" % tmp_path)
    assert postman.process.wait(30) == 2
    for reader in postman.readers:
        reader.join()
    assert "reset.nl.txt:4: unknown placeholder {lnik}" in postman.log_lines[0]
