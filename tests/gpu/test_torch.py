"""The PyTorch optimizers and entries on a GPU."""

import contextlib
import itertools
import statistics
import time
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import workloads_ext  # noqa: E402
from tests import cases, specifications, trajectories  # noqa: E402
from tests.entries import submissions  # noqa: E402
from tests.gpu.drivers import driver_of  # noqa: E402
from tests.runner import test_kill  # noqa: E402
from unscheduled.entries.api import trainer_of  # noqa: E402
from unscheduled.optim_torch import AdamWScheduleFree, RAdam  # noqa: E402
from unscheduled.runner.backend import load_backend  # noqa: E402

pytestmark = pytest.mark.gpu

STEPS = 60
# Of the parameters, which are of order one, after so many steps.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "bfloat16": 0.03}
IMPLEMENTATIONS = {
    "foreach": {"foreach": True},
    "for-loop": {"foreach": False},
    "fused": {"fused": True},
}
FUSIBLE = ("schedule_free_adamw", "schedule_free_radam", "radam")
PLAIN = [a for a in cases.ALGORITHMS if a.torch and a.make_torch is None]


@pytest.fixture
def device(request) -> str:
    name = request.config.getoption("--device")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return name


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("how", IMPLEMENTATIONS)
@pytest.mark.parametrize("algorithm", PLAIN, ids=lambda a: a.name)
def test_follows_the_specification(algorithm, how, dtype, device):
    """Another optimizer on a GPU than on a CPU."""
    if how == "fused" and algorithm.name not in FUSIBLE:
        pytest.skip("it has no fused step")
    settings = algorithm.settings[-1]
    arguments = {**specifications.torch_arguments(settings), **IMPLEMENTATIONS[how]}

    def make(params):
        return algorithm.torch_class()(params, **arguments)

    expected = algorithm.run_numpy(settings, STEPS)
    found = trajectories.run_torch_optimizer(make, STEPS, device, dtype)
    for at in ("x", "y"):
        pairs = zip(getattr(found, at)[-1], getattr(expected, at)[-1], strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("make", [AdamWScheduleFree, RAdam])
def test_shapes_and_layouts_take_the_same_steps(make, device):
    """A kernel that reads memory in another order than the tensor has it."""
    generator = torch.Generator().manual_seed(0)

    def params():
        generator.manual_seed(0)
        shapes = [(2, 3, 4, 5), (1,), (), (129,), (0, 3), (7, 1)]
        tensors = [torch.randn(s, generator=generator) for s in shapes]
        tensors[0] = tensors[0].to(memory_format=torch.channels_last)
        tensors.append(torch.randn(5, generator=generator, dtype=torch.complex64))
        return [torch.nn.Parameter(t.to(device)) for t in tensors]

    runs = {how: params() for how in IMPLEMENTATIONS}
    for how, own in runs.items():
        optimizer = make(own, lr=0.01, weight_decay=0.1, **IMPLEMENTATIONS[how])
        trajectories.switch(optimizer, "train")
        for _ in range(12):
            for p in own:
                p.grad = p.detach().sin()
            optimizer.step()
    for own in runs.values():
        for ours, theirs in zip(own, runs["for-loop"], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        assert own[0].is_contiguous(memory_format=torch.channels_last)


def training_of(algorithm: str, count: int, data_dir: str):
    """An entry's driver and state, and batches that are on the device already."""
    backend = load_backend("pytorch")
    backend.start_trial(0)
    workload = workloads_ext.load("digits_resnet", "pytorch")
    driver = driver_of(algorithm, "pytorch", workload, backend)
    state = driver.init(*workload.init_model_fn(driver.model_rng))
    queue = workload._build_input_queue(driver.data_rng, "train", data_dir, 16)
    return driver, state, [next(queue) for _ in range(count)]


def steps_of(algorithm: str, count: int, data_dir: str):
    """A function that takes a step of an entry."""
    driver, state, batches = training_of(algorithm, count, data_dir)

    def step(number: int) -> None:
        nonlocal state
        state = driver.update(state, batches[number], number, [], {})

    return step


@contextlib.contextmanager
def without_waits(device: str):
    """A block in which waiting for the GPU is an error."""
    if device == "cpu":
        yield
        return
    with warnings.catch_warnings(action="ignore"):  # that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("algorithm", submissions.ALGORITHMS)
def test_no_step_waits_for_the_device(algorithm, device, data_dir):
    """A GPU that is idle while the host asks it for a number."""
    step = steps_of(algorithm, 11, data_dir)
    step(0)  # makes the state
    with without_waits(device):
        for number in range(1, 11):
            step(number)


def test_an_entry_echoes_where_batches_are_slow(device, data_dir):
    """Waiting that a device which works in the background hides, or pretends."""
    driver, state, batches = training_of("refined_schedule_free", 8, data_dir)
    wait_for = load_backend("pytorch").wait_for
    seconds = []
    for number in range(20):
        start = time.perf_counter()
        state = driver.update(state, batches[number % 8], number, [], {})
        wait_for(state)
        seconds.append(time.perf_counter() - start)
    fetch_sec = 0.0

    def slow_queue():
        for batch in itertools.cycle(batches):
            time.sleep(fetch_sec)
            yield batch

    def train(steps: int) -> int:
        nonlocal state
        for number in range(steps):
            batch = driver.select(queue, state, 20 + number)
            state = driver.update(state, batch, 20 + number, [], {})
        return trainer_of(state.optimizer_state)._echoing.count

    queue = slow_queue()
    assert train(40) == 1
    fetch_sec = 4 * statistics.median(seconds)
    assert train(60) > 1  # 2 on an H100, where a step after a wait takes longer


@pytest.mark.slow
def test_a_killed_run_goes_on(device, data_dir, tmp_path):
    """A checkpoint that can't be read back on a GPU, which the runner takes."""
    del device
    arguments = test_kill.command(
        data_dir, tmp_path, "digits_resnet", "pytorch", "schedule_free_adamw"
    )
    test_kill.kill_when(arguments, lambda: any(tmp_path.rglob("checkpoint_*")))
    assert not [*tmp_path.rglob("outcome.json")]
    test_kill.run_to_the_end(arguments)
    assert [*tmp_path.rglob("outcome.json")]
