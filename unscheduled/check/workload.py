"""Rules on which workload it is: nothing but the batch size may depend on that.

Not every look at the workload is a fault: the rules ask what is looked at, and what
is done with it. Shapes may choose a cheaper routine, the step hint may set a schedule.
A fault is a comparison that only one workload passes, or a table of workloads.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from unscheduled.check import quantities
from unscheduled.check.code import Code, for_batch_sizes, text_of
from unscheduled.check.findings import Finding
from unscheduled.check.workload_names import is_workload_name

_LOOK_UPS = ("get", "pop")
_TEXT_TESTS = ("startswith", "endswith", "find", "count", "index")
_MANY = 16  # a larger number of anything is no property of a generic layer
_ONLY_BATCH_SIZES = "only get_batch_size may tell workloads apart"


def check_workload(codes: list[Code]) -> Iterator[Finding]:
    """Looks for what depends on the workload, outside of batch sizes."""
    exempt = for_batch_sizes(codes)
    for code in codes:
        flow = quantities.Flow(code)
        for statement in code.tree.body:
            if statement not in exempt:
                for node in ast.walk(statement):
                    yield from _check_node(code, flow, node)


def _check_node(code: Code, flow: quantities.Flow, node: ast.AST) -> Iterator[Finding]:
    if isinstance(node, ast.Dict):
        named = [key for key in map(code.constant, node.keys) if is_workload_name(key)]
        if named:
            message = (
                f"a table by workload ({named[0]!r}): {_ONLY_BATCH_SIZES}; use one "
                "setting for all."
            )
            yield code.finding(node, "E205", message)
    for subjects, others, equality in _decisions(node):
        values = list(_flat(map(code.constant, others)))
        named = [v for v in _flat(map(code.constant, subjects)) if is_workload_name(v)]
        if named:
            message = (
                f"a decision on the workload's name ({named[0]!r}): "
                f"{_ONLY_BATCH_SIZES}."
            )
            yield code.finding(node, "E201", message)
        elif not any(is_workload_name(v) for v in values):
            yield from _check_decision(code, flow, node, subjects, values, equality)


def _decisions(node: ast.AST) -> Iterator[tuple[list[Any], list[Any], bool]]:
    """(what is looked at, what it is held against, whether for equality)."""
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        equality = isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn)
        yield operands, operands, equality
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield [node.slice], [node.value], True
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in _LOOK_UPS:
            yield node.args[:1], [node.func.value], True
        elif node.func.attr in _TEXT_TESTS:
            yield [node.func.value, *node.args[:1]], node.args[:1], True
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "isinstance" and len(node.args) == 2:
            yield [node], [], True
    elif isinstance(node, ast.Match):
        for case in node.cases:
            for pattern in ast.walk(case.pattern):
                if isinstance(pattern, ast.MatchValue):
                    yield [node.subject, pattern.value], [pattern.value], True


def _check_decision(
    code: Code,
    flow: quantities.Flow,
    node: ast.AST,
    subjects: list[ast.expr],
    values: list[Any],
    equality: bool,
) -> Iterator[Finding]:
    for subject in subjects:
        for rule in _RULES.get(flow.kind(subject) or "", ()):
            telling = [v for v in values if rule.tells is None or rule.tells(v)]
            if (rule.needs_equality and not equality) or (rule.tells and not telling):
                continue
            value = text_of(ast.Constant(telling[0])) if telling else ""
            message = rule.message.format(text_of(subject), value)
            yield code.finding(node, rule.code, message)
            return


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """The constants among values, out of their tuples."""
    for value in values:
        if isinstance(value, tuple):
            yield from _flat(value)
        elif value is not None:
            yield value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_large(value: Any) -> bool:
    return _is_number(value) and abs(value) > _MANY


def _is_shape_text(value: Any) -> bool:
    return isinstance(value, str) and any(c.isdigit() for c in value)


def _is_telling_number(value: Any) -> bool:
    return _is_number(value) and value not in (0, 1)


class _Rule(NamedTuple):
    """When a decision on a quantity tells workloads apart, and what is said then.

    Attributes:
      tells: whether a constant that the quantity is held against is one that tells;
        None where any decision does.
      message: {0} is the quantity, {1} the constant.
      needs_equality: whether it tells nothing to be larger or smaller.
    """

    code: str
    tells: Callable[[Any], bool] | None
    message: str
    needs_equality: bool = False


# By kind of quantity, the first that holds.
_RULES = {
    quantities.IDENTITY: [
        _Rule(
            "E202",
            None,
            f"a decision on what the workload is ({{0}}): {_ONLY_BATCH_SIZES}.",
        )
    ],
    quantities.DATA_SIZE: [
        _Rule(
            "E203",
            _is_large,
            "a decision on the size of the data set ({0}), which tells workloads "
            "apart: use it in arithmetic only, the same for all.",
        )
    ],
    quantities.BUDGET: [
        _Rule(
            "E203",
            _is_telling_number,
            "{0} against a constant tells one workload from the others: use it in "
            "arithmetic only, the same for all.",
            needs_equality=True,
        ),
        _Rule(
            "W201",
            _is_telling_number,
            "{0} against a constant may tell workloads apart: make sure that what is "
            "done then is sensible for any workload.",
        ),
    ],
    quantities.METRIC: [
        _Rule(
            "W202",
            lambda value: isinstance(value, str),
            "a decision on the metric's name ({0}): the rules let a submission look "
            "at the metric, but a name may belong to one workload; use it for nothing "
            "but which way is better.",
        )
    ],
    quantities.SHAPE: [
        _Rule(
            "E204",
            lambda value: _is_large(value) or _is_shape_text(value),
            "{0} against {1} is a fingerprint of one model: shapes may choose between "
            "routines, not recognise workloads.",
            needs_equality=True,
        )
    ],
}
