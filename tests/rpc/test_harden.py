# SPDX-License-Identifier: ISC
"""Goal: a running daemon has given up what serving does not need, the whole story works without it,
and what it gave up is really gone."""
import os
import pwd
import shutil
import socket
import subprocess

import pytest

import postbox
from kit import BUILD, clean_env, wait_until, write_private
from servers import ROOT, SANITIZED
from test_reset import MAIL, becomes, reset

needs_all = pytest.mark.skipif(SANITIZED, reason="a build with sanitizers has no Landlock and no seccomp")
TRY = os.path.join(BUILD, "tests", "programs", "try_harden")
KEPT = {"a file inside", "resolving", "threads"}
NOBODY = pwd.getpwnam("nobody").pw_uid


def statuses(pid):
    """What /proc says of every thread of a process."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task)) as f:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def said(daemon):
    return wait_until(lambda: [e for e in daemon.log() if e["event"] == "hardened"], "a word about it")[-1]


def kernel_lacks(daemon):
    """Why a test of what the kernel does is skipped here."""
    line = said(daemon)
    if (line["landlock"], line["seccomp"]) != ("on", "on"):
        pytest.skip("landlock: %(landlock)s; seccomp: %(seccomp)s" % line)


@needs_all
def test_a_running_daemon_has_no_privileges_left(daemon):
    kernel_lacks(daemon)
    threads = list(statuses(daemon.process.pid))
    assert len(threads) > 3
    for status in threads:
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status["Name"]
        assert all(int(status[c], 16) == 0 for c in ("CapEff", "CapPrm", "CapInh", "CapAmb"))
    assert {"loop"} <= {s["Name"] for s in threads}


@needs_all
def test_a_port_that_needs_a_capability_is_bound_and_the_capability_is_gone(make_daemon):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 1017))
        except OSError as e:
            pytest.skip("port 1017: %s" % e)
    daemon = make_daemon(env={"TWOSTEP_LISTEN": "127.0.0.1:1017"})
    assert daemon.port == 1017 and said(daemon)
    assert all(int(s["CapEff"], 16) == 0 for s in statuses(daemon.process.pid))
    assert daemon.tenant()


@needs_all
def test_what_is_given_up_is_gone(tmp_path):
    """The same code in a program that tries."""
    outside = tmp_path / "outside"
    outside.write_text("x")
    os.mkdir(tmp_path / "state")
    ended = subprocess.run([TRY, str(outside)], env=clean_env(TWOSTEP_STATE_DIR=str(tmp_path / "state")),
                           stdout=subprocess.PIPE, text=True, timeout=60)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stdout
    if lines[:2] != ["landlock on", "seccomp on"]:
        pytest.skip("; ".join(lines[:2]))
    allowed = {line[8:] for line in lines if line.startswith("allowed ")}
    refused = {line[8:] for line in lines if line.startswith("refused ")}
    assert allowed == KEPT and len(refused) == 16


@needs_all
@pytest.mark.parametrize("remote", ["hardened", "off"])
def test_the_whole_story_with_mail(make_daemon, tmp_path, remote):
    if not os.path.exists(postbox.MAILPIT):
        pytest.skip("mailpit is not installed")
    pit = postbox.Mailpit(tmp_path)
    try:
        password = str(tmp_path / "password")
        write_private(password, postbox.PASSWORD + "\n")
        daemon = make_daemon(env={**pit.settings(password), "TWOSTEP_METRICS_LISTEN": "127.0.0.1:0",
                                  "TWOSTEP_HARDENING": "yes" if remote == "hardened" else "no"})
        line = said(daemon)
        assert (line["level"] == "info") == (line["landlock"] == line["seccomp"] == "on")
        assert ("off" in line["seccomp"]) == (remote == "off")
        tenant = daemon.tenant(**MAIL)
        factor = daemon.enrol(tenant, "ann")
        daemon.advance(30)
        assert daemon.api.outcome(tenant, "ann", factor.code_at(daemon.now)) == "ACCEPTED"
        becomes(daemon, tenant, reset(daemon, tenant).reset_id, "SENT")
        assert len(pit.letters()) == 1
        daemon.reload()
        becomes(daemon, tenant, reset(daemon, tenant).reset_id, "SENT")
        assert daemon.restart().api.login(tenant, "ann")
    finally:
        pit.stop()


@needs_all
def test_a_reload_cannot_leave_the_folders_of_the_start(make_daemon, tmp_path):
    daemon = make_daemon(start=False)
    conf = os.path.join(daemon.folder, "conf")
    write_private(conf, "")
    daemon.args = ["--config", conf]
    daemon.start()
    kernel_lacks(daemon)
    daemon.expected.add("reload_failed")
    shutil.copy(daemon.keyring, tmp_path / "keyring")
    write_private(conf, 'keyring_file = "%s"\n' % (tmp_path / "keyring"))
    assert "Permission denied" in daemon.reload("reload_failed")["detail"]
    daemon.restart()
    assert daemon.reload()["settings"] == ""


def bubble(folder):
    """A root file system that is read only but for one folder, and another user."""
    return ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups", "bwrap",
            "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", folder, folder, "--"]


@needs_all
def test_another_user_on_a_read_only_root(make_daemon):
    if os.geteuid() != 0 or shutil.which("bwrap") is None:
        pytest.skip("needs root and bwrap (bubblewrap)")
    daemon = make_daemon(start=False)
    chain = daemon.folder
    while chain != "/" and os.stat(chain).st_uid == 0 and not os.stat(chain).st_mode & 1:
        os.chmod(chain, 0o711)
        chain = os.path.dirname(chain)
    for path in (daemon.folder, daemon.state, daemon.keyring, daemon.clock.path):
        os.chown(path, NOBODY, NOBODY)
    daemon.wrapper = bubble(daemon.state)
    probe = subprocess.run(daemon.wrapper + [TRY], stderr=subprocess.PIPE, text=True)
    if "bwrap" in probe.stderr:
        pytest.skip("bwrap does not work here: " + probe.stderr.strip())
    daemon.start()
    children = subprocess.run(["pgrep", "-P", str(daemon.process.pid)], stdout=subprocess.PIPE, text=True)
    tenant = daemon.tenant()
    factor = daemon.enrol(tenant, "ann")
    assert factor.secret
    for pid in children.stdout.split():
        with open("/proc/%s/status" % pid) as f:
            assert "Uid:\t%d" % NOBODY in f.read()
        os.kill(int(pid), 15)
    daemon.hang_up()
    daemon.process.wait(30)
    daemon.process = None
    assert wait_until(lambda: [e for e in daemon.log() if e["event"] == "drained"], "the end")


def test_the_unit_is_one(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    with open(ROOT / "deploy/systemd/twostepd.service") as f:
        text = f.read().replace("/usr/local/bin/twostepd", os.path.join(BUILD, "twostepd"))
    unit = tmp_path / "twostepd.service"
    unit.write_text(text)
    ended = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "")
