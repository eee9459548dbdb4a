"""What a file of a submission imports, and the library's part of it in a bundle.

Modules lie in a bundle as they do here: relative imports stay as they are, and only
`from unscheduled.` has to lead elsewhere.
"""

import ast
import re
from collections.abc import Collection
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import parse_python
from unscheduled.check.sources import LIBRARY, is_library, origin, package_of

_FROM_LIBRARY = re.compile(rf"\Afrom\s+(\\\n\s*)?{LIBRARY}\b\.?".encode())


def home(name: str) -> str:
    """A module's dotted name in a bundle, where the library's root is the folder.

    Example:
      >>> home("unscheduled.optim_jax.radam"), home("helper")
      ('optim_jax.radam', 'helper')
    """
    return name.removeprefix(LIBRARY).lstrip(".") if is_library(name) else name


def into_bundle(text: str, path: Path, name: str, moving: Collection[str]) -> str:
    """A module's text, with imports from the library relative to the bundle's folder.

    Args:
      text: the text of the module.
      path: the file that the text is from.
      name: the module's dotted name there.
      moving: dotted names of all modules that move along.

    Raises:
      UserError: for an import of a module that stays behind, or of one that moves
        along by a name that it won't have.

    Example:
      >>> line = "from unscheduled.ranges import check  # its range"
      >>> moving = {"submission", "unscheduled.ranges"}
      >>> into_bundle(line, Path("submission.py"), "submission", moving)
      'from .ranges import check  # its range'
    """
    package = package_of(name, path)
    dots = "." * (len(package_of(home(name), path)) + 1)
    data = text.encode()
    starts = [0, *(m.end() for m in re.finditer(b"\n", data))]
    for node in reversed(imports_of(text, path)):
        if problem := _problem(node, package, moving):
            raise UserError(f"{path}:{node.lineno}: {problem}.")
        start = starts[node.lineno - 1] + node.col_offset
        new = _FROM_LIBRARY.sub(f"from {dots}".encode(), data[start:], count=1)
        data = data[:start] + new
    return data.decode()


def imports_of(text: str, path: Path) -> list[ast.Import | ast.ImportFrom]:
    """The import statements of a text, wherever they stand, in its order."""
    nodes = ast.walk(parse_python(text, path))
    found = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _problem(
    node: ast.Import | ast.ImportFrom, package: list[str], moving: Collection[str]
) -> str | None:
    """Why an import would fail in the bundle, or None."""
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
