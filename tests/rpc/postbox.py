# SPDX-License-Identifier: ISC
"""Mail servers that we did not write, for the tests of resets: mailpit, with STARTTLS and AUTH, and
aiosmtpd, whose answers a test chooses. And a reader of mails who takes nothing on trust."""
import email
import email.policy
import json
import os
import re
import socket
import subprocess
import threading
import urllib.request

from aiosmtpd.controller import Controller

from kit import BUILD, wait_until

MAILPIT = os.path.join(os.path.dirname(BUILD) if os.path.basename(BUILD) != "build" else BUILD,
                       "peers", "mailpit")
USER, PASSWORD = "crm-mailer", "correct-horse-battery-1"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificate(folder, name="localhost"):
    """A certificate that signs itself; returns the paths of it and of its key."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name,
         "-out", cert, "-keyout", key], check=True, stderr=subprocess.DEVNULL)
    return cert, key


class Letter:
    """A mail as it came, after a strict parser found nothing wrong with it."""

    def __init__(self, raw):
        self.raw = raw
        assert b"\r\n" in raw and not re.search(rb"(?<!\r)\n", raw), "a bare line feed"
        assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
        self.message = email.message_from_bytes(raw, policy=email.policy.default)
        for part in self.message.walk():
            assert not part.defects, part.defects
        self.text = self.message.get_body(("plain",)).get_content()
        self.html = self.message.get_body(("html",)).get_content()
        self.id = self.message["message-id"]

    @property
    def link(self):
        link = re.search(r"https?://\S+", self.text).group(0)
        assert link.replace("&", "&amp;") in self.html
        return link

    @property
    def token(self):
        return re.search(r"token=([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])", self.link).group(1)


class Mailpit:
    """The real thing: takes mail over STARTTLS, from who knows the password."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.cert, key = make_certificate(self.folder)
        self.smtp, self.http = free_port(), free_port()
        users = os.path.join(self.folder, "users")
        with open(users, "w") as f:
            f.write("%s:%s\n" % (USER, PASSWORD))
        self.process = subprocess.Popen(
            [MAILPIT, "--smtp", "127.0.0.1:%d" % self.smtp, "--listen", "127.0.0.1:%d" % self.http,
             "--disable-version-check", "--quiet", "--database", os.path.join(self.folder, "mails"),
             "--smtp-tls-cert", self.cert, "--smtp-tls-key", key, "--smtp-require-starttls",
             "--smtp-auth-file", users, "--smtp-disable-rdns"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.is_up, "mailpit serves")

    def get(self, path):
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.http, path), timeout=10) as r:
            return r.read()

    def is_up(self):
        assert self.process.poll() is None
        try:
            self.get("/readyz")
            with socket.create_connection(("127.0.0.1", self.smtp), 1):
                return True
        except OSError:
            return False

    def settings(self, password_file):
        return {"TWOSTEP_SMTP_URL": "smtp://localhost:%d" % self.smtp, "TWOSTEP_SMTP_USER": USER,
                "TWOSTEP_SMTP_PASSWORD_FILE": password_file, "TWOSTEP_SMTP_CA_FILE": self.cert}

    def letters(self):
        found = json.loads(self.get("/api/v1/messages?limit=100"))["messages"]
        return [Letter(self.get("/api/v1/message/%s/raw" % m["ID"])) for m in reversed(found)]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Sink:
    """A mail server on loopback in plaintext. `script` may answer a letter: it gets its number,
    from 0, and returns the SMTP reply, or None to take it."""

    def __init__(self, script=None, port=0):
        self.script, self.taken, self.seen, self.connections = script, [], 0, 0
        self.lock = threading.Lock()
        self.controller = Controller(self, hostname="127.0.0.1", port=port or free_port())
        self.controller.start()

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_DATA(self, server, session, envelope):
        with self.lock:
            number, self.seen = self.seen, self.seen + 1
        reply = self.script(number) if self.script else None
        if reply is not None:
            return reply
        with self.lock:
            self.taken.append((envelope.rcpt_tos, envelope.original_content or envelope.content))
        return "250 taken"

    @property
    def port(self):
        return self.controller.port

    def settings(self):
        return {"TWOSTEP_SMTP_URL": "smtp://127.0.0.1:%d" % self.port,
                "TWOSTEP_SMTP_ALLOW_PLAINTEXT": "yes"}

    def letters(self):
        with self.lock:
            return [Letter(content) for _, content in self.taken]

    def wait_for(self, count):
        wait_until(lambda: len(self.taken) >= count, "%d mails" % count)
        return self.letters()

    def stop(self):
        self.controller.stop()


class Mute:
    """A mail server that accepts connections and never says a word."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.socket.getsockname()[1]

    def settings(self):
        return {"TWOSTEP_SMTP_URL": "smtp://127.0.0.1:%d" % self.port,
                "TWOSTEP_SMTP_ALLOW_PLAINTEXT": "yes"}

    def stop(self):
        self.socket.close()
