# SPDX-License-Identifier: ISC
"""A monitoring system for the tests: reads the metrics page of a daemon with Prometheus' own Python
client, and finds what moved."""
import collections
import http.client
import os
import subprocess

from prometheus_client.parser import text_string_to_metric_families

from kit import BUILD, PATIENCE, wait_until

SETTINGS = {"TWOSTEP_METRICS_LISTEN": "127.0.0.1:0"}
PROMTOOL = os.path.join(os.path.dirname(BUILD) if os.path.basename(BUILD) != "build" else BUILD,
                        "peers", "promtool")


def address(daemon):
    """Of the page, as the daemon that runs now has told."""
    found = [e["address"] for e in daemon.log() if e["event"] == "metrics_listening"]
    return found[-1] if found else None


def port(daemon):
    return int(address(daemon).rsplit(":", 1)[1])


def ask(daemon, path, method="GET"):
    """(status, headers, body) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port(daemon), timeout=PATIENCE)
    try:
        connection.request(method, path)
        r = connection.getresponse()
        return r.status, dict(r.getheaders()), r.read()
    finally:
        connection.close()


class Sample(dict):
    """{(name, labels): number} of one page."""

    def __init__(self, text):
        super().__init__()
        self.types = {}
        for family in text_string_to_metric_families(text):
            assert family.name not in self.types, "twice: " + family.name
            self.types[family.name] = family.type
            for name, labels, value, _, _ in family.samples:
                key = name, tuple(sorted(labels.items()))
                assert key not in self, "twice: %s" % (key,)
                self[key] = value

    def total(self, name, **labels):
        """The sum over all series of the name that have these labels."""
        wanted = labels.items()
        values = [v for (n, l), v in self.items() if n == name and wanted <= dict(l).items()]
        assert values, "no series %s%s" % (name, labels)
        return sum(values)


def sample(daemon):
    status, _, body = ask(daemon, "/metrics")
    assert status == 200
    return Sample(body.decode())


def moved(before, after, name, label):
    """{value of the label: difference} of the name's series that moved."""
    found = collections.Counter()
    for (n, labels), value in after.items():
        if n == name and value != before[(n, labels)]:
            found[dict(labels)[label]] += value - before[(n, labels)]
    return dict(found)


def becomes(daemon, question, what):
    """Waits until question(sample) is true."""
    return wait_until(lambda: question(sample(daemon)), what)


def promtool(text):
    """What promtool has against the page: nothing, when it is empty."""
    r = subprocess.run([PROMTOOL, "check", "metrics"], input=text, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=PATIENCE)
    return "" if r.returncode == 0 and not r.stdout else "%d: %s" % (r.returncode, r.stdout.decode())
