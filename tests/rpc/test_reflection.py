# SPDX-License-Identifier: ISC
"""Goal: tools without a schema can list, describe and call: server reflection, v1 and v1alpha."""
import json
import os
import signal

import grpc
import pytest

import rawh2
from kit import PATIENCE, SERVICE, refused
from peers import buf, program, run
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc.reflection.v1 import reflection_pb2 as v1
from grpc.reflection.v1alpha import reflection_pb2 as v1alpha

VERSIONS = [("v1", v1), ("v1alpha", v1alpha)]
SERVICES = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection", "twostep.v1.TwoStepService"]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]


def path(version):
    return f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"


@pytest.fixture(params=VERSIONS, ids=[v for v, _ in VERSIONS])
def ask(service, request):
    """ask(field=value, ...): the answers to one question a keyword, all on one stream."""
    version, messages = request.param
    call = service.api.channel.stream_stream(
        path(version), messages.ServerReflectionRequest.SerializeToString,
        messages.ServerReflectionResponse.FromString)

    def questions(**fields):
        asked = [messages.ServerReflectionRequest(host="a.test", **{k: v})
                 for k, v in fields.items()]
        answers = list(call(iter(asked), timeout=PATIENCE))
        assert [a.original_request for a in answers] == asked
        assert {a.valid_host for a in answers} <= {"a.test"}
        return answers
    return questions


def files_of(answer):
    assert answer.HasField("file_descriptor_response"), answer
    return [descriptor_pb2.FileDescriptorProto.FromString(f)
            for f in answer.file_descriptor_response.file_descriptor_proto]


def is_not_found(answer):
    return answer.HasField("error_response") and \
        answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_services_are_listed(ask):
    answer, = ask(list_services="*")
    assert sorted(s.name for s in answer.list_services_response.service) == SERVICES


def test_a_file_comes_first_and_then_its_imports_once(ask):
    answer, = ask(file_by_filename="twostep/v1/twostep.proto")
    names = [f.name for f in files_of(answer)]
    assert names[0] == "twostep/v1/twostep.proto"
    assert sorted(names[1:]) == ["google/protobuf/duration.proto", "google/protobuf/field_mask.proto",
                                 "google/protobuf/timestamp.proto"]


def test_every_file_is_complete(ask):
    """What comes for each service is a schema that protobuf itself takes."""
    for name in SERVICES + ["google.rpc.BadRequest", "google.rpc.Status"]:
        answer, = ask(file_containing_symbol=name)
        pool = descriptor_pool.DescriptorPool()
        waiting = files_of(answer)
        for f in reversed(waiting):  # imports before what imports them
            pool.Add(f)
        assert pool.FindFileContainingSymbol(name).name == waiting[0].name


@pytest.mark.parametrize("symbol", [
    "twostep.v1.TwoStepService", "twostep.v1.TwoStepService.Verify", "twostep.v1.VerifyRequest",
    "twostep.v1.VerifyRequest.code", "twostep.v1.Channel", "twostep.v1.CHANNEL_WEB"])
def test_a_symbol_of_every_kind_is_found(ask, symbol):
    answer, = ask(file_containing_symbol=symbol)
    assert files_of(answer)[0].name == "twostep/v1/twostep.proto"


def test_symbols_in_messages_are_found(ask):
    for symbol in ("grpc.health.v1.HealthCheckResponse.ServingStatus",
                   "grpc.health.v1.HealthCheckResponse.SERVING",
                   "grpc.reflection.v1.ServerReflectionRequest.message_request",
                   "google.rpc.QuotaFailure.Violation.subject"):
        answer, = ask(file_containing_symbol=symbol)
        files_of(answer)


@pytest.mark.parametrize("symbol", [
    "", ".", "twostep", "twostep.v1", "twostep.v1.", "twostep.v1.Nothing", "twostep.v1.verifyRequest",
    ".twostep.v1.VerifyRequest", "twostep.v1.VerifyRequest.", "twostep.v1.VerifyRequest.nothing",
    "twostep.v1.TwoStepService.Verify.x", "twostep.v1.Channel.CHANNEL_WEB", "VerifyRequest", "x" * 3000])
def test_what_is_not_there_is_said_and_the_stream_goes_on(ask, symbol):
    answers = ask(file_containing_symbol=symbol, file_by_filename="x" + symbol, list_services="")
    assert is_not_found(answers[0]) and is_not_found(answers[1])
    assert answers[2].HasField("list_services_response")


def test_there_are_no_extensions(ask):
    known, = ask(all_extension_numbers_of_type="twostep.v1.VerifyRequest")
    assert known.all_extension_numbers_response.base_type_name == "twostep.v1.VerifyRequest"
    assert not known.all_extension_numbers_response.extension_number
    unknown, = ask(all_extension_numbers_of_type="twostep.v1.Channel")
    assert is_not_found(unknown)


def test_an_extension_and_no_question(service):
    with rawh2.Connection(service.port) as c:
        stream = c.open(path("v1"))
        extension = v1.ServerReflectionRequest(file_containing_extension=v1.ExtensionRequest(
            containing_type="twostep.v1.VerifyRequest", extension_number=1))
        c.data(stream, rawh2.message(extension.SerializeToString()) + rawh2.message(b""))
        data, codes = c.wait(stream).data, []
        while data:
            n = int.from_bytes(data[1:5], "big")
            codes.append(v1.ServerReflectionResponse.FromString(data[5:5 + n]).error_response.error_code)
            data = data[5 + n:]
        assert codes == [grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]]


@pytest.mark.parametrize("message", [b"\x1a\x01\xff", b"\x1a\x02a\0", b"\x1a\x09a", b"\xff"])
def test_a_broken_question_ends_the_stream(service, message):
    call = service.api.channel.stream_stream(path("v1"))
    code = grpc.StatusCode.INVALID_ARGUMENT if message[:1] == b"\x1a" and message[1] < 9 \
        else grpc.StatusCode.INTERNAL
    with refused(code):
        next(call(iter([message]), timeout=PATIENCE))


def test_many_questions_are_bounded_by_who_reads_the_answers(service):
    """Without a window for the answers, questions stay with the client."""
    question = rawh2.message(v1.ServerReflectionRequest(
        file_by_filename="twostep/v1/twostep.proto").SerializeToString())
    with rawh2.Connection(service.port, settings=[(rawh2.INITIAL_WINDOW_SIZE, 0)]) as c:
        c.sync()
        stream = c.open(path("v1"))
        n = c.settings[rawh2.INITIAL_WINDOW_SIZE] // len(question)
        c.big_data(stream, question * n, end=False)
        c.sync()
        c.sync()  # a window update may leave behind the answer to the first PING
        opened = sum(int.from_bytes(f.payload, "big") for f in c.frames
                     if f.type == rawh2.WINDOW_UPDATE and f.stream == stream)
        assert opened == 0
        c.window_update(stream, 2**30)
        c.data(stream)
        assert c.wait(stream).grpc == 0
        assert len(c.answers[stream].data) > n * 5000


def test_an_idle_stream_does_not_keep_a_stop(daemon):
    daemon.hang_up()
    with rawh2.Connection(daemon.port) as c:
        stream = c.open(path("v1"))
        c.sync()
        os.kill(daemon.process.pid, signal.SIGTERM)
        assert c.wait(stream).grpc == UNAVAILABLE
        assert c.wait_closed() == 0
    process, daemon.process = daemon.process, None
    assert process.wait(PATIENCE) == 0


# ---- tools ----

def test_grpcurl(daemon):
    grpcurl = program("grpcurl")
    listed = run([grpcurl, "-plaintext", daemon.address, "list"])
    assert listed.stdout.split() == SERVICES
    methods = run([grpcurl, "-plaintext", daemon.address, "list", "twostep.v1.TwoStepService"])
    assert "twostep.v1.TwoStepService.Verify" in methods.stdout.split()
    described = run([grpcurl, "-plaintext", daemon.address, "describe", "twostep.v1.VerifyRequest"])
    assert "string tenant_id = 1;" in described.stdout
    called = run([grpcurl, "-plaintext", "-d", json.dumps({"tenant_id": daemon.tenant(), "user_id": "ann",
                                                          "channel": "CHANNEL_WEB"}),
                  daemon.address, "twostep.v1.TwoStepService/GetLoginRequirement"])
    assert json.loads(called.stdout)["requirement"] == "LOGIN_REQUIREMENT_ENROLL"


def buf_curl(tmp_path, daemon, *args, method=""):
    return buf(tmp_path, "curl", "--http2-prior-knowledge", "--protocol", "grpc", *args,
               f"http://{daemon.address}{method}")


def test_buf_curl_without_a_schema(daemon, tmp_path):
    code, output = buf_curl(tmp_path, daemon, "--list-services")
    assert (code, output.split()) == (0, SERVICES)
    code, output = buf_curl(tmp_path, daemon, "--list-methods")
    assert code == 0 and "twostep.v1.TwoStepService/Verify" in output.split()
    code, output = buf_curl(
        tmp_path, daemon, "-d", json.dumps({"tenantId": daemon.tenant(), "userId": "ann",
                                            "channel": "CHANNEL_WEB"}),
        method=SERVICE + "GetLoginRequirement")
    assert (code, json.loads(output)["requirement"]) == (0, "LOGIN_REQUIREMENT_ENROLL")


def test_ghz(daemon):
    """A load tool that knows the API by reflection only: every call is answered."""
    ended = run([program("ghz"), "--insecure", "--call", "twostep.v1.TwoStepService/GetLoginRequirement",
                 "-d", json.dumps({"tenant_id": daemon.tenant(), "user_id": "ann",
                                   "channel": "CHANNEL_WEB"}),
                 "-n", "2000", "-c", "20", "--format", "json", daemon.address])
    assert ended.returncode == 0, ended.stdout
    assert json.loads(ended.stdout)["statusCodeDistribution"] == {"OK": 2000}
