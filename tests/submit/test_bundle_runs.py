"""A bundle trains as the entry it was made from, without this project around it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.submit.entries import ENTRIES, NAMES, PROJECT, framework_of, write_space
from unscheduled.bundle.bundle import bundle
from unscheduled.bundle.command import write_whole

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("bundle_driver.py")
HAS_ALGOPERF = importlib.util.find_spec("algoperf") is not None
ALGOPERF = [
    "stand-in",
    pytest.param(
        "installed",
        marks=pytest.mark.skipif(not HAS_ALGOPERF, reason="algoperf is not installed"),
    ),
]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A folder with a package `algoperf` that has the interface and no more."""
    root = tmp_path_factory.mktemp("stand_in")
    (root / "algoperf").mkdir()
    (root / "algoperf" / "__init__.py").touch()
    mirror = PROJECT / "unscheduled" / "benchmark" / "spec_mirror.py"
    shutil.copy(mirror, root / "algoperf" / "spec.py")
    return root


def drive(framework, modules, out, paths, bundled):
    """Trains in a process of its own; returns which packages of interest it loaded."""
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", str(DRIVER), framework, str(out), *modules],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "BUNDLED": str(int(bundled)),
            "JAX_PLATFORMS": "cpu",
        },
        cwd=out,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return set(done.stdout.split())


@pytest.mark.parametrize("algoperf", ALGOPERF)
@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_the_same_parameters_where_the_library_is_not(
    framework, algoperf, stand_in, tmp_path
):
    """A bundle that needs this project after all, or does not do what its entry does.

    Bit for bit: it is the same code in the same order.
    """
    names = [n for n in NAMES if n.endswith(f"_{framework}")]
    entries = [e for e in ENTRIES if e.parent.name in names]
    bundles = {
        f"self_tuning/{e.parent.name}": bundle(e, framework_of(e)) for e in entries
    }
    changed = {f"changed/{names[0]}": faster(bundles[f"self_tuning/{names[0]}"])}
    # A package, so that this project's own, were it on the path too, is not taken.
    package = {"__init__.py": ""}
    write_whole(tmp_path / "submissions", {**package, **bundles, **changed})
    spec = [stand_in] if algoperf == "stand-in" else []

    originals = [f"submissions.{name}.submission" for name in names]
    drive(framework, originals, tmp_path / "old", [*spec, PROJECT], False)
    copies = [f"submissions.self_tuning.{name}.submission" for name in names]
    other = f"submissions.changed.{names[0]}.submission"
    loaded = drive(
        framework, [*copies, other], tmp_path / "new", [*spec, tmp_path], True
    )

    assert "unscheduled" not in loaded
    if spec:  # the real algoperf.spec imports both frameworks
        assert loaded == {"torch" if framework == "pytorch" else "jax"}
    for original, copy in zip(originals, copies, strict=True):
        assert arrays(tmp_path / "old", original) == arrays(tmp_path / "new", copy)
    # The comparison sees a difference where there is one.
    assert arrays(tmp_path / "old", originals[0]) != arrays(tmp_path / "new", other)


def faster(files):
    """The bundle at twice the rate."""
    recipe = files["submission.py"]
    changed = recipe.replace("learning_rate: float = ", "learning_rate: float = 2 * ")
    assert changed != recipe
    return {**files, "submission.py": changed}


def arrays(out, module):
    """The bytes that a run ended with, by name."""
    with np.load(out / f"{module}.npz") as file:
        return {name: file[name].tobytes() for name in file}


def test_the_library_is_out_of_reach_of_a_bundle(stand_in, tmp_path):
    """Where this project is installed, a left-over import of it would go unnoticed."""
    folder = tmp_path / "left_over"
    folder.mkdir()
    (folder / "submission.py").write_text("import unscheduled.ranges\n")
    with pytest.raises(AssertionError, match="unscheduled is not here"):
        drive("jax", ["left_over.submission"], tmp_path / "o", [stand_in, tmp_path], 1)


@pytest.mark.skipif(not HAS_ALGOPERF, reason="algoperf is not installed")
@pytest.mark.parametrize("ruleset", ["self_tuning", "external_tuning"])
def test_the_official_checker_accepts_a_bundle(ruleset, tmp_path):
    """A folder that upstream's own check turns down."""
    spec = importlib.util.find_spec("algoperf")
    assert spec is not None
    root = Path(next(iter(spec.submodule_search_locations or []))).parent
    checker = root / "algorithms" / "submission_checker.py"
    if not checker.is_file():
        pytest.skip(f"algoperf is installed without its repository: no {checker}")
    space = write_space(tmp_path, "learning_rate")
    external = ruleset == "external_tuning"
    for entry in ENTRIES:
        files = bundle(entry, framework_of(entry), space if external else None)
        write_whole(tmp_path / "out", {f"{ruleset}/{entry.parent.name}": files})
    check = f"import sys; sys.path.insert(0, {str(checker.parent)!r}); " + (
        "import submission_checker as s; sys.exit(not s.run_checks(sys.argv[1]))"
    )
    command = [sys.executable, "-c", check]
    assert (
        subprocess.run([*command, str(tmp_path / "out")], check=False).returncode == 0
    )
    (tmp_path / "out" / ruleset / "empty").mkdir()  # so it does look
    assert subprocess.run([*command, str(tmp_path / "out")], check=False).returncode
