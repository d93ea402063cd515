# SPDX-License-Identifier: ISC
"""Fixtures for the tests of the mail thread; see smtpd.py."""
import pytest

import smtpd


@pytest.fixture
def make_server():
    made = []

    def make(*args, **options):
        made.append(smtpd.Server(*args, **options))
        return made[-1]
    yield make
    for server in made:
        server.stop()


@pytest.fixture
def make_postman():
    made = []

    def make(url, *options):
        made.append(smtpd.Postman(url, *options))
        return made[-1]
    yield make
    for postman in made:
        if postman.process.poll() is None:
            postman.process.kill()
            postman.process.wait()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return smtpd.Authority(tmp_path_factory.mktemp("ca"))
