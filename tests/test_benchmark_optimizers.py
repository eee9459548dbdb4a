"""The script that times optimizers: when it prints a row, and what is in it."""

from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from scripts import benchmark_optimizers as script

BASE = script.Contender("torch", "AdamW", "fused", dict)
PEER = script.Contender("other", "RAdam", "", dict)
OURS = script.Contender("", "RAdam", "foreach", dict)
FUSED = script.Contender("", "RAdam", "fused", dict)


def test_rows_come_as_they_are_measured_and_one_that_is_refused_ends_nothing(
    monkeypatch,
):
    """Minutes without a line, or a table that ends where CUDA refuses an option."""
    monkeypatch.setattr(script, "_STEPS", SimpleNamespace(value=3))
    made = []

    def make_ready(contender):
        made.append(contender)
        if contender is FUSED:
            raise ValueError("fused=True gives wrong steps on CUDA.\nMore of it.")
        return (lambda: None), 0.5, 2e6

    rows = script.rows([BASE, PEER, FUSED, OURS], make_ready)
    assert next(rows)[0] == "torch AdamW fused"
    assert made == [BASE]
    peer, refused, ours = rows
    assert [len(row) for row in (peer, refused, ours)] == [len(script.HEADINGS)] * 3
    assert refused[1] == "refused: fused=True gives wrong steps on CUDA."
    assert (peer[0], peer[4]) == ("other RAdam", "")
    assert float(ours[4]) > 0  # the ratio to its peer
    assert ours[5:] == ["2.0", "0.50"]


def test_parameter_sets():
    """Times of a model of another size than the page says."""
    shapes = script.resnet50()
    assert len(shapes) == 161
    assert sum(map(script.math.prod, shapes)) == 25_557_032
    assert len(script.transformer()) == 148
