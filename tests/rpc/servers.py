# SPDX-License-Identifier: ISC
"""Servers as processes, and Python stubs of protos.

A server is any program that writes JSON lines to standard error and, when it
listens, one with "event": "listening" and its "address"; it ends on SIGTERM.
TWOSTEP_BUILD names the build folder (default: build).
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("TWOSTEP_BUILD", "build")
STANDARD_PROTOS = pathlib.Path("/usr/share/grpc-proto")  # of the package grpc-proto
SANITIZED = any(word in BUILD.name for word in ("san", "address", "thread"))
START_SECONDS = 20
STOP_SECONDS = 20


class Server:
    """A started program. Everything it wrote to standard error is in .lines."""

    def __init__(self, argv, env=None):
        self.lines = []
        self._events = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [str(a) for a in argv],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip("\n")
            with self._news:
                self.lines.append(line)
                try:
                    self._events.append(json.loads(line))
                except ValueError:
                    pass
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, event, seconds=START_SECONDS, skip=0):
        """The JSON line with that event; skip=1: the second one."""

        def found():
            return [e for e in self._events if e.get("event") == event][skip : skip + 1]

        with self._news:
            self._news.wait_for(lambda: found() or not self._reader.is_alive(), seconds)
            assert found(), f"no event {event!r} in:\n" + "\n".join(self.lines)
            return found()[0]

    @property
    def address(self):
        return self.wait_for("listening")["address"]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds=STOP_SECONDS):
        """The exit code."""
        return self.process.wait(seconds)

    def stop(self):
        """Ends it gracefully; the exit code."""
        if self.process.poll() is None:
            self.signal()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def launch(argv, env=None):
    """Starts a server and waits until it listens."""
    server = Server(argv, env)
    server.wait_for("listening")
    return server


def generate_stubs(out, include, protos, grpc=False):
    """Python stubs of protos (paths below include) in the folder out."""
    out.mkdir(parents=True, exist_ok=True)
    command = ["protoc", f"-I{include}", f"--python_out={out}"]
    if grpc:
        command += [
            "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
            f"--grpc_python_out={out}",
        ]
    subprocess.run(command + protos, check=True)
    if str(out) not in sys.path:
        sys.path.insert(0, str(out))
