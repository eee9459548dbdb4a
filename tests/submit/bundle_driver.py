"""Trains submissions for a few steps where the library can't be imported.

    python bundle_driver.py FRAMEWORK OUT MODULE...

writes the parameters and the model state of each MODULE, after 20 steps and
prepare_for_eval, to OUT/MODULE.npz. With BUNDLED=1 in the environment the library and
the project's other packages are kept from being imported. Stands alone: its only
interface is algoperf's.
"""

import importlib
import os
import sys
from pathlib import Path

import numpy as np

FEATURES = 3
STEPS = 20
CALLS = 2 * STEPS + 2  # of the submission's functions, at most
PROJECT_PACKAGES = ("unscheduled", "workloads_ext", "tests")


class NotHere:
    """An import finder that knows nothing of the project."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in PROJECT_PACKAGES:
            raise ModuleNotFoundError(f"{name} is not here", name=name)


class Workload:
    """Batch norm and a linear layer, on a linear problem."""

    step_hint = 100
    param_shapes = None
    metrics_logger = None
    eval_period_time_sec = 10
    max_allowed_runtime_sec = 1000
    target_metric_name = "loss"
    validation_target_value = 0.1
    test_target_value = 0.1

    def __init__(self, spec, params_types):
        self.spec = spec
        self.model_params_types = params_types
        self.loss_type = spec.LossType.MEAN_SQUARED_ERROR

    def loss_fn(self, label_batch, logits_batch, mask_batch=None, label_smoothing=0.0):
        losses = (logits_batch - label_batch) ** 2 * mask_batch
        return {
            "summed": losses.sum(),
            "n_valid_examples": mask_batch.sum(),
            "per_example": losses,
        }

    def is_output_params(self, param_key):
        return False

    def has_reached_validation_target(self, eval_results):
        return False


def batches():
    """The same in every process."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=FEATURES)
    for _ in range(STEPS):
        inputs = (2 + 3 * rng.normal(size=(8, FEATURES))).astype(np.float32)
        weights = (rng.random(8) < 0.7).astype(np.float32)
        weights[0] = 1
        targets = (inputs @ weight).astype(np.float32)
        yield {"inputs": inputs, "targets": targets, "weights": weights}


def torch_problem(spec):
    """(workload, model, model state, to batch, to arrays) in PyTorch."""
    import torch

    class TorchWorkload(Workload):
        def model_fn(
            self,
            params,
            augmented_and_preprocessed_input_batch,
            model_state,
            mode,
            rng,
            update_batch_norm,
            dropout_rate=0.0,
        ):
            params.train(mode == self.spec.ForwardPassMode.TRAIN)
            return params(augmented_and_preprocessed_input_batch["inputs"])[:, 0], None

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.BatchNorm1d(FEATURES), torch.nn.Linear(FEATURES, 1)
    )

    def to_batch(arrays):
        return {name: torch.from_numpy(value) for name, value in arrays.items()}

    def to_arrays(params, model_state):
        return {name: t.detach().numpy() for name, t in params.state_dict().items()}

    names = [name for name, _ in model.named_parameters()]
    workload = TorchWorkload(spec, dict.fromkeys(names, spec.ParameterType.WEIGHT))
    return workload, model, None, to_batch, to_arrays


def jax_problem(spec):
    """(workload, parameters, model state, to batch, to arrays) in JAX."""
    import jax
    import jax.numpy as jnp
    from flax import linen as nn

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, use_running_average):
            x = nn.BatchNorm(use_running_average, momentum=0.9)(x)
            return nn.Dense(1)(x)[:, 0]

    class JaxWorkload(Workload):
        def model_fn(
            self,
            params,
            augmented_and_preprocessed_input_batch,
            model_state,
            mode,
            rng,
            update_batch_norm,
            dropout_rate=0.0,
        ):
            return Model().apply(
                {"params": params, **model_state},
                augmented_and_preprocessed_input_batch["inputs"],
                mode != self.spec.ForwardPassMode.TRAIN,
                mutable=["batch_stats"],
            )

    state = Model().init(jax.random.PRNGKey(0), jnp.zeros((1, FEATURES)), True)
    params = state.pop("params")

    def to_arrays(params, model_state):
        leaves = jax.tree_util.tree_leaves_with_path((params, model_state))
        return {jax.tree_util.keystr(path): np.asarray(x) for path, x in leaves}

    workload = JaxWorkload(
        spec, jax.tree.map(lambda _: spec.ParameterType.WEIGHT, params)
    )
    return workload, params, state, lambda batch: batch, to_arrays


def keys(framework):
    """Random numbers, one for each call."""
    if framework == "jax":
        import jax

        yield from jax.random.split(jax.random.PRNGKey(1), CALLS)
    else:
        yield from range(CALLS)


def train(submission, framework, spec):
    """(arrays at the start, arrays at the end) of a run, as the runner would do it."""
    problem = jax_problem if framework == "jax" else torch_problem
    workload, params, model_state, to_batch, to_arrays = problem(spec)
    start = {name: np.array(x) for name, x in to_arrays(params, model_state).items()}
    rng = keys(framework)
    optimizer_state = submission.init_optimizer_state(
        workload, params, model_state, None, next(rng)
    )
    api = {
        "workload": workload,
        "current_params_types": None,
        "hyperparameters": None,
        "loss_type": workload.loss_type,
        "eval_results": [],
    }
    queue = map(to_batch, batches())
    for step in range(STEPS):
        batch = submission.data_selection(
            workload, queue, optimizer_state, params, model_state, None, step, next(rng)
        )
        optimizer_state, params, model_state = submission.update_params(
            current_param_container=params,
            model_state=model_state,
            batch=batch,
            optimizer_state=optimizer_state,
            global_step=step,
            rng=next(rng),
            train_state={"accumulated_submission_time": float(step)},
            **api,
        )
    _, params, model_state = submission.prepare_for_eval(
        current_param_container=params,
        model_state=model_state,
        optimizer_state=optimizer_state,
        global_step=STEPS,
        rng=next(rng),
        **api,
    )
    return start, to_arrays(params, model_state)


def main(framework, out, modules):
    bundled = os.environ["BUNDLED"] == "1"
    if bundled:
        sys.meta_path.insert(0, NotHere())
    from algoperf import spec

    for name in modules:
        start, end = train(importlib.import_module(name), framework, spec)
        assert set(start) == set(end)
        assert not all(np.array_equal(start[n], end[n]) for n in start), name
        np.savez(Path(out, f"{name}.npz"), **end)
    imported = {name.split(".")[0] for name in sys.modules}
    print(*sorted(imported & {"unscheduled", "workloads_ext", "torch", "jax"}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
