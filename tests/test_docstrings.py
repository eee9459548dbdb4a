"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import unscheduled

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(unscheduled.__path__, "unscheduled.")
    # One process has one command: each defines its flags when it is imported.
    if not module.name.startswith("unscheduled.commands.")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    """An example that a user types and that fails."""
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
