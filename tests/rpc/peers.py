# SPDX-License-Identifier: ISC
"""Programs of others' making, which deploy/install-peers.sh gets; a test whose program is not there
is skipped."""
import os
import subprocess

import pytest

from servers import ROOT

PEERS = ROOT / "build" / "peers"
NODE_MODULES = PEERS / "node" / "node_modules"
PATIENCE = 120  # seconds for one of them


def run(argv, **options):
    return subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=PATIENCE, **options)


def program(name):
    """A program of others; the test is skipped when it is not there."""
    if not (PEERS / name).exists():
        pytest.skip(f"{name} is not built (deploy/install-peers.sh)")
    return PEERS / name


def buf(folder, *args):
    """Runs buf with a cache below folder: (exit code, output)."""
    if not (NODE_MODULES / ".bin" / "buf").exists():
        pytest.skip("buf is not installed")
    ended = run([NODE_MODULES / ".bin" / "buf", *args], cwd=ROOT / "proto",
                env={**os.environ, "BUF_CACHE_DIR": str(folder)})
    return ended.returncode, ended.stdout
