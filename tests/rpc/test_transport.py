# SPDX-License-Identifier: ISC
"""gRPC over HTTP/2 as the server speaks it, seen on the wire.

The unary cases of the Connect project's conformance suite as far as they concern a
server, then what PROTOCOL-HTTP2.md, statuscodes.md and compression.md of gRPC say of
framing, headers, deadlines and early answers.
"""

import base64
import gzip
import struct
import time
import urllib.parse

import pytest
import rawh2
from rawh2 import message

LIMIT = 65536
SERVER = ["tests/rpc/probe_server", "--message", LIMIT]
ANSWER = "/rpctest.v1.Probe/Answer"
REFUSE = "/rpctest.v1.Probe/Refuse"

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED = range(5)
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = 8, 12, 13, 16


@pytest.fixture
def conn(module_server):
    with rawh2.Connection(module_server.port) as connection:
        yield connection


@pytest.fixture
def ask(probe_pb2):
    """ask(**fields): a serialized AnswerRequest."""

    def make(initial=(), trailing=(), **fields):
        request = probe_pb2.AnswerRequest(**fields)
        for part, fields_of in ((request.initial, initial), (request.trailing, trailing)):
            for name, values in fields_of:
                part.add(name=name, values=values)
        return request.SerializeToString()

    return make


@pytest.fixture
def reply(probe_pb2):
    """reply(answer): the AnswerReply in it, which has to be there."""

    def parse(answer):
        assert (answer.http, answer.grpc) == (200, OK), answer.blocks
        return probe_pb2.AnswerReply.FromString(answer.message)

    return parse


def seen(r, name):
    """The values of a metadata entry of the request, as the service saw them."""
    return [v for f in r.request if f.name == name for v in f.values]


def still_works(conn, ask, reply):
    assert reply(conn.call(ANSWER, ask(data=b"alive"))).data == b"alive"


def status_text(answer):
    return urllib.parse.unquote_to_bytes(answer.get("grpc-message") or "")


def b64decode(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


# ---- the plain case ----


def test_an_answer_is_headers_data_trailers(conn, ask, reply):
    answer = conn.call(ANSWER, ask(data=b"hello"))
    assert reply(answer).data == b"hello"
    assert answer.kinds == [rawh2.HEADERS, rawh2.DATA, rawh2.HEADERS]
    assert answer.blocks[0][:2] == [(b":status", b"200"), (b"content-type", b"application/grpc")]
    assert answer.blocks[1] == [(b"grpc-status", b"0")]
    assert answer.reset is None


def test_an_empty_message_is_a_message(conn, reply):
    assert reply(conn.call(ANSWER, b"")).data == b""


def test_settings(conn, ask, reply):
    still_works(conn, ask, reply)
    assert conn.settings[rawh2.MAX_CONCURRENT_STREAMS] == 100
    assert conn.settings[rawh2.MAX_HEADER_LIST_SIZE] == 8192
    assert conn.settings[rawh2.INITIAL_WINDOW_SIZE] > LIMIT


def test_peer(conn, ask, reply):
    host, port = conn.socket.getsockname()
    assert reply(conn.call(ANSWER, ask())).peer == f"{host}:{port}"


# ---- errors ----


@pytest.mark.parametrize("code", range(1, 17))
def test_each_status_with_message_and_details(conn, ask, code):
    details = bytes(range(256))
    answer = conn.call(ANSWER, ask(code=code, message=b"as told", details=details))
    assert answer.trailers_only and answer.kinds == [rawh2.HEADERS]
    assert answer.http == 200
    assert answer.get("content-type") == "application/grpc"
    assert answer.get("grpc-status") == str(code)
    assert answer.get("grpc-message") == "as told"
    coded = answer.get("grpc-status-details-bin")
    assert "=" not in coded and b64decode(coded) == details


def test_status_message_in_unicode(conn, ask):
    text = "\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\n"
    answer = conn.call(ANSWER, ask(code=UNKNOWN, message=text.encode()))
    assert status_text(answer).decode() == text


def test_status_message_of_every_byte(conn, ask):
    every = bytes(range(256)) + b"%41 %zz 100%"
    answer = conn.call(ANSWER, ask(code=UNKNOWN, message=every))
    coded = answer.get("grpc-message")
    assert all(" " <= c <= "~" for c in coded)
    assert urllib.parse.unquote_to_bytes(coded) == every
    printable = bytes(range(0x20, 0x7F)).decode().replace("%", "%25")
    assert printable in coded


def test_status_message_with_spaces_at_its_ends(conn, ask):
    """A field value of HTTP/2 neither begins nor ends with one (RFC 9113 section 8.2.1)."""
    for text in (b" a b ", b" ", b"  "):
        coded = conn.call(ANSWER, ask(code=UNKNOWN, message=text)).get("grpc-message")
        assert coded == coded.strip() and urllib.parse.unquote_to_bytes(coded) == text


def test_error_with_headers_and_trailers_of_its_own(conn, ask):
    answer = conn.call(
        ANSWER,
        ask(
            code=INVALID_ARGUMENT,
            initial=[("x-head", [b"a", b"b"])],
            trailing=[("x-tail-bin", [b"\0\xff"]), ("x-tail", [b"c"])],
        ),
    )
    first, last = answer.blocks
    assert [v for n, v in first if n == b"x-head"] == [b"a", b"b"]
    assert (b"grpc-status", b"3") in last
    assert (b"x-tail-bin", b"AP8") in last and (b"x-tail", b"c") in last
    assert answer.ended


# ---- metadata ----


def test_metadata_repeats_in_order(conn, ask, reply):
    answer = conn.call(
        ANSWER,
        ask(
            initial=[("x-a", [b"1", b"2", b"3"]), ("x-b", [b"4"])],
            trailing=[("x-c", [b"5", b"6"])],
        ),
        fields=[("x-in", "one"), ("x-other", "x"), ("x-in", "two")],
    )
    r = reply(answer)
    assert seen(r, "x-in") == [b"one", b"two"]
    assert [f.name for f in r.request] == ["x-in", "x-other", "x-in"]
    assert [v for n, v in answer.blocks[0] if n == b"x-a"] == [b"1", b"2", b"3"]
    assert answer.get("x-b") == "4"
    assert [v for n, v in answer.blocks[1] if n == b"x-c"] == [b"5", b"6"]


def test_the_transports_own_headers_are_not_metadata(conn, ask, reply):
    r = reply(
        conn.call(ANSWER, ask(), grpc_timeout="5S", grpc_accept_encoding="gzip", grpc_foo="x")
    )
    assert [f.name for f in r.request] == []


@pytest.mark.parametrize(
    "coded, values",
    [
        ("AAEC", [b"\0\1\2"]),
        ("AAE=", [b"\0\1"]),
        ("AAE", [b"\0\1"]),
        ("AA==", [b"\0"]),
        ("AA", [b"\0"]),
        ("", [b""]),
        ("AA,AQI", [b"\0", b"\1\2"]),
        ("AA==, AQI=", [b"\0", b"\1\2"]),
        ("+/+/", [b"\xfb\xff\xbf"]),
    ],
)
def test_binary_metadata(conn, ask, reply, coded, values):
    assert seen(reply(conn.call(ANSWER, ask(), x_in_bin=coded)), "x-in-bin") == values


@pytest.mark.parametrize("coded", ["A", "AA=", "A===", "AA===", "-_-_", "AA\tAA", "AA=A", "AA,!"])
def test_bad_binary_metadata_fails_that_call_alone(conn, ask, reply, coded):
    answer = conn.call(ANSWER, ask(), x_in_bin=coded)
    assert answer.trailers_only and answer.grpc == INTERNAL
    still_works(conn, ask, reply)


def test_binary_metadata_on_the_way_out(conn, ask):
    values = [bytes(range(n)) for n in range(6)]
    answer = conn.call(ANSWER, ask(initial=[("x-bin", values)], trailing=[("y-bin", values)]))
    for block, name in ((0, b"x-bin"), (1, b"y-bin")):
        coded = [v.decode() for n, v in answer.blocks[block] if n == name]
        assert not any("=" in c for c in coded)
        assert [b64decode(c) for c in coded] == values


def test_metadata_that_http2_cannot_carry_is_left_out(conn, ask):
    bad = [("X-Upper", [b"1"]), ("x y", [b"2"]), (":status", [b"500"]), ("grpc-status", [b"3"])]
    bad += [("content-type", [b"text/html"]), ("x-value", [b"a\r\nb", b"\0"])]
    answer = conn.call(ANSWER, ask(initial=bad, trailing=bad + [("x-good", [b"y"])]))
    assert len(answer.blocks[0]) == 2
    assert answer.blocks[1] == [(b"grpc-status", b"0"), (b"x-good", b"y")]


@pytest.mark.parametrize("part", ["initial", "trailing"])
def test_metadata_that_is_too_large_to_send(conn, ask, reply, part):
    """More than nghttp2 puts into one header block: the call fails, alone."""
    stream = conn.open(ANSWER)
    conn.big_data(stream, message(ask(**{part: [("x-bin", [bytes(2000)] * 30)]})))
    assert conn.wait(stream).reset == rawh2.INTERNAL_ERROR
    still_works(conn, ask, reply)


# ---- metadata that is too large ----


def test_metadata_over_the_limit_is_answered(conn, ask, reply):
    for _ in range(3):
        answer = conn.call(ANSWER, ask(), x_big="x" * 9000)
        assert answer.trailers_only and answer.grpc == RESOURCE_EXHAUSTED
    still_works(conn, ask, reply)


def test_metadata_counts_32_for_each_entry(conn, ask, reply):
    names = [(f"x-{n:03}", "") for n in range(300)]
    assert conn.call(ANSWER, ask(), fields=names[:200]).grpc == OK
    assert conn.call(ANSWER, ask(), fields=names).grpc == RESOURCE_EXHAUSTED
    still_works(conn, ask, reply)


def test_metadata_far_over_the_limit_resets_the_stream(conn, ask, reply):
    for name in ("x-big", "x-big-bin"):
        stream = conn.open(ANSWER, split=[16000] * 4, fields=[(name, "A" * 7000)] * 10)
        assert conn.wait(stream).reset == rawh2.INTERNAL_ERROR
    still_works(conn, ask, reply)


def test_trailers_of_the_client_count_too(conn, ask, reply):
    stream = conn.open(ANSWER)
    conn.data(stream, message(ask()), end=False)
    trailers = [("x-big", "x" * 7000)] * 10
    conn.send(conn.header_frames(trailers, stream, end=True, split=[16000] * 4))
    assert conn.wait(stream).reset == rawh2.INTERNAL_ERROR
    still_works(conn, ask, reply)


def test_trailers_of_the_client_are_ignored(conn, ask, reply):
    stream = conn.open(ANSWER)
    conn.data(stream, message(ask(data=b"x")), end=False)
    conn.send(conn.header_frames([("x-tail", "y"), ("grpc-timeout", "bad")], stream, end=True))
    r = reply(conn.wait(stream))
    assert r.data == b"x" and not r.request


# ---- which requests are gRPC ----


@pytest.mark.parametrize(
    "content_type",
    [None, "image/jpeg", "application/grpc-web", "application/grpcfoo", "application/json"]
    + ["application/grpc-web+proto", "application/grpc+json", "application/grpc+protobuf", ""],
)
def test_other_content_types_are_415(conn, ask, reply, content_type):
    answer = conn.call(ANSWER, ask(), content_type=content_type)
    assert answer.http == 415 and answer.data and answer.grpc is None
    still_works(conn, ask, reply)


@pytest.mark.parametrize(
    "content_type",
    ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"]
    + ["application/grpc+proto; x=y", "application/grpc ;x", "Application/GRPC"],
)
def test_content_types_of_grpc(conn, ask, reply, content_type):
    assert reply(conn.call(ANSWER, ask(data=b"x"), content_type=content_type)).data == b"x"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "post", "FOO"])
def test_other_methods_are_405(conn, ask, reply, method):
    answer = conn.call(ANSWER, ask(), method=method)
    assert answer.http == 405 and answer.get("allow") == "POST" and answer.data
    assert answer.ended and answer.grpc is None
    still_works(conn, ask, reply)


def test_a_browser_gets_an_answer(conn):
    stream = conn.open("/", method="GET", content_type=None, te=None, end=True)
    answer = conn.wait(stream)
    assert answer.http == 405 and answer.data and answer.reset is None


def test_connect(conn, ask, reply):
    """What is not gRPC is answered when all of it has come."""
    stream = conn.open(None, method="CONNECT", scheme=None, te=None, content_type=None)
    conn.sync()
    assert not conn.answers[stream].done
    conn.data(stream, b"x")
    answer = conn.wait(stream)
    assert answer.http == 405 and answer.reset is None
    still_works(conn, ask, reply)


def test_head_gets_no_body(conn, ask):
    answer = conn.wait(conn.open("/", method="HEAD", end=True))
    assert answer.http == 405 and answer.data == b"" and answer.kinds == [rawh2.HEADERS]


def test_te_may_be_missing(conn, ask, reply):
    assert reply(conn.call(ANSWER, ask(data=b"x"), te=None)).data == b"x"


def test_a_wrong_te_is_reset(conn, ask, reply):
    stream = conn.open(ANSWER, te="gzip")
    assert conn.wait(stream).reset == rawh2.PROTOCOL_ERROR
    still_works(conn, ask, reply)


PATHS = ["/", "//", "/rpctest.v1.Probe", "/rpctest.v1.Probe/", "/rpctest.v1.Probe/answer"]
PATHS += ["/RPCTEST.v1.Probe/Answer", ANSWER + "/", ANSWER + "?x", "//rpctest.v1.Probe/Answer"]
PATHS += ["/a/b", "/%00", "/" + "x" * 7000]


@pytest.mark.parametrize("path", PATHS)
def test_unknown_paths_are_unimplemented(conn, ask, reply, path):
    answer = conn.call(path, ask())
    assert answer.trailers_only and answer.grpc == UNIMPLEMENTED
    assert answer.get("grpc-message") == "unknown method"
    still_works(conn, ask, reply)


@pytest.mark.parametrize("path", ["", "rpctest.v1.Probe/Answer", "*", "/\x1b[31m", "/a\nb"])
def test_paths_that_are_none_are_refused(conn, ask, reply, path):
    answer = conn.wait(conn.open(path, end=True))
    assert answer.reset == rawh2.PROTOCOL_ERROR or answer.grpc == UNIMPLEMENTED
    assert "\x1b" not in (answer.get("grpc-message") or "")
    still_works(conn, ask, reply)


# ---- length-prefixed messages ----


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 11])
def test_frame_borders_mean_nothing(conn, ask, reply, size):
    stream = conn.open(ANSWER)
    whole = message(ask(data=b"some bytes"))
    for at in range(0, len(whole), size):
        conn.data(stream, whole[at : at + size], end=False)
    conn.data(stream, b"")
    assert reply(conn.wait(stream)).data == b"some bytes"


@pytest.mark.parametrize("pad", [0, 1, 255])
def test_padding_is_no_content(conn, ask, reply, pad):
    stream = conn.open(ANSWER)
    whole = message(ask(data=b"some bytes"))
    conn.data(stream, whole[:3], end=False, pad=pad)
    conn.data(stream, whole[3:], pad=pad)
    assert reply(conn.wait(stream)).data == b"some bytes"


def test_no_message_at_all(conn, ask, reply):
    assert conn.wait(conn.open(ANSWER, end=True)).grpc == UNIMPLEMENTED
    stream = conn.open(ANSWER)
    conn.data(stream, b"")
    assert conn.wait(stream).grpc == UNIMPLEMENTED
    still_works(conn, ask, reply)


def test_two_messages(conn, ask, reply):
    two = message(ask()) * 2
    for pieces in ([two], [two[:-1], two[-1:]], [bytes([b]) for b in two]):
        stream = conn.open(ANSWER)
        for piece in pieces:
            conn.data(stream, piece, end=False)
        conn.data(stream, b"")
        assert conn.wait(stream).grpc == UNIMPLEMENTED
    still_works(conn, ask, reply)


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 11])
def test_half_a_message(conn, ask, reply, cut):
    stream = conn.open(ANSWER)
    conn.data(stream, message(ask(data=b"some bytes"))[:cut])
    assert conn.wait(stream).grpc == INTERNAL
    still_works(conn, ask, reply)


@pytest.mark.parametrize("garbage", [b"x", b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_bytes_behind_the_message(conn, ask, reply, garbage):
    stream = conn.open(ANSWER)
    conn.data(stream, message(ask()) + garbage)
    assert conn.wait(stream).grpc == INTERNAL
    still_works(conn, ask, reply)


def test_a_message_of_exactly_the_limit(conn, ask, reply):
    overhead = len(ask(data=b"x" * LIMIT)) - LIMIT
    request = ask(data=b"x" * (LIMIT - overhead))
    assert len(request) == LIMIT
    stream = conn.open(ANSWER)
    conn.big_data(stream, message(request))
    assert len(reply(conn.wait(stream)).data) == LIMIT - overhead


@pytest.mark.parametrize("length", [LIMIT + 1, LIMIT + 10, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_declared_length_over_the_limit_is_refused_at_once(conn, ask, reply, length):
    stream = conn.open(ANSWER)
    conn.data(stream, message(b"", length=length), end=False)
    answer = conn.wait(stream)
    assert answer.trailers_only and answer.grpc == RESOURCE_EXHAUSTED
    still_works(conn, ask, reply)


# ---- compression ----


@pytest.mark.parametrize(
    "encoding, flag, status",
    [(None, 1, INTERNAL), ("identity", 1, INTERNAL)]
    + [("gzip", 1, INTERNAL), (None, 2, INTERNAL), ("gzip", 2, INTERNAL), (None, 255, INTERNAL)],
)
def test_flags_that_do_not_fit_the_encoding(conn, ask, reply, encoding, flag, status):
    stream = conn.open(ANSWER, grpc_encoding=encoding)
    conn.data(stream, message(ask(), flag=flag))
    answer = conn.wait(stream)
    assert answer.grpc == status
    still_works(conn, ask, reply)


@pytest.mark.parametrize("flag", [0, 1])
def test_an_unknown_encoding_is_told_whatever_the_message(conn, ask, flag):
    stream = conn.open(ANSWER, grpc_encoding="foo")
    conn.data(stream, message(ask(), flag=flag))
    answer = conn.wait(stream)
    assert (answer.grpc, answer.get("grpc-accept-encoding")) == (UNIMPLEMENTED, "identity,gzip")


@pytest.mark.parametrize("encoding", [None, "identity", "gzip"])
def test_an_uncompressed_message_fits_every_known_encoding(conn, ask, reply, encoding):
    r = reply(conn.call(ANSWER, ask(data=b"x"), grpc_encoding=encoding))
    assert r.data == b"x" and not r.was_compressed


def test_a_compressed_message(conn, ask, reply):
    stream = conn.open(ANSWER, grpc_encoding="gzip")
    packed = gzip.compress(ask(data=b"x" * 10000))
    conn.data(stream, message(packed, flag=1))
    r = reply(conn.wait(stream))
    assert r.data == b"x" * 10000 and r.was_compressed


def compressed_to(ask, size):
    """A compressed request that is size bytes when decompressed."""
    overhead = len(ask(data=b"x" * size)) - size
    request = ask(data=b"x" * (size - overhead))
    assert len(request) == size
    return message(gzip.compress(request), flag=1)


def test_the_limit_holds_after_decompression(conn, ask, reply):
    stream = conn.open(ANSWER, grpc_encoding="gzip")
    conn.data(stream, compressed_to(ask, LIMIT))
    assert conn.wait(stream).grpc == OK
    stream = conn.open(ANSWER, grpc_encoding="gzip")
    conn.data(stream, compressed_to(ask, LIMIT + 1))
    assert conn.wait(stream).grpc == RESOURCE_EXHAUSTED
    still_works(conn, ask, reply)


def test_a_gzip_bomb(conn, ask, reply):
    stream = conn.open(ANSWER, grpc_encoding="gzip")
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < LIMIT
    conn.big_data(stream, message(bomb, flag=1))
    assert conn.wait(stream).grpc == RESOURCE_EXHAUSTED
    still_works(conn, ask, reply)


@pytest.mark.parametrize(
    "spoil",
    [lambda z: z[:-1], lambda z: z + b"x", lambda z: z[:-8] + bytes(8), lambda z: b"", lambda z: z[2:]],
)
def test_damaged_compression(conn, ask, reply, spoil):
    stream = conn.open(ANSWER, grpc_encoding="gzip")
    conn.data(stream, message(spoil(gzip.compress(ask(data=b"x" * 100))), flag=1))
    assert conn.wait(stream).grpc == INTERNAL
    still_works(conn, ask, reply)


def unpack(answer):
    """The response message, and whether it was compressed."""
    flag, length = struct.unpack(">BI", answer.data[:5])
    assert length == len(answer.data) - 5
    return (gzip.decompress(answer.data[5:]) if flag else answer.data[5:]), bool(flag)


@pytest.mark.parametrize(
    "accepts, how, size, compressed",
    [("gzip", 0, 5000, True), ("identity, deflate,gzip", 0, 5000, True), ("gzip", 0, 500, False)]
    + [("gzip", 1, 5000, False), ("gzip", 2, 500, True), ("deflate", 2, 5000, False)]
    + [(None, 2, 5000, False), ("xgzip", 2, 5000, False)],
)
def test_compressed_answers(conn, ask, probe_pb2, accepts, how, size, compressed):
    request = ask(data=b"x" * size, compress=how)
    answer = conn.call(ANSWER, request, grpc_accept_encoding=accepts)
    data, was_compressed = unpack(answer)
    assert probe_pb2.AnswerReply.FromString(data).data == b"x" * size
    assert was_compressed == compressed
    assert answer.get("grpc-encoding") == ("gzip" if compressed else None)


# ---- deadlines ----


@pytest.mark.parametrize(
    "timeout, low, high",
    [("1H", 3_599_000, 3_600_000), ("2M", 119_000, 120_000), ("5S", 4_000, 5_000)]
    + [("5000m", 4_000, 5_000), ("5000000u", 4_000, 5_000), ("99999999n", 50, 100)]
    + [("00000005S", 4_000, 5_000), ("99999999H", 359_999_996_300_000, 359_999_996_400_000)],
)
def test_the_deadline_is_known_to_the_service(conn, ask, reply, timeout, low, high):
    assert low < reply(conn.call(ANSWER, ask(), grpc_timeout=timeout)).timeout_ms <= high


def test_no_timeout_is_no_deadline(conn, ask, reply):
    assert reply(conn.call(ANSWER, ask())).timeout_ms == -1


@pytest.mark.parametrize(
    "timeout",
    ["", "0", "1", "S", "1s", "1 S", " 1S", "-1S", "+1S", "1.5S", "123456789S", "1SS", "1x", "1\uff33"],
)
def test_malformed_timeouts_are_errors(conn, ask, reply, timeout):
    answer = conn.call(ANSWER, ask(), grpc_timeout=timeout.encode())
    # nghttp2 takes spaces around a value as a broken request.
    assert answer.grpc == INTERNAL or (timeout == " 1S" and answer.reset == rawh2.PROTOCOL_ERROR)
    still_works(conn, ask, reply)


def test_two_timeouts_are_an_error(conn, ask, reply):
    fields = [("grpc-timeout", "1S"), ("grpc-timeout", "1S")]
    assert conn.call(ANSWER, ask(), fields=fields).grpc == INTERNAL


@pytest.mark.parametrize("timeout", ["0S", "0n", "00000000H"])
def test_a_timeout_of_nothing_has_passed(conn, ask, reply, timeout):
    before = reply(conn.call(ANSWER, ask())).served
    assert conn.call(ANSWER, ask(), grpc_timeout=timeout).grpc == DEADLINE_EXCEEDED
    assert reply(conn.call(ANSWER, ask())).served == before + 1


def test_a_passed_deadline_is_answered(conn, ask, reply):
    start = time.monotonic()
    answer = conn.call(ANSWER, ask(delay_ms=1500), grpc_timeout="200m")
    assert 0.19 < time.monotonic() - start < 1.2
    assert answer.trailers_only and answer.grpc == DEADLINE_EXCEEDED and answer.reset is None
    still_works(conn, ask, reply)
    time.sleep(max(0, start + 1.6 - time.monotonic()))  # the late answer finds nobody
    still_works(conn, ask, reply)


def test_a_deadline_in_the_middle_of_a_request(conn, ask, reply):
    stream = conn.open(ANSWER, grpc_timeout="100m")
    conn.data(stream, message(ask())[:3], end=False)
    answer = conn.answers[stream]
    assert conn.wait_reset(stream) == rawh2.NO_ERROR
    assert answer.ended and answer.grpc == DEADLINE_EXCEEDED
    still_works(conn, ask, reply)


def test_a_delayed_answer(conn, ask, reply):
    start = time.monotonic()
    streams = []
    for delay in (200, 100, 0):
        streams.append(conn.open(ANSWER, grpc_timeout="10S"))
        conn.data(streams[-1], message(ask(delay_ms=delay)))
    for stream in streams:
        assert conn.wait(stream).grpc == OK
    assert time.monotonic() - start > 0.18  # the loop's clock is a coarse one
    order = [f.stream for f in conn.frames if f.type == rawh2.DATA]
    assert order == streams[::-1]


# ---- early answers ----


def early(conn, stream):
    """The answer of a stream whose request has not ended: HEADERS with END_STREAM, and
    only then RST_STREAM(NO_ERROR)."""
    answer = conn.answers[stream]
    assert conn.wait_reset(stream) == rawh2.NO_ERROR
    assert answer.kinds == [rawh2.HEADERS, rawh2.RST_STREAM] and answer.ended
    return answer


def test_an_answer_before_the_message(conn, ask, reply):
    before = reply(conn.call(ANSWER, ask())).served
    stream = conn.open(REFUSE)
    assert early(conn, stream).grpc == UNAUTHENTICATED
    conn.data(stream, message(ask()))
    assert reply(conn.call(ANSWER, ask())).served == before + 1


def test_an_early_answer_needs_no_reset_when_the_request_is_over(conn, ask):
    answer = conn.wait(conn.open(REFUSE, end=True))
    assert answer.grpc == UNAUTHENTICATED
    conn.sync()
    assert answer.reset is None


def test_an_early_answer_to_a_message_that_is_too_large(conn, ask):
    stream = conn.open(ANSWER)
    conn.data(stream, message(b"", length=LIMIT + 1), end=False)
    assert early(conn, stream).grpc == RESOURCE_EXHAUSTED


def test_data_after_an_early_answer_gives_its_window_back(conn, ask, reply):
    chunk = bytes(16384)
    for _ in range(200):  # 3 MiB: more than the connection's window in all
        stream = conn.open(REFUSE)
        conn.data(stream, chunk, end=False)
        early(conn, stream)
        conn.data(stream, b"", end=True)
    still_works(conn, ask, reply)
    given = [f for f in conn.frames if f.type == rawh2.WINDOW_UPDATE and f.stream == 0]
    assert sum(struct.unpack(">I", f.payload)[0] for f in given) > 2_500_000


# ---- the client gives up ----


@pytest.mark.parametrize("point", ["headers", "half a message", "served", "answered"])
def test_cancelled_at_every_point(module_server, ask, reply, point):
    for _ in range(5):
        with rawh2.Connection(module_server.port, [(rawh2.INITIAL_WINDOW_SIZE, 0)]) as conn:
            for _ in range(150):
                stream = conn.open(ANSWER)
                if point == "half a message":
                    conn.data(stream, message(ask(data=b"xx"))[:6], end=False)
                elif point == "served":
                    conn.data(stream, message(ask(delay_ms=5)))
                elif point == "answered":
                    conn.data(stream, message(ask()))
                conn.reset(stream)
            conn.sync()
            assert not any(a.data for a in conn.answers.values())
    with rawh2.Connection(module_server.port) as conn:
        still_works(conn, ask, reply)


def test_connections_cut_with_calls_under_way(module_server, ask, reply):
    for n in range(50):
        conn = rawh2.Connection(module_server.port)
        for delay in (0, 5, 50):
            stream = conn.open(ANSWER, grpc_timeout="40m")
            conn.data(stream, message(ask(delay_ms=delay)), end=n % 2 == 0)
        conn.close()
    with rawh2.Connection(module_server.port) as conn:
        still_works(conn, ask, reply)
