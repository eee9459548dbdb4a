"""The script that times optimizers: when it prints a row, and what is in it."""

import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")


def check_rows() -> None:
    from scripts import benchmark_optimizers as script

    script._STEPS = SimpleNamespace(value=3)
    base = script.Contender("torch", "AdamW", "fused", dict)
    peer = script.Contender("other", "RAdam", "", dict)
    fused = script.Contender("", "RAdam", "fused", dict)
    ours = script.Contender("", "RAdam", "foreach", dict)
    made = []

    def make_ready(contender):
        made.append(contender)
        if contender is fused:
            raise ValueError("fused=True gives wrong steps on CUDA.\nMore of it.")
        return (lambda: None), 0.5, 2e6

    rows = script.rows([base, peer, fused, ours], make_ready)
    assert next(rows)[0] == "torch AdamW fused"
    assert made == [base]
    of_peer, of_fused, of_ours = rows
    assert {len(row) for row in (of_peer, of_fused, of_ours)} == {len(script.HEADINGS)}
    assert of_fused[1] == "refused: fused=True gives wrong steps on CUDA."
    assert (of_peer[0], of_peer[4]) == ("other RAdam", "")
    assert float(of_ours[4]) > 0  # the ratio to its peer
    assert of_ours[5:] == ["2.0", "0.50"]


def check_parameter_sets() -> None:
    from scripts import benchmark_optimizers as script

    shapes = script.resnet50()
    assert len(shapes) == 161
    assert sum(map(math.prod, shapes)) == 25_557_032
    assert len(script.transformer()) == 148


def test_rows_and_parameter_sets():
    """Minutes without a line, a table that ends at a refusal, or other models timed."""
    # In a process of its own: other scripts have flags of the same names.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(check_rows).result()
        pool.submit(check_parameter_sets).result()
