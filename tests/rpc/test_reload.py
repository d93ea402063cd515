# SPDX-License-Identifier: ISC
"""Goal: SIGHUP puts new settings, certificates, callers, keys and mail templates in place of the old
ones, all of them or none, under open connections and without a failed call; what is wrong is named
and changes nothing."""
import contextlib
import os
import shutil
import subprocess
import threading

import grpc
import pytest

import postbox
import rawh2
from certificates import api
from kit import BUILD, SERVICE, pb, refused, wait_until, write_callers, write_private
from test_config import failure
from test_reset import MAIL, becomes, reset

UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
ALL = (["login:web", "policy"], ["*"])


def ctl(*args):
    return subprocess.run([os.path.join(BUILD, "twostepctl"), *args], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


class Place:
    """A daemon with a settings file, callers, certificates and templates that the test changes."""

    def __init__(self, make_daemon, files, callers=None, **env):
        self.files, self.daemon = files, make_daemon(start=False, callers=callers or {"web": ALL})
        self.callers = self.daemon.env["TWOSTEP_CALLERS_FILE"]
        self.conf, self.cert, self.key = (os.path.join(self.daemon.folder, n)
                                          for n in ("twostep.conf", "cert.pem", "key.pem"))
        self.certify("server")
        self.configure("")
        self.daemon.args = ["--config", self.conf]
        self.daemon.env.update({"TWOSTEP_TLS_CERT_FILE": self.cert, "TWOSTEP_TLS_KEY_FILE": self.key, **env})
        self.daemon.start()

    def configure(self, text):
        write_private(self.conf, text)

    def certify(self, name):
        shutil.copy(self.files.path(name + ".pem"), self.cert)
        shutil.copy(self.files.path(name + ".key"), self.key)

    def caller(self, token=None):
        return api(self.daemon, self.files.credentials(), token or self.daemon.tokens["web"])


@pytest.fixture
def place(make_daemon, files):
    return Place(make_daemon, files)


def works(client):
    return client.login("t", "u").reason == pb.REASON_POLICY_OFF


# ---- what changes ---------------------------------------------------------------------------------

def test_everything_changes_at_once_and_one_line_says_what(place):
    daemon = place.daemon
    before = place.caller()
    assert works(before)
    place.configure('drain_seconds = 7\nlog_level = "debug"\nlockout_free_tries = 2\n')
    place.certify("server2")
    tokens = write_callers(place.callers, {"web": (["login:mobile"], ["*"]), "new": ALL})
    assert ctl("keyring", "add", daemon.keyring)
    line = daemon.reload()
    assert line["settings"] == "log_level drain_seconds lockout_free_tries"
    assert line["level"] == "info" and line["restart_needed"] == ""
    assert (line["callers_added"], line["callers_changed"], line["callers_removed"]) == ("new", "web", "")
    assert (line["keys_added"], line["keys_removed"], line["key_active"]) == ("2", "", 2)
    assert line["certificate"] == place.cert and line["certificate_ends"] > 0
    with refused(UNAUTHENTICATED, "CREDENTIAL_REJECTED"):
        works(before)
    assert works(place.caller(tokens["new"]))
    text = daemon.text()
    assert not any(t.split(".")[1] in text for t in list(tokens.values()) + list(daemon.tokens.values()))


def test_a_reload_without_a_change_says_so(place):
    line = place.daemon.reload()
    assert all(line[k] == "" for k in ("settings", "restart_needed", "callers_added", "callers_changed",
                                       "callers_removed", "keys_added", "keys_removed"))


def test_what_only_a_start_changes_is_named_and_the_rest_is_in_effect(place):
    daemon = place.daemon
    place.configure('listen = "127.0.0.1:1"\nthreads = 7\nsmtp_url = "smtp://localhost"\ndrain_seconds = 3\n')
    line = daemon.reload()
    assert line["level"] == "warn"
    assert line["restart_needed"] == "threads smtp_url"  # listen is from the environment
    assert line["settings"] == "drain_seconds"
    assert daemon.reload()["restart_needed"] == "threads smtp_url"
    assert works(place.caller())


def test_what_is_in_effect_must_keep_somebody_out(make_daemon):
    """Beyond this machine there are callers: not by a file that is right after a restart only."""
    daemon = make_daemon(start=False, callers={"web": ALL})
    daemon.expected.add("reload_failed")
    path, conf = daemon.env.pop("TWOSTEP_CALLERS_FILE"), os.path.join(daemon.folder, "conf")
    del daemon.env["TWOSTEP_LISTEN"]
    here = 'listen = "0.0.0.0:%d"\nallow_plaintext = yes\n' % postbox.free_port()
    write_private(conf, here + 'callers_file = "%s"\n' % path)
    daemon.args = ["--config", conf]
    daemon.start()
    write_private(conf, 'listen = "127.0.0.1:0"\n')
    assert "there is no callers_file" in daemon.reload("reload_failed")["detail"]
    daemon.address = daemon.address.replace("0.0.0.0", "127.0.0.1")
    with refused(UNAUTHENTICATED):
        works(daemon.caller(token="a.b"))
    assert works(daemon.caller("web"))


def test_callers_come_and_go_on_open_connections(make_daemon):
    daemon = make_daemon(callers={"a": ALL, "b": ALL})
    a, b, path = daemon.caller("a"), daemon.caller("b"), daemon.env["TWOSTEP_CALLERS_FILE"]
    a.set_policy("t", enabled=True)
    with open(path) as f:
        both = f.read()
    ctl("callers", "remove", path, "a")
    assert daemon.reload()["callers_removed"] == "a"
    with refused(UNAUTHENTICATED, "CREDENTIAL_REJECTED"):
        a.get_policy("t")
    assert b.get_policy("t").enabled
    write_private(path, both.replace('"policy"', '"admin"', 1))
    line = daemon.reload()
    assert (line["callers_added"], line["callers_changed"]) == ("a", "")
    with refused(DENIED, "PERMISSION_MISSING"):
        a.get_policy("t")
    assert b.get_policy("t").enabled
    write_private(path, both)
    assert daemon.reload()["callers_changed"] == "a"
    assert a.get_policy("t").enabled


def test_a_call_under_way_keeps_its_caller(make_daemon):
    daemon = make_daemon(callers={"a": ALL, "b": ALL})
    path = daemon.env["TWOSTEP_CALLERS_FILE"]
    bearer = (("authorization", "Bearer " + daemon.tokens["a"]),)
    request = rawh2.message(pb.GetPolicyRequest(tenant_id="t").SerializeToString())
    with rawh2.Connection(daemon.port) as c:
        begun = [c.open(SERVICE + "GetPolicy", fields=bearer) for _ in range(3)]
        c.sync()
        ctl("callers", "remove", path, "a")
        daemon.reload()
        ctl("callers", "add", path, "c", "--permissions=policy", "--tenants=*")
        daemon.reload()
        c.reset(begun[2])
        for stream in begun[:2]:
            c.data(stream, request)
            assert c.wait(stream).grpc == 0
        assert c.call(SERVICE + "GetPolicy", request, fields=bearer).grpc == 16


def test_new_rules_count_from_the_next_call_on(place):
    daemon, client = place.daemon, place.caller()
    client.set_policy("t", enabled=True)
    factor = client.enrol("t", "ann", daemon.now)
    wrong = factor.wrong_at(daemon.now)
    for _ in range(2):
        assert client.outcome("t", "ann", wrong) == "WRONG_CODE"
    place.configure("lockout_free_tries = 2\n")
    assert daemon.reload()["settings"] == "lockout_free_tries"
    client.outcome("t", "ann", wrong)
    assert client.outcome("t", "ann", wrong) == "LOCKED"


def test_new_limits_count_from_the_next_call_on(place):
    place.configure("message_bytes = 1024\ncaller_rate = 1\ncaller_burst = 1\n")
    assert place.daemon.reload()["settings"] == "message_bytes caller_rate caller_burst"
    client = place.caller()
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED):
        for _ in range(5):
            works(client)


def test_the_keyring_changes_and_stays_the_right_one(make_daemon):
    daemon = make_daemon()
    daemon.expected.add("reload_failed")
    tenant = daemon.tenant()
    factor = daemon.enrol(tenant, "ann")
    ctl("keyring", "add", daemon.keyring)
    assert daemon.reload()["key_active"] == 2
    with open(daemon.keyring) as f:
        both = f.read()
    other = daemon.tenant()
    daemon.enrol(other, "ann")
    # Without key 1 neither the service's own key opens nor ann's.
    write_private(daemon.keyring, "".join(x for x in both.splitlines(True) if not x.startswith("key 1")))
    detail = daemon.reload("reload_failed")["detail"]
    assert daemon.keyring in detail and "no key 1" in detail
    # Another key under the id of one that is in use opens nothing.
    write_private(daemon.keyring, "key 1 %s active\n" % ("ab" * 32))
    assert "key 1 is another" in daemon.reload("reload_failed")["detail"]
    write_private(daemon.keyring, both)
    assert daemon.reload()["keys_removed"] == ""
    daemon.advance(30)
    assert daemon.api.outcome(tenant, "ann", factor.code_at(daemon.now)) == "ACCEPTED"
    if "TWOSTEP_STORE" not in daemon.env:
        with contextlib.closing(daemon.copy_db()) as db:
            assert {k for k, in db.execute("SELECT kek_id FROM data_key")} == {1, 2}
    daemon.restart()
    daemon.advance(30)
    assert daemon.api.outcome(tenant, "ann", factor.code_at(daemon.now)) == "ACCEPTED"


def test_mail_goes_to_the_new_server_in_new_words(make_daemon):
    one, two = postbox.Sink(), postbox.Sink()
    try:
        daemon = make_daemon(start=False)
        words, conf = os.path.join(daemon.folder, "words"), os.path.join(daemon.folder, "conf")
        os.mkdir(words)

        def configure(sink):
            write_private(conf, "".join("%s = %s\n" % (k[8:].lower(), '"%s"' % v)
                                        for k, v in sink.settings().items()) + 'template_dir = "%s"\n' % words)
        configure(one)
        daemon.args = ["--config", conf]
        daemon.start()
        tenant = daemon.tenant(**MAIL)
        daemon.enrol(tenant, "ann")
        becomes(daemon, tenant, reset(daemon, tenant).reset_id, "SENT")
        configure(two)
        for part in ("txt", "html"):
            with open("src/mail/templates/reset.en." + part) as f:
                text = f.read()
            with open(os.path.join(words, "reset.en." + part), "w") as f:
                f.write(text + "\nWords of our own.\n")
        assert daemon.reload()["settings"] == "smtp_url"
        becomes(daemon, tenant, reset(daemon, tenant).reset_id, "SENT")
        assert len(one.letters()) == 1
        assert ["Words of our own." in x.text for x in two.letters()] == [True]
        daemon.expected.add("reload_failed")
        with open(os.path.join(words, "reset.en.txt"), "a") as f:
            f.write("{nothing}")
        assert "reset.en.txt:" in daemon.reload("reload_failed")["detail"]
        becomes(daemon, tenant, reset(daemon, tenant).reset_id, "SENT")
        assert len(two.letters()) == 2
    finally:
        one.stop()
        two.stop()


# ---- what is wrong ----------------------------------------------------------------------------------

def put_caller(place, old, new):
    with open(place.callers) as f:
        text = f.read()
    assert old in text
    write_private(place.callers, text.replace(old, new))


def open_to_all(path):
    os.chmod(path, 0o644)


BAD = {
    "a setting": (lambda p: p.configure("\nthreads = many\n"), "twostep.conf:2:", "threads"),
    "an unknown setting": (lambda p: p.configure("\n\nlistne = 1\n"), "twostep.conf:3:", "listne"),
    "settings that do not fit": (lambda p: p.configure("lockout_limit = 1\n"), "", "lockout_limit:"),
    "no settings file": (lambda p: os.unlink(p.conf), "twostep.conf", ""),
    "another key": (lambda p: shutil.copy(p.files.path("server.key"), p.key), "key.pem", "not the key of"),
    "no certificate": (lambda p: write_private(p.cert, "x"), "cert.pem", "there is no certificate"),
    "an open key": (lambda p: open_to_all(p.key), "key.pem", "mode 0644"),
    "a permission": (lambda p: put_caller(p, '"policy"', '"polcy"'), "callers:", "permissions"),
    "a hash": (lambda p: put_caller(p, "secret_hash = \"", "secret_hash = \"z"), "callers:", "secret_hash"),
    "a name twice": (lambda p: put_caller(p, "}\n}", "}\n}\n" + open(p.callers).read()), "callers:", "duplicate"),
    "open callers": (lambda p: open_to_all(p.callers), "callers", "mode 0644"),
    "a keyring": (lambda p: write_private(p.daemon.keyring, "\nkey 1 abc active\n"), "keyring:2:", "hexadecimal"),
    "no keyring": (lambda p: os.unlink(p.daemon.keyring), "keyring", ""),
    "no active key": (lambda p: write_private(p.daemon.keyring, "key 1 %s\n" % ("ab" * 32)), "keyring:", "active"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_named_and_changes_nothing(place, what):
    """Everything else has changed, too: none of it is in effect. A start refuses the same files."""
    spoil, where, says = BAD[what]
    daemon, client = place.daemon, place.caller()
    daemon.expected.add("reload_failed")
    assert works(client)
    place.configure("lockout_free_tries = 1\n")
    place.certify("server2")
    write_callers(place.callers, {"other": ALL})
    spoil(place)
    detail = daemon.reload("reload_failed")["detail"]
    assert where in detail and says in detail
    assert works(client) and works(place.caller())
    client.set_policy("t2", enabled=True)
    factor = client.enrol("t2", "ann", daemon.now)
    for _ in range(2):
        assert client.outcome("t2", "ann", factor.wrong_at(daemon.now)) == "WRONG_CODE"
    settings = {k[8:].lower(): v for k, v in daemon.env.items()
                if k.startswith("TWOSTEP_") and not k.startswith(("TWOSTEP_TEST", "TWOSTEP_STATE"))}
    at_start = failure("--config", place.conf, home=daemon.state, **settings)
    assert where in at_start and says in at_start


# ---- often ----------------------------------------------------------------------------------------------

def resident(daemon):
    with open("/proc/%d/statm" % daemon.process.pid) as f:
        return int(f.read().split()[1]) * 4096


def descriptors(daemon):
    return len(os.listdir("/proc/%d/fd" % daemon.process.pid))


@pytest.mark.unsanitized
def test_a_thousand_reloads_leave_nothing_behind(place):
    """With calls all the time, by a caller that comes back each time."""
    daemon, stop, failed, counts = place.daemon, threading.Event(), [], []
    many = {"c%d" % n: ALL for n in range(100)}
    with open(place.callers) as f:
        own = f.read()

    def calls(client):
        n = 0
        while not stop.is_set():
            try:
                assert works(client)
                n += 1
            except Exception as e:  # noqa: BLE001 - whatever it is, it must not be
                failed.append(e)
                break
        counts.append(n)
    threads = [threading.Thread(target=calls, args=(place.caller(),)) for _ in range(2)]
    for t in threads:
        t.start()
    sizes = []
    for i in range(1000):
        tokens = write_callers(place.callers + ".new", many if i % 2 else {"one": ALL})
        with open(place.callers + ".new", "a") as f:
            f.write(own)
        os.rename(place.callers + ".new", place.callers)
        daemon.process.send_signal(1)
        if i % 50 == 49:  # it has read them when a new token counts
            client = place.caller(tokens["c1"])
            wait_until(lambda: _is_let_in(client), "callers")
            client.channel.close()
            sizes.append((resident(daemon), descriptors(daemon)))
        else:
            stop.wait(0.01)
    stop.set()
    for t in threads:
        t.join()
    assert not failed and all(counts)
    assert sizes[-1][0] < sizes[5][0] + (4 << 20), sizes
    assert sizes[-1][1] <= sizes[5][1] + 2, sizes


def _is_let_in(client):
    try:
        return works(client)
    except grpc.RpcError:
        return False
