# SPDX-License-Identifier: ISC
"""Goal: through reloads, and through the restart of one daemon after the other, no call of a client
of others' making fails; and a daemon that is told to stop ends in time, whatever hangs on it."""
import collections
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import grpc
import pytest

import rawh2
from kit import SERVICE, Api, pb, wait_until, write_callers
from peers import NODE_MODULES, PEERS
from postbox import free_port
from servers import ROOT
from test_reload import ALL, Place, ctl

REQUEST = pb.GetLoginRequirementRequest(tenant_id="t", user_id="u", channel=pb.CHANNEL_WEB)
RELOADS = 20
CLIENTS = ["grpcio", "grpc-js", "grpc-go"]
RETRY = {"maxAttempts": 5, "initialBackoff": "0.05s", "maxBackoff": "0.5s", "backoffMultiplier": 2,
         "retryableStatusCodes": ["UNAVAILABLE"]}


def config(balancing=None):
    if balancing is None:
        return "{}"
    return json.dumps({"loadBalancingConfig": [{balancing: {}}],
                       "methodConfig": [{"name": [{}], "retryPolicy": RETRY}]})


class Python:
    """Calls with grpcio until the end; then how many went well, and how the others failed."""

    def __init__(self, addresses, service_config, token, ca=None):
        self.over, self.good, self.failed = threading.Event(), 0, collections.Counter()
        options = [("grpc.service_config", service_config), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.default_authority", "localhost"), ("grpc.ssl_target_name_override", "localhost"),
                   ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        target = "ipv4:" + addresses
        if ca:
            with open(ca, "rb") as f:
                self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(f.read()), options)
        else:
            self.channel = grpc.insecure_channel(target, options)
        self.api, self.lock = Api(self.channel, token), threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(4)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.over.is_set():
            try:
                self.api.call("GetLoginRequirement", REQUEST)
                with self.lock:
                    self.good += 1
            except grpc.RpcError as e:
                with self.lock:
                    self.failed[str(e.code()) + e.details()] += 1
            self.over.wait(0.001)

    def end(self):
        self.over.set()
        for t in self.threads:
            t.join()
        self.channel.close()
        return self.good, dict(self.failed)


class Program:
    """The same with a peer."""

    def __init__(self, argv, addresses, service_config, token, ca=None):
        env = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
        if ca:
            env["PEER_TLS_CA"] = ca
        request = REQUEST.SerializeToString().hex()
        self.process = subprocess.Popen([*map(str, argv), "load", addresses, service_config, token, request],
                                        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        out, _ = self.process.communicate("", timeout=60)
        assert self.process.returncode == 0, out
        result = json.loads(out)
        return result["good"], result["failed"]


def client(name, *args, **more):
    if name == "grpcio":
        return Python(*args, **more)
    if name == "grpc-js":
        if shutil.which("node") is None or not (PEERS / "node" / "installed.json").exists():
            pytest.skip("the Node.js peers are not installed")
        return Program(["node", ROOT / "tests/peers/node/peer.js"], *args, **more)
    if not (PEERS / "go-peer").exists():
        pytest.skip("the Go peer is not built")
    return Program([PEERS / "go-peer"], *args, **more)


@pytest.mark.unsanitized
@pytest.mark.parametrize("name", CLIENTS)
def test_reloads_under_load_fail_no_call(make_daemon, files, name):
    """Certificate, callers and keyring change each time."""
    place = Place(make_daemon, files)
    daemon = place.daemon
    with open(place.callers) as f:
        own = f.read()
    under_load = client(name, daemon.address, config(), daemon.tokens["web"], ca=files.path("ca.pem"))
    time.sleep(0.5)
    for i in range(RELOADS):
        place.certify(("server2", "server")[i % 2])
        write_callers(place.callers + ".new", {"c%d" % i: ALL})
        with open(place.callers + ".new", "a") as f:
            f.write(own)
        os.rename(place.callers + ".new", place.callers)
        ctl("keyring", "add", daemon.keyring)
        line = daemon.reload()
        assert line["callers_added"] == "c%d" % i and line["key_active"] == i + 2
        time.sleep(0.05)
    good, failed = under_load.end()
    assert failed == {} and good > 10 * RELOADS


@pytest.fixture(scope="module")
def mongo():
    import mongo_servers
    if mongo_servers.java_missing():
        pytest.skip(mongo_servers.java_missing())
    server = mongo_servers.JavaServer()
    yield server
    server.stop()


@pytest.mark.unsanitized
@pytest.mark.parametrize("balancing", ["round_robin", "pick_first"])
@pytest.mark.parametrize("name", CLIENTS)
def test_one_restart_after_the_other_fails_no_call(make_daemon, mongo, name, balancing):
    first = make_daemon(start=False, callers={"web": ALL})
    settings = {"TWOSTEP_STORE": mongo.uri + "rolling_%s_%s" % (name.replace("-", "_"), balancing),
                "TWOSTEP_STORE_DEVELOPMENT": "yes", "TWOSTEP_KEYRING_FILE": first.keyring,
                "TWOSTEP_CALLERS_FILE": first.env["TWOSTEP_CALLERS_FILE"]}
    second = make_daemon(start=False)
    daemons = [first, second]
    for daemon in daemons:
        daemon.env.update(settings)
        daemon.env["TWOSTEP_LISTEN"] = "127.0.0.1:%d" % free_port()
        daemon.start()
        daemon.hang_up()
    addresses = ",".join(d.address for d in daemons)
    under_load = client(name, addresses, config(balancing), first.tokens["web"])
    time.sleep(1)
    for _ in range(2):
        for daemon in daemons:
            daemon.restart()
            daemon.hang_up()
            time.sleep(1.5)  # clients come back to it
    good, failed = under_load.end()
    assert failed == {} and good > 200


# ---- the end --------------------------------------------------------------------------------------------

def test_a_second_signal_ends_sooner(make_daemon):
    daemon = make_daemon(env={"TWOSTEP_DRAIN_SECONDS": "3600"})
    with rawh2.Connection(daemon.port) as c:
        c.open(SERVICE + "GetLoginRequirement")
        c.sync()
        daemon.hang_up()
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: [e for e in daemon.log() if e["event"] == "stopping"], "the first")
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert daemon.process.poll() is None
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon._end() == 0
    assert daemon.log()[-1]["result"] == "cut off by a second signal"
