"""A file of a submission, parsed, and questions about its syntax tree."""

import ast
import functools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unscheduled.check.findings import Finding
from unscheduled.check.sources import parse

Function = ast.FunctionDef | ast.AsyncFunctionDef
_OPERATIONS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_MAX_BITS, _MAX_LENGTH = 4096, 10_000  # of constants that are worked out
_BATCH_SIZE_FUNCTIONS = ("get_batch_size", "get_eval_batch_size")


class Code:
    """One parsed file.

    Args:
      module: its dotted name.
      path: the file.

    Raises:
      SourceError: where it is not Python.
    """

    def __init__(self, module: str, path: Path):
        self.module = module
        self.path = path
        self.text, self.tree = parse(path)
        self._constants: dict[ast.AST, Any] = {}

    def finding(self, node: ast.AST, code: str, message: str) -> Finding:
        """A finding at a node."""
        return Finding(str(self.path), getattr(node, "lineno", 1), code, message)

    @functools.cached_property
    def imports(self) -> dict[str, str]:
        """What imported names stand for, as dotted names."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{base}.{alias.name}"
        return found

    @functools.cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node above each node."""
        return {
            child: node
            for node in ast.walk(self.tree)
            for child in ast.iter_child_nodes(node)
        }

    @functools.cached_property
    def top_level(self) -> dict[str, ast.stmt]:
        """What the module defines: functions, classes and assigned names."""
        return dict(_definitions(self.tree.body))

    def dotted(self, node: ast.AST) -> str:
        """`torch.nn.functional` for `F` after such an import; "" for other things.

        A builtin stands for itself, unless the module defines the name.
        """
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return base and f"{base}.{node.attr}"
        if isinstance(node, ast.Name):
            if node.id in self.imports:
                return self.imports[node.id]
            return "" if node.id in self._bound else node.id
        return ""

    @functools.cached_property
    def _bound(self) -> set[str]:
        """Names that the file gives a meaning of its own."""
        bound = set(self.top_level)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, Function):
                bound.add(node.name)
        return bound

    def uses(self) -> Iterator[tuple[ast.AST, str]]:
        """(node, dotted name) of each name or chain of attributes that is used."""
        for node in ast.walk(self.tree):
            above = self.parents.get(node)
            if isinstance(above, ast.Attribute):
                continue
            # The longest part of a chain that is a name: Path(x).read_text has none.
            if isinstance(node, ast.Name | ast.Attribute):
                name = self.dotted(node)
                if name:
                    yield node, name

    def constant(self, node: ast.AST | None) -> Any:
        """The value of a constant expression, or None.

        Followed are names that the module assigns once, at its top level. Tuples and
        the like are flat, and None where they are very long.
        """
        if node is None:
            return None
        if node not in self._constants:
            self._constants[node] = None  # while it is followed: x = x + 1 has none
            self._constants[node] = self._constant(node)
        return self._constants[node]

    def _constant(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            statement = self.top_level.get(node.id)
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                return self.constant(statement.value)
            return None
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return _flat([self.constant(element) for element in node.elts])
        if isinstance(node, ast.Dict):
            return _flat([self.constant(key) for key in node.keys if key])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self.constant(node.operand)
            return -value if _is_number(value) else None
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        return None

    def _arithmetic(self, node: ast.BinOp) -> Any:
        """The value of a sum, product, quotient or small power of constants."""
        left, right = self.constant(node.left), self.constant(node.right)
        if not (_is_number(left) and _is_number(right)):
            return None
        if isinstance(node.op, ast.Pow) and max(abs(left), abs(right)) > 100:
            return None  # it could take for ever
        operation = _OPERATIONS.get(type(node.op))
        try:
            value = operation(left, right) if operation else None
        except ArithmeticError:
            return None
        return value if _is_number(value) else None


def _is_number(value: Any) -> bool:
    """Whether a value is a number of a size that numbers in programs have."""
    return isinstance(value, float) or (
        isinstance(value, int) and value.bit_length() <= _MAX_BITS
    )


def _flat(values: list[Any]) -> tuple[Any, ...] | None:
    """The values of a tuple and of tuples in it, unless they are too many."""
    flat: list[Any] = []
    for value in values:
        if value is None or len(flat) > _MAX_LENGTH:
            return None
        flat.extend(value if isinstance(value, tuple) else [value])
    return tuple(flat)


def text_of(node: ast.AST) -> str:
    """The source of an expression; its kind, where Python can't write it out."""
    try:
        return ast.unparse(node)
    except ValueError:  # integers of thousands of digits; some f-strings
        return type(node).__name__


def depth(tree: ast.AST) -> int:
    """How many levels a syntax tree has."""
    levels, nodes = 0, [tree]
    while nodes:
        levels += 1
        nodes = [child for node in nodes for child in ast.iter_child_nodes(node)]
    return levels


def _definitions(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for statement in body:
        if isinstance(statement, Function | ast.ClassDef):
            yield statement.name, statement
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                for node in ast.walk(target):
                    if isinstance(node, ast.Name):
                        yield node.id, statement
        elif isinstance(statement, ast.AnnAssign):
            if isinstance(statement.target, ast.Name):
                yield statement.target.id, statement
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _definitions(statement.body)


def for_batch_sizes(codes: list[Code]) -> set[ast.AST]:
    """The statements that serve the choice of a batch size and nothing else.

    The function of the API, and what only it refers to, directly or not.
    """
    statements: list[ast.stmt] = [s for code in codes for s in code.tree.body]
    chosen = {s for s in statements if getattr(s, "name", "") in _BATCH_SIZE_FUNCTIONS}
    definitions: dict[str, list[ast.stmt]] = {}
    for code in codes:
        for name, statement in code.top_level.items():
            definitions.setdefault(name, []).append(statement)

    def used_by(users: set[ast.stmt]) -> set[ast.stmt]:
        """These statements, and whatever they refer to outside of `chosen`."""
        found, pending = set(users), list(users)
        while pending:
            for name in _names(pending.pop()):
                new = set(definitions.get(name, ())) - found - chosen
                found |= new
                pending += new
        return found

    of_batch_sizes = used_by(chosen)
    of_others = used_by(set(statements) - of_batch_sizes)
    return {*chosen, *(of_batch_sizes - of_others)}


def _names(statement: ast.stmt) -> set[str]:
    """The names and attributes that a statement reads."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return set()
    nodes = [n for n in ast.walk(statement) if isinstance(n, ast.Name | ast.Attribute)]
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in nodes
        if isinstance(node.ctx, ast.Load)
    }
