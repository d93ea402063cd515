# SPDX-License-Identifier: ISC
"""Fixtures for everything that drives a daemon, and the store that daemons use."""
import atexit
import os
import secrets
import sys

import pytest

for folder in ("rpc", "mongo"):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), folder))

import kit  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--store", default="sqlite", choices=["sqlite", "java", "real"],
                     help="SQLite, mongo-java-server, or what TWOSTEP_TEST_MONGODB_URI names")


def _on_mongo(uri, development):
    """Gives each daemon a database of its own."""
    server, _, options = uri.partition("?")
    server = server if server.count("/") > 2 else server + "/"

    def settings():
        return {"TWOSTEP_STORE": server + "twostep_test_" + secrets.token_hex(8) + "?" + options,
                "TWOSTEP_STORE_DEVELOPMENT": "yes" if development else "no"}
    return settings


def pytest_configure(config):
    config.addinivalue_line("markers", "unsanitized: not for builds with sanitizers")
    config.addinivalue_line("markers", "sqlite: is about the file, or about one worker")
    store = config.getoption("--store")
    if store == "sqlite":
        return
    import mongo_servers
    missing = mongo_servers.java_missing() if store == "java" else mongo_servers.real_missing()
    if missing:
        config.missing_store = missing
    elif store == "java":
        server = mongo_servers.JavaServer()
        atexit.register(server.kill)
        kit.store_of_tests = _on_mongo(server.uri, development=True)
    else:
        kit.store_of_tests = _on_mongo(os.environ[mongo_servers.REAL_URI], development=False)


def pytest_collection_modifyitems(config, items):
    """Without the store that was asked for there is nothing to run, which is one skipped test."""
    missing = getattr(config, "missing_store", None)
    if missing:
        del items[1:]
        items[0].add_marker(pytest.mark.skip(reason=missing))


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
