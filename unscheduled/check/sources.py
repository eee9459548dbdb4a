"""Which files a submission is made of: its own, and what it uses of the library."""

import ast
import functools
import os
import re
import warnings
from collections import deque
from collections.abc import Collection
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand, parse_python, read_text

LIBRARY = "unscheduled"
PROJECT = Path(__file__).resolve().parents[2]
MAX_BYTES = 1 << 20  # of a file, and of all files together


class SourceError(UserError):
    """A file of a submission that is not Python, or can't be read.

    Attributes:
      path: the file.
      line: where in it.
      problem: what is wrong with it, as a clause that goes on after its name.
    """

    def __init__(self, path: Path, line: int, problem: str):
        super().__init__(f"{path}:{line}: {problem}.")
        self.path, self.line, self.problem = path, line, problem


def submission_file(given: str) -> Path:
    """The Python file of a submission, named by itself or by its folder.

    Raises:
      UserError: where there is none.
    """
    path = expand(given)
    file = path / "submission.py" if path.is_dir() else path
    if file.suffix != ".py" or not file.is_file():
        raise UserError(
            "SUBMISSION must be a folder with a submission.py, or such a file, "
            f"got {given!r}."
        )
    return file


def sources(submission: Path, without: Collection[str] = ()) -> dict[str, Path]:
    """The modules that a submission imports, itself included, found without running it.

    Followed are the imports of the library and those of the submission's own folder,
    inside functions too. The `__init__.py` of a package counts where something is
    imported from it; where it only leads to a module, it does not.

    Args:
      submission: the Python file that has the functions of the API.
      without: dotted names of modules that are left out, and not followed.

    Returns:
      Files by dotted module name: the submission first, then in the order of imports.
      Modules of the submission's own folder go by their name inside it.

    Raises:
      SourceError: for a file that is not Python or can't be read, or that makes them
        too large together.

    Example:
      >>> found = sources(Path("submissions/nadamw_jax/submission.py"))
      >>> "unscheduled.entries.jax.training" in found
      True
    """
    own = submission.resolve().parent

    @functools.cache
    def locate(imported: str) -> tuple[str, Path | None]:
        name = _inside(imported, own)
        return name, _path(name, own)

    found: dict[str, Path] = {}
    pending: deque[tuple[str, Path | None]] = deque()
    pending.append((submission.stem, submission.resolve()))
    size = 0
    while pending:
        name, path = pending.popleft()
        if path is None or name in found or name in without:
            continue
        found[name] = path
        text, tree = parse(path)
        size += len(text)
        if size > MAX_BYTES:
            problem = (
                f"the submission is too large: over {MAX_BYTES:,} bytes up to here"
            )
            raise SourceError(path, 1, problem)
        for module, attribute in _imports(tree, package_of(name, path)):
            inner = locate(f"{module}.{attribute}".strip("."))
            pending.append(inner if inner[1] else locate(module))
    return found


def _inside(name: str, own: Path) -> str:
    """A module of the submission's own folder by its name there.

    In the official repository that folder is `submissions.<ruleset>.<algorithm>`, and
    modules in it import each other by that name.
    """
    parts = name.split(".")
    if parts[0].startswith("submissions"):
        for start in range(1, len(parts)):
            if _path(".".join(parts[start:]), own):
                return ".".join(parts[start:])
    return name


def is_library(name: str) -> bool:
    """Whether a dotted module name is one of the library's.

    Example:
      >>> is_library("unscheduled.entries"), is_library("unscheduled_too")
      (True, False)
    """
    return name.split(".")[0] == LIBRARY


def origin(node: ast.ImportFrom, package: list[str]) -> str:
    """The module that a `from ... import` names, made absolute.

    Args:
      package: names of the package that the import stands in, outermost first.

    Example:
      >>> node = ast.parse("from ..ranges import check").body[0]
      >>> origin(node, ["unscheduled", "optim_jax"])
      'unscheduled.ranges'
    """
    above = package[: len(package) + 1 - node.level] if node.level else []
    return ".".join([*above, *filter(None, [node.module])])


def package_of(name: str, path: Path) -> list[str]:
    """The package that a module's imports are relative to, outermost name first."""
    parts = name.split(".")
    return parts if path.name == "__init__.py" else parts[:-1]


def _path(name: str, own: Path) -> Path | None:
    """The file of a module, if it is the library's or in the submission's folder."""
    root = PROJECT if is_library(name) else own
    path = root.joinpath(*name.split("."))
    choices = (f"{path}.py", f"{path}/__init__.py")
    file = next((Path(c) for c in choices if name and os.path.isfile(c)), None)
    if file and root == own and leads_out(file, own):
        raise SourceError(file, 1, "is a link out of the submission's folder")
    return file


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path in a folder leads out of it, by a link."""
    real = Path(os.path.realpath(path))
    return not real.is_relative_to(os.path.realpath(folder))


def own_file(folder: Path, name: str) -> Path | None:
    """A file of a submission's folder; None where there is none of that name.

    Raises:
      UserError: for a link out of the folder: elsewhere it would lead elsewhere.
    """
    path = folder / name
    if leads_out(path, folder):
        raise UserError(f"{path} is a link out of the submission's folder.")
    return path if os.path.lexists(path) else None


def parse(path: Path) -> tuple[str, ast.Module]:
    """The text of a Python file, its line ends those of Unix, and its syntax tree.

    Raises:
      SourceError: where it can't be read, or Python would refuse it.
    """
    try:
        text = re.sub("\r\n?", "\n", read_text(path, MAX_BYTES))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about code of others
            tree = parse_python(text, path)
            compile(tree, str(path), "exec", dont_inherit=True)
    except (UserError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        cause = error.__cause__ or error
        line, problem = 1, str(error).removeprefix(f"{path} ").removesuffix(".")
        if isinstance(cause, SyntaxError):
            line, problem = cause.lineno or 1, f"not Python: {cause.msg}"
        raise SourceError(path, line, problem) from error
    return text, tree


def _imports(tree: ast.Module, package: list[str]) -> list[tuple[str, str]]:
    """(module, name taken from it or "") of each import, made absolute."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(origin(node, package), alias.name) for alias in node.names]
    return found
