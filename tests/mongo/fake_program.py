#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The fake MongoDB as a program, for tests in other languages.

  fake_program.py [--port PORT] [--strict] [--no-sessions]

It says "listening PORT", then obeys lines of JSON on its standard input, each answered with a line,
until that ends:

    {"do": "fault", "kind": "apply-drop", "command": "insert"}     {"ok": true, "fault": 0}
    {"do": "wait", "fault": 0}   {"do": "release", "fault": 0}     {"ok": true}
    {"do": "count", "command": "insert", "collection": "users"}    {"ok": true, "n": 1}
    {"do": "find", "db": "x", "collection": "users", "filter": {}} {"ok": true, "documents": [...]}
    also: put, remove, reset, step_down, step_up, down, up, roll_back, commit, expire
"""
import argparse
import json
import os
import signal
import sys

from bson import json_util

import fake


class Obedience:
    """The program's standard input."""

    def __init__(self, server):
        self.server, self.faults = server, []

    def do_fault(self, **more):
        self.faults.append(self.server.fault(**more))
        return {"fault": len(self.faults) - 1}

    def do_wait(self, fault, hits=1):
        self.faults[fault].wait(hits)

    def do_release(self, fault):
        self.faults[fault].release()

    def do_clear(self):
        self.server.clear_faults()

    def do_count(self, command=None, collection=None):
        return {"n": self.server.commands.count(command, collection)}

    def do_reset(self):
        self.server.commands.reset()

    def do_find(self, db, collection, filter=None):
        return {"documents": self.server.collection(db, collection).find(filter)}

    def do_put(self, db, collection, document):
        self.server.collection(db, collection).put(document)

    def do_remove(self, db, collection, filter=None):
        return {"n": self.server.collection(db, collection).remove(filter)}

    def do_step_down(self):
        self.server.step_down()

    def do_step_up(self):
        self.server.step_up()

    def do_down(self):
        self.server.down()

    def do_up(self):
        self.server.up()

    def do_roll_back(self):
        return {"undone": self.server.roll_back()}

    def do_commit(self):
        self.server.commit()

    def do_expire(self, now_ms):
        return {"n": self.server.expire(now_ms)}

    def obey(self, line):
        try:
            what = json_util.loads(line)
            return {"ok": True, **(getattr(self, "do_" + what.pop("do"))(**what) or {})}
        except Exception as e:  # whoever wrote the line is told
            return {"ok": False, "error": "%s: %s" % (type(e).__name__, e)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--strict", action="store_true")
    p.add_argument("--no-sessions", action="store_true")
    opt = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with fake.Fake(opt.port, opt.strict, not opt.no_sessions) as server:
        print("listening %d" % server.port, flush=True)
        obedience = Obedience(server)
        for line in sys.stdin:
            print(json.dumps(json.loads(json_util.dumps(obedience.obey(line)))), flush=True)


if __name__ == "__main__":
    main()
