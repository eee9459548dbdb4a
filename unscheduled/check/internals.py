"""Rules on the insides of others: the workload, the model, the frameworks."""

import ast
from collections.abc import Iterator

from unscheduled.check.code import Code, text_of
from unscheduled.check.findings import Finding
from unscheduled.check.forbidden import code_of
from unscheduled.check.quantities import is_workload
from unscheduled.check.uses import starts_with

FRAMEWORKS = ("torch", "jax", "jaxlib", "optax", "flax", "chex", "numpy", "algoperf")
_HOOKS = (
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
)
_MODELS = ("model", "current_param_container", "model_params", "module")


def check_internals(codes: list[Code]) -> Iterator[Finding]:
    """Looks for what changes, or leans on, the insides of other code."""
    own = {code.module for code in codes}
    for code in codes:
        yield from _check_private(code)
        for node in ast.walk(code.tree):
            for target, attribute in _assigned(node):
                yield from _check_assignment(code, node, target, attribute, own)
            if isinstance(node, ast.Attribute):
                yield from _check_attribute(code, node)


def _check_private(code: Code) -> Iterator[Finding]:
    """One finding for all private names of a framework that a file uses."""
    found: dict[str, dict[str, ast.AST]] = {}
    for node, name in code.uses():
        parts = name.split(".")
        if parts[0] in FRAMEWORKS and any(_is_private(part) for part in parts):
            found.setdefault(parts[0], {}).setdefault(name, node)
    for framework, nodes in found.items():
        first = min(nodes.values(), key=lambda node: node.__dict__["lineno"])
        message = (
            f"private names of {framework}, where the rules speak of public APIs: "
            f"{', '.join(sorted(nodes))}; be ready to say what they are needed for."
        )
        yield code.finding(first, "W401", message)


def _is_private(name: str) -> bool:
    """Whether a name is private; torch documents its foreach operations."""
    return name.startswith("_") and not name.startswith(("__", "_foreach_"))


def _assigned(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """(object, attribute) of what a statement assigns to or deletes."""
    targets: list[ast.AST] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = list(node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    elif _is_setattr(node):
        owner, name, *_ = node.__dict__["args"]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield owner, name.value
        else:
            yield owner, text_of(name)
    for target in targets:
        for part in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(part, ast.Attribute):
                yield part.value, part.attr
            elif isinstance(part, ast.Subscript):  # vars(workload)["x"] = ...
                yield part.value, text_of(part.slice)


def _is_setattr(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or len(node.args) < 2:
        return False
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    return name in ("setattr", "delattr")


def _check_assignment(
    code: Code, node: ast.AST, target: ast.AST, attribute: str, own: set[str]
) -> Iterator[Finding]:
    name = code.dotted(target)
    if _is_of_workload(target):
        message = (
            f"sets {attribute} of the workload, which is fixed: evaluation would run "
            "submitted code; keep state in the optimizer state."
        )
        yield code.finding(node, "E403", message)
    elif attribute in ("forward", "__call__", "__class__") and _is_model(target):
        message = (
            f"sets {attribute} of the model, which would run submitted code in "
            "evaluations: the model is fixed."
        )
        yield code.finding(node, "E405", message)
    elif _is_foreign(code, target, name, own) and not _is_told(name):
        message = (
            f"sets {name}.{attribute}, code of others: call it, or write your own."
        )
        yield code.finding(node, "E404", message)


def _is_of_workload(node: ast.AST) -> bool:
    """Whether an expression is a workload, its class or its dictionary."""
    if isinstance(node, ast.Attribute) and node.attr in ("__class__", "__dict__"):
        return _is_of_workload(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        return node.func.id in ("type", "vars") and is_workload(node.args[0])
    return is_workload(node)


def _is_model(node: ast.AST) -> bool:
    """Whether an expression is a model, or a part of one, by its name."""
    text = text_of(node)
    return any(
        text == name or text.startswith((f"{name}.", f"{name}[")) for name in _MODELS
    )


def _is_foreign(code: Code, target: ast.AST, name: str, own: set[str]) -> bool:
    """Whether an object was imported from someone else.

    Args:
      own: the modules of the submission.
    """
    while isinstance(target, ast.Attribute):
        target = target.value
    imported = isinstance(target, ast.Name) and target.id in code.imports
    from_folder = name.startswith((".", "submissions"))
    return imported and not from_folder and not starts_with(name, tuple(own))


def _is_told(name: str) -> bool:
    """Whether other rules are about assignments to this."""
    return code_of(name) == "E402" or starts_with(name, ("os.environ", "sys"))


def _check_attribute(code: Code, node: ast.Attribute) -> Iterator[Finding]:
    if node.attr in _HOOKS:
        message = (
            f"{node.attr} adds code that runs in evaluations too, which is forbidden: "
            "remove the hook before prepare_for_eval returns."
        )
        yield code.finding(node, "W402", message)
    elif is_workload(node.value) and isinstance(node.ctx, ast.Load):
        if node.attr == "_build_input_queue":
            message = (
                "_build_input_queue is the one function of the workload that "
                "submissions may not call: take batches from the input queue."
            )
            yield code.finding(node, "E406", message)
        elif node.attr.startswith("_") and not node.attr.startswith("__"):
            message = (
                f"{node.attr} is private to the workload: submissions may call its "
                "public functions."
            )
            yield code.finding(node, "W403", message)
