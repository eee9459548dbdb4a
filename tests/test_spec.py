"""The mirror of `algoperf.spec` is the same interface."""

import abc
import enum
import inspect
import subprocess
import sys

import numpy as np
import pytest

from unscheduled.benchmark import spec_mirror

NAMES = [
    name
    for name, value in vars(spec_mirror).items()
    if not name.startswith("_") and not inspect.ismodule(value)
]
ENUMS = ("ForwardPassMode", "LossType", "ParameterType")


@pytest.fixture(scope="module")
def official():
    """`algoperf.spec`, where algoperf is installed."""
    return pytest.importorskip("algoperf.spec", reason="algoperf is not installed")


def public_members(cls):
    """Members that a class defines itself, protected ones of the contract included."""
    private = ("__", "_abc")
    return {n: m for n, m in vars(cls).items() if not n.startswith(private)}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(official, name):
    """A name that exists without algoperf and not with it."""
    assert hasattr(official, name)


@pytest.mark.parametrize("name", ENUMS)
def test_enums_have_the_same_members_and_values(official, name):
    """A checkpoint or a submission that takes one loss type for another."""
    ours, theirs = getattr(spec_mirror, name), getattr(official, name)
    assert issubclass(ours, enum.Enum)
    assert {m.name: m.value for m in ours} == {m.name: m.value for m in theirs}


def test_workload_has_the_same_members_of_the_same_kind(official):
    """A workload that is complete here and abstract there, or the other way round."""

    def kinds(cls):
        return {
            name: (
                isinstance(member, property),
                bool(getattr(member, "__isabstractmethod__", False)),
            )
            for name, member in public_members(cls).items()
        }

    assert kinds(spec_mirror.Workload) == kinds(official.Workload)
    assert isinstance(spec_mirror.Workload, abc.ABCMeta)


def test_workload_methods_take_the_same_arguments(official):
    """A call that the runner makes and a workload refuses."""
    for name, member in public_members(official.Workload).items():
        if inspect.isfunction(member):
            theirs = inspect.signature(member).parameters.values()
            ours = inspect.signature(getattr(spec_mirror.Workload, name)).parameters
            assert [(p.name, p.kind, p.default) for p in ours.values()] == [
                (p.name, p.kind, p.default) for p in theirs
            ], name


def test_a_new_workload_has_the_same_attributes(official):
    """An attribute that __init__ sets in one and not in the other."""

    def attributes(module):
        cls = type("Complete", (module.Workload,), {})
        cls.__abstractmethods__ = frozenset()
        return vars(cls())

    assert attributes(spec_mirror) == attributes(official)


def test_type_aliases_agree_where_they_are_not_a_framework_s(official):
    """An alias that means something else; ParameterContainer names torch upstream."""
    for name in ("Steps", "Timing", "ParameterKey", "RandomState", "Hyperparameters"):
        assert getattr(spec_mirror, name) == getattr(official, name), name


def test_shapes_and_errors_behave_alike(official):
    """ShapeTuple that compares or prints otherwise."""
    for module in (spec_mirror, official):
        shape = module.ShapeTuple((2, 3))
        assert shape == module.ShapeTuple((2, 3))
        assert repr(shape) == "ShapeTuple((2, 3))"
        assert issubclass(module.TrainingCompleteError, Exception)


def test_shapes_differ_where_they_differ():
    """A comparison that is always true, or that crashes on another type."""
    shape = spec_mirror.ShapeTuple((2, 3))
    assert shape != spec_mirror.ShapeTuple((3, 2))
    assert shape != (2, 3)


def test_the_mirror_imports_no_framework():
    """A start-up that loads torch and jax for a run that needs one."""
    code = (
        "import sys, unscheduled.benchmark.spec_mirror\n"
        "print('torch' in sys.modules, 'jax' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_output_activations(framework):
    """An activation that is not the loss type's."""
    if framework == "pytorch":
        import torch

        logits = torch.tensor([[0.0, 1.0]])
    else:
        import jax.numpy as jnp

        logits = jnp.array([[0.0, 1.0]])
    sigmoid = 1 / (1 + np.exp(-np.array([[0.0, 1.0]])))
    softmax = np.exp([[0.0, 1.0]]) / np.exp([[0.0, 1.0]]).sum()
    expected = {
        "SOFTMAX_CROSS_ENTROPY": softmax,
        "SIGMOID_CROSS_ENTROPY": sigmoid,
        "MEAN_SQUARED_ERROR": [[0.0, 1.0]],
        "CTC_LOSS": softmax,
        "MEAN_ABSOLUTE_ERROR": [[0.0, 1.0]],
    }
    for name, value in expected.items():
        loss_type = spec_mirror.LossType[name]
        cls = type("Complete", (spec_mirror.Workload,), {"loss_type": loss_type})
        cls.__abstractmethods__ = frozenset()
        got = np.asarray(cls().output_activation_fn(logits, framework))
        np.testing.assert_allclose(got, value, rtol=1e-6, err_msg=name)
    with pytest.raises(ValueError, match="'pytorch' or 'jax', got 'tf'"):
        cls().output_activation_fn(logits, "tf")


def test_unknown_shapes_are_an_error_before_the_model_is_made():
    """Shapes of None that crash far from their cause."""
    cls = type("Complete", (spec_mirror.Workload,), {})
    cls.__abstractmethods__ = frozenset()
    for name in ("param_shapes", "model_params_types"):
        with pytest.raises(ValueError, match=f"{name} is unknown before init_model_fn"):
            getattr(cls(), name)
