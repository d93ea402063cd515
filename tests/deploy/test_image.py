# SPDX-License-Identifier: ISC
"""Goal: the image has the libraries that the programs need, no more, and is made of files that are
sent to its build."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from kit import BUILD

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# Part of every Debian; and what is read at run time only.
ESSENTIAL, DATA = {"libc6"}, {"ca-certificates"}


def said_by(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def packages_of(paths):
    """Packages name some libraries below /lib and others below /usr/lib: it is the same folder."""
    wanted = {os.path.realpath(path) for path in paths}
    found = re.findall(r"^([^:\s]+)(?::\w+)?: (\S+)$",
                       said_by("dpkg-query", "-S", *("*/" + os.path.basename(path) for path in paths)), re.M)
    owners = {os.path.realpath(file): package for package, file in found if os.path.realpath(file) in wanted}
    assert set(owners) == wanted
    return set(owners.values())


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="this is no Debian")
def test_the_image_has_the_libraries_that_are_needed():
    libraries = set()
    for program in ("twostepd", "twostepctl"):
        path = os.path.join(BUILD, program)
        names = re.findall(r"\(NEEDED\).*\[(.+)\]", said_by("readelf", "-d", path))
        places = dict(re.findall(r"^\s*(\S+) => (\S+)", said_by("ldd", path), re.M))
        libraries |= {places[name] for name in names}
    needed = packages_of(libraries)
    installed = re.search(r"--no-install-recommends \\\n(.*?)&&", DOCKERFILE, re.S).group(1)
    assert set(installed.replace("\\", "").split()) == (needed - ESSENTIAL) | DATA


def test_what_is_copied_into_the_image_is_not_ignored():
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
    copied = {source for copy in copies for source in copy.split()[:-1]}
    assert copied == sent
    assert all((ROOT / source).exists() for source in sent)
