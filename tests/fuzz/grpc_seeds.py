# SPDX-License-Identifier: ISC
"""Writes a corpus to begin with for grpc_connection_fuzz: python3 grpc_seeds.py FOLDER."""

import gzip
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "rpc"))
import hpack
import rawh2
from rawh2 import frame, message


class Recorder:
    """Makes the frames of a client without a connection."""

    header_frames = rawh2.Connection.header_frames

    def __init__(self):
        self.encoder = hpack.Encoder()
        self.out = b""
        self.stream = -1

    def call(self, path, body, end=True, split=None, **changes):
        self.stream += 2
        headers = rawh2.request_headers(path, **changes)
        self.out += self.header_frames(headers, self.stream, split=split)
        self.out += frame(rawh2.DATA, rawh2.END_STREAM if end else 0, self.stream, body)


def session():
    r = Recorder()
    for path in ("/echo", "/delay", "/refuse", "/fail", "/unknown"):
        r.call(path, message(b"hello"), grpc_timeout="1S", x_bin="AAE,AQ", x="y", split=[5])
    r.out += frame(rawh2.PING, 0, 0, bytes(8)) + frame(rawh2.WINDOW_UPDATE, 0, 0, b"\0\0\1\0")
    r.out += frame(rawh2.RST_STREAM, 0, 3, bytes(4)) + frame(rawh2.SETTINGS, rawh2.ACK, 0)
    r.call("/echo", message(gzip.compress(bytes(3000)), flag=1), grpc_encoding="gzip")
    r.call("/echo", message(b"x" * 3000), grpc_accept_encoding="gzip")
    r.call("/echo", message(b"x" * 2000)[:100], end=False)
    words = b"".join(message(b"w" * n) for n in (0, 1, 2, 3, 6, 300, 200, 100))
    r.call("/stream", words, grpc_accept_encoding="gzip", grpc_timeout="1S")
    r.out += frame(rawh2.WINDOW_UPDATE, 0, r.stream, b"\0\0\1\0")
    r.call("/stream", words * 20 + b"\0\0", end=False)
    r.out += frame(rawh2.RST_STREAM, 0, r.stream, bytes(4))
    r.call("/stream", words[:400], end=False)
    r.out += r.header_frames([("a", "b")], r.stream, end=True)
    return r.out


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for mode in range(1, 32, 2):
        for piece in (0, 1, 40):
            (folder / f"session-{mode}-{piece}").write_bytes(bytes([mode, piece]) + session())


main()
