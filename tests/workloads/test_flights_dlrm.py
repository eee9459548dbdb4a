"""Late flights: the model's products, and the features."""

import numpy as np
import pytest

import workloads_ext
from tests.workloads.helpers import EVAL, load, to_flax, to_numpy
from workloads_ext.flights_dlrm import workload as flights

HASHES = {
    "carrier": 13665,
    "flight": 10557,
    "tailnum": 8008,
    "origin": 5761,
    "dest": 2783,
    "month": 9007,
    "weekday": 4614,
    "hour": 11269,
}


def reference(params, inputs):
    """DLRM in NumPy: the products of each vector with each, itself included."""
    numeric = len(flights.NUMERIC)

    def layer(x, name):
        kernel, bias = (to_numpy(params[name][leaf]) for leaf in ("kernel", "bias"))
        return x @ kernel.astype(np.float64) + bias

    rows = []
    for row in inputs:
        x = row[:numeric]
        for i in range(3):
            x = np.maximum(layer(x, f"bottom_{i}"), 0)
        table = to_numpy(params["embed"]["embedding"])
        vectors = [x, *table[row[numeric:].astype(int)]]
        products = [a @ b for i, a in enumerate(vectors) for b in vectors[i:]]
        x = np.concatenate([x, products])
        for i in range(2):
            x = np.maximum(layer(x, f"top_{i}"), 0)
        rows.append(layer(x, "head")[0])
    return np.array(rows)


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_all_pairs_of_features_interact(framework, data_dir):
    """A product of two features would be missing, or be there twice."""
    loaded = load("flights_dlrm", framework)
    loaded = loaded.with_layer(
        "embed", lambda table: 100 * table
    )  # else products are 0
    params = to_flax(loaded)[0] if framework == "pytorch" else loaded.params
    batch = next(loaded.queue("validation", data_dir))
    logits, _ = loaded.model(batch, EVAL)
    expected = reference(params, to_numpy(batch["inputs"]))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)  # float32 sums


def test_hashes_are_the_same_everywhere():
    """Data made on two machines would have different features under one number."""
    row = {"year": "2013", "month": "1", "day": "1", "carrier": "UA", "hour": "5"}
    row |= {"flight": "1545", "tailnum": "N14228", "origin": "EWR", "dest": "IAH"}
    # CRC-32 of "carrier=UA" and so on; 1 January 2013 was a Tuesday, weekday 1.
    found = dict(zip(flights.CATEGORICAL, flights._categorical(row), strict=True))
    assert found == HASHES


def test_what_is_missing_is_average():
    """Flights whose weather is unknown would have NaN in their features."""
    row = {"sched_dep_time": "1200", "sched_arr_time": "30", "dep_delay": "-4"}
    numbers = flights._numeric({**row, "distance": "500"}, {"temp": "NA"})
    duration = (30 - 720) % 1440 / 200 - 1  # it lands after midnight
    delay = -np.log(5) / 2
    expected = [0, 30 / 720 - 1, delay, -0.5, duration, *[0] * 6]
    np.testing.assert_allclose(numbers, expected)
