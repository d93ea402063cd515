# SPDX-License-Identifier: ISC
"""h2spec: what HTTP/2 demands of a server, tried rule by rule. It makes plain requests, which the
daemon answers as something that is not gRPC. Skipped where deploy/install-peers.sh has not got it."""
import pytest

import peers

CASES, STRICT_CASES = 145, 146
SECONDS = "2"  # h2spec waits so long for what is to come


@pytest.mark.parametrize("strict", [False, True], ids=["usual", "strict"])
@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_every_rule(make_daemon, files, tls, strict):
    daemon = make_daemon(env=files.settings() if tls else {})
    ended = peers.run([peers.program("h2spec"), "-h", "127.0.0.1", "-p", daemon.port, "-o", SECONDS,
                       *(["-t", "-k"] if tls else []), *(["-S"] if strict else [])])
    cases = STRICT_CASES if strict else CASES
    assert f"{cases} tests, {cases} passed, 0 skipped, 0 failed" in ended.stdout, ended.stdout
    assert ended.returncode == 0
