"""How often a batch is used, by how long it takes to come."""

import functools
import inspect
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.entries import stub, stub_jax, stub_torch
from tests.entries.submissions import FRAMEWORKS
from unscheduled.entries import api
from unscheduled.entries.batch_norm import RecentBatches, batches_to_refresh_from
from unscheduled.entries.echoing import (
    _FETCHES,
    _FIRST,
    _STEPS,
    APART,
    MOST,
    WORTH,
    DataEchoing,
    data_selection,
    steps_a_batch,
)
from unscheduled.optim_jax.schedule_free import (
    schedule_free_adamw,
    schedule_free_eval_params,
    schedule_free_train_params,
)
from unscheduled.optim_torch.schedule_free import AdamWScheduleFree

MEASURED = _FIRST + _STEPS + _FETCHES  # fetches up to the end of a measurement
TRAININGS = {"pytorch": stub_torch.Training, "jax": stub_jax.Training}


class Defaults(NamedTuple):
    learning_rate: float = 0.0025
    label_smoothing: float | None = None
    dropout_rate: float | None = None
    grad_clip: float | None = None


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
    ("fetch", "count"), [(0.0, 1), (0.9, 1), (1.2, 1), (1.8, 2), (9.0, 2)]
)
def test_as_many_steps_as_waiting_is_worth(fetch, count, is_asynchronous):
    """Steps that go on waiting, or worn batches where fresh ones are there."""
    machine = Machine(fetch, is_asynchronous=is_asynchronous)
    echoing = machine.echoing()
    batches = train(machine, echoing, MEASURED + APART + 18 * count)
    assert echoing.count == count
    first = MEASURED + 2
    assert [batches.count(first + n) for n in range(15)] == [count] * 15


def test_a_device_that_works_while_the_host_fetches_does_not_wait():
    """Fetches that a device has no need to wait for would count as waiting."""
    machine = Machine(0.9, is_serial=True, is_asynchronous=True)
    echoing = machine.echoing()
    assert train(machine, echoing, 100) == [*range(1, 101)]


@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_slow_steps_are_no_waiting(is_asynchronous):
    """Worn batches on a machine that another program slows down now and then."""
    machine = Machine(0.1, is_asynchronous=is_asynchronous)
    echoing = machine.echoing()
    batches = []
    for step in range(100):
        batches += train(machine, echoing, 1)
        is_measured = step > _FIRST + _STEPS
        machine.step_sec = 5.0 if is_measured else 1.0
    assert batches == [*range(1, 101)]


def test_every_batch_is_taken_fetches_apart():
    """Batches that are dropped, or steps on one that follow each other."""
    machine = Machine(2.5)
    echoing = machine.echoing()
    batches = train(machine, echoing, 500)
    assert [*dict.fromkeys(batches)] == [*range(1, machine.batches + 1)]
    fetched = batches.index(100)
    ago = [0, APART]
    assert batches[fetched : fetched + 4] == [
        batch - back for batch in (100, 101) for back in ago
    ]


def test_batches_are_kept_only_where_they_are_used_again():
    """Memory for what is never echoed."""
    machine = Machine(0.5)
    echoing = machine.echoing()
    train(machine, echoing, 100)
    assert not echoing._recent


def test_it_looks_again():
    """A loader that became slow, or quick, would be judged by its first minute."""
    machine = Machine(0.1)
    echoing = machine.echoing()
    train(machine, echoing, 60)
    assert echoing.count == 1
    machine.fetch = 3.0
    train(machine, echoing, 60)
    assert echoing.count == 2
    machine.fetch = 0.1
    train(machine, echoing, 3000)
    assert echoing.count == 1
    assert not echoing._recent  # memory for what is not used again


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
    """An echo that a resumed run has not, or earlier batches that are gone."""
    machine = Machine(9.0)
    echoing = machine.echoing()
    train(machine, echoing, MEASURED + APART + 3)  # to between a fetch and its echo
    assert echoing.count == 2
    resumed = machine.echoing()
    resumed.load_state_dict(echoing.state_dict())
    echoing.pause()
    assert resumed.state_dict() == echoing.state_dict()
    last = machine.batches
    taken = train(machine, echoing, 3)
    assert taken == [last + 1, last + 1 - APART, last + 2]
    alone = machine.batches
    fresh = train(machine, resumed, APART)
    assert fresh == [alone + 1 + number for number in range(APART)]
    assert train(machine, resumed, 2) == [alone + APART + 1, alone + 1]


def test_ranks_decide_together():
    """Ranks that take different batches in a step."""
    machine = Machine(0.0)
    echoing = machine.echoing(agree=lambda numbers: [1.0, 4.0])  # another rank's
    train(machine, echoing, 40)
    assert echoing.count == 2


@given(st.floats(0, 100))
def test_no_other_count_makes_more_progress(period):
    """An echo more, or less, that would have paid."""

    def progress(count):
        return (1 + WORTH * (count - 1)) / max(period, count)

    best = steps_a_batch(period)
    assert all(progress(best) >= progress(count) for count in range(1, MOST + 1))
    assert best == 1 or best < period + 1


class Entry:
    """An entry that may use a batch several times, or may not."""

    update_params = staticmethod(api.update_params)
    prepare_for_eval = staticmethod(api.prepare_for_eval)

    def __init__(self, framework, echoes=True):
        self._framework, self._echoes = framework, echoes

    def init_optimizer_state(self, workload, params, model_state, _, rng):
        hp = Defaults()
        if self._framework == "pytorch":
            from unscheduled.entries.pytorch.training import Trainer

            make = functools.partial(AdamWScheduleFree, list(params.parameters()))
            return {"trainer": Trainer(workload, params, make, hp, echoes=self._echoes)}
        from unscheduled.entries.jax.training import Trainer

        moves = {
            "eval_params": schedule_free_eval_params,
            "train_params": schedule_free_train_params,
        }
        trainer = Trainer(
            workload, schedule_free_adamw, hp, **moves, echoes=self._echoes
        )
        return trainer.init(params, model_state)


def select(training, queue):
    """The batch of the next step."""
    arguments = dict.fromkeys(inspect.signature(data_selection).parameters)
    arguments |= {"optimizer_state": training.state, "input_queue": queue}
    return data_selection(**arguments)


def slow_down(training, machine):
    """Has the trainer read the machine's clock, and wait for its device."""
    echoing = api.trainer_of(training.state)._echoing
    echoing._now = lambda: machine.now
    echoing._synchronize = machine.synchronize


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_trainer_echoes_and_goes_on_after_a_checkpoint(framework):
    """Counts that a checkpoint lacks, or an old batch that a resumed run has not."""
    training = TRAININGS[framework](Entry(framework), batch_norm=True)
    machine, batches = Machine(3.0), stub.batches(200)
    slow_down(training, machine)
    queue = (batches[number - 1] for number in iter(machine.__next__, None))

    def train(training, steps):
        taken = []
        for _ in range(steps):
            batch = select(training, queue)
            training.step(batch)
            machine.step()
            taken.append(next(i for i, b in enumerate(batches) if b is batch))
        return taken

    kept = MEASURED  # the number of the first batch that is
    taken = train(training, kept + APART + 8)
    assert taken[kept + APART :: 2] == [kept + APART + n for n in range(4)]
    assert taken[kept + APART + 1 :: 2] == [kept + n for n in range(4)]
    training.evaluate(1.0)
    fetched = machine.batches
    assert train(training, 2) == [fetched, fetched - APART]
    training.evaluate(1.0)
    resumed = training.resumed()
    slow_down(resumed, machine)
    assert train(resumed, APART) == [fetched + 1 + n for n in range(APART)]
    assert train(resumed, 2) == [fetched + 1 + APART, fetched + 1]


def test_batch_norm_takes_each_batch_once():
    """Statistics of two batches, each several times, instead of eight."""
    recent, (batch, other) = RecentBatches(), stub.batches(2)
    for each in (batch, batch, other, batch, other):
        recent.append(each)
    assert len(recent) == 2
    assert batches_to_refresh_from(5) == 1
    (taken,) = recent.take()
    assert taken is other


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_where_nothing_is_waited_for_the_steps_are_those_without_echoes(framework):
    """An entry that pays for what it does not use."""
    make = TRAININGS[framework]
    trainings = [make(Entry(framework, echoes)) for echoes in (True, False)]
    machine, batches = Machine(0.0), stub.batches(40)
    slow_down(trainings[0], machine)
    queues = [iter(batches), iter(batches)]
    for _ in range(40):
        for training, queue in zip(trainings, queues, strict=True):
            training.step(select(training, queue))
        machine.step()
    for one, other in zip(*(t.params() for t in trainings), strict=True):
        np.testing.assert_array_equal(one, other)
