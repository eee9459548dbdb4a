"""The language model of the standard library."""

import numpy as np

from tests.workloads.helpers import EVAL, load, random_state, to_numpy


def test_predicts_the_next_byte_from_those_before_it(data_dir):
    """The model would see the byte that it has to predict, or predict another one."""
    for framework in ("pytorch", "jax"):
        lm = load("stdlib_lm", framework)
        batch = next(
            lm.workload._build_input_queue(random_state(framework), "test", data_dir, 8)
        )
        inputs, targets = (to_numpy(batch[name]) for name in ("inputs", "targets"))
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        before, _ = lm.model(batch, EVAL)
        last = batch["inputs"][:, -1:]
        changed = {**batch, "inputs": batch["inputs"] + 0}
        if framework == "pytorch":
            changed["inputs"][:, -1:] = (last + 1) % 256
        else:
            changed["inputs"] = changed["inputs"].at[:, -1:].set((last + 1) % 256)
        after, _ = lm.model(changed, EVAL)
        np.testing.assert_allclose(before[:, :-1], after[:, :-1], atol=1e-5)
        assert np.abs(before[:, -1] - after[:, -1]).max() > 1e-3
