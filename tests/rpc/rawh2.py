# SPDX-License-Identifier: ISC
"""A client that writes HTTP/2 frames by hand, right ones and wrong ones.

Only the header compression is somebody else's (python3-hpack). It answers nothing
by itself but SETTINGS and PING; its windows are as large as can be unless a test
makes them small.
"""

import collections
import socket
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9

END_STREAM, END_HEADERS, PADDED, ACK = 0x1, 0x4, 0x8, 0x1

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 6

LARGE_WINDOWS = [(INITIAL_WINDOW_SIZE, 2**31 - 1)]

Frame = collections.namedtuple("Frame", "type flags stream payload")


def frame(kind, flags, stream, payload=b""):
    """The bytes of one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def message(payload, flag=0, length=None):
    """A length-prefixed gRPC message."""
    return struct.pack(">BI", flag, len(payload) if length is None else length) + payload


def request_headers(path, **changes):
    """The headers of a gRPC call. A keyword changes one ('_' stands for '-', the
    leading ':' is optional); None leaves it out."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    for name, value in changes.items():
        name = name.replace("_", "-")
        fields[f":{name}" if f":{name}" in fields else name] = value
    return [(n, v) for n, v in fields.items() if v is not None]


class Closed(Exception):
    """The server has closed the connection."""


class Answer:
    """What has come on one stream."""

    def __init__(self):
        self.blocks = []  # header blocks as lists of (name, value), values as bytes
        self.data = b""
        self.kinds = []  # frame types in order
        self.ended = False  # END_STREAM
        self.reset = None  # error code of RST_STREAM

    @property
    def done(self):
        return self.ended or self.reset is not None

    def all(self, name):
        """The values of a header field, in whatever block, as text."""
        return [v.decode() for block in self.blocks for n, v in block if n == name.encode()]

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def http(self):
        return int(self.get(":status"))

    @property
    def grpc(self):
        status = self.get("grpc-status")
        return None if status is None else int(status)

    @property
    def message(self):
        """The one response message."""
        flag, length = struct.unpack(">BI", self.data[:5])
        assert length == len(self.data) - 5
        return self.data[5:]

    @property
    def trailers_only(self):
        return self.kinds[:1] == [HEADERS] and self.ended and len(self.blocks) == 1


class Connection:
    """One connection. Streams are numbered by .open(); .answers[stream] is what came."""

    def __init__(self, port, settings=LARGE_WINDOWS, seconds=10, greet=True, window=2**31 - 65536):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 2**20
        self.buffer = b""
        self.next_stream = 1
        self.answers = collections.defaultdict(Answer)
        self.settings = {}  # of the server
        self.goaways = []  # (last stream, code, debug data)
        self.pings = []  # payloads of PINGs and their ACKs, with the flags
        self.frames = []  # everything, in order
        self.answer_pings = True
        if greet:
            self.greet(settings, window)

    def greet(self, settings=(), window=0):
        payload = b"".join(struct.pack(">HI", k, v) for k, v in settings)
        self.send(PREFACE + frame(SETTINGS, 0, 0, payload))
        if window:
            self.window_update(0, window)

    # -- sending --

    def send(self, data):
        self.socket.sendall(data)

    def header_frames(self, fields, stream, end=False, split=None):
        """HEADERS, and CONTINUATIONs when split gives the sizes of the first pieces."""
        block = self.encoder.encode(fields, huffman=False)
        pieces = []
        for size in split or []:
            pieces.append(block[:size])
            block = block[size:]
        pieces.append(block)
        flags = END_STREAM if end else 0
        out = b""
        for i, piece in enumerate(pieces):
            last = END_HEADERS if i == len(pieces) - 1 else 0
            out += frame(CONTINUATION if i else HEADERS, last | (0 if i else flags), stream, piece)
        return out

    def new_stream(self):
        stream = self.next_stream
        self.next_stream += 2
        return stream

    def open(self, path, end=False, split=None, fields=(), **changes):
        """Sends the headers of a call; its stream."""
        stream = self.new_stream()
        headers = request_headers(path, **changes) + list(fields)
        self.send(self.header_frames(headers, stream, end, split))
        return stream

    def data(self, stream, payload=b"", end=True, pad=None):
        flags = END_STREAM if end else 0
        if pad is not None:
            flags |= PADDED
            payload = bytes([pad]) + payload + bytes(pad)
        self.send(frame(DATA, flags, stream, payload))

    def big_data(self, stream, payload, end=True):
        """Payload in full frames, waiting for room in the windows is not needed here:
        it must fit into them."""
        for at in range(0, len(payload), 16384):
            last = at + 16384 >= len(payload)
            self.data(stream, payload[at : at + 16384], end and last)

    def call(self, path, payload=b"", fields=(), **changes):
        """One call with one message; its answer."""
        stream = self.open(path, fields=fields, **changes)
        self.data(stream, message(payload))
        return self.wait(stream)

    def reset(self, stream, code=CANCEL):
        self.send(frame(RST_STREAM, 0, stream, struct.pack(">I", code)))

    def window_update(self, stream, n):
        self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n)))

    def ping(self, payload=b"12345678"):
        self.send(frame(PING, 0, 0, payload))

    # -- receiving --

    def read_frame(self):
        """The next frame, sorted in."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed
            self.buffer += more
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        f = Frame(kind, flags, stream, self.buffer[9 : 9 + length])
        self.buffer = self.buffer[9 + length :]
        self.frames.append(f)
        self.sort_in(f)
        return f

    def sort_in(self, f):
        if f.stream:
            answer = self.answers[f.stream]
            answer.kinds.append(f.type)
        if f.type == HEADERS:
            while not f.flags & END_HEADERS:
                more = self.read_frame()
                f = f._replace(payload=f.payload + more.payload, flags=f.flags | more.flags)
            answer.blocks.append(
                [(bytes(n), bytes(v)) for n, v in self.decoder.decode(f.payload, raw=True)]
            )
        elif f.type == DATA:
            answer.data += f.payload
        elif f.type == RST_STREAM:
            answer.reset = struct.unpack(">I", f.payload)[0]
        elif f.type == SETTINGS and not f.flags & ACK:
            for at in range(0, len(f.payload), 6):
                key, value = struct.unpack(">HI", f.payload[at : at + 6])
                self.settings[key] = value
            self.send(frame(SETTINGS, ACK, 0))
        elif f.type == PING:
            self.pings.append((f.flags, f.payload))
            if not f.flags & ACK and self.answer_pings:
                self.send(frame(PING, ACK, 0, f.payload))
        elif f.type == GOAWAY:
            last, code = struct.unpack(">II", f.payload[:8])
            self.goaways.append((last, code, f.payload[8:]))
        if f.stream and f.type in (HEADERS, DATA) and f.flags & END_STREAM:
            answer.ended = True

    def wait(self, stream):
        """The answer of a stream, when it is complete."""
        while not self.answers[stream].done:
            self.read_frame()
        return self.answers[stream]

    def wait_reset(self, stream):
        while self.answers[stream].reset is None:
            self.read_frame()
        return self.answers[stream].reset

    def sync(self):
        """Returns when everything that was sent has been handled."""
        mark = struct.pack(">Q", len(self.frames) + 1)
        self.ping(mark)
        while (ACK, mark) not in self.pings:
            self.read_frame()

    def wait_closed(self):
        """Reads until the server closes; the last GOAWAY's code, if there was one."""
        try:
            while True:
                self.read_frame()
        except Closed:
            return self.goaways[-1][1] if self.goaways else None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
