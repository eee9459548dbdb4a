"""What `pip install unscheduled` puts where, and that it works from there."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[1]
SUFFIXES = {".py", ".json", ".toml", ".css", ".html", ".js", ".typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder with the content of the wheel, as in site-packages."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for folder in ("unscheduled", "workloads_ext", "submissions", "scripts", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / folder, source / folder, ignore=ignored)
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / file, source)
    code = "import setuptools.build_meta as b; b.build_wheel('built')"
    subprocess.run(
        [sys.executable, "-c", code], cwd=source, check=True, capture_output=True
    )
    (built,) = source.glob("built/*.whl")
    zipfile.ZipFile(built).extractall(site)
    return site


def python(wheel, *arguments):
    """Python as where the wheel is installed: no editable install is seen (-S)."""
    packages = sysconfig.get_path("purelib")
    return subprocess.run(
        [sys.executable, "-S", *map(str, arguments)],
        cwd=wheel.parent,
        env={**os.environ, "PYTHONPATH": f"{wheel}{os.pathsep}{packages}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_has_one_package_at_the_top(wheel):
    """A wheel that hides the official `submissions`, or that lacks a file of ours."""
    (facts,) = wheel.glob("*.dist-info")
    assert {path.name for path in wheel.iterdir()} == {facts.name, "unscheduled"}
    assert (facts / "top_level.txt").read_text() == "unscheduled\n"
    assert (
        "unscheduled = unscheduled.__main__:main"
        in (facts / "entry_points.txt").read_text().splitlines()
    )
    ours = {"": "unscheduled", "unscheduled/shipped/": "workloads_ext"}
    assert files(wheel) == {
        prefix + name
        for prefix, folder in ours.items()
        for name in files(PROJECT)
        if name.startswith(f"{folder}/")
    }


def files(root):
    return {
        path.relative_to(root).as_posix()
        for name in ("unscheduled", "workloads_ext")
        for path in root.glob(f"{name}/**/*")
        if path.suffix in SUFFIXES
    }


def test_its_commands_work(wheel):
    """Commands, workloads or targets that only a checkout has."""
    done = python(wheel, "-m", "unscheduled", "score", "--against=published:0.5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.8542" in done.stdout
    done = python(wheel, "-m", "unscheduled", "check", "--help")
    assert "unscheduled check SUBMISSION" in done.stdout
    assert "--[no]dry_run" in done.stdout
    done = python(wheel, "-m", "unscheduled", "frobnicate")
    assert done.returncode == 1
    assert "must be one of run, score, report, check, bundle, got" in done.stderr


def test_it_has_the_embedded_workloads_and_hides_nothing(wheel):
    """A dry run without workloads, or an official module that ours stands before."""
    code = (
        "import importlib.util as u\n"
        "assert not u.find_spec('submissions') and not u.find_spec('workloads_ext')\n"
        "from unscheduled.runner import embedded\n"
        "from unscheduled.benchmark.targets import BENCHMARKS\n"
        "print(embedded.registry().__file__, BENCHMARKS['ext'].is_file())"
    )
    done = python(wheel, "-c", code)
    inside = wheel / "unscheduled" / "shipped" / "workloads_ext"
    assert done.stdout.split() == [str(inside / "registry.py"), "True"], done.stderr
