"""Time and memory of a step of each optimizer, beside its peers.

    python scripts/benchmark_optimizers.py --out=docs/evidence/optimizer_speed.md

An optimizer takes its steps in turns with the first one of its table, so that what else
the machine does falls on both alike. Extra memory is what a step has at most beside
parameters, gradients and state.
"""

import gc
import importlib.metadata
import importlib.util
import math
import os
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from absl import app, flags

from unscheduled.benchmark.errors import first_line
from unscheduled.benchmark.tables import markdown_table
from unscheduled.runner.machine import cpu_model_name

_SETS = flags.DEFINE_list("sets", ["resnet50", "transformer"], "Parameter sets.")
_FRAMEWORKS = flags.DEFINE_list("frameworks", ["torch", "jax"], "Frameworks.")
_DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "cuda"], "Where torch runs.")
_STEPS = flags.DEFINE_integer("steps", 30, "Timed steps of each optimizer.", 3)
_OUT = flags.DEFINE_string("out", None, "A Markdown file to write, besides printing.")

Shapes = list[tuple[int, ...]]
Step = Callable[[], Any]
PROSE = "<!-- below: prose, kept -->"
WARMUP_STEPS = 8  # RAdam's first steps are others
PACKAGES = ("torch", "schedulefree", "pytorch_optimizer", "jax", "optax")
HEADINGS = ("optimizer", "ms", "quartiles", "ratio", "peer", "extra MB", "first s")


class Contender(NamedTuple):
    """A row; its peer is the one above it of the same name in another package."""

    package: str  # empty for ours
    algorithm: str
    how: str
    make: Callable[..., Any]  # gives the optimizer; in PyTorch, from parameters


Ready = tuple[Step, float, float]  # seconds of the first step, extra bytes


def resnet50() -> Shapes:
    """ResNet-50: 25.6 M parameters in 161 tensors."""
    convolutions, inputs = [(64, 3, 7)], 64  # outputs, inputs, size
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            last = (4 * width, width, 1)
            convolutions += [(width, inputs, 1), (width, width, 3), last]
            if block == 0:
                convolutions.append((4 * width, inputs, 1))
            inputs = 4 * width
    shapes: Shapes = []
    for outputs, inputs, size in convolutions:
        shapes += [(outputs, inputs, size, size), (outputs,), (outputs,)]
    return [*shapes, (1000, 2048), (1000,)]


def transformer() -> Shapes:
    """A decoder as GPT-2 small's: 124 M parameters in 148 tensors."""
    d = 768
    layer = [(d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,)]
    layer += [(4 * d, d), (4 * d,), (d, 4 * d), (d,)]
    return [(50257, d), (1024, d), *(layer * 12), (d,), (d,)]


SHAPES = {
    "tiny": lambda: [(8, 8), (8,)],
    "resnet50": resnet50,
    "transformer": transformer,
}


def timed(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def contender(optimizer: Any, how: Any = "", **options: Any) -> Contender:
    """`how` is an option of the optimizer, set to True."""
    package = optimizer.__module__.partition(".")[0].replace("unscheduled", "")
    make = partial(optimizer, **options, **({how: True} if how else {}))
    return Contender(package, optimizer.__name__, how, make)


def torch_tables() -> dict[str, list[Contender]]:
    """What is compared, each table with torch's fused AdamW first."""
    import pytorch_optimizer as other
    import schedulefree as upstream
    from torch.optim import AdamW, RAdam

    from unscheduled import optim_torch as ours

    def around(lookahead: Any, k: int, how: str) -> Contender:
        def make(params):
            return lookahead(AdamW(params, foreach=True), k=k, alpha=0.5)

        return contender(lookahead)._replace(make=make, how=how)

    decay = {"weight_decay": 0.1}
    fused, foreach = (contender(AdamW, how) for how in ("fused", "foreach"))
    # Ours is fused on a CPU alone.
    ways = ("fused", "foreach") if _DEVICE.value == "cpu" else ("foreach",)
    return {
        "PyTorch, schedule-free": [
            fused,
            foreach,
            contender(other.ScheduleFreeAdamW, **decay),
            contender(upstream.AdamWScheduleFree, **decay),
            *(contender(ours.AdamWScheduleFree, how, **decay) for how in ways),
            contender(upstream.SGDScheduleFree),
            contender(ours.SGDScheduleFree, "foreach"),
        ],
        "PyTorch, radam": [
            fused,
            contender(RAdam, "foreach", **decay),
            *(contender(ours.RAdam, how, **decay) for how in ways),
            contender(upstream.RAdamScheduleFree, **decay),
            *(contender(ours.RAdamScheduleFree, how, **decay) for how in ways),
        ],
        "PyTorch, lookahead, around torch AdamW foreach": [
            fused,
            foreach,
            around(ours.Lookahead, 10**9, "between syncs"),
            around(other.Lookahead, 5, "k=5"),
            around(ours.Lookahead, 5, "k=5"),
        ],
    }


def torch_ready(entry: Contender, shapes: Shapes) -> Ready:
    """Raises ValueError where the optimizer refuses its options on this device."""
    device = _DEVICE.value
    params = [torch.nn.Parameter(torch.randn(s, device=device)) for s in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    optimizer = entry.make(params)
    if hasattr(optimizer, "train"):
        optimizer.train()

    def step() -> None:
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    first_sec = timed(step)
    for _ in range(WARMUP_STEPS):
        step()
    return step, first_sec, torch_extra_bytes(step)


def torch_extra_bytes(step: Step) -> float:
    """The most that a step has allocated at a time, of what it gives back."""
    if _DEVICE.value == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step()
    events: Any = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    memory = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    return max([0, *np.cumsum([size for _, size in sorted(memory)])])


def jax_tables() -> dict[str, list[Contender]]:
    import optax

    from unscheduled import optim_jax as ours

    rate = {"learning_rate": 1e-3}
    decay = {**rate, "weight_decay": 0.1}
    rows = [
        contender(optax.adamw, **decay),
        contender(optax.contrib.schedule_free_adamw, **decay),
        contender(ours.schedule_free_adamw, **decay),
        contender(ours.schedule_free_radam, **decay),
        contender(optax.radam, **rate),
        contender(ours.radam, **decay),
        contender(ours.lookahead, base=optax.adamw(1e-3), k=5),
    ]
    return {"JAX": rows}


def jax_ready(entry: Contender, shapes: Shapes) -> Ready:
    """A step with donated parameters and state."""
    import jax
    import optax

    optimizer = entry.make()

    def update(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    grads = [jax.random.normal(jax.random.key(0), shape) for shape in shapes]
    params = [jax.numpy.ones(shape) for shape in shapes]
    carry = [params, optimizer.init(params)]
    start = time.perf_counter()
    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(*carry, grads).compile()

    def step() -> None:
        carry[:] = compiled(*carry, grads)
        jax.block_until_ready(carry)

    step()
    memory: Any = compiled.memory_analysis()
    return step, time.perf_counter() - start, memory.temp_size_in_bytes


BENCHES = {"torch": (torch_tables, torch_ready), "jax": (jax_tables, jax_ready)}


def rows(
    contenders: list[Contender], make_ready: Callable[[Contender], Ready]
) -> Iterator[list[str]]:
    """The cells of each contender, once it is measured."""
    first, peers = None, {}
    for entry in contenders:
        name = " ".join(filter(None, (entry.package, entry.algorithm, entry.how)))
        try:
            step, first_sec, extra_bytes = make_ready(entry)
        except ValueError as error:
            yield [name, f"refused: {first_line(error)}", *[""] * (len(HEADINGS) - 2)]
            continue
        first = first or step
        turns = [(timed(step), timed(first)) for _ in range(_STEPS.value)]
        ours, base = np.transpose(turns)
        low, middle, high = 1000 * np.quantile(ours, [0.25, 0.5, 0.75])
        ratio = float(np.median(ours / base))
        peer = "" if entry.package else peers.get(entry.algorithm, "")
        if entry.package:
            peers[entry.algorithm] = ratio
        cells = [name, f"{middle:.2f}", f"{low:.2f}-{high:.2f}", f"{ratio:.2f}"]
        cells.append(f"{ratio / peer:.2f}" if peer else "")
        yield [*cells, f"{extra_bytes / 1e6:.1f}", f"{first_sec:.2f}"]
        del step
        gc.collect()


def page() -> Iterator[str]:
    installed = (name for name in PACKAGES if importlib.util.find_spec(name))
    versions = (f"{name} {importlib.metadata.version(name)}" for name in installed)
    hardware = f"{len(os.sched_getaffinity(0))} cores of {cpu_model_name()}"
    if _DEVICE.value == "cuda":
        hardware = torch.cuda.get_device_name()
    yield "# Time and memory of an optimizer's step\n"
    yield f"`{shlex.join(['python', *sys.argv])}`\n"
    yield f"{hardware}; Python {platform.python_version()}, {', '.join(versions)}.\n"
    for name in _SETS.value:
        shapes = SHAPES[name]()
        count = sum(map(math.prod, shapes)) / 1e6
        yield f"## {name}: {count:.1f} M parameters, {len(shapes)} tensors\n"
        for framework in _FRAMEWORKS.value:
            tables, make_ready = BENCHES[framework]
            for heading, contenders in tables().items():
                yield f"### {heading}\n\n{markdown_table(HEADINGS, [])}"
                for cells in rows(contenders, partial(make_ready, shapes=shapes)):
                    yield markdown_table(HEADINGS, [cells]).splitlines()[-1]
                yield ""


def main(_) -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    lines = []
    for line in page():
        print(line, flush=True)
        lines.append(line)
    if _OUT.value:
        path = Path(_OUT.value)
        old = path.read_text() if path.exists() else ""
        _, mark, prose = old.partition(PROSE)  # what people wrote below the tables
        path.write_text("\n".join(lines) + mark + prose)


if __name__ == "__main__":
    app.run(main)
