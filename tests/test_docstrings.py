"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import unscheduled

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(unscheduled.__path__, "unscheduled.")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    """An example that a user types and that fails."""
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
