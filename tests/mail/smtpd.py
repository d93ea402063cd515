# SPDX-License-Identifier: ISC
"""A mail server that does what a test tells it at each stage, and keeps all it was told; and a
postman (tests/programs/send_mail.c) to talk with it."""
import base64
import json
import os
import queue
import re
import socket
import ssl
import subprocess
import threading
import time

BUILD = os.path.abspath(os.environ.get("TWOSTEP_BUILD", "build"))
PATIENCE = 60  # seconds for what happens by itself; never waited for when all is well
CLOSE, HANG = "close", "hang"

T0 = 1_795_616_700_000  # Wed 2026-11-25 14:25:00
LINK = "https://crm.example/reset?token=0123456789-abcdefghijklmnopqrstuvwxyz_ABCDEF&from=mail"
TOKEN = "0123456789-abcdefghijklmnopqrstuvwxyz_ABCDEF"


class Gone(Exception):
    pass


class Session:
    """One connection. Its stages: connect, EHLO, STARTTLS, TLS, AUTH, MAIL, RCPT, DATA, dot (the
    whole mail is there), taken (250 was said to it), RSET, QUIT."""

    def __init__(self, server, sock):
        self.server, self.sock, self.waiting = server, sock, b""
        self.tls = False

    def read_until(self, end):
        while end not in self.waiting:
            more = self.sock.recv(65536)
            if not more:
                raise Gone
            self.waiting += more
        found, self.waiting = self.waiting.split(end, 1)
        return found

    def say(self, *lines):
        self.sock.sendall(b"".join(line.encode() + b"\r\n" for line in lines))

    def act(self, stage, *usual):
        """What the script says, or what is usual. True: it was the usual."""
        told = self.server.tell(stage)
        if told is None:
            if usual:
                self.say(*usual)
            return True
        if told == CLOSE:
            raise Gone
        if told == HANG:
            while self.sock.recv(65536):
                pass
            raise Gone
        self.say(*told.split("\n"))
        if told.startswith("421"):
            raise Gone
        return False

    def start_tls(self):
        if self.act("TLS"):
            self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
            self.tls = True

    def extensions(self):
        offered = ["250-mx.example"]
        if self.server.tls and not self.tls and self.server.offers_tls:
            offered.append("250-STARTTLS")
        if self.server.auth and (self.tls or not self.server.tls):
            offered.append("250-AUTH " + self.server.auth)
        return offered + ["250 SIZE 1000000"]

    def take_mail(self):
        if not self.act("DATA", "354 go on"):
            return
        raw = self.read_until(b"\r\n.\r\n") + b"\r\n"
        self.server.stuffed.append(raw)
        if not self.act("dot"):
            return
        self.server.mails.append((self.sender, self.to, re.sub(rb"(?m)^\.", b"", raw)))
        self.say("250 2.0.0 taken")
        self.act("taken")

    def log_in(self, line):
        """The words in between are commands, too: nothing of them may come in the clear."""
        _, mechanism, *first = line.decode().split(" ")
        words = list(first)
        for prompt in {"PLAIN": [""], "LOGIN": ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"]}[mechanism]:
            if not first:
                self.say("334 " + prompt)
                words.append(self.read_until(b"\r\n").decode())
                self.server.commands.append((self.tls, words[-1].encode()))
        said = [base64.b64decode(word).decode() for word in words]
        self.server.log_ins.append((mechanism, "\0".join(said).strip("\0")))
        self.say("235 2.7.0 welcome")

    def obey(self, line):
        verb = line.split(b" ")[0].split(b":")[0].upper().decode(errors="replace")
        self.server.commands.append((self.tls, line))
        if verb in ("EHLO", "HELO"):
            self.act("EHLO", *self.extensions())
        elif verb == "STARTTLS":
            if self.act("STARTTLS", "220 go on"):
                self.start_tls()
        elif verb == "AUTH":
            if self.act("AUTH"):
                self.log_in(line)
        elif verb == "MAIL":
            self.sender, self.to = line, []
            self.act("MAIL", "250 2.1.0 fine")
        elif verb == "RCPT":
            self.to.append(line)
            self.act("RCPT", "250 2.1.5 fine")
        elif verb == "DATA":
            self.take_mail()
        elif verb == "QUIT":
            self.act("QUIT", "221 bye")
            raise Gone
        else:
            self.act(verb, "250 fine")

    def serve(self):
        try:
            if self.server.implicit_tls:
                self.start_tls()
            self.act("connect", "220 mx.example ESMTP")
            while True:
                self.obey(self.read_until(b"\r\n"))
        except (Gone, OSError):
            pass
        finally:
            self.sock.close()


class Server:
    """script(stage, n) is asked at each stage, n the number of times that the stage was reached
    before; None: do as usual; else a reply, CLOSE or HANG. tls: an ssl.SSLContext."""

    def __init__(self, script=None, tls=None, offers_tls=True, implicit_tls=False, auth=None,
                 port=0):
        self.script, self.tls, self.offers_tls = script, tls, offers_tls
        self.implicit_tls, self.auth = implicit_tls, auth
        self.commands, self.mails, self.stuffed, self.connections = [], [], [], 0
        self.log_ins = []
        self.reached, self.lock, self.open = {}, threading.Lock(), []
        self.socket = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def tell(self, stage):
        with self.lock:
            n = self.reached.get(stage, 0)
            self.reached[stage] = n + 1
        return self.script(stage, n) if self.script else None

    def accept(self):
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self.open.append(sock)
            threading.Thread(target=Session(self, sock).serve, daemon=True).start()

    def verbs(self):
        return [line.split(b" ")[0].split(b":")[0].decode() for _, line in self.commands]

    def url(self, scheme="smtp", host="127.0.0.1"):
        return "%s://%s:%d" % (scheme, host, self.port)

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        for sock in self.open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def as_hex(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return raw.hex() or "-"


class Postman:
    """send_mail, its reports and its log."""

    def __init__(self, url, *options):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "tests/programs/send_mail"), url, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said, self.log_lines, self.numbers = queue.Queue(), [], 0
        self.readers = [threading.Thread(target=self.read_said, daemon=True),
                        threading.Thread(target=self.read_log, daemon=True)]
        for reader in self.readers:
            reader.start()

    def read_said(self):
        for line in self.process.stdout:
            self.said.put(line.decode().rstrip("\n"))
        self.said.put(None)

    def read_log(self):
        for line in self.process.stderr:
            self.log_lines.append(line.decode())

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def mail(self, kind=1, to="user@example.org", sender="crm@crm.example", name="Acme",
             issuer="Acme", locale="en", id=None, link=LINK, date=T0, expire=T0 + 3_600_000):
        """Puts a mail into the queue; its number."""
        number, self.numbers = self.numbers, self.numbers + 1
        words = [to, sender, name, issuer, locale, "7.%d" % number if id is None else id, link]
        self.tell("mail %d %s %d %d" % (kind, " ".join(map(as_hex, words)), date, expire))
        return number

    def fail(self, calls):
        self.tell("fail %d" % calls)

    def report(self):
        """(end, number, error) of the next report."""
        line = self.said.get(timeout=PATIENCE)
        assert line is not None and line.startswith("report "), (line, self.log_lines)
        _, end, number, error = line.split(" ", 3)
        assert len(error) <= 160 and error.isascii() and error.isprintable()
        return end, int(number), error

    def send(self, **fields):
        """Puts one mail and gives its end and error."""
        number = self.mail(**fields)
        end, reported, error = self.report()
        assert reported == number
        return end, error

    def stop(self):
        """Ends it by its standard input; how often it asked for a mail, and the reports that
        came on the way."""
        self.process.stdin.close()
        rest = []
        while (line := self.said.get(timeout=PATIENCE)) is not None:
            rest.append(line)
        for reader in self.readers:
            reader.join()
        assert self.process.wait(PATIENCE) == 0, self.log_lines
        assert rest and rest[-1].startswith("stopped ")
        return int(rest[-1].split(" ")[1]), rest[:-1]

    def events(self, name):
        found = [json.loads(line) for line in self.log_lines]
        return [e for e in found if e["event"] == name]


def elapsed(start):
    return time.monotonic() - start


class Authority:
    """Certificates made for one test run, with the openssl program."""

    def __init__(self, folder):
        self.folder, self.n = str(folder), 0
        self.cert, self.key = self.path("ca.pem"), self.path("ca.key")
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                 "-nodes", "-days", "30", "-subj", "/CN=Test CA", "-out", self.cert,
                 "-keyout", self.key)

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def run(*args):
        subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def server(self, name="localhost", days=30):
        """An SSLContext with a certificate for that host; days < 0: it ended then."""
        self.n += 1
        stem = self.path("server%d" % self.n)
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name,
                 "-out", stem + ".csr", "-keyout", stem + ".key")
        self.run("x509", "-req", "-in", stem + ".csr", "-CA", self.cert, "-CAkey", self.key,
                 "-copy_extensions", "copy", "-days", str(days), "-out", stem + ".pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(stem + ".pem", stem + ".key")
        return context
