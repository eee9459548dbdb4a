"""What the submission's own files import from the library is found in a bundle."""

import ast
import tempfile
from pathlib import Path

import pytest

from unscheduled.benchmark.errors import UserError
from unscheduled.bundle.bundle import into_bundle
from unscheduled.check.sources import Code

MOVING = {
    "submission",
    "helper",
    "own.deep",
    "unscheduled.spec",
    "unscheduled.ranges",
    "unscheduled.entries",
    "unscheduled.entries.data",
    "unscheduled.entries.jax.training",
    "unscheduled.entries.jax.step",
}


def rewrite(text, name="submission", file="module.py"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return into_bundle(Code(name, path), MOVING)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import os, sys\n", "import os, sys\n"),
        ("from os import path as p", "from os import path as p"),
        ("from unscheduled_too import f", "from unscheduled_too import f"),
        ("from unscheduled import spec, ranges", "from . import spec, ranges"),
        ("from unscheduled.spec import Workload", "from .spec import Workload"),
        ("from unscheduled import ranges as r", "from . import ranges as r"),
        ("from unscheduled.entries import data as d", "from .entries import data as d"),
        ("from unscheduled.entries import LOG", "from .entries import LOG"),
        ("from unscheduled.ranges import *", "from .ranges import *"),
        ("from .helper import f", "from .helper import f"),
        ("from . import helper", "from . import helper"),
        (
            "from unscheduled.ranges import (  # kept\n    check,  # too\n    has)\n",
            "from .ranges import (  # kept\n    check,  # too\n    has)\n",
        ),
        (
            "from unscheduled.ranges \\\n    import check, \\\n    has",
            "from .ranges \\\n    import check, \\\n    has",
        ),
        (
            "from \\\n    unscheduled.ranges import check",
            "from .ranges import check",
        ),
        (
            "def f():\n    x = 'ü → Ω'; from unscheduled.ranges import has; y = has\n",
            "def f():\n    x = 'ü → Ω'; from .ranges import has; y = has\n",
        ),
        (
            "if True:\n    from unscheduled import spec, ranges as r  # both\n",
            "if True:\n    from . import spec, ranges as r  # both\n",
        ),
        (
            "if 1: from unscheduled import spec; from unscheduled import ranges",
            "if 1: from . import spec; from . import ranges",
        ),
        (
            "'''from unscheduled import spec'''\n# import unscheduled\n",
            "'''from unscheduled import spec'''\n# import unscheduled\n",
        ),
        (
            "'''\nfrom unscheduled import spec\n'''\n",
            "'''\nfrom unscheduled import spec\n'''\n",
        ),
        (
            "try:\n\tfrom unscheduled import spec\nexcept ImportError:\n\tspec = 0\n",
            "try:\n\tfrom . import spec\nexcept ImportError:\n\tspec = 0\n",
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
        ("from unscheduled.entries.data import f", "from ..entries.data import f"),
        ("from unscheduled import ranges", "from .. import ranges"),
        ("from ..helper import f", "from ..helper import f"),
    ],
)
def test_imports_of_a_module_in_a_folder_lead_out_of_it(old, new):
    """Dots that lead somewhere else."""
    assert rewrite(old, "own.deep") == new


@pytest.mark.parametrize(
    "text",
    ["from ..data import f", "from .step import f", "from ... import ranges, spec"],
)
def test_the_library_s_own_imports_stay(text):
    """A bundle that is not the library's text."""
    assert rewrite(text, "unscheduled.entries.jax.training") == text


def test_a_package_is_where_its_own_imports_start():
    """An `__init__.py` whose dots are counted as a module's: one too few or many."""
    old = "from unscheduled.entries.data import f\nfrom . import data\n"
    new = "from ..entries.data import f\nfrom . import data\n"
    assert rewrite(old, "unscheduled.entries", "entries/__init__.py") == new


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import unscheduled.ranges", "write `from unscheduled import ranges`."),
        ("import unscheduled.ranges as r", "write `from unscheduled import ranges`."),
        ("import unscheduled", "`import unscheduled` has no relative form"),
        ("import os, helper", "no relative form; write `from . import helper`."),
        ("from helper import f", "has no dot; write `from .helper import`."),
        ("from unscheduled import scoring", "unscheduled.scoring is not a module that"),
        ("from .nowhere import f", "module.py:1: nowhere.f is not a module that"),
    ],
)
def test_an_import_that_cannot_move_is_one_sentence(text, message):
    """A bundle that imports what isn't there, found out by upstream."""
    with pytest.raises(UserError) as error:
        rewrite(text)
    assert message in str(error.value)
