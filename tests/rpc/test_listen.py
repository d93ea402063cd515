# SPDX-License-Identifier: ISC
"""Goal: a daemon listens on as many addresses as it is told, or on the sockets that a service
manager passes, and tells the manager how it is."""
import os
import signal
import socket
import sys

import grpc
import pytest

from certificates import api
from kit import Api, pb, wait_until

SOON = 20  # seconds; more than it ever takes


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


def listening(daemon):
    """What it listens on, in order."""
    wait_until(lambda: any(e["event"] == "serving" for e in daemon.log()), "serving")
    return [e for e in daemon.log() if e["event"] == "listening"]


@pytest.mark.parametrize("separator", [" ", ",", ", ", "\t \n"])
def test_several_listeners(make_daemon, files, separator):
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback address")
    daemon = make_daemon(start=False, env=files.settings())
    path = "unix:" + os.path.join(daemon.folder, "socket")
    daemon.env["TWOSTEP_LISTEN"] = separator.join(["127.0.0.1:0", "[::1]:0", path])
    daemon.start()
    v4, v6, unix = listening(daemon)
    assert v4["address"].startswith("127.0.0.1:") and v6["address"].startswith("[::1]:")
    assert unix["address"] == path and [e["tls"] for e in (v4, v6, unix)] == ["yes", "yes", "no"]
    for e in (v4, v6):
        client = api(daemon, files.credentials(), address=e["address"])
        assert client.login("t", "u").reason == pb.REASON_POLICY_OFF
    with grpc.insecure_channel(path) as channel:
        assert Api(channel).login("t", "u").reason == pb.REASON_POLICY_OFF


# Opens the addresses, passes the sockets on as a service manager does, and becomes the command.
LAUNCHER = """
import os, socket, sys
sockets = []
for address in sys.argv[1].split():
    if address.startswith("/"):
        s = socket.socket(socket.AF_UNIX)
        s.bind(address)
    else:
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        s.bind((address, 0))
    s.listen()
    sockets.append(s.detach())
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(sockets)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.closerange(3 + len(high), 200)
os.environ.update(LISTEN_PID=str(os.getpid() + int(sys.argv[2])), LISTEN_FDS=str(len(high)))
os.execv(sys.argv[3], sys.argv[3:])
"""


def activated(make_daemon, addresses, env=None, pid_error=0):
    wrapper = [sys.executable, "-c", LAUNCHER, addresses, str(pid_error)]
    return make_daemon(start=False, wrapper=wrapper, env=env)


def test_socket_activation(make_daemon, files, tmp_path):
    path = str(tmp_path / "socket")
    daemon = activated(make_daemon, "127.0.0.1 " + path, files.settings())
    daemon.env["TWOSTEP_LISTEN"] = "192.0.2.1:1"  # not used, and not a mistake then
    daemon.start()
    tcp, unix = listening(daemon)
    assert [e["address"].rsplit(":", 1)[0] for e in (tcp, unix)] == ["127.0.0.1", "unix"]
    assert unix["address"] == "unix:" + path
    assert api(daemon, files.credentials()).login("t", "u").reason == pb.REASON_POLICY_OFF
    with grpc.insecure_channel(unix["address"]) as channel:
        assert Api(channel).login("t", "u").reason == pb.REASON_POLICY_OFF
    assert daemon.stop() == 0
    assert os.path.exists(path)  # the manager's


def test_sockets_that_are_another_process_s(make_daemon):
    daemon = activated(make_daemon, "127.0.0.1", pid_error=1).start()
    assert daemon.api.login("t", "u").reason == pb.REASON_POLICY_OFF
    assert len(listening(daemon)) == 1


def test_a_passed_descriptor_that_does_not_listen(make_daemon):
    daemon = make_daemon(start=False, wrapper=[
        sys.executable, "-c", "import os, sys; os.dup2(0, 3); os.set_inheritable(3, True);"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "os.execv(sys.argv[1], sys.argv[1:])"])
    daemon.expected.add("start_failed")
    assert daemon.spawn().wait(SOON) == 78
    assert "descriptor 3" in daemon.log()[-1]["detail"]


def test_the_service_manager_is_told(make_daemon, files, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SOON)
        daemon = make_daemon(env={**files.settings(), "NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(256) == b"READY=1"
        daemon.process.send_signal(signal.SIGHUP)
        assert manager.recv(256).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(256) == b"READY=1"
        assert daemon.stop() == 0
        assert manager.recv(256) == b"STOPPING=1"
