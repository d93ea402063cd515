# SPDX-License-Identifier: ISC
"""Fixtures for the tests of the transport; see servers.py for what a server is."""

import pytest

from certificates import Files
from servers import BUILD, ROOT, generate_stubs, launch


def must_end_well(server):
    code = server.stop()
    assert code == 0, f"exit code {code}:\n" + "\n".join(server.lines)


@pytest.fixture
def start_server():
    """start_server(argv, env) -> Server, which must end well with the test."""
    started = []

    def start(argv, env=None):
        started.append(launch(argv, env))
        return started[-1]

    yield start
    for server in started:
        must_end_well(server)


@pytest.fixture(scope="module")
def module_server(request):
    """One server for a module, whose SERVER is the argv behind the build folder."""
    program, *rest = request.module.SERVER
    server = launch([BUILD / program, *rest])
    yield server
    must_end_well(server)


@pytest.fixture(scope="session")
def probe_pb2():
    """The messages of proto/rpctest/v1/probe.proto."""
    generate_stubs(
        BUILD / "tests/rpc/python",
        ROOT / "tests/rpc/proto",
        ["rpctest/v1/probe.proto"],
    )
    from rpctest.v1 import probe_pb2 as module

    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("certificates"))
