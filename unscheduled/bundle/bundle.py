"""A submission as a folder that runs alone: its recipe and what it uses, copied in.

Modules lie in a bundle as they do here: relative imports stay as they are, and only
`from unscheduled.` has to lead elsewhere.
"""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import parse_python, read_text
from unscheduled.check.folder import REQUIREMENTS, SEARCH_SPACE, check_points
from unscheduled.check.sources import (
    LIBRARY,
    PROJECT,
    Code,
    is_library,
    origin,
    read_own,
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
_FROM_LIBRARY = re.compile(rf"\Afrom\s+(\\\n\s*)?{LIBRARY}\b\.?".encode())
Import = ast.Import | ast.ImportFrom


def bundle(
    submission: Path, framework: str, search_space: Path | None = None
) -> dict[str, str]:
    """The files of a submission that needs nothing but the benchmark: texts by path.

    Raises a UserError where a file can't move along as it is, or where the search space
    has a name that is not a field of the submission's class `Hyperparameters`.
    """
    files = _modules(submission)
    requirements = submission.resolve().parent / REQUIREMENTS
    _check_packages(files, framework, requirements.exists())
    if requirements.exists():
        files[REQUIREMENTS] = read_own(requirements)
    if search_space is not None:
        _check_names(search_space, files["submission.py"])
        files[SEARCH_SPACE] = read_text(search_space)
    return files


def library_version() -> str:
    return importlib.metadata.version(LIBRARY)


def _modules(submission: Path) -> dict[str, str]:
    """The Python files: those used, and the packages that lead to them."""
    found = sources(submission, without=[BEHIND_SPEC])
    files: dict[str, str] = {}
    for name, code in found.items():
        place = "submission.py"
        if name != submission.stem:
            path = name.removeprefix(f"{LIBRARY}.").replace(".", "/")
            is_package = code.path.name == "__init__.py"
            place = f"{path}/__init__.py" if is_package else f"{path}.py"
        if place in files:
            raise UserError(f"{code.path} and another file would both be {place}.")
        files[place] = _SPEC_TEXT
        if name != SPEC:
            files[place] = _header(code.path) + into_bundle(code, found)
    folders = {folder for place in files for folder in Path(place).parents}
    for folder in sorted(folders):
        files.setdefault((folder / "__init__.py").as_posix(), _LICENCE)
    beside = {place.split("/")[0] for place in files} - {"submission.py", "__init__.py"}
    signpost = f"# What this uses lies beside it: {', '.join(sorted(beside))}\n"
    recipe = files["submission.py"].removeprefix(_LICENCE)
    files["submission.py"] = _LICENCE + signpost + recipe
    return files


def _header(path: Path) -> str:
    """Licence, and where the file is from if it is the project's."""
    resolved = path.resolve()
    if not resolved.is_relative_to(PROJECT):
        return _LICENCE
    place = resolved.relative_to(PROJECT).as_posix()
    return f"{_LICENCE}# From {LIBRARY} {library_version()}, {place}\n"


def into_bundle(code: Code, moving: Collection[str]) -> str:
    """A module's text, with imports from the library relative to the bundle's folder.

    Raises a UserError for an import of a module that is not `moving` along, or of one
    that is by a name that it won't have.
    """
    dots = "." * (len(code.package) + (code.package[:1] != [LIBRARY]))
    data = code.text.encode()
    starts = [0, *(m.end() for m in re.finditer(b"\n", data))]
    for node in reversed(_imports(code.tree)):
        if problem := _problem(node, code.package, moving):
            raise UserError(f"{code.path}:{node.lineno}: {problem}.")
        start = starts[node.lineno - 1] + node.col_offset
        new = _FROM_LIBRARY.sub(f"from {dots}".encode(), data[start:], count=1)
        data = data[:start] + new
    return data.decode()


def _imports(tree: ast.Module) -> list[Import]:
    found = [node for node in ast.walk(tree) if isinstance(node, Import)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _problem(node: Import, package: list[str], moving: Collection[str]) -> str | None:
    if isinstance(node, ast.Import):
        for name in (alias.name for alias in node.names):
            if is_library(name) or name in moving:
                above, _, last = name.rpartition(".")
                return (
                    f"`import {name}` has no relative form; write "
                    f"`from {above or '.'} import {last}`"
                )
        return None
    module = origin(node, package)
    for name in (f"{module}.{alias.name}".strip(".") for alias in node.names):
        moves = name in moving or module in moving
        if moves and not node.level and not is_library(module):
            return f"`from {module} import` has no dot; write `from .{module} import`"
        if not moves and (node.level or is_library(module)):
            return f"{name} is not a module that can move along"
    return None


def _check_packages(
    modules: Mapping[str, str], framework: str, has_requirements: bool
) -> None:
    """Raises a `UserError` for an import that is not the folder's or installed."""
    installed = _INSTALLED[framework] | sys.stdlib_module_names
    refused = _LEFT_BEHIND | (_ALONE - installed)
    for place, text in modules.items():
        nodes = _imports(parse_python(text, place))
        names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
        froms = [n for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
        names += [str(node.module) for node in froms]
        for name in sorted({name.split(".")[0] for name in names}):
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


def _check_names(search_space: Path, submission: str) -> None:
    if not search_space.exists():
        raise UserError(
            f"external tuning needs a search space, and {search_space} is missing; "
            "--tuning_search_space names another."
        )
    space = read_search_space(str(search_space))
    check_points(search_space, space)
    known = [
        field.target.id
        for node in parse_python(submission, "submission.py").body
        if isinstance(node, ast.ClassDef) and node.name == "Hyperparameters"
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    for name in space[0] if isinstance(space, list) else space:
        if known and name not in known:
            raise UserError(
                f"{search_space}: {name!r} is not a hyperparameter of the submission, "
                f"which has {', '.join(known)}."
            )
