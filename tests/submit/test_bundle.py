"""The folder for a pull request: what is in it, and what is not."""

import ast
import json
import sys
import tomllib
from pathlib import Path

import pytest

from tests.submit.entries import (
    ENTRIES,
    NAMES,
    framework_of,
    write_space,
)
from unscheduled.benchmark.errors import UserError
from unscheduled.bundle.bundle import bundle
from unscheduled.bundle.command import search_space_of, write_whole
from unscheduled.check.check import check_files
from unscheduled.check.sources import LIBRARY, PROJECT, sources

OWN = {
    "PyTorch": {"torch", "numpy", "absl", "algoperf"},
    "JAX": {"jax", "flax", "optax", "numpy", "absl", "algoperf"},
}
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)


@pytest.fixture(scope="module")
def bundles():
    """The files of each entry's bundle."""
    return {e: bundle(e, framework_of(e)) for e in ENTRIES}


def absolute_imports(text):
    """The top-level packages that a text imports by name, and what is left of them."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0]


@every_entry
def test_a_bundle_imports_nothing_of_the_project_or_of_the_other_framework(
    bundles, entry
):
    """A submission that fails to import at upstream, or drags jax into torch."""
    allowed = OWN[framework_of(entry)] | sys.stdlib_module_names
    for place, text in bundles[entry].items():
        assert place.endswith(".py")
        assert set(absolute_imports(text)) <= allowed, place


@every_entry
def test_a_bundle_has_what_it_uses_and_no_more(bundles, entry, tmp_path):
    """Modules that nobody uses, or that are missing, and packages with code left in."""
    write_whole(tmp_path, {"bundle": bundles[entry]})
    folder = tmp_path / "bundle"
    used = {
        code.path.relative_to(folder).as_posix()
        for code in sources(folder / "submission.py").values()
    }
    inits = {place for place in bundles[entry] if place.endswith("__init__.py")}
    assert used | inits == set(bundles[entry])
    folders = {path.parent for path in folder.rglob("*.py")}
    assert {folder / init for init in inits} == {f / "__init__.py" for f in folders}
    for init in inits - used:
        rest = ast.parse(bundles[entry][init]).body
        assert [type(node) for node in rest] in ([], [ast.Expr]), init


def test_entries_that_share_little_have_small_bundles(bundles):
    """The baselines of torch and optax would carry our optimizers along."""
    skipping = {f"optim_torch/{name}.py" for name in ("__init__", "arithmetic", "base")}
    for entry, files in bundles.items():
        ours = {place for place in files if place.startswith("optim_")}
        if entry.parent.name == "nadamw_jax":
            assert not ours
        if entry.parent.name == "adamw_pytorch":
            assert ours <= skipping


@every_entry
def test_each_file_has_its_licence_and_is_the_library_s_but_for_imports(bundles, entry):
    """Text that is lost, or changed, or not under the licence that upstream wants."""
    codes = sources(entry, without=[f"{LIBRARY}.spec"]).values()
    used = {code.path for code in codes}
    for text in bundles[entry].values():
        header = [line for line in text.splitlines()[:4] if line.startswith("#")]
        assert "SPDX-License-Identifier: Apache-2.0" in "".join(header)
        said = [line.split()[-1] for line in header if "# From unscheduled " in line]
        originals = [PROJECT / path for path in said if PROJECT / path in used]
        used -= set(originals)
        for original in originals:
            assert without_imports(text) == without_imports(original.read_text())
            if LIBRARY in original.relative_to(PROJECT).parts:
                assert text.endswith(f".py\n{original.read_text()}")
    assert not used
    assert f"submissions/{entry.parent.name}/submission.py" in "".join(
        bundles[entry]["submission.py"].splitlines()[:4]
    )


def without_imports(text):
    """The syntax tree of a text, its imports and where things stand left out."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                value[:] = [
                    n for n in value if not isinstance(n, ast.Import | ast.ImportFrom)
                ]
    return ast.dump(tree)


@every_entry
def test_the_recipe_is_on_the_first_page(bundles, entry):
    """A header or a preamble before what a reviewer came to read."""
    text = bundles[entry]["submission.py"]
    first = ast.parse(text).body[0]
    assert isinstance(first, ast.Expr)  # the docstring is the module's still
    assert first.lineno <= 5
    assert "\nfrom algoperf" not in text
    assert "\nfrom .entries.api import " in text
    assert "def init_optimizer_state(" in "\n".join(text.splitlines()[:60])


@every_entry
def test_external_tuning_adds_the_search_space_and_nothing_else(
    bundles, entry, tmp_path
):
    """A recipe that differs between the rulesets, or a search space not passed on."""
    space = write_space(tmp_path, "learning_rate")
    files = bundle(entry, framework_of(entry), space)
    assert json.loads(files.pop("tuning_search_space.json")) == json.loads(
        space.read_text()
    )
    assert files == bundles[entry]


@every_entry
def test_the_project_s_search_spaces_fit_its_entries(entry):
    """A search space with a name that the recipe doesn't have fails at upstream."""
    files = bundle(entry, framework_of(entry), search_space_of(entry))
    assert json.loads(files["tuning_search_space.json"])


def write_entry(folder, text, **others):
    """A submission of a user's: this text, and its other files."""
    for name, content in {"submission": text, **others}.items():
        path = folder / "my_entry" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "my_entry" / "submission.py"


def test_a_user_s_own_modules_move_along(tmp_path):
    """An entry outside the project, in two files, could not be sent in."""
    entry = write_entry(
        tmp_path,
        "from .helper import rate\nfrom unscheduled.ranges import check\n",
        helper="import math\nfrom unscheduled import spec\nrate = math.e\n",
    )
    files = bundle(entry, "JAX")
    assert sorted(files) == [
        "__init__.py",
        "helper.py",
        "ranges.py",
        "spec.py",
        "submission.py",
    ]
    assert "From unscheduled" not in files["helper.py"]
    assert "from . import spec\n" in files["helper.py"]
    assert files["spec.py"].endswith("\nfrom algoperf.spec import *  # noqa: F403\n")


def test_requirements_are_taken_along_where_there_are_some(tmp_path):
    """A dependency that upstream is not told of."""
    entry = write_entry(tmp_path, "import pandas\n")
    with pytest.raises(
        UserError, match=r"submission\.py imports pandas, which the ben"
    ):
        bundle(entry, "JAX")
    (entry.parent / "requirements.txt").write_text("# tables\npandas\n")
    assert bundle(entry, "JAX")["requirements.txt"] == "# tables\npandas\n"


@pytest.mark.parametrize(
    ("text", "framework", "message"),
    [
        ("import torch.nn", "JAX", "imports torch, which a JAX submission can't bring"),
        ("from optax import adam", "PyTorch", "imports optax, which a PyTorch subm"),
        ("def f():\n  import workloads_ext", "JAX", "imports workloads_ext, which a "),
        ("from submissions import a", "JAX", "imports submissions, which a JAX"),
        ("x = 1\nimport unscheduled.ranges", "JAX", "submission.py:2: `import unsch"),
        ("x = (", "JAX", "submission.py:1: not Python: '(' was never closed"),
        ("from unscheduled.ranges import has\nfrom .ranges import b", "JAX", "both be"),
    ],
)
def test_what_cannot_move_along_is_one_sentence(tmp_path, text, framework, message):
    """A folder that fails at upstream, made without a word."""
    entry = write_entry(tmp_path, text, ranges="b = 1")
    (entry.parent / "requirements.txt").write_text("something\n")
    with pytest.raises(UserError) as error:
        bundle(entry, framework)
    assert message in str(error.value)


@pytest.mark.parametrize("listed", [False, True])
def test_names_of_a_search_space_are_the_recipe_s(tmp_path, listed):
    """A misspelt name, which stops the first trial at upstream."""
    entry = next(e for e in ENTRIES if e.parent.name == "nadamw_jax")
    space = write_space(tmp_path, "learning_rate", "warm_up")
    if listed:
        space.write_text(json.dumps(5 * [{"learning_rate": 0.1, "warm_up": 0.1}]))
    with pytest.raises(UserError, match=r"'warm_up' is not a hyper.* warmup_factor, "):
        bundle(entry, "JAX", space)


def test_a_list_of_points_has_one_for_each_trial(tmp_path):
    """A trial without a point, or a point that no trial gets: check refuses both."""
    space = tmp_path / "space.json"
    for count in (4, 7):
        space.write_text(json.dumps(count * [{"learning_rate": 0.1}]))
        with pytest.raises(UserError, match=f"lists {count} points: the rules ask"):
            bundle(ENTRIES[0], framework_of(ENTRIES[0]), space)
        found = check_files(ENTRIES[0], "external", space)
        assert [f.code for f in found if f.severity == "error"] == ["E505"]
    space.write_text(json.dumps(5 * [{"learning_rate": 0.1}]))
    assert bundle(ENTRIES[0], framework_of(ENTRIES[0]), space)


def test_a_search_space_that_is_missing_or_broken_is_one_sentence(tmp_path):
    """External tuning without a search space, which upstream's checker refuses."""
    with pytest.raises(UserError, match=r"nowhere\.json is missing; --tuning_search"):
        bundle(ENTRIES[0], framework_of(ENTRIES[0]), Path("nowhere.json"))
    (tmp_path / "space.json").write_text('{"learning_rate": 3}')
    with pytest.raises(UserError, match=r"learning_rate must have .*, got 3\."):
        bundle(ENTRIES[0], framework_of(ENTRIES[0]), tmp_path / "space.json")


def test_nothing_is_imported_to_make_a_bundle(tmp_path):
    """A submission's code would run on the machine of who packs it."""
    text = 'raise RuntimeError("ran")\n'
    assert bundle(write_entry(tmp_path, text), "JAX")["submission.py"].endswith(text)


def test_the_version_in_the_headers_is_this_library_s(bundles):
    """Nobody could find the text that a file was made from."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for files in bundles.values():
        head = files["entries/data.py"].splitlines()[:3]
        assert head[2].startswith(f"# From {LIBRARY} {project['version']}, ")
