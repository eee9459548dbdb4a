"""Self-tuning: the harness passes None for the hyperparameters."""

import ast
from collections.abc import Iterator

from unscheduled.check.code import Code, Function, text_of
from unscheduled.check.findings import Finding
from unscheduled.check.interface import SIGNATURES, find_function

_NAME = "hyperparameters"


def check_self_tuning(codes: list[Code]) -> Iterator[Finding]:
    """Looks for hyperparameters that are read as if there were any.

    Args:
      codes: all files of a self-tuning submission; the submission first.
    """
    for name in SIGNATURES:
        found = find_function(codes, codes[0], name)
        if found is None:
            continue
        code, function = found
        if _NAME not in {a.arg for a in function.args.args} or _handles(function):
            continue
        read = next(_reads(function), None)
        if read is not None:
            message = (
                f"{name} reads {text_of(read)}, but self-tuning has no "
                "hyperparameters (None): use constants where there are none."
            )
            yield code.finding(read, "E507", message)


def _reads(function: Function) -> Iterator[ast.AST]:
    for node in ast.walk(function):
        is_part = isinstance(node, ast.Attribute | ast.Subscript)
        if is_part and _is_it(node.value) and isinstance(node.ctx, ast.Load):
            yield node


def _handles(function: Function) -> bool:
    """Whether a function sets the name anew, or asks what it is."""
    return any(_sets(node) or _asks(node) for node in ast.walk(function))


def _sets(node: ast.AST) -> bool:
    return _is_it(node) and isinstance(node.__dict__["ctx"], ast.Store)


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        return any(_is_it(child) for child in ast.iter_child_nodes(node))
    if isinstance(node, ast.If | ast.IfExp):
        return _is_it(node.test)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        return node.func.id in ("hasattr", "getattr") and _is_it(node.args[0])
    return False


def _is_it(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == _NAME
