# SPDX-License-Identifier: ISC
"""Goal: the command line, the configuration and the files it names: what is wrong is said with
its place, the exit status says of which kind it is, and nothing that is too open is used."""
import json
import os
import shutil
import socket
import sqlite3
import subprocess

import grpc
import pytest

from kit import BUILD, PATIENCE, Api, clean_env, pb, write_callers, write_private

TWOSTEPD = os.path.join(BUILD, "twostepd")
USAGE, STORE, CONFIG = 64, 69, 78


@pytest.fixture
def home(tmp_path):
    """A state folder that a daemon could start in."""
    keyring(tmp_path / "keyring")
    return tmp_path


def keyring(path):
    subprocess.run([os.path.join(BUILD, "twostepctl"), "keyring", "init", str(path)], check=True,
                   stdout=subprocess.DEVNULL)


def run(*args, home=None, **settings):
    """twostepd to its end: (status, standard output, the lines that it logged). It must not serve."""
    env = clean_env(TWOSTEP_LISTEN="127.0.0.1:0")
    if home is not None:
        env["TWOSTEP_STATE_DIR"] = str(home)
    env.update({"TWOSTEP_" + k.upper(): str(v) for k, v in settings.items()})
    r = subprocess.run([TWOSTEPD, *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    lines = r.stderr.splitlines()
    if r.returncode not in (0, USAGE):
        lines = [json.loads(line) for line in lines]
        assert not any(e["event"] == "listening" for e in lines)
    return r.returncode, r.stdout, lines


def failure(*args, status=CONFIG, **settings):
    """The complaint of a start that fails with this status."""
    got, _, lines = run(*args, **settings)
    assert got == status, lines
    assert lines[-1]["event"] == "start_failed" and lines[-1]["exit"] == status
    return lines[-1]["detail"]


def config(folder, text):
    path = folder / "twostep.conf"
    path.write_text(text)
    return str(path)


# ---- the command line ------------------------------------------------------------------------------------

@pytest.mark.parametrize("args", [["--nothing"], ["-x"], ["argument"], ["--config"], ["--check-config=1"],
                                  ["--config=a", "b"]])
def test_bad_usage_is_64_and_points_to_help(args):
    status, out, lines = run(*args)
    assert status == USAGE and out == "" and "--help" in "".join(lines)


def test_help_and_version():
    status, out, _ = run("--help")
    assert status == 0
    assert all(o in out for o in ("--config", "--check-config", "--print-config", "--version", "64", "78"))
    status, out, _ = run("--version")
    assert status == 0 and out.split()[0] == "twostepd"


# ---- the configuration -----------------------------------------------------------------------------------

@pytest.mark.parametrize("line, key", [
    ('threads = "many"', "threads"), ("threads = 65", "threads"), ("threads = -1", "threads"),
    ("drain_seconds = 3601", "drain_seconds"), ('allow_plaintext = "perhaps"', "allow_plaintext"),
    ("listne = \"127.0.0.1:1\"", "listne"), ("message_bytes = 1023", "message_bytes"),
    ("lockout_limit = 101", "lockout_limit"), ("lockout_free_tries = 0", "lockout_free_tries"),
    ("store_workers = 0", "store_workers"), ("store_workers = 257", "store_workers"),
    ('start_without_store = "later"', "start_without_store"), ("store_development = 2", "store_development"),
    ("queue_length = 0", "queue_length"), ('log_level = "info"\nlog_level = "debug"', "log_level"),
    ("listen {", "listen")])
def test_an_error_in_the_file_names_file_line_and_key(home, line, key):
    path = config(home, "\n" + line + "\n")
    detail = failure("--config", path, home=home)
    place = 2 + line.count("\n")
    assert "%s:%d:" % (path, place) in detail and key in detail


@pytest.mark.parametrize("comment", ["# a word", "// a word", "/* a word */"])
def test_comments_do_not_shift_the_line(home, comment):
    path = config(home, comment + "\nthreads = -1\n")
    assert path + ":2:" in failure("--config", path, home=home)


@pytest.mark.parametrize("line, key", [
    ('log_level = "loud"', "log_level"), ('store = "mysql://x"', "store"), ('store = "sqlite:"', "store"),
    ("lockout_first_wait = 100\nlockout_longest_wait = 99", "lockout_longest_wait"),
    ("lockout_free_tries = 10\nlockout_limit = 9", "lockout_limit")])
def test_settings_that_do_not_fit_are_named(home, line, key):
    assert failure("--config", config(home, line + "\n"), home=home).startswith(key + ":")


@pytest.mark.parametrize("name, value", [("threads", "x"), ("threads", ""), ("drain_seconds", "-1"),
                                         ("allow_plaintext", "maybe"), ("connections", "1e3")])
def test_an_error_in_a_variable_names_it(home, name, value):
    assert "TWOSTEP_" + name.upper() in failure(home=home, **{name: value})


def test_a_file_that_is_not_there_is_named(home):
    assert "nowhere.conf" in failure("--config", str(home / "nowhere.conf"), home=home)


def test_a_misspelt_variable_is_warned_of(home):
    _, _, lines = run("--check-config", home=home, callers_flie="x")
    assert any(json.loads(line).get("name") == "TWOSTEP_CALLERS_FLIE" for line in lines)


def test_variables_win_over_the_file_and_the_file_over_defaults(home):
    path = config(home, 'threads = 3\nlog_level = "debug"\nallow_plaintext = yes\n')
    status, out, _ = run("--print-config", "--config", path, home=home, threads=5)
    values = dict(line.split(" = ") for line in out.splitlines())
    assert status == 0
    assert (values["threads"], values["log_level"], values["allow_plaintext"]) == ("5", '"debug"', "yes")
    assert (values["drain_seconds"], values["streams"]) == ("30", "100")
    assert (values["store_workers"], values["start_without_store"], values["store_development"]) == ("16", "no", "no")
    assert values["store"] == '"sqlite:%s/twostep.db"' % home
    assert values["keyring_file"] == '"%s/keyring"' % home


@pytest.mark.parametrize("uri, shown", [
    ("mongodb://db1:27017,db2/twostep?replicaSet=rs0", None),
    ("mongodb+srv://app@db.example/twostep?tls=true", None),
    ("mongodb://app:S3cret@db1:27017,db2/x?replicaSet=rs0", "mongodb://app:***@db1:27017,db2/x?replicaSet=rs0"),
    ("mongodb+srv://app:S3cret@db.example", "mongodb+srv://app:***@db.example"),
    ("mongodb://app:S3c:r/e@S3cret@db1/x", "mongodb://app:***@db1/x"),
    ("mongodb://app:S3c?ret@S3cret@db1", "mongodb://app:***"),
    ("mongodb://:S3cret@db1", "mongodb://:***@db1"),
    ("mongodb://db1:27017/?authMechanismProperties=TOKEN:S3cret@S3cret", "mongodb://db1:***"),
    ("mongodb://db1/?tlsCertificateKeyFilePassword=S3cret&tls=true",
     "mongodb://db1/?tlsCertificateKeyFilePassword=***&tls=true"),
    ("mongodb://app:S3cret@db1/?x&AUTHMECHANISMPROPERTIES=S3cret", "mongodb://app:***@db1/?x&AUTHMECHANISMPROPERTIES=***"),
])
def test_print_config_shows_no_password_of_the_store(home, uri, shown):
    status, out, lines = run("--print-config", home=home, store=uri)
    assert status == 0 and "S3c" not in out + "".join(map(str, lines))
    assert 'store = "%s"' % (shown or uri) in out.splitlines()


@pytest.mark.parametrize("uri", ["mongo://app:S3cret@db1", "Mongodb://app:S3cret@db1", "mongodb:/app:S3cret@db1",
                                 "http://app:S3cret@db1"])
def test_a_store_of_no_known_kind_is_refused_without_showing_a_password(home, uri):
    for option in ("--print-config", "--check-config"):
        status, out, lines = run(option, home=home, store=uri)
        assert status == CONFIG and lines[-1]["detail"].startswith("store:")
        assert "S3cret" not in out + str(lines)


def test_a_stores_password_is_in_a_private_file_that_check_config_reads(home):
    check = lambda: failure("--check-config", home=home, store="mongodb://db1", store_password_file=path)
    path = str(home / "password")
    assert path in check()
    write_private(path, "S3cret\n")
    assert run("--check-config", home=home, store="mongodb://db1", store_password_file=path)[0] == 0
    os.chmod(path, 0o644)
    assert path in check()
    write_private(path, "x" * 1000)
    assert path in check()


def test_what_print_config_prints_can_be_read_again(home):
    _, first, _ = run("--print-config", home=home, threads=2, lockout_limit=50)
    _, second, _ = run("--print-config", "--config", config(home, first), home=home)
    assert second == first


def test_check_config_starts_nothing_and_makes_nothing(home):
    before = sorted(os.listdir(home))
    status, _, lines = run("--check-config", home=home)
    assert status == 0 and not any("listening" in line for line in lines)
    assert sorted(os.listdir(home)) == before


def test_check_config_finds_what_a_start_would(home):
    assert "keyring" in failure("--check-config", home=home, keyring_file=home / "nowhere")
    assert "nowhere" in failure("--check-config", home=home, callers_file=home / "nowhere")
    assert "threads" in failure("--check-config", home=home, threads="x").lower()


# ---- files -----------------------------------------------------------------------------------------------

def test_without_a_keyring_it_says_how_to_make_one(home):
    os.remove(home / "keyring")
    assert "twostepctl keyring init" in failure(home=home)
    assert not os.path.exists(home / "twostep.db")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_a_keyring_that_others_can_reach_is_not_used(home, mode):
    os.chmod(home / "keyring", mode)
    detail = failure(home=home)
    assert "keyring" in detail and "0600" in detail


@pytest.mark.parametrize("text", ["", "key 1 00\n", "key 1 %s\n" % ("0" * 64), "nonsense\n",
                                  "key 0 %s active\n" % ("0" * 64), "key 1 %s active\n" % ("g" * 64),
                                  ("key 1 %s active\n" % ("0" * 64)) * 2])
def test_a_broken_keyring_is_named_with_the_line_and_without_the_key(home, text):
    write_private(str(home / "keyring"), text)
    detail = failure(home=home)
    assert "keyring:" in detail and "0" * 32 not in detail


def test_a_keyring_that_is_no_file_is_not_waited_for(home):
    os.remove(home / "keyring")
    os.mkfifo(home / "keyring", 0o600)
    assert "keyring" in failure(home=home)


@pytest.fixture
def used(make_daemon):
    """A daemon that has served and was stopped."""
    daemon = make_daemon()
    daemon.enrol(daemon.tenant(), "ann")
    daemon.stop()
    return daemon


def test_another_keyring_than_the_databases_is_refused(used):
    os.rename(used.keyring, used.keyring + ".right")
    keyring(used.keyring)
    detail = failure(home=used.state)
    assert "keyring" in detail.lower()
    os.rename(used.keyring + ".right", used.keyring)
    used.start()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
def test_a_database_that_others_can_reach_is_not_used(used, mode):
    os.chmod(used.db, mode)
    assert used.db in failure(home=used.state)
    os.chmod(used.db, 0o600)
    used.start()


def test_what_it_makes_is_for_its_owner_only(make_daemon):
    daemon = make_daemon(start=False)
    os.umask(0o000)
    try:
        daemon.start()
    finally:
        os.umask(0o022)
    daemon.tenant()
    for name in os.listdir(daemon.state):
        assert os.stat(os.path.join(daemon.state, name)).st_mode & 0o077 == 0, name


def test_a_database_of_a_newer_version_is_left_alone(used):
    with sqlite3.connect(used.db) as db:
        db.execute("PRAGMA user_version = 1000")
    db.close()
    before = open(used.db, "rb").read()
    assert "newer" in failure(home=used.state)
    assert open(used.db, "rb").read() == before


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at as if it were one" * 40,
                                     b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_file_that_is_no_database_is_left_alone(home, content):
    path = home / "twostep.db"
    path.write_bytes(content)
    os.chmod(path, 0o600)
    assert "twostep.db" in failure(home=home, status=STORE)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_left_alone(home):
    path = home / "twostep.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()
    os.chmod(path, 0o600)
    before = path.read_bytes()
    assert "twostep.db" in failure(home=home, status=STORE)
    assert path.read_bytes() == before


def test_a_second_process_on_one_database_is_refused(daemon):
    assert "another process" in failure(home=daemon.state, status=STORE)
    daemon.restart(hard=True)  # what a killed process leaves behind locks nobody out
    assert daemon.tenant()


def test_a_folder_that_cannot_be_made_is_named(home):
    (home / "file").write_text("")
    assert "file" in failure(home=home / "file" / "state", keyring_file=home / "keyring")


@pytest.mark.parametrize("text, what", [
    ('caller "a" {\n}\n', "permissions"), ("caller {\n}\n", "caller"), ("colour = 1\n", "colour"),
    ('caller "a" {\n permissions = {"root"}\n}\n', "root"),
    ('caller "a b" {\n permissions = {"policy"}\n tenants = {"*"}\n}\n', "name"),
    ('caller "a" {\n permissions = {"policy"}\n}\n', "tenants"),
    ('caller "a" {\n permissions = {"policy"}\n tenants = {"*", "b"}\n}\n', "*"),
    ('caller "a" {\n id = "1"\n permissions = {"policy"}\n tenants = {"*"}\n}\n', "secret_hash"),
    ('caller "a" {\n id = "1.2"\n permissions = {"policy"}\n tenants = {"*"}\n}\n', "id"),
])
def test_an_error_in_the_callers_file_names_file_line_and_key(home, text, what):
    path = str(home / "callers")
    write_private(path, text)
    detail = failure("--check-config", home=home, callers_file=path)
    assert detail.startswith(path + ":") and what in detail


def test_a_callers_file_that_others_can_reach_is_not_used(home):
    path = str(home / "callers")
    write_callers(path, {"a": (["policy"], ["*"])})
    assert run("--check-config", home=home, callers_file=path)[0] == 0
    os.chmod(path, 0o644)
    assert path in failure("--check-config", home=home, callers_file=path)


# ---- addresses -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                                     "127.0.0.1:http", ":7443:", "[::1:7443", "unix:", "unix:" + "x" * 200,
                                     "127.0.0.1 :7443", "http://127.0.0.1:7443", " , ",
                                     "127.0.0.1:0,127.0.0.1"], ids=lambda a: a[:20])
def test_an_address_that_is_none_is_refused(home, address):
    assert failure(home=home, listen=address).startswith("listen: ")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:7443", "198.51.100.1:0"])
def test_beyond_this_machine_there_must_be_callers_and_tls_or_a_word(home, address):
    """Only checked: nothing here listens beyond loopback."""
    callers = str(home / "callers")
    write_callers(callers, {"web": (["login:web"], ["*"])})
    check = lambda **more: run("--check-config", home=home, listen=address, **more)[0]
    assert check() == CONFIG
    assert check(callers_file=callers) == CONFIG
    assert check(allow_plaintext="yes") == CONFIG
    assert check(callers_file=callers, allow_plaintext="yes") == 0


@pytest.mark.parametrize("address", ["localhost:9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                                     "127.0.0.1:-1", ":9464", "::1:9464", "[::1]", "[127.0.0.1]:9464",
                                     "unix:/tmp/x", "http://127.0.0.1:9464", "127.0.0.1:9464 ",
                                     "127.1:9464", "[" + "1" * 100 + "]:1", "[]:1"], ids=lambda a: a[:20])
def test_an_address_for_metrics_is_a_numeric_one(home, address):
    assert failure(home=home, metrics_listen=address).startswith("metrics_listen: ")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464", "[2001:db8::1]:9464"])
def test_metrics_beyond_this_machine_need_a_word(home, address):
    """Only checked: nothing here listens beyond loopback."""
    check = lambda **more: run("--check-config", home=home, metrics_listen=address, **more)[0]
    assert check() == CONFIG
    assert check(allow_plaintext="yes") == CONFIG
    assert check(metrics_allow_remote="yes") == 0


def test_a_port_for_metrics_that_is_taken_is_named(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in failure(home=home, metrics_listen="127.0.0.1:%d" % port)


def test_port_0_picks_one_and_says_which(make_daemon):
    one, other = make_daemon(), make_daemon()
    assert one.port != other.port and one.port > 0
    assert one.tenant() and other.tenant()


def test_a_port_that_is_taken_is_named(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in failure(home=home, listen="127.0.0.1:%d" % port)


def test_a_unix_socket_serves_and_is_replaced_when_stale(make_daemon):
    daemon = make_daemon(start=False)
    path = os.path.join(daemon.folder, "socket")
    daemon.env["TWOSTEP_LISTEN"] = "unix:" + path
    for _ in range(2):
        daemon.start()
        assert daemon.address == "unix:" + path
        assert daemon.api.login("t", "u", pb.CHANNEL_WEB).reason == pb.REASON_POLICY_OFF
        daemon.kill()  # leaves the socket's file
        assert os.path.exists(path)
    daemon.start()
    shutil.copy(daemon.keyring, os.path.join(daemon.folder, "keyring"))
    assert path in failure(home=daemon.folder, listen="unix:" + path)  # that one answers


def test_ipv6_loopback(make_daemon):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")
    daemon = make_daemon(env={"TWOSTEP_LISTEN": "[::1]:0"})
    assert daemon.address.startswith("[::1]:")
    assert daemon.api.login("t", "u").reason == pb.REASON_POLICY_OFF


def test_without_a_callers_file_it_warns(daemon):
    assert any(e["event"] == "no_callers_file" and e["level"] == "warn" for e in daemon.log())


def test_with_a_callers_file_everybody_is_asked(make_daemon):
    daemon = make_daemon(callers={"web": (["login:web"], ["*"])})
    assert not any(e["event"] == "no_callers_file" for e in daemon.log())
    with pytest.raises(grpc.RpcError):
        Api(daemon.channel()).login("t", "u")
    assert daemon.caller("web").login("t", "u", pb.CHANNEL_UNSPECIFIED)
