# SPDX-License-Identifier: BSD-2-Clause
"""The account of connections: each that was opened is open, was closed in good order, or was lost by a cause that
is known; what has no cause is a fault of the product.

A connection may be lost with its own server, when that was killed while it lived; or in its handshake, when the
node that has its traffic dies or hands over at that very moment ("Not kept" in doc/architecture.md), of which a
change of roles explains one for each stream of new connections. Nothing else is a cause."""
import collections
import contextlib
import threading
import time

KEPT = 64  # deaths and moves that something could still be told of: a connection that fails does so within seconds
TOLD = 20  # faults of a row, each with how many were alike
OUTCOMES = ("open", "closed", "its server died", "in its handshake", "moved", "broken")
FAULTS = ("moved", "broken")


class Journal:
    """What was done to the site, and when."""

    def __init__(self):
        self.deaths = collections.deque(maxlen=KEPT)  # [server, from, to]
        self.moves = collections.deque(maxlen=KEPT)  # [from, to, streams that it has explained one of]

    @contextlib.contextmanager
    def death(self, server):
        """From when it is killed until the nodes know it again."""
        row = [server, time.monotonic(), float("inf")]
        self.deaths.append(row)
        yield
        row[2] = time.monotonic()

    @contextlib.contextmanager
    def move(self):
        """The role may go from one node to the other."""
        row = [time.monotonic(), float("inf"), set()]
        self.moves.append(row)
        yield
        row[1] = time.monotonic()

    def server_died(self, server, since, until):
        """The server of a connection; "": any of them, for one that nobody has greeted."""
        return any((not server or server == name) and began <= until and ended >= since
                   for name, began, ended in self.deaths)

    def handshake_met_move(self, stream, since, until):
        for began, ended, explained in self.moves:
            if began <= until and ended >= since and stream not in explained:
                explained.add(stream)
                return True
        return False


class Ledger:
    """A row of the account: connections of one kind. Several threads write to it."""

    def __init__(self, name, journal):
        self.name, self.journal = name, journal
        self.opened = 0
        self.ended = dict.fromkeys(OUTCOMES[1:], 0)
        self.faults = collections.Counter()
        self.lock = threading.Lock()

    def open(self, n=1):
        with self.lock:
            self.opened += n

    def close(self, n=1):
        with self.lock:
            self.ended["closed"] += n

    def lose(self, server, since, what, moved=False, new=False):
        """@since: when it was last known to be well, or, for one in its handshake (@new), when it began."""
        now = time.monotonic()
        with self.lock:
            if moved:
                outcome = "moved"
            elif self.journal.server_died(server, since, now):
                outcome = "its server died"
            elif new and self.journal.handshake_met_move(self.name, since, now):
                outcome = "in its handshake"
            else:
                outcome = "broken"
            self.ended[outcome] += 1
            if outcome in FAULTS:
                fault = f"{time.strftime('%H:%M:%S')} {self.name}: {outcome} at {server or 'nobody'}: {what}"
                if fault in self.faults or len(self.faults) < TOLD:
                    self.faults[fault] += 1
        return outcome

    def fault_count(self):
        return sum(self.ended[outcome] for outcome in FAULTS)

    def row(self, n_open):
        return [self.name, self.opened, n_open, *self.ended.values()]

    def adds_up(self, n_open):
        return self.opened == n_open + sum(self.ended.values())


def table(heads, rows):
    """As text: the first column to the left, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells)
