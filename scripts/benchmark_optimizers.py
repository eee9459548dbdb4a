"""Time and memory of a step of each optimizer, beside its peers and the memory's floor.

    python scripts/benchmark_optimizers.py --out=docs/evidence/optimizer_speed.md

The optimizers of a table take their steps in turn in one process, so that what else the
machine does falls on all alike; the table has medians, and the ratio to torch's fused
AdamW (optax.adamw) is the median of the ratios of neighbouring steps. The floor of an
optimizer is the bytes that its step has to read and write over the bandwidth of a copy,
measured in the same turns. Peak extra memory is what a step has at most beside
parameters, gradients and state. Run it on a quiet machine.
"""

import gc
import importlib.metadata
import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags

from unscheduled.benchmark.tables import markdown_table
from unscheduled.runner.machine import cpu_model_name

_SETS = flags.DEFINE_list("sets", ["resnet50", "transformer"], "Parameter sets.")
_FRAMEWORKS = flags.DEFINE_list("frameworks", ["torch", "jax"], "Frameworks.")
_DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "cuda"], "Where to run.")
_STEPS = flags.DEFINE_integer("steps", 30, "Timed steps of each optimizer.", 3)
_OUT = flags.DEFINE_string("out", None, "A Markdown file to write, besides printing.")

Shapes = list[tuple[int, ...]]
_PROSE = "<!-- below: prose, kept -->"
WARMUP_STEPS = 8  # RAdam's first steps are others


class Contender(NamedTuple):
    """An optimizer: `make` gives from parameters a function that takes a step."""

    name: str
    make: Callable[[Any], Callable[[], Any]]
    bytes_per_parameter: float = 28


class Measurement(NamedTuple):
    name: str
    seconds: list[float]
    first_seconds: float
    floor_seconds: float
    extra_bytes: float


class Target(NamedTuple):
    """`ours` takes at most `limit` times as long as `theirs`."""

    ours: str
    theirs: str
    limit: float


def resnet50() -> Shapes:
    """ResNet-50: 25.6 M parameters in 161 tensors."""
    shapes: Shapes = []

    def conv(inputs: int, outputs: int, size: int) -> None:
        shapes.extend([(outputs, inputs, size, size), (outputs,), (outputs,)])

    conv(3, 64, 7)
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            conv(inputs, width, 1)
            conv(width, width, 3)
            conv(width, 4 * width, 1)
            if block == 0:
                conv(inputs, 4 * width, 1)
            inputs = 4 * width
    return [*shapes, (1000, 2048), (1000,)]


def transformer() -> Shapes:
    """A decoder as GPT-2 small's: 124 M parameters in 148 tensors."""
    d = 768
    layer = [(d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,)]
    layer += [(4 * d, d), (4 * d,), (d, 4 * d), (d,)]
    return [(50257, d), (1024, d), *(layer * 12), (d,), (d,)]


SHAPES = {"resnet50": resnet50, "transformer": transformer}


def torch_families() -> dict[str, list[Contender]]:
    """What is compared, each family with torch's fused AdamW first."""
    import pytorch_optimizer
    import schedulefree
    import torch

    from unscheduled import optim_torch as ours

    def stepping(
        name: str, factory: Callable[..., Any], bytes_: float = 28, **options: Any
    ) -> Contender:
        def make(params):
            optimizer = factory(params, **options)
            if hasattr(optimizer, "train"):
                optimizer.train()
            return optimizer.step

        return Contender(name, make, bytes_)

    def around(
        name: str, wrapper: Callable[..., Any], k: int, bytes_: float
    ) -> Contender:
        def wrap(params):
            return wrapper(adamw(params, foreach=True), k=k, alpha=0.5)

        return stepping(name, wrap, bytes_)

    adamw, decay = torch.optim.AdamW, {"weight_decay": 0.1}
    fused = stepping("torch AdamW fused", adamw, fused=True)
    foreach = stepping("torch AdamW foreach", adamw, foreach=True)
    free, peer = ours.AdamWScheduleFree, schedulefree.AdamWScheduleFree
    other = pytorch_optimizer.ScheduleFreeAdamW
    free_radam, peer_radam = ours.RAdamScheduleFree, schedulefree.RAdamScheduleFree
    synced = 28 + 16 / 5
    return {
        "schedule-free": [
            fused,
            foreach,
            stepping("AdamWScheduleFree fused", free, fused=True, **decay),
            stepping("AdamWScheduleFree foreach", free, **decay),
            stepping("schedulefree AdamW", peer, **decay),
            stepping("pytorch_optimizer ScheduleFreeAdamW", other, **decay),
            stepping("SGDScheduleFree foreach", ours.SGDScheduleFree, 20),
            stepping("schedulefree SGD", schedulefree.SGDScheduleFree, 20),
        ],
        "radam": [
            fused,
            stepping("RAdam fused", ours.RAdam, fused=True, **decay),
            stepping("RAdam foreach", ours.RAdam, **decay),
            stepping("torch RAdam foreach", torch.optim.RAdam, foreach=True, **decay),
            stepping("RAdamScheduleFree fused", free_radam, fused=True, **decay),
            stepping("RAdamScheduleFree foreach", free_radam, **decay),
            stepping("schedulefree RAdam", peer_radam, **decay),
        ],
        "lookahead, around torch AdamW foreach": [
            fused,
            foreach,
            around("Lookahead between syncs", ours.Lookahead, 10**9, 28),
            around("Lookahead k=5", ours.Lookahead, 5, synced),
            around(
                "pytorch_optimizer Lookahead k=5",
                pytorch_optimizer.Lookahead,
                5,
                synced,
            ),
        ],
    }


TORCH_TARGETS = (
    Target("AdamWScheduleFree fused", "torch AdamW fused", 1.1),
    Target("RAdamScheduleFree fused", "torch AdamW fused", 1.1),
    Target("RAdam fused", "torch AdamW fused", 1.1),
    Target("AdamWScheduleFree fused", "schedulefree AdamW", 1 / 4),
    Target("RAdamScheduleFree fused", "schedulefree RAdam", 1 / 4),
    Target("RAdam fused", "torch RAdam foreach", 1 / 4),
    Target("AdamWScheduleFree foreach", "schedulefree AdamW", 1.0),
    Target("RAdamScheduleFree foreach", "schedulefree RAdam", 1.0),
    Target("RAdam foreach", "torch RAdam foreach", 1.0),
    Target("SGDScheduleFree foreach", "schedulefree SGD", 1.0),
    Target("Lookahead between syncs", "torch AdamW foreach", 1.05),
)
JAX_TARGETS = (
    Target("schedule_free_adamw", "optax.adamw", 1.4),
    Target("schedule_free_adamw", "optax.contrib.schedule_free_adamw", 1 / 1.7),
)


def benchmark_torch(contenders: list[Contender], shapes: Shapes) -> list[Measurement]:
    import torch

    device = _DEVICE.value
    generator = torch.Generator(device).manual_seed(0)

    def randn(shape):
        return torch.randn(shape, generator=generator, device=device)

    grads = [randn(shape) for shape in shapes]
    steps = {}
    for contender in contenders:
        params = [torch.nn.Parameter(randn(shape)) for shape in shapes]
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        steps[contender.name] = contender.make(params)
    source = torch.randn(2 * sum(math.prod(s) for s in shapes), device=device)
    target = torch.empty_like(source)
    steps[_COPY] = lambda: target.copy_(source)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    first = {name: _timed(step, wait) for name, step in steps.items()}
    for step in steps.values():
        for _ in range(WARMUP_STEPS):
            step()
    extra = {name: _torch_extra_bytes(step) for name, step in steps.items()}
    seconds = _in_turns(steps, wait)
    bytes_of = {c.name: c.bytes_per_parameter for c in contenders}
    return _measurements(bytes_of, seconds, first, extra)


_COPY = "copy"  # of 2 numbers a parameter: 16 bytes


def _measurements(
    bytes_of: dict[str, float],
    seconds: dict[str, list[float]],
    first: dict[str, float],
    extra: dict[str, float],
) -> list[Measurement]:
    a_byte = statistics.median(seconds[_COPY]) / 16
    return [
        Measurement(name, seconds[name], first[name], count * a_byte, extra[name])
        for name, count in bytes_of.items()
    ]


def _timed(step: Callable[[], Any], wait: Callable[[], Any]) -> float:
    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start


def _in_turns(steps: dict, wait: Callable[[], Any]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(_STEPS.value):
        for name, step in steps.items():
            seconds[name].append(_timed(step, wait))
    return seconds


def _torch_extra_bytes(step: Callable[[], Any]) -> float:
    """The most that a step has allocated at a time, of what it gives back."""
    import torch

    if _DEVICE.value == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step()
    events: Any = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    memory = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = peak = 0
    for _, size in sorted(memory):
        held += size
        peak = max(peak, held)
    return peak


def benchmark_jax(shapes: Shapes) -> list[Measurement]:
    import jax
    import jax.numpy as jnp
    import optax
    from optax import contrib

    from unscheduled import optim_jax as ours

    grads = [jnp.asarray(g) for g in _numpy_gradients(shapes)]
    optimizers = {
        "optax.adamw": optax.adamw(1e-3, weight_decay=0.1),
        "schedule_free_adamw": ours.schedule_free_adamw(1e-3, weight_decay=0.1),
        "optax.contrib.schedule_free_adamw": contrib.schedule_free_adamw(
            1e-3, weight_decay=0.1
        ),
        "schedule_free_radam": ours.schedule_free_radam(1e-3, weight_decay=0.1),
        "radam": ours.radam(1e-3, weight_decay=0.1),
        "optax.radam": optax.radam(1e-3),
        "lookahead(optax.adamw, k=5)": ours.lookahead(optax.adamw(1e-3), k=5),
    }
    steps: dict[str, Callable[[], Any]] = {}
    extra: dict[str, float] = {_COPY: 0}
    first: dict[str, float] = {_COPY: 0}
    for name, optimizer in optimizers.items():
        start = time.perf_counter()
        steps[name], extra[name] = _jax_step(optimizer, shapes, grads)
        first[name] = time.perf_counter() - start
    # In place: a new array would pay for pages that the optimizers have already.
    numbers = [jnp.ones(2 * sum(math.prod(s) for s in shapes))]
    add = jax.jit(lambda x: x + 1, donate_argnums=0)

    def copy() -> None:
        numbers[0] = jax.block_until_ready(add(numbers[0]))

    steps[_COPY] = copy
    for step in steps.values():
        for _ in range(3):
            step()
    seconds = _in_turns(steps, lambda: None)
    bytes_of = dict.fromkeys(optimizers, 28.0)
    bytes_of["lookahead(optax.adamw, k=5)"] += 16 / 5
    return _measurements(bytes_of, seconds, first, extra)


def _numpy_gradients(shapes: Shapes):
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def _jax_step(optimizer, shapes: Shapes, grads) -> tuple[Callable[[], Any], float]:
    """A step with donated parameters and state, once taken; its temporary bytes."""
    import jax
    import jax.numpy as jnp
    import optax

    def update(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = [jnp.ones(shape) for shape in shapes]
    carry = [params, optimizer.init(params)]
    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(*carry, grads).compile()

    def step() -> None:
        carry[:] = compiled(*carry, grads)
        jax.block_until_ready(carry)

    step()
    memory: Any = compiled.memory_analysis()
    return step, memory.temp_size_in_bytes


def table(measurements: list[Measurement]) -> list[str]:
    """Markdown; ratios are to the first optimizer."""
    headings = ("optimizer", "ms", "quartiles", "ratio", "of the floor", "extra MB")
    base, rows = measurements[0].seconds, []
    for m in measurements:
        low, median, high = (
            1000 * q for q in statistics.quantiles(m.seconds, n=4, method="inclusive")
        )
        floor = statistics.median(m.seconds) / m.floor_seconds
        ratios = (f"{_ratio(m.seconds, base):.2f}", f"{floor:.2f}")
        cost = (f"{m.extra_bytes / 1e6:.1f}", f"{m.first_seconds:.2f}")
        rows.append((m.name, f"{median:.2f}", f"{low:.2f}-{high:.2f}", *ratios, *cost))
    return [markdown_table((*headings, "first s"), rows), ""]


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def targets_table(targets, measurements: list[Measurement]) -> list[str]:
    by_name = {m.name: m for m in measurements}
    rows = []
    for target in targets:
        if target.ours not in by_name or target.theirs not in by_name:
            continue
        ours, theirs = by_name[target.ours], by_name[target.theirs]
        ratio = _ratio(ours.seconds, theirs.seconds)
        met = "yes" if ratio <= target.limit else "no"
        name = f"{ours.name} / {theirs.name}"
        rows.append((name, f"{target.limit:.2f}", f"{ratio:.2f}", met))
    return [markdown_table(("target", "at most", "measured", "met"), rows), ""]


def header() -> list[str]:
    names = ("torch", "schedulefree", "pytorch_optimizer", "jax", "optax")
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)
    return [
        "# Time and memory of an optimizer's step",
        "",
        f"`python scripts/benchmark_optimizers.py --sets={','.join(_SETS.value)} "
        f"--frameworks={','.join(_FRAMEWORKS.value)} --device={_DEVICE.value} "
        f"--steps={_STEPS.value}`",
        "",
        f"{_hardware()}; Python {platform.python_version()}, {versions}.",
        "",
        "ms: median of a step; ratio: to the first optimizer of the table; of the "
        "floor: to the time that a copy needs for the bytes that the step must read "
        "and write; extra MB: peak memory of a step beside parameters, gradients and "
        "state; first s: the first step, compiling included.",
        "",
    ]


def _hardware() -> str:
    if _DEVICE.value == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return f"{len(os.sched_getaffinity(0))} cores of {cpu_model_name()}"


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    unknown = set(_SETS.value) - SHAPES.keys()
    if unknown:
        raise app.UsageError(f"--sets must be of {sorted(SHAPES)}, got {unknown}")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    lines = header()
    for name in _SETS.value:
        shapes = SHAPES[name]()
        count = sum(math.prod(s) for s in shapes) / 1e6
        lines += [f"## {name}: {count:.1f} M parameters, {len(shapes)} tensors", ""]
        if "torch" in _FRAMEWORKS.value:
            for family, contenders in torch_families().items():
                measured = benchmark_torch(contenders, shapes)
                lines += [f"### PyTorch, {family}", "", *table(measured)]
                lines += targets_table(TORCH_TARGETS, measured)
                gc.collect()
        if "jax" in _FRAMEWORKS.value:
            measured = benchmark_jax(shapes)
            lines += ["### JAX", "", *table(measured)]
            lines += targets_table(JAX_TARGETS, measured)
    text = "\n".join(lines)
    print(text)
    if _OUT.value:
        _write(Path(_OUT.value), text)


def _write(path: Path, text: str) -> None:
    """Writes the tables, and keeps what people wrote below them."""
    old = path.read_text() if path.exists() else ""
    _, mark, prose = old.partition(_PROSE)
    path.write_text(text + (mark + prose if mark else ""))


if __name__ == "__main__":
    app.run(main)
