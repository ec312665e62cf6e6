"""The sum over a tree: nothing twice, never less than before, never more than was used."""

from __future__ import annotations

import random

import pytest

from umlaut_async.probes.tree_ledger import Entry, Key, Ledger

STEP = 20
ROOT, CHILD, GRANDCHILD = (1, 0), (2, 0), (3, 0)


class Truth:
    """Processes that use CPU time, begin and end, and what a kernel would show of them."""

    def __init__(self, chance: random.Random, waits: float, orphans: bool = True, takers: float | None = None) -> None:
        self.chance = chance
        self.waits = waits
        self.orphans = orphans
        self.takers = takers
        """How many of the processes below the root take in orphans; None where the root does not either."""
        self.takes_in: set[Key] = set() if takers is None else {ROOT}
        self.parent: dict[Key, Key | None] = {ROOT: None}
        self.own = {ROOT: 0}
        self.reaped = {ROOT: 0}
        self.zombies: set[Key] = set()
        self.used = 0
        self.seen: list[Key] = []
        self.count = 10

    def happen(self) -> None:
        """Let one thing happen."""
        key = self.chance.choice([*self.parent])
        if key in self.zombies:
            self._take_away(key)
            return
        match self.chance.randrange(4):
            case 0:
                self.count += 1
                child = (self.count, self.count)
                self.parent[child], self.own[child], self.reaped[child] = key, 0, 0
                if self.takers and self.chance.random() < self.takers:
                    self.takes_in.add(child)
            case 1 if key != ROOT and (self.orphans or key not in self.parent.values()):
                self._end(key)
            case _:
                spent = self.chance.randrange(50)
                self.own[key] += spent
                self.used += spent

    def _end(self, key: Key) -> None:
        heir = self.parent[key]
        while heir is not None and heir not in self.takes_in:
            heir = self.parent[heir]
        for child, parent in self.parent.items():
            if parent == key:
                self.parent[child] = heir
        if self.chance.random() < 0.3:
            self.zombies.add(key)
        else:
            self._take_away(key)

    def _take_away(self, key: Key) -> None:
        self.zombies.discard(key)
        parent = self.parent.pop(key)
        used = self.own.pop(key) + self.reaped.pop(key)
        if parent is not None and self.chance.random() < self.waits:
            self.reaped[parent] += used

    def read(self, ledger: Ledger) -> int:
        """Take a reading, in which things happen between the looks at one process and the next."""
        living, gone = [], []
        for key in [*self.seen, *(key for key in self.parent if key not in self.seen)]:
            if key not in self.parent:
                if key in self.seen:
                    gone.append(key)
                    self.seen.remove(key)
                continue
            if key not in self.seen:
                self.seen.append(key)
            shown = self.reaped[key] - self.reaped[key] % STEP
            living.append(Entry(key, self.parent[key], self.own[key], shown, STEP, key in self.zombies))
            if self.chance.random() < 0.3:
                self.happen()
        return ledger.update(living, gone)


@pytest.mark.parametrize("takers", [None, 0.0, 0.3])
@pytest.mark.parametrize("waits", [1.0, 0.7, 0.0])
def test_the_sum_never_decreases_and_is_never_more_than_was_used(
    waits: float, takers: float | None, soak: bool
) -> None:
    for seed in range(20_000 if soak else 200):
        truth, ledger = Truth(random.Random(seed), waits, takers=takers), Ledger()
        before = 0
        for _ in range(40):
            for _ in range(truth.chance.randrange(6)):
                truth.happen()
            total = truth.read(ledger)
            assert before <= total <= truth.used, seed
            before = total


def test_what_is_waited_for_is_counted_in_full() -> None:
    for seed in range(100):
        truth, ledger = Truth(random.Random(seed), waits=1.0, orphans=False), Ledger()
        for _ in range(60):
            truth.happen()
            truth.read(ledger)
        truth.chance.random = lambda: 1.0  # type: ignore[method-assign]
        missing = truth.used - truth.read(ledger)
        assert 0 <= missing < STEP * len(truth.parent), seed


def test_a_child_that_is_waited_for_is_counted_once() -> None:
    ledger = Ledger()
    assert ledger.update([Entry(ROOT, None, 5, 0, 0), Entry(CHILD, ROOT, 100, 0, 0)], []) == 105
    assert ledger.update([Entry(ROOT, None, 5, 110, 0)], [CHILD]) == 115
    assert ledger.update([Entry(ROOT, None, 6, 110, 0)], []) == 116


def test_a_child_that_nobody_waits_for_keeps_what_was_seen() -> None:
    ledger = Ledger()
    ledger.update([Entry(ROOT, None, 5, 0, STEP), Entry(CHILD, ROOT, 100, 0, STEP)], [])
    assert ledger.update([Entry(ROOT, None, 5, 0, STEP)], [CHILD]) == 105
    assert ledger.update([Entry(ROOT, None, 6, 0, STEP)], []) == 106
    # A later one that is waited for adds to it.
    assert ledger.update([Entry(ROOT, None, 6, 300, STEP)], []) >= 406 - STEP


def test_an_orphan_keeps_what_was_seen() -> None:
    ledger = Ledger()
    living = [Entry(ROOT, None, 1, 0, 0), Entry(CHILD, ROOT, 10, 0, 0), Entry(GRANDCHILD, CHILD, 100, 0, 0)]
    assert ledger.update(living, []) == 111
    assert ledger.update([Entry(ROOT, None, 1, 10, 0), Entry(GRANDCHILD, None, 150, 0, 0)], [CHILD]) == 161
    assert ledger.update([Entry(ROOT, None, 2, 10, 0)], [GRANDCHILD]) == 162


def test_a_child_and_its_parent_that_end_together_are_kept() -> None:
    ledger = Ledger()
    living = [Entry(ROOT, None, 1, 0, 0), Entry(CHILD, ROOT, 10, 0, 0), Entry(GRANDCHILD, CHILD, 100, 0, 0)]
    assert ledger.update(living, []) == 111
    # The grandchild was waited for by the child, the child by the root.
    assert ledger.update([Entry(ROOT, None, 1, 110, 0)], [CHILD, GRANDCHILD]) == 111
    assert ledger.update([Entry(ROOT, None, 1, 110, 0)], []) == 111


def test_an_orphan_that_is_waited_for_further_up_is_counted_once() -> None:
    """The child and its own child, the worker, end between two readings; the root takes in the worker and waits for it.

    That one is known before, or after, the root is seen to be credited with it.
    """
    child, worker = (4, 0), (5, 0)
    for credited in (True, False):
        ledger = Ledger()
        living = [Entry(ROOT, None, 1, 0, 0), Entry(CHILD, ROOT, 1, 0, 0)]
        ledger.update([*living, Entry(child, CHILD, 1, 0, 0), Entry(worker, child, 100, 0, 0)], [])
        # The child was not waited for yet, and keeps what was seen of it.
        credit = 100 if credited else 0
        assert ledger.update([Entry(ROOT, None, 1, credit, 0), living[1]], [child, worker]) == 103
        for _ in range(2):
            assert ledger.update([Entry(ROOT, None, 1, 100, 0), living[1]], []) == 103


def test_many_short_children_of_a_parent_whose_credit_comes_in_steps_are_not_counted_twice() -> None:
    ledger = Ledger()
    truth = 0
    for number in range(200):
        child = (number + 2, number)
        ledger.update([Entry(ROOT, None, 0, truth - truth % STEP, STEP), Entry(child, ROOT, 5, 0, STEP)], [])
        truth += 5
        total = ledger.update([Entry(ROOT, None, 0, truth - truth % STEP, STEP)], [child])
        assert truth - STEP <= total <= truth
