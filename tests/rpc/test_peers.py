# SPDX-License-Identifier: ISC
"""Clients of others' making beside Python's: grpc-js, grpc-go and buf as gRPC clients, otplib as
authenticator app. deploy/install-peers.sh gets them; a test whose peer is not there is skipped."""
import json
import os
import shutil
import subprocess

import pytest

import kit
from kit import pb
from peers import NODE_MODULES, PEERS, buf, program, run
from servers import BUILD, ROOT, STANDARD_PROTOS

GO_PEER = PEERS / "go-peer"
NOW = str(kit.T0 // 1000)

INTEROP_CASES = {
    "empty_unary", "large_unary", "status_code_and_message", "special_status_message",
    "custom_metadata", "unimplemented_method", "unimplemented_service", "client_compressed_unary",
    "server_compressed_unary", "deadline", "cancel",
}
STORY_STEPS = {
    "health", "off", "switch_on", "asks_to_enroll", "enroll", "confirm", "asks_for_a_code",
    "verify", "replay", "field_named", "unknown_reset",
}


def node(*args):
    """Runs the Node.js peer; its output."""
    if shutil.which("node") is None or not (PEERS / "node" / "installed.json").exists():
        pytest.skip("the Node.js peers are not installed")
    ended = run(["node", ROOT / "tests/peers/node/peer.js", *args],
                env={**os.environ, "NODE_PATH": str(NODE_MODULES)})
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def go(*args):
    """Runs the Go peer; its output."""
    if not GO_PEER.exists():
        pytest.skip("the Go peer is not built")
    ended = run([GO_PEER, *args])
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def steps_of(output):
    return {line.removeprefix("ok ") for line in output.splitlines() if line.startswith("ok ")}


# ---- gRPC's interop cases ----

@pytest.fixture
def interop_address(start_server):
    return start_server([BUILD / "tests/rpc/interop_server"]).address


def test_interop_with_grpc_js(interop_address):
    if not STANDARD_PROTOS.exists():
        pytest.skip("the package grpc-proto is not installed")
    assert steps_of(node("interop", interop_address, STANDARD_PROTOS)) == INTEROP_CASES


def test_interop_with_grpc_go(interop_address):
    assert steps_of(go("interop", interop_address)) == INTEROP_CASES


# The cases of grpc-go's interop client that need neither TLS nor credentials of a cloud.
@pytest.mark.parametrize("case", [
    "empty_unary", "large_unary", "special_status_message", "unimplemented_method",
    "unimplemented_service", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response",
    "status_code_and_message", "custom_metadata", "rpc_soak", "channel_soak"])
def test_interop_client_of_grpc_go(interop_address, case):
    host, port = interop_address.rsplit(":", 1)
    ended = run([program("interop-client"), "-server_host", host, "-server_port", port,
                 "-test_case", case])
    assert ended.returncode == 0, ended.stdout


# ---- one user's way through twostepd ----

def test_story_with_grpc_js(daemon):
    output = node("story", daemon.address, ROOT / "proto", NOW)
    assert steps_of(output) == STORY_STEPS | {"key_uri"}


def test_story_with_grpc_go(daemon, tmp_path):
    descriptors = tmp_path / "api.pb"
    subprocess.run(["protoc", f"-I{ROOT / 'proto'}", "--include_imports",
                    f"--descriptor_set_out={descriptors}", "twostep/v1/twostep.proto"], check=True)
    assert steps_of(go("story", daemon.address, descriptors, NOW)) == STORY_STEPS


# ---- buf ----

def test_buf_lint(tmp_path):
    assert buf(tmp_path, "lint") == (0, "")


def buf_curl(folder, daemon, method, request):
    return buf(folder, "curl", "--http2-prior-knowledge", "--protocol", "grpc", "--schema", ".",
               "-d", json.dumps(request), f"http://{daemon.address}/{method}")


def test_buf_curl(daemon, tmp_path):
    code, output = buf_curl(tmp_path, daemon, "grpc.health.v1.Health/Check", {})
    assert (code, json.loads(output)) == (0, {"status": "SERVING"})

    factor = daemon.enrol(daemon.tenant(), "alice")
    request = {"tenantId": factor.tenant, "userId": factor.user, "channel": "CHANNEL_WEB",
               "passwordVerified": True, "code": factor.code_at(daemon.now + 30_000)}
    code, output = buf_curl(tmp_path, daemon, "twostep.v1.TwoStepService/Verify", request)
    assert code == 0, output
    assert json.loads(output)["outcome"] == "VERIFY_OUTCOME_ACCEPTED"

    code, output = buf_curl(tmp_path, daemon, "twostep.v1.TwoStepService/Verify",
                            {**request, "tenantId": ""})
    assert code == 8 * 3, output  # eight times INVALID_ARGUMENT
    assert "tenant_id" in output


# ---- otplib ----

@pytest.mark.parametrize("name, algorithm, digits, period", [
    ("sha1", pb.ALGORITHM_SHA1, 6, 30),
    ("sha256", pb.ALGORITHM_SHA256, 8, 60),
    ("sha512", pb.ALGORITHM_SHA512, 6, 15),
])
def test_otplib_reads_the_key_uri(daemon, name, algorithm, digits, period):
    tenant = daemon.tenant(algorithm=algorithm, digits=digits, period=kit.seconds(period),
                           issuer="Müller & Söhne 100%")
    answer = daemon.api.enroll(tenant, "alice", account_name="a+b@example.org")
    got = json.loads(node("code", answer.otpauth_uri, NOW))
    assert (got["type"], got["label"]) == ("totp", "Müller & Söhne 100%:a+b@example.org")
    usual = {"algorithm": "sha1", "digits": 6, "period": 30}
    assert {**usual, **got["params"]} == {
        "secret": answer.secret_base32, "issuer": "Müller & Söhne 100%",
        "algorithm": name, "digits": digits, "period": period}
    outcome = daemon.api.outcome(tenant, "alice", got["code"], enrollment_id=answer.enrollment_id)
    assert outcome == "ACCEPTED"
