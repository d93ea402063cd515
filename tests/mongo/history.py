# SPDX-License-Identifier: ISC
"""What many clients asked of one user and were answered, and whether one right service could have
answered so. A call whose answer did not come may have happened or not, and later than that.

Time is counted in whatever increases. The service's clock stands still within a phase, and between
two phases passes every lock."""
import collections
import math
import threading

ACCEPTED, WRONG, REPLAYED, LOCKED = "ACCEPTED", "WRONG_CODE", "REPLAYED_CODE", "LOCKED"
FREE_TRIES = 5

Call = collections.namedtuple("Call", "start end outcome answer")  # outcome: None: it did not come


class Attempt:
    """One request, over all the times that it was sent. step: of its code; None: the code is wrong."""

    def __init__(self, user, step, phase, name="?"):
        self.user, self.step, self.phase, self.name = user, step, phase, name
        self.calls, self._lock = [], threading.Lock()

    def add(self, start, end, outcome, answer=None):
        with self._lock:
            self.calls.append(Call(start, end, outcome, outcome if answer is None else answer))
        return self

    @property
    def known(self):
        return [c for c in self.calls if c.outcome is not None]

    @property
    def start(self):
        return min(c.start for c in self.calls)

    @property
    def end(self):
        """It is decided by then."""
        return min((c.end for c in self.known), default=math.inf)

    @property
    def outcome(self):
        return self.known[0].outcome if self.known else None

    @property
    def may_have_won(self):
        return self.step is not None and self.outcome in (None, ACCEPTED)

    def __str__(self):
        return "%s(%s, step %s, phase %d, %s)" % (self.name, self.user, self.step, self.phase, self.outcome)


def violations(attempts, budget=FREE_TRIES):
    """What is wrong, in words."""
    found = []
    users = collections.defaultdict(list)
    for a in attempts:
        if a.calls:
            users[a.user].append(a)
            found += _answers(a)
    for of_user in users.values():
        of_user.sort(key=lambda a: a.start)
        found += _once(of_user) + _forward(of_user) + _replays(of_user) + _budget(of_user, budget)
        found += _locks(of_user, budget)
    return found


def _answers(a):
    found = []
    if len({c.answer for c in a.known}) > 1:
        found.append("%s has several answers: %s" % (a, [c.answer for c in a.known]))
    fitting = (WRONG, LOCKED) if a.step is None else (ACCEPTED, REPLAYED, LOCKED)
    if a.known and a.outcome not in fitting:
        found.append("%s: no answer to such a code" % a)
    return found


def _once(attempts):
    won = collections.Counter(a.step for a in attempts if a.outcome == ACCEPTED)
    return ["step %d of %s is accepted %d times" % (step, attempts[0].user, n) for step, n in won.items() if n > 1]


def _forward(attempts):
    """What was accepted, or was refused as used, is used for all that begins after it."""
    found = []
    for before in attempts:
        for after in attempts:
            if before.outcome in (ACCEPTED, REPLAYED) and after.outcome == ACCEPTED and \
                    before.end < after.start and before.step >= after.step:
                found.append("%s, and after it %s" % (before, after))
    return found


def _replays(attempts):
    """A step is used because it, or a later one, was accepted, or may have been."""
    return ["%s, and nobody used it" % a for a in attempts if a.outcome == REPLAYED and not any(
        b is not a and b.may_have_won and b.step >= a.step and b.start < a.end for b in attempts)]


def _quiet(attempts):
    """The times in which certainly nothing was accepted."""
    at, found = -math.inf, []
    for a in attempts:  # in the order of their starts
        if a.may_have_won:
            if a.start > at:
                found.append((at, a.start))
            at = max(at, a.end)
    return found + ([(at, math.inf)] if at < math.inf else [])


def _budget(attempts, budget):
    """Codes that were looked at without success are counted: within a phase no more than the free
    tries, and when these are used up one."""
    found = []
    for begin, end in _quiet(attempts):
        charged = collections.Counter(a.phase for a in attempts if a.outcome in (WRONG, REPLAYED) and
                                      begin <= a.start and a.end <= end)
        before = 0
        for phase in sorted(charged):
            allowed = max(budget - before, 1)
            if charged[phase] > allowed:
                found.append("%s: %d attempts in phase %d, allowed are %d" %
                             (attempts[0].user, charged[phase], phase, allowed))
            before += charged[phase]
    return found


def _locks(attempts, budget):
    """Who is locked has used up his tries."""
    found = []
    for a in attempts:
        tries = [b for b in attempts if b.outcome != LOCKED and b.start < a.end and b is not a]
        if a.outcome == LOCKED and len(tries) < budget:
            found.append("%s after %d attempts" % (a, len(tries)))
    return found
