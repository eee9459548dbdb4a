"""How often a batch is used, by how long it takes to come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unscheduled.entries.echoing import MOST, WORTH, DataEchoing, steps_a_batch


class Machine:
    """A loader that takes `fetch` seconds a batch, and a device that takes `step`.

    The loader works in the background and holds one batch, or loads when it is asked
    to (serial). The device works in the background where it is asynchronous.
    """

    def __init__(self, fetch, step=1.0, *, is_serial=False, is_asynchronous=False):
        self.now, self.fetch, self.step_sec = 0.0, fetch, step
        self.is_serial, self.is_asynchronous = is_serial, is_asynchronous
        self._ready, self._device_free = fetch, 0.0
        self.batches = 0

    def __next__(self):
        start = self.now
        self.now = start + self.fetch if self.is_serial else max(start, self._ready)
        self._ready = self.now + self.fetch
        self.batches += 1
        return self.batches

    def synchronize(self):
        self.now = max(self.now, self._device_free)

    def step(self):
        self._device_free = max(self.now, self._device_free) + self.step_sec
        if not self.is_asynchronous:
            self.synchronize()

    def echoing(self, **options):
        return DataEchoing(self.synchronize, now=lambda: self.now, **options)


def train(machine, echoing, steps):
    """The batches of each step."""
    batches = []
    for _ in range(steps):
        batches.append(echoing.next(machine))
        machine.step()
    return batches


@pytest.mark.parametrize("is_asynchronous", [False, True])
@pytest.mark.parametrize(
    ("fetch", "count"), [(0.0, 1), (0.9, 1), (1.2, 1), (1.8, 2), (3.0, 3), (9.0, 4)]
)
def test_as_many_steps_as_waiting_is_worth(fetch, count, is_asynchronous):
    """Steps that go on waiting, or worn batches where fresh ones are there."""
    machine = Machine(fetch, is_asynchronous=is_asynchronous)
    echoing = machine.echoing()
    batches = train(machine, echoing, 28 + 30 * count)  # one measurement and more
    assert echoing.count == count
    assert [batches.count(batch) for batch in range(30, 55)] == [count] * 25


def test_a_device_that_works_while_the_host_fetches_does_not_wait():
    """Fetches that a device has no need to wait for would count as waiting."""
    machine = Machine(0.9, is_serial=True, is_asynchronous=True)
    echoing = machine.echoing()
    assert train(machine, echoing, 100) == [*range(1, 101)]


def test_every_batch_comes_in_order_and_none_is_left_out():
    """Batches that are dropped: an epoch that lacks examples."""
    machine = Machine(2.5)
    batches = train(machine, machine.echoing(), 500)
    assert [*dict.fromkeys(batches)] == [*range(1, machine.batches + 1)]
    assert batches == sorted(batches)


def test_it_looks_again():
    """A loader that became slow, or quick, would be judged by its first minute."""
    machine = Machine(0.1)
    echoing = machine.echoing()
    train(machine, echoing, 60)
    assert echoing.count == 1
    machine.fetch = 3.0
    train(machine, echoing, 60)
    assert echoing.count == 3
    machine.fetch = 0.1
    train(machine, echoing, 3000)
    assert echoing.count == 1


def test_an_evaluation_is_no_step():
    """An evaluation within a measurement would look like a slow step."""
    machine = Machine(2.0)
    echoing = machine.echoing()
    for _ in range(40):
        train(machine, echoing, 5)
        echoing.pause()
        machine.now += 1000.0
    assert echoing.count == 1  # no measurement is undisturbed
    train(machine, echoing, 40)
    assert echoing.count == 2


def test_after_a_pause_comes_a_fresh_batch():
    """A resumed run, which has no old batch, would take other steps."""
    machine = Machine(9.0)
    echoing = machine.echoing()
    train(machine, echoing, 101)
    assert echoing.count == 4
    resumed = machine.echoing()
    resumed.load_state_dict(echoing.state_dict())
    echoing.pause()
    assert resumed.state_dict() == echoing.state_dict()
    assert train(machine, resumed, 4) == [machine.batches] * 4
    assert train(machine, echoing, 4) == [machine.batches] * 4


def test_ranks_decide_together():
    """Ranks that take different batches in a step."""
    machine = Machine(0.0)
    echoing = machine.echoing(agree=lambda numbers: [1.0, 4.0])  # another rank's
    train(machine, echoing, 40)
    assert echoing.count == 4


@given(st.floats(0, 100))
def test_no_other_count_makes_more_progress(period):
    """An echo more, or less, that would have paid."""

    def progress(count):
        return (1 + WORTH * (count - 1)) / max(period, count)

    best = steps_a_batch(period)
    assert all(progress(best) >= progress(count) for count in range(1, MOST + 1))
    assert best == 1 or best < period + 1
