# SPDX-License-Identifier: ISC
"""Fixtures for tests with MongoDB's protocol: place is each server that there is, with a database
of its own for each test; fake is the one that fails on purpose. See mongo_servers.py."""
import contextlib

import pymongo
import pytest

import mongo_servers
import trio

# How long pymongo waits, after a failure, until it asks a server how it is.
pymongo.common.MIN_HEARTBEAT_INTERVAL = 0.01


@pytest.fixture(scope="session")
def _servers():
    with contextlib.ExitStack() as stack:
        started = {}

        def start(name):
            if name not in started:
                make = {"fake": mongo_servers.fake, "java": mongo_servers.java_server, "real": mongo_servers.real}
                started[name] = stack.enter_context(make[name]())
            return started[name].fresh()
        yield start


# Without a real server there is one skipped test that says so, not one for each.
NAMES = ["fake", "java"] + ([] if mongo_servers.real_missing() else ["real"])


@pytest.fixture(params=NAMES)
def place(request, _servers):
    place = _servers(request.param)
    yield place
    if place.name == "real":
        with pymongo.MongoClient(place.uri) as client:
            client.drop_database(place.database)


@pytest.fixture
def database(place):
    with pymongo.MongoClient(place.uri, serverSelectionTimeoutMS=mongo_servers.PATIENCE * 1000) as client:
        yield client[place.database]


@pytest.fixture
def fake():
    """A fake of the test's own."""
    with mongo_servers.fake() as made:
        yield made.server


@pytest.fixture(params=[name for name in NAMES if name != "fake"])
def make_trio(request, _servers, tmp_path_factory):
    """make_trio(env) gives three daemons on a database of their own."""
    made = []

    def make(env=None, **more):
        made.append(trio.Trio(tmp_path_factory.mktemp, _servers(request.param), env, **more))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.fixture
def three(make_trio):
    return make_trio()
