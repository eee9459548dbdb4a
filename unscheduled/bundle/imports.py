"""Imports rewritten where they stand: comments and line breaks stay as they are."""

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import parse_python
from unscheduled.check.sources import is_library, origin, package_of

_MODULE = re.compile(rb"\Afrom\b.*?\bimport\b", re.DOTALL)


def rewrite_imports(text: str, path: Path, name: str, homes: Mapping[str, str]) -> str:
    """A module's text, with imports of moved modules leading to their new homes.

    Only the imports change; the names that they bind do not.

    Args:
      text: the text of the module.
      path: the file that the text is from.
      name: the module's dotted name there.
      homes: new dotted names by old ones, `name` included. One that begins with a dot
        is inside the folder that everything moves to, and is imported relatively.

    Raises:
      UserError: for an import that has no such form, or of a module that stays behind.

    Example:
      >>> homes = {"submission": ".submission", "unscheduled.ranges": ".ranges"}
      >>> line = "from unscheduled.ranges import check  # its range"
      >>> rewrite_imports(line, Path("submission.py"), "submission", homes)
      'from .ranges import check  # its range'
    """
    rewriter = _Rewriter(path, name, homes)
    data = text.encode()
    starts = [0, *(m.end() for m in re.finditer(b"\n", data))]
    for node in reversed(imports_of(text, path)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        indent = data[starts[node.lineno - 1] : start]
        joint = b"; " if indent.strip() else b"\n" + indent
        new = rewriter.rewrite(node, data[start:end], joint)
        data = data[:start] + new + data[end:]
    return data.decode()


def imports_of(text: str, path: Path) -> list[ast.Import | ast.ImportFrom]:
    """The import statements of a text, wherever they stand, in its order."""
    nodes = ast.walk(parse_python(text, path))
    found = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


class _Rewriter:
    """Writes one statement after the other, for one module."""

    def __init__(self, path: Path, name: str, homes: Mapping[str, str]):
        self._path = path
        self._homes = homes
        self._old_package = package_of(name, path)
        self._new_package = package_of(homes[name].lstrip("."), path)

    def rewrite(
        self, node: ast.Import | ast.ImportFrom, old: bytes, joint: bytes
    ) -> bytes:
        """The statement that stands for `old`; `joint` parts two of them."""
        if isinstance(node, ast.ImportFrom):
            return self._from(node, old, joint)
        new = [self._import(node, alias) for alias in node.names]
        if not any(line.startswith("from") for line in new):
            return old
        return joint.join(line.encode() for line in new)

    def _from(self, node: ast.ImportFrom, old: bytes, joint: bytes) -> bytes:
        """`from a import b, c`, as one statement for each new home of its names."""
        groups: dict[str | None, list[ast.alias]] = {}
        for alias in node.names:
            groups.setdefault(self._source(node, alias), []).append(alias)
        if set(groups) == {None}:
            return old
        if len(groups) == 1:
            (source,) = groups
            return _MODULE.sub(f"from {source} import".encode(), old)
        return joint.join(
            f"from {source or node.module} import {_listed(aliases)}".encode()
            for source, aliases in groups.items()
        )

    def _source(self, node: ast.ImportFrom, alias: ast.alias) -> str | None:
        """The module to import a name from, None where that does not change."""
        module = origin(node, self._old_package)
        inner = f"{module}.{alias.name}".strip(".")
        if inner in self._homes:
            return self._relative(self._homes[inner].rpartition(".")[0] or ".")
        if module in self._homes:
            return self._relative(self._homes[module])
        if node.level or is_library(module):
            raise self._error(node, f"{inner} is not a module that can move along")
        return None

    def _import(self, node: ast.Import, alias: ast.alias) -> str:
        """`import a`, or what binds the same name once `a` has moved."""
        if alias.name in self._homes and (alias.asname or "." not in alias.name):
            parent, _, leaf = self._homes[alias.name].rpartition(".")
            moved = ast.alias(leaf, alias.asname or alias.name)
            return f"from {self._relative(parent or '.')} import {_listed([moved])}"
        if alias.name in self._homes or is_library(alias.name):
            parent, _, leaf = alias.name.rpartition(".")
            advice = (
                f"write `from {parent} import {leaf}`" if parent else "name a module"
            )
            raise self._error(
                node, f"`import {alias.name}` has no relative form; {advice}"
            )
        return f"import {_listed([alias])}"

    def _relative(self, home: str) -> str:
        """A new home as an import statement of this module spells it."""
        if not home.startswith("."):
            return home
        target = [part for part in home.split(".") if part]
        here = self._new_package
        pairs = zip(here, target, strict=False)
        common = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if common is None:
            common = min(len(here), len(target))
        return "." * (len(here) - common + 1) + ".".join(target[common:])

    def _error(self, node: ast.stmt, problem: str) -> UserError:
        return UserError(f"{self._path}:{node.lineno}: {problem}.")


def _listed(aliases: Iterable[ast.alias]) -> str:
    return ", ".join(
        f"{alias.name} as {alias.asname}"
        if alias.asname not in (None, alias.name)
        else alias.name
        for alias in aliases
    )
