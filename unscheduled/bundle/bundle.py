"""A submission as a folder that runs alone: its recipe and what it uses, copied in."""

import ast
import importlib.metadata
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import parse_python, read_text
from unscheduled.bundle.imports import home, imports_of, into_bundle
from unscheduled.check.package import SEARCH_SPACE, check_points
from unscheduled.check.requirements import REQUIREMENTS
from unscheduled.check.sources import (
    LIBRARY,
    PROJECT,
    own_file,
    parse,
    sources,
)
from unscheduled.runner.search_space import read_search_space

# `SPEC` leads to a module that looks for algoperf and falls back on a mirror. Under the
# official harness algoperf is always there.
SPEC, BEHIND_SPEC = f"{LIBRARY}.spec", f"{LIBRARY}.benchmark.spec"

_LICENCE = """\
# SPDX-License-Identifier: Apache-2.0
# Licensed under the Apache License, Version 2.0: www.apache.org/licenses/LICENSE-2.0
"""

_SPEC_TEXT = f"{_LICENCE}from algoperf.spec import *  # noqa: F403\n"

# What each framework's submissions may import without a requirement of their own.
_INSTALLED = {
    "PyTorch": {"torch", "numpy", "absl", "algoperf"},
    "JAX": {"jax", "jaxlib", "flax", "optax", "chex", "numpy", "absl", "algoperf"},
}
_ALONE = {"torch", "jax", "jaxlib", "flax", "optax", "chex"}
_LEFT_BEHIND = {"scripts", "submissions", "tests", "workloads_ext"}


def bundle(
    submission: Path, framework: str, search_space: Path | None = None
) -> dict[str, str]:
    """The files of a submission that needs nothing but the benchmark.

    Args:
      submission: the Python file that has the functions of the API.
      framework: PyTorch or JAX.
      search_space: for external tuning, the JSON file of the search space. Its names
        must be fields of the submission's class `Hyperparameters`, where it has one.

    Returns:
      Texts by path in the folder, `submission.py` first. The library's modules lie as
      they do in the library.

    Raises:
      UserError: where a file can't move along as it is, with its line.
    """
    files = _modules(submission)
    requirements = own_file(submission.resolve().parent, REQUIREMENTS)
    _check_imports(files, framework, requirements is not None)
    if requirements is not None:
        files[REQUIREMENTS] = read_text(requirements)
    if search_space is not None:
        _check_names(search_space, files["submission.py"])
        files[SEARCH_SPACE] = read_text(search_space)
    return files


def library_version() -> str:
    """The installed version of this library.

    Raises:
      UserError: where it is only on the path.
    """
    try:
        return importlib.metadata.version(LIBRARY)
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            f"{LIBRARY} is not installed, so its version is not known: "
            "pip install --no-deps -e ."
        ) from error


def _modules(submission: Path) -> dict[str, str]:
    """The Python files: those used, and the packages that lead to them."""
    found = sources(submission, without=[BEHIND_SPEC])
    files: dict[str, str] = {}
    for name, path in found.items():
        place = _place(name, path, submission)
        if place in files:
            raise UserError(f"{path} and another file would both be {place}.")
        files[place] = _SPEC_TEXT if name == SPEC else _copied(name, path, found)
    files |= _packages(files, submission)
    files["submission.py"] = files["submission.py"].replace(
        _LICENCE, _LICENCE + _signpost(files), 1
    )
    for place, text in files.items():
        compile(text, place, "exec", dont_inherit=True)
    return files


def _copied(name: str, path: Path, found: Mapping[str, Path]) -> str:
    text, _ = parse(path)
    return _header(path) + into_bundle(text, path, name, found)


def _place(name: str, path: Path, submission: Path) -> str:
    """Where a module goes in the bundle."""
    if name == submission.stem:
        return "submission.py"
    place = home(name).replace(".", "/")
    return f"{place}/__init__.py" if path.name == "__init__.py" else f"{place}.py"


def _packages(files: Mapping[str, str], submission: Path) -> dict[str, str]:
    """An `__init__.py` for each folder that has none yet: what it says, no code."""
    inits = {"__init__.py": _LICENCE}
    for place in files:
        for folder in list(Path(place).parents)[:-1]:
            init = f"{folder}/__init__.py"
            roots = (submission.resolve().parent, PROJECT / LIBRARY)
            origins = [root / init for root in roots if (root / init).is_file()]
            if init not in files:
                text = [_header(o) + _docstring(o) for o in origins[:1]]
                inits[init] = text[0] if text else _LICENCE
    return inits


def _docstring(path: Path) -> str:
    text, module = parse(path)
    if ast.get_docstring(module) is None:
        return ""
    return f"{ast.get_source_segment(text, module.body[0])}\n"


def _header(path: Path) -> str:
    """Licence, and where the file is from if it is the project's."""
    resolved = path.resolve()
    if not resolved.is_relative_to(PROJECT):
        return _LICENCE
    place = resolved.relative_to(PROJECT).as_posix()
    return f"{_LICENCE}# From {LIBRARY} {library_version()}, {place}\n"


def _signpost(files: Mapping[str, str]) -> str:
    """Says at the top of the recipe where the rest is."""
    beside = {place.split("/")[0] for place in files} - {"submission.py", "__init__.py"}
    return f"# What this uses lies beside it: {', '.join(sorted(beside))}\n"


def _check_imports(
    modules: Mapping[str, str], framework: str, has_requirements: bool
) -> None:
    """Every import is the folder's own, Python's, or the benchmark's.

    Raises:
      UserError: for another, unless the submission has requirements.
    """
    installed = _INSTALLED[framework] | sys.stdlib_module_names
    refused = _LEFT_BEHIND | (_ALONE - installed)
    for place, text in modules.items():
        for name in chain(*map(_roots, imports_of(text, Path(place)))):
            if name in refused:
                raise UserError(
                    f"{place} imports {name}, which a {framework} submission can't "
                    "bring along."
                )
            if name not in installed and not has_requirements:
                raise UserError(
                    f"{place} imports {name}, which the benchmark may not have: "
                    f"list it in {REQUIREMENTS} beside the submission, and why."
                )


def _roots(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The top-level packages of an import, none where it is relative."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return set() if node.level else {(node.module or "").split(".")[0]}


def _check_names(search_space: Path, submission: str) -> None:
    """The search space is readable and long enough, and its names are fields."""
    if not search_space.exists():
        raise UserError(
            f"external tuning needs a search space, and {search_space} is missing; "
            "--tuning_search_space names another."
        )
    space = read_search_space(str(search_space))
    check_points(search_space, space)
    known = _hyperparameters(submission)
    for name in space[0] if isinstance(space, list) else space:
        if known and name not in known:
            raise UserError(
                f"{search_space}: {name!r} is not a hyperparameter of the submission, "
                f"which has {', '.join(known)}."
            )


def _hyperparameters(submission: str) -> list[str]:
    """The fields of the class `Hyperparameters` in a text, none without it."""
    return [
        field.target.id
        for node in parse_python(submission, "submission.py").body
        if isinstance(node, ast.ClassDef) and node.name == "Hyperparameters"
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
