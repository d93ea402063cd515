# SPDX-License-Identifier: ISC
"""Goal: the conformance suite of connectrpc.com finds nothing: gRPC over HTTP/2, h2c and TLS with and
without client certificates, identity and gzip, unary methods and every kind of stream, with its own
client and with grpc-go. There is no list of known failures."""
import re

from peers import program, run
from servers import BUILD, ROOT

CONFIG = ROOT / "tests" / "rpc" / "conformance.yaml"
AT_LEAST = 566  # permutations; fewer would mean that the configuration has lost something


def test_the_suite():
    ended = run([program("connectconformance"), "--mode", "server", "--conf", CONFIG, "-v", "--",
                 BUILD / "tests/rpc/conformance_server"])
    assert ended.returncode == 0, ended.stdout
    passed, failed = re.search(r"^(\d+) passed, (\d+) failed", ended.stdout, re.M).groups()
    assert (int(failed), int(passed) >= AT_LEAST) == (0, True), ended.stdout
