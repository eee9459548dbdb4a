"""Which files a submission is made of: its own, and what it uses of the library."""

import ast
from collections.abc import Collection
from pathlib import Path

from unscheduled.benchmark.errors import UserError

LIBRARY = "unscheduled"
PROJECT = Path(__file__).resolve().parents[2]


def submission_file(given: str) -> Path:
    """The Python file of a submission, named by itself or by its folder.

    Raises:
      UserError: where there is none.
    """
    path = Path(given).expanduser()
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
      SyntaxError: for a file that is not Python, with its name in it.

    Example:
      >>> found = sources(Path("submissions/nadamw_jax/submission.py"))
      >>> "unscheduled.entries.jax.training" in found
      True
    """
    own = submission.resolve().parent
    found: dict[str, Path] = {}
    pending = [submission.stem]
    while pending:
        name = _inside(pending.pop(0), own)
        path = _path(name, own)
        if path is None or name in found or name in without:
            continue
        found[name] = path
        for module, attribute in _imports(name, path):
            inner = f"{module}.{attribute}".strip(".")
            is_module = _path(_inside(inner, own), own)
            pending.append(inner if is_module else module)
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
    choices = (path.with_suffix(".py"), path / "__init__.py")
    return next((c for c in choices if name and c.is_file()), None)


def _imports(name: str, path: Path) -> list[tuple[str, str]]:
    """(module, name taken from it or "") of each import in a file, made absolute."""
    package = package_of(name, path)
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(origin(node, package), alias.name) for alias in node.names]
    return found
