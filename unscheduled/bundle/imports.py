"""What a file of a submission imports, and the library's part of it in a bundle.

Modules lie in a bundle as they do here: relative imports stay as they are, and only
`from unscheduled.` has to lead elsewhere.
"""

import ast
import re
from collections.abc import Collection

from unscheduled.benchmark.errors import UserError
from unscheduled.check.sources import LIBRARY, Code, is_library, origin

_FROM_LIBRARY = re.compile(rf"\Afrom\s+(\\\n\s*)?{LIBRARY}\b\.?".encode())


def home(names: list[str]) -> list[str]:
    """A module's names in a bundle, where the library's root is the folder."""
    return names[1:] if names[:1] == [LIBRARY] else names


def into_bundle(code: Code, moving: Collection[str]) -> str:
    """A module's text, with imports from the library relative to the bundle's folder.

    Args:
      moving: dotted names of all modules that move along.

    Raises:
      UserError: for an import of a module that stays behind, or of one that moves
        along by a name that it won't have.
    """
    dots = "." * (len(home(code.package)) + 1)
    data = code.text.encode()
    starts = [0, *(m.end() for m in re.finditer(b"\n", data))]
    for node in reversed(imports_of(code.tree)):
        if problem := _problem(node, code.package, moving):
            raise UserError(f"{code.path}:{node.lineno}: {problem}.")
        start = starts[node.lineno - 1] + node.col_offset
        new = _FROM_LIBRARY.sub(f"from {dots}".encode(), data[start:], count=1)
        data = data[:start] + new
    return data.decode()


def imports_of(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """The import statements of a file, wherever they stand, in its order."""
    nodes = ast.walk(tree)
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
