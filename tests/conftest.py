# SPDX-License-Identifier: ISC
"""Fixtures for everything that drives a daemon."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "rpc"))

import kit  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "unsanitized: not for builds with sanitizers")


def _daemons(mktemp):
    """Gives a function that makes daemons; ends those that are still running."""
    made = []

    def make(start=True, **options):
        made.append(kit.Daemon(mktemp("daemon"), **options))
        return made[-1].start() if start else made[-1]
    yield make
    for daemon in made:
        if daemon.process is not None:
            assert daemon.stop() == 0, daemon.text()[-2000:]
        daemon.check_log()


@pytest.fixture
def make_daemon(tmp_path_factory):
    yield from _daemons(tmp_path_factory.mktemp)


@pytest.fixture
def daemon(make_daemon):
    """A daemon of the test's own; its clock stands at kit.T0 until the test sets it."""
    return make_daemon()


@pytest.fixture(scope="module")
def make_service(tmp_path_factory):
    yield from _daemons(tmp_path_factory.mktemp)


@pytest.fixture(scope="module")
def service(make_service):
    """One daemon for the tests of a file: each has tenants of its own, none stops it."""
    return make_service()
