# SPDX-License-Identifier: ISC
"""What speaks MongoDB's protocol here: the fake, mongo-java-server (deploy/install-peers.sh) and a
server that TWOSTEP_TEST_MONGODB_URI names. Each gives a Place: a URI and a database of its own."""
import contextlib
import os
import pathlib
import queue
import secrets
import shutil
import subprocess
import threading

import pytest

import fake as fake_mongo

ROOT = pathlib.Path(__file__).resolve().parents[2]
JAVA_PEER = ROOT / "build" / "peers" / "mongo"  # one for all builds
REAL_URI = "TWOSTEP_TEST_MONGODB_URI"
PATIENCE = 60  # seconds for what happens by itself; never waited for when all is well


class Place:
    """name: fake, java or real. server: what is behind it, None for a real one."""

    def __init__(self, name, uri, server=None):
        self.name, self.uri, self.server = name, uri, server
        self.database = "twostep_test_" + secrets.token_hex(8)

    def fresh(self):
        """The same server, another database."""
        return Place(self.name, self.uri, self.server)


class JavaServer:
    """file: where it keeps its documents, so that they survive restart(); None: in memory."""

    def __init__(self, file=None):
        self.file, self.port, self.process = file, 0, None
        self.start()

    @property
    def uri(self):
        return "mongodb://127.0.0.1:%d/" % self.port

    def start(self):
        options = ["--port", str(self.port)] + (["--h2", str(self.file)] if self.file else [])
        self.process = subprocess.Popen(
            ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", "%s:%s/lib/*" % (JAVA_PEER, JAVA_PEER), "Launcher",
             *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = queue.Queue()
        threading.Thread(target=lambda: said.put(self.process.stdout.readline()), daemon=True).start()
        line = said.get(timeout=PATIENCE)
        assert line.startswith("listening "), "mongo-java-server did not start"
        self.port = int(line.split()[1])

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()

    def restart(self):
        self.stop()
        self.start()


def java_missing():
    """Why there is no mongo-java-server here, or None."""
    if not (JAVA_PEER / "installed").exists():
        return "mongo-java-server is not installed"
    return None if shutil.which("java") else "there is no java"


def real_missing():
    return None if os.environ.get(REAL_URI) else REAL_URI + " names no server"


@contextlib.contextmanager
def fake(**options):
    with fake_mongo.Fake(**options) as f:
        yield Place("fake", f.uri, f)


@contextlib.contextmanager
def java_server(file=None):
    if java_missing():
        pytest.skip(java_missing())
    server = JavaServer(file)
    try:
        yield Place("java", server.uri, server)
    finally:
        if server.process.poll() is None:
            server.stop()


@contextlib.contextmanager
def real():
    """Whoever uses its database drops it."""
    if real_missing():
        pytest.skip(real_missing())
    yield Place("real", os.environ[REAL_URI])
