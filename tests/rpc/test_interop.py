# SPDX-License-Identifier: ISC
"""gRPC's own interop tests, the unary ones, with gRPC's Python client (C core) and its
full message definitions. The names are those of interop-test-descriptions.md."""

import concurrent.futures

import grpc
import pytest

from servers import BUILD, SANITIZED, STANDARD_PROTOS, generate_stubs

SERVER = ["tests/rpc/interop_server"]
REQUEST_SIZE, RESPONSE_SIZE = 271828, 314159


@pytest.fixture(scope="module")
def standard():
    """(messages, service stubs) of grpc.testing as the grpc-proto package has them."""
    out = BUILD / "tests/rpc/python-grpc"
    generate_stubs(out, STANDARD_PROTOS, STANDARD_SOURCES, grpc=True)
    # The grpc package itself is a regular one: its folder for stubs has to be named.
    grpc.__path__.append(str(out / "grpc"))
    from grpc.testing import empty_pb2, messages_pb2, test_pb2_grpc

    return empty_pb2, messages_pb2, test_pb2_grpc


STANDARD_SOURCES = [f"grpc/testing/{name}.proto" for name in ("empty", "messages", "test")] + [
    "grpc/core/stats.proto"
]


@pytest.fixture
def channel(module_server):
    with grpc.insecure_channel(module_server.address) as channel:
        yield channel


@pytest.fixture
def stub(standard, channel):
    return standard[2].TestServiceStub(channel)


def large_request(messages, **fields):
    return messages.SimpleRequest(
        response_type=messages.COMPRESSABLE,
        response_size=RESPONSE_SIZE,
        payload=messages.Payload(body=bytes(REQUEST_SIZE)),
        **fields,
    )


def check_large(response):
    assert response.payload.body == bytes(RESPONSE_SIZE)


def test_empty_unary(standard, stub):
    assert stub.EmptyCall(standard[0].Empty()) == standard[0].Empty()


def test_large_unary(standard, stub):
    check_large(stub.UnaryCall(large_request(standard[1])))


@pytest.mark.parametrize(
    "text",
    ["test status message", "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"],
    ids=["status_code_and_message", "special_status_message"],
)
def test_status(standard, stub, text):
    status = standard[1].EchoStatus(code=2, message=text)
    with pytest.raises(grpc.RpcError) as caught:
        stub.UnaryCall(standard[1].SimpleRequest(response_status=status))
    assert caught.value.code() == grpc.StatusCode.UNKNOWN
    assert caught.value.details() == text


def test_custom_metadata(standard, stub):
    sent = (
        ("x-grpc-test-echo-initial", "test_initial_metadata_value"),
        ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"),
    )
    response, call = stub.UnaryCall.with_call(large_request(standard[1]), metadata=sent)
    check_large(response)
    assert sent[0] in [tuple(m) for m in call.initial_metadata()]
    assert sent[1] in [tuple(m) for m in call.trailing_metadata()]


def test_unimplemented_method(standard, stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.UnimplementedCall(standard[0].Empty())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_unimplemented_service(standard, channel):
    with pytest.raises(grpc.RpcError) as caught:
        standard[2].UnimplementedServiceStub(channel).UnimplementedCall(standard[0].Empty())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_client_compressed_unary(standard, stub):
    """The probe first: a server that does not look would take an uncompressed message."""
    messages = standard[1]
    expect = messages.BoolValue(value=True)
    with pytest.raises(grpc.RpcError) as caught:
        stub.UnaryCall(large_request(messages, expect_compressed=expect))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    check_large(
        stub.UnaryCall(
            large_request(messages, expect_compressed=expect), compression=grpc.Compression.Gzip
        )
    )
    expect = messages.BoolValue(value=False)
    check_large(stub.UnaryCall(large_request(messages, expect_compressed=expect)))


@pytest.mark.parametrize("compressed", [True, False])
def test_server_compressed_unary(standard, stub, compressed):
    messages = standard[1]
    request = large_request(messages, response_compressed=messages.BoolValue(value=compressed))
    check_large(stub.UnaryCall(request))


def test_unsupported_payload_type(standard, stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.UnaryCall(standard[1].SimpleRequest(response_type=77))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_concurrent_large_unary(standard, stub, module_server):
    """1000 at once on one channel: all well, and what they took is bounded by the
    hundred streams that may be open."""
    request = large_request(standard[1])
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda _: check_large(stub.UnaryCall(request, timeout=60)), range(1000)))
    assert SANITIZED or resident_kib(module_server.pid) < 100 * 4 * (REQUEST_SIZE + RESPONSE_SIZE) / 1024


def test_message_larger_than_the_limit(standard, stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.UnaryCall(
            standard[1].SimpleRequest(payload=standard[1].Payload(body=bytes(4 * 1024 * 1024)))
        )
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_message_of_several_windows(standard, stub):
    """The windows of a stream and of a connection hold a megabyte; this needs three of each."""
    messages = standard[1]
    for _ in range(3):
        check_large(stub.UnaryCall(messages.SimpleRequest(
            response_size=RESPONSE_SIZE, payload=messages.Payload(body=bytes(3 * 1024 * 1024)))))


def test_deadline(standard, channel):
    """A call that the client gives up leaves the connection well."""
    stub = standard[2].TestServiceStub(channel)
    for _ in range(20):
        try:
            stub.UnaryCall(large_request(standard[1]), timeout=0.0005)
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.EmptyCall(standard[0].Empty()) == standard[0].Empty()
