"""Rules on which workload it is: nothing but the batch size may depend on that.

Shapes may choose a cheaper routine, the step hint may set a schedule: a fault is a
comparison that only one workload passes, or a workload's name.
"""

import ast
import collections
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.check.findings import ALGOPERF, Finding
from unscheduled.check.outside import WORKLOAD
from unscheduled.check.sources import Code, text_of

_BATCH_SIZE_FUNCTIONS = {"get_batch_size", "get_eval_batch_size"}
# Functions and methods whose result tells as much as what they are given.
_KEEPS = re.compile(
    "type|str|repr|isinstance|id|hash|int|float|round|abs|tuple|list|len|sum|lower|upper"
    "|strip|split|replace|removesuffix|numel|size"
)
_EQUALITIES = ast.Eq | ast.NotEq | ast.In | ast.NotIn
_ARITHMETIC = (
    *(ast.Constant, ast.Tuple, ast.List, ast.Set, ast.BinOp, ast.UnaryOp),
    *(ast.operator, ast.unaryop, ast.expr_context),
)
_MANY = 16  # a larger number of anything is no property of a generic layer


class _Rule(NamedTuple):
    code: str
    quantity: str  # how an expression names it
    tells: Callable[[Any], bool] | None  # by which constants; None: by any decision
    by_equality: bool = False  # and not by being larger or smaller


def _is_large(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) > _MANY


def _is_no_unit(value: Any) -> bool:
    return isinstance(value, int | float) and value not in (0, 1)


def _is_of_a_shape(value: Any) -> bool:
    return _is_large(value) or bool(isinstance(value, str) and re.search(r"\d", value))


def _attributes(names: str) -> str:
    return rf"\b{WORKLOAD}\.(?:{names})\b"


_BUDGET = _attributes(
    "step_hint|max_allowed_runtime_sec|eval_period_time_sec|eval_batch_size"
    "|validation_target_value|test_target_value"
)
# The first that holds counts.
_RULES = (
    _Rule(
        "E202",
        rf"\bworkload_name\b|\b(?:type|str|repr|id|hash)\({WORKLOAD}\)"
        rf"|\bisinstance\({WORKLOAD}, (?!(?:\w+\.)*Workload\))"
        rf"|{_attributes('__class__|__module__|__dict__|name')}",
        None,
    ),
    _Rule(
        "E203",
        _attributes(
            "num_train_examples|num_eval_train_examples|num_validation_examples"
            "|num_test_examples|train_mean|train_stddev"
        ),
        _is_large,
    ),
    _Rule("E203", _BUDGET, _is_no_unit, by_equality=True),
    _Rule("W201", _BUDGET, _is_no_unit),
    _Rule("W202", _attributes("target_metric_name"), lambda v: isinstance(v, str)),
    _Rule(
        "E204",
        r"\.(?:shape|shape_tuple|param_shapes|numel)\b|\.size\("
        r"|\bsum\(.*\.size\b|\blen\([^)]*param(?!\w*group)",
        _is_of_a_shape,
        by_equality=True,
    ),
)


def workload_names() -> re.Pattern[str]:
    """What the names of workloads look like, variants and the embedded ones included.

    >>> [bool(workload_names().fullmatch(n)) for n in ("WMT_post_ln", "resnet")]
    [True, False]
    """
    known = {w for path in BENCHMARKS.values() for w in load_benchmark(path).workloads}
    known |= {*ALGOPERF["workloads"]["unscored"].split()}
    names = sorted(known, key=len, reverse=True)
    return re.compile(rf"({'|'.join(map(re.escape, names))})(?:_\w+)?", re.IGNORECASE)


def check_workload(codes: list[Code]) -> Iterator[Finding]:
    """Looks for what depends on the workload, outside of batch sizes."""
    exempt, names = _for_batch_sizes(codes), workload_names()
    for code in codes:
        for statement in code.tree.body:
            if statement not in exempt:
                variables = _variables(statement)
                for node in ast.walk(statement):
                    yield from _check_names(code, node, names)
                    yield from _check_decision(code, node, variables)


def _check_names(
    code: Code, node: ast.AST, names: re.Pattern[str]
) -> Iterator[Finding]:
    """Names of workloads among the parts of an expression."""
    parts = [c for c in ast.iter_child_nodes(node) if isinstance(c, ast.Constant)]
    texts = [part.value for part in parts if isinstance(part.value, str)]
    if named := [repr(text) for text in texts if names.fullmatch(text)]:
        yield code.finding(node, "E201", ", ".join(named))


def _check_decision(
    code: Code, node: ast.AST, variables: dict[str, list[ast.expr]]
) -> Iterator[Finding]:
    """A comparison or look-up of a quantity that tells workloads apart."""
    subjects, others, equality = _decision(node)
    for subject in subjects:
        text = _spelled_out(subject, variables)
        against = [other for other in others if other is not subject]
        values = [value for other in against for value in _constants(code, other)]
        for rule in _RULES:
            tells = rule.tells is None or any(map(rule.tells, values))
            by_this = equality or not rule.by_equality
            if tells and by_this and re.search(rule.quantity, text):
                yield code.finding(node, rule.code, text_of(subject))
                return


def _decision(node: ast.AST) -> tuple[list[ast.expr], list[ast.expr], bool]:
    """(what is looked at, what it is held against, whether for equality)."""
    match node:
        case ast.Compare():
            operands = [node.left, *node.comparators]
            return operands, operands, isinstance(node.ops[0], _EQUALITIES)
        case ast.Subscript(ctx=ast.Load()):
            return [node.slice], [node.value], True
        case ast.Call(func=ast.Attribute(attr="get" | "pop", value=table)):
            return node.args[:1], [table], True
        case ast.Call(func=ast.Attribute(attr="startswith" | "endswith", value=text)):
            return [text], node.args[:1], True
        case ast.Call(func=ast.Name(id="isinstance")):
            return [node], [], True
        case ast.Match():
            patterns = [p for case in node.cases for p in ast.walk(case.pattern)]
            values = [p.value for p in patterns if isinstance(p, ast.MatchValue)]
            return [node.subject], values, True
    return [], [], False


def _variables(statement: ast.stmt) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(statement):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return found


def _spelled_out(node: ast.expr, variables: dict[str, list[ast.expr]]) -> str:
    """The source of an expression, and of what its variables stand for."""
    texts, seen, pending = [], set(), [node]
    while pending:
        part = pending.pop()
        if not _is_opaque(part):
            texts.append(text_of(part))
            names = {n.id for n in ast.walk(part) if isinstance(n, ast.Name)} - seen
            pending += [value for name in names for value in variables.get(name, ())]
            seen |= names
    return "\n".join(texts)


def _is_opaque(node: ast.expr) -> bool:
    """Whether an expression no longer tells what it was made of."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return not _KEEPS.fullmatch(name)
    return isinstance(node, ast.Call | ast.Constant)


def _constants(code: Code, node: ast.AST) -> list[Any]:
    """The constants that an expression (of a dictionary, its keys) is made of alone."""
    if isinstance(node, ast.Name):
        node = getattr(code.top_level.get(node.id), "value", None) or node
    if isinstance(node, ast.Dict):
        return [value for key in node.keys if key for value in _constants(code, key)]
    parts = list(ast.walk(node))
    if not all(isinstance(part, _ARITHMETIC) for part in parts):
        return []
    return [part.value for part in parts if isinstance(part, ast.Constant)]


def _for_batch_sizes(codes: list[Code]) -> set[ast.stmt]:
    """The function of the API, and what only it refers to, directly or not."""
    statements = {statement for code in codes for statement in code.tree.body}
    chosen = {s for s in statements if getattr(s, "name", "") in _BATCH_SIZE_FUNCTIONS}
    definitions = collections.defaultdict(set)
    for code in codes:
        for name, statement in code.top_level.items():
            definitions[name].add(statement)

    def used_by(users: set[ast.stmt]) -> set[ast.stmt]:
        found, pending = set(users), list(users)
        while pending:
            for node in ast.walk(pending.pop()):
                if isinstance(node, ast.Name) and node.id in definitions:
                    new = definitions[node.id] - found - chosen
                    found |= new
                    pending += new
        return found

    serving = used_by(chosen)
    return chosen | (serving - used_by(statements - serving))
