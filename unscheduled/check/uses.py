"""Rules on what is used of other code: files, network, environment, settings, kernels.

A submission is what the harness hands it, and itself.
"""

import ast
from collections.abc import Iterator

from unscheduled.check.code import Code
from unscheduled.check.findings import Finding
from unscheduled.check.forbidden import MESSAGES, METHODS, code_of

_BROUGHT = (
    "{} reads a file, one that the submission brings along by its use of __file__: "
    "allowed for a learned update rule, never for model parameters or settings of "
    "single workloads."
)
_WRITES_VARIABLE = (
    "writes environment variables, which belong to the benchmark: leave them."
)
_READS_VARIABLE = (
    "reads an environment variable, a setting from outside: make it a constant or, in "
    "external tuning, a hyperparameter."
)
_ENVIRONMENT = ("os.environ", "os.getenv", "os.environb", "os.putenv", "os.unsetenv")
_CHANGES = ("update", "setdefault", "pop", "clear", "popitem", "__setitem__")
# What torchrun says about devices, which submissions may know.
_LAUNCHER = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)
_SETTERS = ("set_", "enable_", "update", "flags", "prefer")


def check_uses(codes: list[Code]) -> Iterator[Finding]:
    """Looks for what a submission takes from elsewhere, changes or leaves there."""
    brings_files = any(
        isinstance(node, ast.Name) and node.id == "__file__"
        for code in codes
        for node in ast.walk(code.tree)
    )
    for code in codes:
        for node, name, rule in _forbidden(code):
            message = MESSAGES[rule]
            if rule == "E303" and brings_files:
                rule, message = "W301", _BROUGHT
            yield code.finding(node, rule, message.format(name))
        for node, name in code.uses():
            if starts_with(name, _ENVIRONMENT):
                yield from _check_environment(code, node, name)


def starts_with(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of `prefixes`, or inside one of them.

    Example:
      >>> starts_with("os.path.join", ("os.path",)), starts_with("osx", ("os",))
      (True, False)
    """
    return any(name == p or name.startswith(f"{p}.") for p in prefixes)


def _forbidden(code: Code) -> Iterator[tuple[ast.AST, str, str]]:
    """(node, what it uses, code of the rule) of each use that a rule is about."""
    for node, name in code.uses():
        if name in ("open", "pathlib.Path.open"):
            writes = _open_mode(code.parents.get(node)) & set("wax+")
            yield node, "open()", "E304" if writes else "E303"
        elif (rule := code_of(name)) and (rule != "E402" or _sets(code, node, name)):
            yield node, name, rule
    for node in ast.walk(code.tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in METHODS:
            yield node, f"{called.attr}()", METHODS[called.attr]


def _open_mode(call: ast.AST | None) -> set[str]:
    """The letters of the mode that `open` is called with."""
    if not isinstance(call, ast.Call):
        return set("r")
    modes = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")]
    constants = [m.value for m in modes if isinstance(m, ast.Constant)]
    return set(str(constants[0])) if constants else set("r")


def _sets(code: Code, node: ast.AST, name: str) -> bool:
    """Whether a setting is written: assigned to, or by a function that sets."""
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return True
    above = code.parents.get(node)
    called = isinstance(above, ast.Call) and above.func is node
    return called and name.rpartition(".")[2].startswith(_SETTERS)


def _check_environment(code: Code, node: ast.AST, name: str) -> Iterator[Finding]:
    above = code.parents.get(node)
    if _changes_environment(node, name, above):
        yield code.finding(node, "E301", _WRITES_VARIABLE)
    elif _variable(above) not in _LAUNCHER:
        yield code.finding(node, "E302", _READS_VARIABLE)


def _changes_environment(node: ast.AST, name: str, above: ast.AST | None) -> bool:
    if name in ("os.putenv", "os.unsetenv") or name.rpartition(".")[2] in _CHANGES:
        return True
    if isinstance(above, ast.Subscript):
        return isinstance(above.ctx, ast.Store | ast.Del)
    return isinstance(getattr(node, "ctx", None), ast.Store)


def _variable(above: ast.AST | None) -> object:
    """The name of the variable that is read, where it is written out."""
    named: ast.AST | None = None
    if isinstance(above, ast.Subscript):
        named = above.slice
    elif isinstance(above, ast.Call):
        named = above.args[0] if above.args else None
    elif isinstance(above, ast.Compare):
        named = above.left
    return named.value if isinstance(named, ast.Constant) else None
