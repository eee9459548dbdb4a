"""Rules on which workload it is: nothing but the batch size may depend on that.

Not every look at the workload is a fault: the rules ask what is looked at, and what
is done with it. Shapes may choose a cheaper routine, the step hint may set a schedule.
A fault is a comparison that only one workload passes, or a table of workloads.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any

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
        kind = flow.kind(subject)
        verdict = (
            _JUDGEMENTS[kind](text_of(subject), values, equality) if kind else None
        )
        if verdict:
            yield code.finding(node, *verdict)
            return


Verdict = tuple[str, str] | None  # (code, message)


def _judge_identity(what: str, values: list[Any], equality: bool) -> Verdict:
    return "E202", (
        f"a decision on what the workload is ({what}): {_ONLY_BATCH_SIZES}."
    )


def _judge_data_size(what: str, values: list[Any], equality: bool) -> Verdict:
    if not any(_is_large(v) for v in values):
        return None
    return "E203", (
        f"a decision on the size of the data set ({what}), which "
        "tells workloads apart: use it in arithmetic only, the same for all."
    )


def _judge_budget(what: str, values: list[Any], equality: bool) -> Verdict:
    if not any(_is_number(v) and v not in (0, 1) for v in values):
        return None
    if equality:
        return "E203", (
            f"{what} against a constant tells one workload from the others: use it in "
            "arithmetic only, the same for all."
        )
    return "W201", (
        f"{what} against a constant may tell workloads apart: make sure that what is "
        "done then is sensible for any workload."
    )


def _judge_metric(what: str, values: list[Any], equality: bool) -> Verdict:
    if not any(isinstance(v, str) for v in values):
        return None
    return "W202", (
        f"a decision on the metric's name ({what}): the rules let a "
        "submission look at the metric, but a name may belong to one workload; use it "
        "for nothing but which way is better."
    )


def _judge_shape(what: str, values: list[Any], equality: bool) -> Verdict:
    particular = [v for v in values if _is_large(v) or _is_shape_text(v)]
    if not equality or not particular:
        return None
    return "E204", (
        f"{what} against {text_of(ast.Constant(particular[0]))} is a fingerprint of "
        "one model: shapes may choose between routines, not recognise workloads."
    )


_JUDGEMENTS: dict[str, Callable[..., Verdict]] = {
    quantities.IDENTITY: _judge_identity,
    quantities.DATA_SIZE: _judge_data_size,
    quantities.BUDGET: _judge_budget,
    quantities.METRIC: _judge_metric,
    quantities.SHAPE: _judge_shape,
}


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
