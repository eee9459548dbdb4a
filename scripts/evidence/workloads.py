"""Writes docs/workloads_ext.md: what the embedded workloads are, and how they look.

Steps and seconds to the target are those of miniature.csv, which `miniature.py` makes.
"""

import math
import statistics
from typing import Any

import networkx as nx
import numpy as np
from absl import app, flags

from scripts.evidence.miniature import (
    TABLE,
    TWIN_SEEDS,
    runs_of,
    spread,
    steps,
)
from scripts.evidence.pages import BLACK, BLUE, ROOT, new_figure, publish
from scripts.run_table import Result, Run, read_table
from unscheduled.benchmark.tables import markdown_table
from unscheduled.benchmark.targets import read_target
from workloads_ext import registry
from workloads_ext.brain_unet.workload import undersampled
from workloads_ext.common.source import Source, prepare
from workloads_ext.flights_dlrm.workload import NUMERIC
from workloads_ext.numbers_transformer.workload import SOURCE_VOCABULARY, sentence
from workloads_ext.strips_conformer.workload import SPACE

_SPLITS = ("train", "validation", "test")
_ROW = 3  # of the validation split, that the figure shows


def sizes() -> str:
    """A row a workload, variants included: data, model and batch."""
    rows = []
    for name in registry.ALL:
        workload: Any = registry.load(name, "pytorch")
        model, _ = workload.init_model_fn([0])
        count = sum(p.numel() for p in model.parameters())
        numbers = [workload.sizes[split] for split in _SPLITS]
        numbers += [count, int(read_target(name).batch_size)]
        rows.append((name, workload.mirrors, *(f"{n:,}" for n in numbers)))
    names = ("workload", "mirrors", *_SPLITS, "parameters", "batch")
    return markdown_table(names, rows)


def targets(table: dict[Run, Result]) -> str:
    """A row a workload: its target, and the baseline's way there."""
    rows = []
    for name in registry.ALL:
        target = read_target(name)
        row = [name, str(target), f"{target.test_value:g}", f"{target.step_hint:.0f}"]
        for framework in ("pytorch", "jax"):
            runs = runs_of(name, "NadamW", framework, TWIN_SEEDS)
            found = [table[run].ms_a_step for run in runs if run in table]
            taken = steps(table, runs)
            row += [spread(taken), _seconds(taken, found)]
        rows.append(row)
    names = ["workload", "target", "test target", "step_hint"]
    for framework in ("PyTorch", "JAX"):
        names += [f"steps, {framework}", f"seconds, {framework}"]
    return markdown_table(names, rows)


def _seconds(taken: list[float], ms_a_step: list[float]) -> str:
    """By the quickest step of all runs: others may have had company."""
    seconds = statistics.median(taken) * min(ms_a_step) / 1000 if taken else math.inf
    return f"{seconds:.0f}" if math.isfinite(seconds) else ""


def _example(name: str) -> dict[str, np.ndarray]:
    workload: Any = registry.load(name, "pytorch")
    source = Source(prepare(workload.dataset, flags.FLAGS.data_dir), "validation")
    return {name: array[0] for name, array in source.read(np.array([_ROW])).items()}


def _show_text(panel, lines: list[str]) -> None:
    panel.text(0, 1, "\n".join(lines), va="top", size=7, family="monospace", wrap=True)


def draw() -> Any:
    """An example of each data set."""
    figure, axes = new_figure(2, 4, (10, 5))
    for panel in axes.flat:
        panel.grid(False)
        panel.set_axis_off()
    digit, strip, brain, graph, flight, number, text, _ = axes.flat

    example = _example("digits_resnet")
    digit.imshow(example["image"][..., 0], cmap="gray_r")
    digit.set_title(f"digits: {example['label']}")

    example = _example("strips_conformer")
    shown = [" " if n == SPACE else str(n - 1) for n in example["labels"]]
    strip.imshow(example["frames"][: example["n_frames"]].T, cmap="gray_r", aspect=3)
    strip.set_title("strips: " + "".join(shown[: example["n_labels"]]))

    image = _example("brain_unet")["image"].astype(np.float32) / 255
    seen = undersampled(image[None], [np.random.default_rng(0)])[0]
    brain.imshow(np.concatenate([seen, image], axis=1), cmap="gray")
    brain.set_title("brain: input and target")

    example = _example("atlas_gnn")
    drawn = nx.Graph([e for e in example["ends"].tolist() if e[0] >= 0])
    places = nx.spring_layout(drawn, seed=0)
    nx.draw(drawn, places, ax=graph, node_size=40, node_color=BLUE)
    graph.set_title("atlas")

    example = _example("flights_dlrm")
    named = zip(NUMERIC, example["numeric"], strict=True)
    lines = [f"{name:10} {value:6.2f}" for name, value in named]
    _show_text(flight, [*lines, f"{'late':10} {example['label']:6d}"])
    flight.set_title("flights")

    example = _example("numbers_transformer")
    german = "".join(SOURCE_VOCABULARY[i] for i in example["german"] if i > 2)
    _show_text(number, [*_wrapped(german), "", *_wrapped(sentence(example["english"]))])
    number.set_title("numbers: source and target")

    content = bytes(_example("stdlib_lm")["text"].tolist()).decode("utf-8", "replace")
    _show_text(text, content.splitlines())
    text.set_title("stdlib")
    for panel in axes.flat:
        panel.title.set(size=9, color=BLACK)
    return figure


def _wrapped(text: str, width: int = 28) -> list[str]:
    return [text[i : i + width] for i in range(0, len(text), width)]


def main(_) -> None:
    table = read_table(TABLE)
    blocks = {"sizes": sizes(), "targets": targets(table)}
    publish("workloads_ext", blocks, ROOT / "docs", workloads_ext=draw())


if __name__ == "__main__":
    app.run(main)
