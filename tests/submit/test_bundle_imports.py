"""Imports are rewritten where they stand, and bind what they bound."""

import ast
from pathlib import Path

import pytest

from unscheduled.benchmark.errors import UserError
from unscheduled.bundle.imports import rewrite_imports

HOMES = {
    "submission": ".submission",
    "helper": ".helper",
    "unscheduled.spec": "algoperf.spec",
    "unscheduled.ranges": ".ranges",
    "unscheduled.entries": ".entries",
    "unscheduled.entries.data": ".entries.data",
    "unscheduled.entries.jax.training": ".entries.jax.training",
    "unscheduled.entries.jax.step": ".entries.jax.step",
}
IN_JAX = "unscheduled.entries.jax.training"


def rewrite(text, name="submission", file="module.py"):
    return rewrite_imports(text, Path(file), name, HOMES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import os, sys\n", "import os, sys\n"),
        ("from os import path as p", "from os import path as p"),
        ("from unscheduled import spec", "from algoperf import spec"),
        ("from unscheduled.spec import Workload", "from algoperf.spec import Workload"),
        ("from unscheduled import ranges", "from . import ranges"),
        ("from unscheduled import ranges as r", "from . import ranges as r"),
        ("from unscheduled.entries import data as d", "from .entries import data as d"),
        ("from unscheduled.entries import LOG", "from .entries import LOG"),
        ("from unscheduled.ranges import *", "from .ranges import *"),
        ("from .helper import f", "from .helper import f"),
        ("from . import helper", "from . import helper"),
        ("import helper", "from . import helper"),
        ("import helper as h", "from . import helper as h"),
        ("import unscheduled.ranges as r", "from . import ranges as r"),
        (
            "import unscheduled.spec as s, os",
            "from algoperf import spec as s\nimport os",
        ),
        (
            "from unscheduled.ranges import (  # kept\n    check,  # too\n    has)\n",
            "from .ranges import (  # kept\n    check,  # too\n    has)\n",
        ),
        (
            "from unscheduled.ranges \\\n    import check, \\\n    has",
            "from .ranges import check, \\\n    has",
        ),
        (
            "def f():\n    x = 'ü → Ω'; from unscheduled.ranges import has; y = has\n",
            "def f():\n    x = 'ü → Ω'; from .ranges import has; y = has\n",
        ),
        (
            "if True:\n    from unscheduled import spec, ranges as r  # both\n",
            "if True:\n    from algoperf import spec\n    from . import ranges as r"
            "  # both\n",
        ),
        (
            "if 1: from unscheduled import spec, ranges",
            "if 1: from algoperf import spec; from . import ranges",
        ),
        (
            "'''from unscheduled import spec'''\n# import unscheduled\n",
            "'''from unscheduled import spec'''\n# import unscheduled\n",
        ),
        (
            "try:\n\timport helper\nexcept ImportError:\n\thelper = None\n",
            "try:\n\tfrom . import helper\nexcept ImportError:\n\thelper = None\n",
        ),
    ],
)
def test_only_the_imports_change(old, new):
    """A name bound to something else, or a comment, string or line break lost."""
    assert rewrite(old) == new
    ast.parse(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from unscheduled.entries.jax.step import f", "from .step import f"),
        ("from unscheduled.entries.jax import step", "from . import step"),
        ("from .step import f", "from .step import f"),
        ("from . import step", "from . import step"),
        ("from ..data import f", "from ..data import f"),
        ("from unscheduled.entries.data import f", "from ..data import f"),
        ("from unscheduled.entries import LOG", "from .. import LOG"),
        ("from unscheduled.ranges import f", "from ...ranges import f"),
        (
            "from unscheduled import ranges, spec",
            "from ... import ranges\nfrom algoperf import spec",
        ),
    ],
)
def test_imports_of_a_nested_module_go_the_shortest_way(old, new):
    """Dots that lead somewhere else, or detours that a reader has to follow."""
    assert rewrite(old, IN_JAX) == new


def test_a_package_is_where_its_own_imports_start():
    """An `__init__.py` whose dots are counted as a module's: one too few or many."""
    old = "from unscheduled.entries.data import f\nfrom . import data\n"
    new = "from .data import f\nfrom . import data\n"
    assert rewrite(old, "unscheduled.entries", "entries/__init__.py") == new


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import unscheduled.ranges", "write `from unscheduled import ranges`."),
        ("import unscheduled", "`import unscheduled` has no relative form"),
        ("import unscheduled.scoring as s", "no relative form; write `from unsch"),
        ("from unscheduled import scoring", "unscheduled.scoring is not a module that"),
        ("from .nowhere import f", "module.py:1: nowhere.f is not a module that"),
    ],
)
def test_an_import_that_cannot_move_is_one_sentence(text, message):
    """A bundle that imports what isn't there, found out by upstream."""
    with pytest.raises(UserError) as error:
        rewrite(text)
    assert message in str(error.value)
