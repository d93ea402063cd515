# SPDX-License-Identifier: ISC
"""Goal: the conformance suite of connectrpc.com finds nothing: gRPC over HTTP/2, identity and gzip,
unary methods and every kind of stream, with its own client and with grpc-go. There is no list of
known failures."""
import re
import subprocess

import pytest

from servers import BUILD, ROOT

SUITE = ROOT / "build" / "peers" / "connectconformance"
CONFIG = ROOT / "tests" / "rpc" / "conformance.yaml"
PATIENCE = 300
AT_LEAST = 372  # permutations; fewer would mean that the configuration has lost something


def test_the_suite():
    if not SUITE.exists():
        pytest.skip("connectconformance is not built (deploy/install-peers.sh)")
    ended = subprocess.run(
        [str(SUITE), "--mode", "server", "--conf", str(CONFIG), "-v", "--",
         str(BUILD / "tests/rpc/conformance_server")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout
    passed, failed = re.search(r"^(\d+) passed, (\d+) failed", ended.stdout, re.M).groups()
    assert (int(failed), int(passed) >= AT_LEAST) == (0, True), ended.stdout
