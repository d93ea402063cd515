# SPDX-License-Identifier: ISC
"""Goal: deploy/docker-compose.yml, read as YAML and not run: every service is locked down, and what it
says fits twostepd and nginx."""
import os
import pathlib
import re
import subprocess

import pytest

from kit import BUILD, clean_env

yaml = pytest.importorskip("yaml")

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DAEMONS = {name: s for name, s in SERVICES.items() if "TWOSTEP_STORE" in (s.get("environment") or {})}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_has_to(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "setup" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    # The image of twostepd has a user and a check of its own.
    assert service["image"] == "twostep" or (service["user"] != "0:0" and
                                             ("healthcheck" in service or service["restart"] == "no"))


def test_there_are_two_daemons_and_nginx_knows_them():
    assert len(DAEMONS) == 2
    listen = {s["environment"]["TWOSTEP_LISTEN"] for s in DAEMONS.values()}
    assert listen == {"0.0.0.0:7443"}
    servers = re.findall(r"^\s*server (\S+) ", (DEPLOY / "nginx.conf").read_text(), re.M)
    assert sorted(servers) == sorted(name + ":7443" for name in DAEMONS)


def test_the_settings_are_settings():
    for service in DAEMONS.values():
        given = service["environment"]
        said = subprocess.run([os.path.join(BUILD, "twostepd"), "--print-config"], env=clean_env(**given),
                              capture_output=True, text=True)
        assert said.returncode == 0 and "unknown_variable" not in said.stderr, said.stderr
        for name, value in given.items():
            if name.startswith("TWOSTEP_"):
                assert '%s = ' % name[8:].lower() in said.stdout
        assert int(service["stop_grace_period"].rstrip("s")) > int(
            re.search(r"^drain_seconds = (\d+)", said.stdout, re.M).group(1))


def test_what_is_mounted_is_there_and_nothing_secret_is():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
            assert volume.endswith(":ro") or service["image"] == "twostep" or volume.endswith(":/data/db")
