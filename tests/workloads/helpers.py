"""Both frameworks behind one face, and the way from PyTorch names to flax names."""

import copy
import dataclasses
import functools
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads_ext
from unscheduled import spec
from workloads_ext.common import source

TRAIN, EVAL = spec.ForwardPassMode.TRAIN, spec.ForwardPassMode.EVAL
PAIRS = [(name, fw) for name in workloads_ext.WORKLOADS for fw in ("pytorch", "jax")]
TOLERANCE = 1e-5  # of twins: float32, outputs of order one, two libraries' convolutions


@dataclasses.dataclass
class Loaded:
    """A workload with initial parameters."""

    workload: Any
    params: Any
    model_state: Any
    framework: str

    def model(self, batch, mode, *, update_batch_norm=False, dropout_rate=0.0):
        """What the model returns, as NumPy arrays, and the new model state."""
        options = (mode, update_batch_norm, dropout_rate)
        if self.framework == "jax":
            forward = _jitted_model(self.workload.name, *options)
        else:
            forward = _model(self.workload, *options)
        rng = random_state(self.framework)
        outputs, state = forward(self.params, batch, self.model_state, rng)
        return map_arrays(to_numpy, outputs), state

    def loss(self, labels, logits, mask=None, label_smoothing=0.0):
        """The loss of NumPy arrays, as NumPy arrays."""
        place = functools.partial(to_framework, framework=self.framework)
        arrays = (map_arrays(place, tree) for tree in (labels, logits, mask))
        loss = self.workload.loss_fn(*arrays, label_smoothing)
        return {name: to_numpy(value) for name, value in loss.items()}

    def gradients(self, batch) -> dict[str, np.ndarray]:
        """Those of the mean training loss, by the paths that flax has."""
        if self.framework == "jax":
            return flatten(map_arrays(to_numpy, _jax_gradients(self, batch)))
        twin = self.copy()
        _mean_loss(twin, twin.params, batch).backward()
        for parameter in twin.params.parameters():
            parameter.data = parameter.grad
        return flatten(to_flax(twin)[0])

    def queue(self, split, data_dir, batch_size=8):
        """Batches of a split."""
        rng = random_state(self.framework)
        return self.workload._build_input_queue(rng, split, data_dir, batch_size)

    def evaluate(self, data_dir):
        """What the runner gets from `eval_model`."""
        return self.workload.eval_model(
            self.workload.eval_batch_size,
            self.params,
            self.model_state,
            random_state(self.framework),
            data_dir,
            None,
            0,
        )

    def evaluate_split(self, split, data_dir, batch_size=None):
        """The metrics of one split."""
        return self.workload._eval_model_on_split(
            split,
            self.workload.sizes[split],
            batch_size or self.workload.eval_batch_size,
            self.params,
            self.model_state,
            random_state(self.framework),
            data_dir,
        )

    def parameter(self, path: str) -> np.ndarray:
        """One parameter by path, as `shapes` names it."""
        if self.framework == "pytorch":
            return to_numpy(self.params.get_parameter(path))
        return to_numpy(flatten(self.params)[path])

    def copy(self) -> "Loaded":
        """One whose parameters and statistics change without those of this one."""
        return dataclasses.replace(self, params=copy.deepcopy(self.params))

    def with_layer(self, layer: str, function) -> "Loaded":
        """A copy with the function of each array of the layer of that name."""
        new = self.copy()
        if self.framework == "pytorch":
            for parameter in new.params.get_submodule(layer).parameters():
                value = function(to_numpy(parameter))
                parameter.data.copy_(to_framework(value, "pytorch"))
        else:
            leaves = flatten(self.params)
            for path, leaf in leaves.items():
                if path.startswith(f"{flax_path(layer)}/"):
                    leaves[path] = to_framework(function(to_numpy(leaf)), "jax")
            new.params = unflatten(leaves)
        return new

    def edited(self, batch, edit):
        """The batch after an edit of its NumPy arrays."""
        arrays = map_arrays(to_numpy, batch)
        edit(arrays)
        return self.workload._place(arrays)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter shapes by path."""
        if self.framework == "pytorch":
            return {n: tuple(p.shape) for n, p in self.params.named_parameters()}
        return {path: leaf.shape for path, leaf in flatten(self.params).items()}


def tolerance_of(workload: spec.Workload) -> float:
    """Of twins, relative and absolute; wider where sums run over time."""
    is_recurrent = workload.loss_type == spec.LossType.CTC_LOSS
    return 10 * TOLERANCE if is_recurrent else TOLERANCE


def base_class(name: str) -> Any:
    """The class that the twins share."""
    package = importlib.import_module(f"workloads_ext.{name}")
    module = importlib.import_module(f"workloads_ext.{name}.workload")
    return getattr(module, f"Base{package.WORKLOAD_CLASS_NAME}")


def prepare(name: str, data_dir: str):
    """The data set of a workload, made if it has to be."""
    return source.prepare(base_class(name).dataset, data_dir)


def read_all(name: str, split: str, data_dir: str) -> dict[str, np.ndarray]:
    """All stored examples of a split."""
    examples = source.Source(prepare(name, data_dir), split)
    return examples.read(np.arange(len(examples)))


def expected(name: str) -> dict[str, Any]:
    """What a workload's folder says that its tests must find."""
    folder = Path(workloads_ext.__file__).parent / name
    return json.loads((folder / "expected.json").read_text())


def load(name: str, framework: str, seed: int = 3) -> Loaded:
    """A new workload and its parameters; skips where the framework is missing."""
    pytest.importorskip("torch" if framework == "pytorch" else "jax")
    workload = workloads_ext.load(name, framework)
    params, state = workload.init_model_fn(random_state(framework, seed))
    return Loaded(workload, params, state, framework)


def few(loaded: Loaded) -> Loaded:
    """The same, its evaluation reading the first examples only, in small batches."""
    workload = loaded.workload
    workload.sizes = {**workload.sizes, "validation": 64, "test": 64}
    workload.eval_batch_size = 24  # which leaves room for padding
    return loaded


def batches(twins, data_dir, split="train", size=8):
    """The same batch in both frameworks."""
    seed = random_state("pytorch")
    return [
        next(twin.workload._build_input_queue(seed, split, data_dir, size))
        for twin in twins
    ]


def logits_of(outputs) -> np.ndarray:
    """The part of a model's outputs that its output layer makes."""
    return outputs["logits"] if isinstance(outputs, dict) else outputs


def noise(array: np.ndarray) -> np.ndarray:
    """Normals of an array's shape."""
    return np.random.default_rng(0).normal(size=array.shape).astype(np.float32)


def _model(workload, mode, update_batch_norm, dropout_rate):
    def forward(params, batch, model_state, rng):
        options = {"update_batch_norm": update_batch_norm, "dropout_rate": dropout_rate}
        return workload.model_fn(params, batch, model_state, mode, rng, **options)

    return forward


def _mean_loss(twin: Loaded, params, batch):
    """What submissions minimise, without dropout and smoothing."""
    rng = random_state(twin.framework)
    outputs, _ = twin.workload.model_fn(
        params, batch, twin.model_state, TRAIN, rng, True, 0.0
    )
    loss = twin.workload.loss_fn(batch["targets"], outputs, batch.get("weights"))
    return loss["summed"] / loss["n_valid_examples"]


def _jax_gradients(twin: Loaded, batch):
    import jax

    quickly = {"xla_backend_optimization_level": 0}
    loss = functools.partial(_mean_loss, twin, batch=batch)
    return jax.jit(jax.grad(loss), compiler_options=quickly)(twin.params)


@functools.cache
def _jitted_model(name: str, *options):
    """Compiled once for all tests, with less effort than a run's models."""
    import jax

    model = _model(workloads_ext.load(name, "jax"), *options)
    return jax.jit(model, compiler_options={"xla_backend_optimization_level": 0})


def random_state(framework: str, seed: int = 3):
    """What a runner passes as a random state."""
    if framework == "pytorch":
        return np.array([seed, 4])
    import jax

    return jax.random.key(seed)


def map_arrays(function, tree):
    """The function of each array in tuples and dicts; None stays None."""
    if isinstance(tree, dict):
        return {name: map_arrays(function, value) for name, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map_arrays(function, value) for value in tree)
    return None if tree is None else function(tree)


def to_numpy(value) -> np.ndarray:
    """A copy of a tensor of either framework, as an array."""
    value = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(value).copy()


def to_framework(array: np.ndarray, framework: str):
    """An array as a tensor of the framework."""
    if framework == "jax":
        import jax.numpy as jnp

        return jnp.asarray(array)
    from workloads_ext.common.torch import device

    return __import__("torch").tensor(array, device=device())


def flatten(tree, prefix: str = "") -> dict[str, Any]:
    """Nested dicts and tuples by path, joined by '/'."""
    if isinstance(tree, tuple):
        tree = {str(i): value for i, value in enumerate(tree)}
    if not isinstance(tree, dict):
        return {prefix: tree}
    parts = [flatten(v, f"{prefix}/{k}" if prefix else k) for k, v in tree.items()]
    return {path: leaf for part in parts for path, leaf in part.items()}


def unflatten(leaves: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *modules, name = path.split("/")
        node = tree
        for module in modules:
            node = node.setdefault(module, {})
        node[name] = leaf
    return tree


def flax_path(name: str) -> str:
    """'blocks.0.attn.qkv.weight' -> 'blocks_0/attn/qkv/weight'."""
    path = ""
    for part in name.split("."):
        path += f"_{part}" if part.isdigit() else f"/{part}"
    return path[1:]


def to_flax(loaded: Loaded) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and batch statistics of a PyTorch model, as flax nests them."""
    types = loaded.workload.model_params_types
    params, statistics = {}, {}
    for name, tensor in loaded.params.state_dict().items():
        module, _, leaf = flax_path(name).rpartition("/")
        array = to_numpy(tensor)
        if leaf in ("running_mean", "running_var"):
            statistics[f"{module}/{leaf.removeprefix('running_')}"] = array
        elif leaf == "bias":
            params[f"{module}/bias"] = array
        elif leaf == "weight":
            kind, axes = _weight_kind(types[name], array)
            params[f"{module}/{kind}"] = array.transpose(axes)
    return unflatten(params), unflatten(statistics)


def twins_of(name: str) -> tuple[Loaded, Loaded]:
    """Both twins with the same weights, away from the zeros of the start."""
    torch = pytest.importorskip("torch")
    torch_twin, jax_twin = (load(name, fw) for fw in ("pytorch", "jax"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, tensor in torch_twin.params.state_dict().items():
            starts_at_zero = path.endswith("weight") and not tensor.any()
            if tensor.dim() == 1 or starts_at_zero:
                normals = torch.randn(tensor.shape, generator=generator).to(tensor)
                tensor += 0.1 * normals + (starts_at_zero and tensor.dim() == 1)
    params, statistics = to_flax(torch_twin)
    state = {"batch_stats": statistics} if statistics else None
    return torch_twin, dataclasses.replace(jax_twin, params=params, model_state=state)


def _weight_kind(kind: spec.ParameterType, array: np.ndarray):
    """The flax name of a weight, and the order of its axes there."""
    if kind == spec.ParameterType.EMBEDDING:
        return "embedding", (0, 1)
    if array.ndim == 1:
        return "scale", (0,)
    return "kernel", (*range(2, array.ndim), 1, 0)
