# SPDX-License-Identifier: ISC
"""deploy/demo: tells its story to the end, with and without a terminal, says when something
is not as it tells, and leaves nothing behind however it ends."""

import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pyotp
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("TWOSTEP_BUILD", "build")
DEMO = str(ROOT / "deploy/demo")
PATIENCE = 30  # seconds for what happens by itself
PROMPT = "plays the phone:"


@pytest.fixture
def env(tmp_path):
    """An environment with a folder for temporary files, which must be empty at the end."""
    (tmp_path / "tmp").mkdir()
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR",)}
    env.update(BUILD=str(BUILD), TMPDIR=str(tmp_path / "tmp"), TERM="xterm", LC_ALL="C.UTF-8")
    yield env
    assert list((tmp_path / "tmp").iterdir()) == []
    assert left_running(tmp_path) == []


def left_running(folder):
    """Processes that were started with a setting in this folder."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process.name, (process / "cmdline").read_bytes()))
        except OSError:
            pass  # somebody else's, or gone
    return found


def run(env, **more):
    return subprocess.run([DEMO], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE, **more)  # fmt: skip


class Terminal:
    """The demo on a terminal of its own."""

    def __init__(self, env):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(DEMO, [DEMO], env)

    def read_until(self, text):
        end = time.monotonic() + PATIENCE
        while text not in self.seen and time.monotonic() < end:
            if not self._read(end - time.monotonic()):
                break
        assert text in self.seen, self.seen[-2000:]

    def _read(self, seconds):
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return False
        try:
            part = os.read(self.fd, 65536)
        except OSError:  # how a terminal ends
            return False
        self.seen += part.decode(errors="replace")
        return part != b""

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Reads what is left; the exit status."""
        while self._read(PATIENCE):
            pass
        return self.wait()

    def hang_up(self):
        os.close(self.fd)
        self.fd = None
        return self.wait()

    def wait(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if self.fd is not None:
            os.close(self.fd)
        return status


def chapters(text):
    return re.findall(r"^(?:\x1b\[1m)?(\d)\. ", text.replace("\r", ""), re.M)


# ---- to the end -----------------------------------------------------------------------------


def test_without_a_terminal_it_runs_through(env):
    result = run(env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == "" and "\x1b" not in result.stdout
    assert chapters(result.stdout) == list("12345678")
    outcomes = re.findall(r"^  ([A-Z_]+): ", result.stdout, re.M)
    assert outcomes[:3] == ["ACCEPTED", "ACCEPTED", "REPLAYED_CODE"]
    assert outcomes[3] == "WRONG_CODE" and outcomes[-2:] == ["LOCKED", "LOCKED"]
    assert "█" in result.stdout and "otpauth://totp/Acme:alice?" in result.stdout


def test_what_it_shows_is_what_it_runs(env):
    shown = re.findall(r"^\$ (twostepctl .*)$", run(env).stdout, re.M)
    assert len(shown) > 12
    for command in shown:
        assert re.match(r"twostepctl --server=127\.0\.0\.1:\d+ \w", command)


def test_its_settings_are_its_own(env):
    env.update(TWOSTEP_LISTEN="256.0.0.1:1", TWOSTEP_STORE="nonsense:", TWOSTEP_CALLERS_FILE="/no")
    assert run(env).returncode == 0


def test_on_a_terminal_enter_goes_on(env):
    demo = Terminal(env)
    demo.read_until(PROMPT)
    demo.type("\n")
    assert demo.end() == 0
    assert chapters(demo.seen) == list("12345678")
    assert "\x1b[40;97m█" in demo.seen


def test_no_color_is_respected(env):
    env["NO_COLOR"] = "1"
    demo = Terminal(env)
    demo.read_until(PROMPT)
    demo.type("\n")
    assert demo.end() == 0 and "\x1b" not in demo.seen


def test_the_reader_can_take_part_with_a_phone(env):
    demo = Terminal(env)
    demo.read_until(PROMPT)
    phone = pyotp.TOTP(re.search(r"secret +([A-Z2-7]{32})", demo.seen)[1])
    wrong = next(c for c in ("000000", "111111", "222222", "333333", "444444")
                 if not phone.verify(c, valid_window=3))  # fmt: skip
    demo.seen = ""
    demo.type(wrong + "\n")
    demo.read_until(PROMPT)
    assert "WRONG_CODE" in demo.seen
    demo.seen = ""
    code = phone.now()
    demo.type("%s %s\n" % (code[:3], code[3:]))
    assert demo.end() == 0
    assert "ACCEPTED" in demo.seen and "So does 'twostepctl code'" not in demo.seen


# ---- ends before the end -------------------------------------------------------------------


def test_ctrl_c_at_the_prompt(env):
    demo = Terminal(env)
    demo.read_until(PROMPT)
    demo.type("\x03")
    assert demo.end() == 130


def test_ctrl_c_in_the_middle(env):
    demo = Terminal(env)
    demo.read_until("2. ")
    demo.type("\x03")
    assert demo.end() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals(env, number):
    demo = Terminal(env)
    demo.read_until(PROMPT)
    os.kill(demo.pid, number)
    assert demo.end() == 128 + number


def test_a_terminal_that_goes_away(env):
    demo = Terminal(env)
    demo.read_until(PROMPT)
    assert demo.hang_up() == 128 + signal.SIGHUP


def test_a_reader_that_goes_away(env):
    demo = subprocess.Popen([DEMO], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    demo.stdout.readline()
    demo.stdout.close()
    assert demo.wait(PATIENCE) != 0


# ---- what is not as it tells -----------------------------------------------------------------


def fake(env, folder, **programs):
    """A build folder with these scripts in place of programs."""
    folder.mkdir()
    for name in ("twostepd", "twostepctl"):
        if name in programs:
            text = "#!/bin/sh\nreal=%s/%s\n%s\n" % (BUILD, name, programs[name])
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        else:
            (folder / name).symlink_to(BUILD / name)
    env["BUILD"] = str(folder)


def test_nothing_is_built(env, tmp_path):
    env["BUILD"] = str(tmp_path / "none")
    result = run(env)
    assert result.returncode == 1 and "make" in result.stderr


def test_a_daemon_that_does_not_start(env, tmp_path):
    fake(env, tmp_path / "bin", twostepd="echo 'no such luck' >&2; exit 70")
    result = run(env)
    assert result.returncode == 1
    assert "did not start" in result.stderr and "no such luck" in result.stderr


WHEN = 'case "$*" in %s esac; exec "$real" "$@"'


@pytest.mark.parametrize(
    "case, complaint",
    [
        ("*enrollment-id*) ;; *' verify '*) echo ACCEPTED: x; exit 0;;", "status 0, not 1"),
        ("*' verify '*) echo WRONG_CODE: x; exit 1;;", "status 1, not 0"),
        ("*' verify '*) echo yes; exit 0;;", "does not say ACCEPTED"),
        ("*' policy '*) echo error >&2; exit 2;;", "status 2, not 0"),
        ("*' enroll '*) echo otpauth://; exit 0;;", "no secret"),
        ("code*) exit 2;;", "no code"),
    ],
)
def test_an_answer_that_is_not_as_told(env, tmp_path, case, complaint):
    fake(env, tmp_path / "bin", twostepctl=WHEN % case)
    result = run(env)
    assert result.returncode == 1
    assert "The demo failed: " in result.stderr and complaint in result.stderr
