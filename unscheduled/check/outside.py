"""Rules on other people's code: what is used of it, and what is changed in it.

A submission is what the harness hands it, and itself. The names are in `rules.toml`.
"""

import ast
import re
from collections.abc import Iterator

from unscheduled.check.findings import RULES, Finding
from unscheduled.check.sources import Code, text_of

WORKLOAD = r"(?:\w+\.)*_?workload"  # how an expression names it
_FRAMEWORKS = {"torch", "jax", "jaxlib", "optax", "flax", "chex", "numpy", "algoperf"}
_ITS_PARTS = re.compile(rf"(?:type\(|vars\()?{WORKLOAD}\)?(?:\.__class__|\.__dict__)?")
_MODEL = re.compile(r"(?:model|current_param_container|model_params|module)\b")
_CALLED = ("forward", "__call__", "__class__")  # what a model runs
# How functions that change something begin.
_CHANGES = re.compile("set|enable|update|flags|prefer|put|unset|pop|clear")
# What torchrun says about devices, which submissions may know.
_LAUNCHER = {
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
}


def _codes_by_name(key: str) -> dict[str, str]:
    return {n: code for code in RULES for n in RULES[code].get(key, "").split()}


_USED, _SET = _codes_by_name("names"), _codes_by_name("set")


def code_of(name: str, is_set: bool = False) -> str | None:
    """The code of the rule on a dotted name, that of "shutil" for "shutil.rmtree"."""
    parts = name.split(".")
    for table in (_SET, _USED) if is_set else (_USED,):
        for length in range(len(parts), 0, -1):
            if code := table.get(".".join(parts[:length])):
                return code
    return None


def check_outside(codes: list[Code]) -> Iterator[Finding]:
    """Looks for what a submission takes from elsewhere, changes or leaves there."""
    own = {code.module for code in codes}
    brings_files = any(name == "__file__" for code in codes for _, name in code.uses())
    for code in codes:
        yield from _check_names(code, brings_files)
        yield from _check_packages(code)
        for node in ast.walk(code.tree):
            yield from _check_changes(code, node, own)


def _check_names(code: Code, brings_files: bool) -> Iterator[Finding]:
    for node, name in code.uses():
        above = code.parents.get(node)
        rule = code_of(name, _is_set(node, above, name))
        if isinstance(node, ast.Attribute):
            rule = rule or code_of(f".{node.attr}")
        if rule == "E303" and _opens_to_write(name, above):
            rule = "E304"
        elif rule == "E303" and brings_files:
            rule = "W301"
        if rule and not (rule == "E302" and _is_about_devices(above)):
            yield code.finding(node, rule, name.lstrip("."))


def _is_set(node: ast.AST, above: ast.AST | None, name: str) -> bool:
    """Whether a setting is written: assigned to, or by a function that sets."""
    changed = above if isinstance(above, ast.Subscript) else node
    called = isinstance(above, ast.Call) and above.func is node
    return isinstance(getattr(changed, "ctx", None), ast.Store | ast.Del) or (
        called and bool(_CHANGES.match(name.rpartition(".")[2]))
    )


def _opens_to_write(name: str, call: ast.AST | None) -> bool:
    if not name.endswith("open") or not isinstance(call, ast.Call):
        return False
    modes = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")]
    said = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
    return any(set("wax+") & set(str(mode)) for mode in said)


def _is_about_devices(above: ast.AST | None) -> bool:
    nodes = ast.walk(above) if above else ()
    return any(isinstance(n, ast.Constant) and n.value in _LAUNCHER for n in nodes)


def _check_packages(code: Code) -> Iterator[Finding]:
    """Private names of a framework, once a file, and the harness's old package."""
    private: dict[str, dict[str, ast.AST]] = {}
    for node, name in code.uses():
        top, *parts = name.split(".")
        if top in _FRAMEWORKS and any(map(_is_private, parts)):
            private.setdefault(top, {}).setdefault(name, node)
    for framework, nodes in private.items():
        first = min(nodes.values(), key=lambda node: getattr(node, "lineno", 1))
        yield code.finding(first, "W401", framework, ", ".join(sorted(nodes)))
    for node in ast.walk(code.tree):
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if is_import and re.search(r"\balgorithmic_efficiency\b", text_of(node)):
            yield code.finding(node, "W103")


def _is_private(name: str) -> bool:
    """Whether a name is private; torch documents its foreach operations."""
    return name.startswith("_") and not name.startswith(("__", "_foreach_"))


def _check_changes(code: Code, node: ast.AST, own: set[str]) -> Iterator[Finding]:
    """What is assigned to, and the insides of the workload."""
    match node:
        case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[target, name, *_]):
            attribute = name.value if isinstance(name, ast.Constant) else text_of(name)
        case ast.Attribute(ctx=ast.Store() | ast.Del(), value=target, attr=attribute):
            pass
        case ast.Subscript(ctx=ast.Store() | ast.Del(), value=target, slice=index):
            attribute = text_of(index)  # of vars(workload), say
        case ast.Attribute(attr=attribute, value=target):
            is_told = code_of(f".{attribute}") or not _is_private(attribute)
            if not is_told and re.fullmatch(WORKLOAD, text_of(target)):
                yield code.finding(node, "W403", attribute)
            return
        case _:
            return
    text = text_of(target)
    if _ITS_PARTS.fullmatch(text):
        yield code.finding(node, "E403", attribute, "workload")
    elif attribute in _CALLED and _MODEL.match(text):
        yield code.finding(node, "E403", attribute, "model")
    elif _is_foreign(code, target, own):
        name = f"{code.dotted(target)}.{attribute}"
        if not code_of(name, is_set=True):  # a finding of `_check_names`
            yield code.finding(node, "E404", name)


def _is_foreign(code: Code, target: ast.expr, own: set[str]) -> bool:
    while isinstance(target, ast.Attribute):
        target = target.value
    origin = code.imports.get(target.id, "") if isinstance(target, ast.Name) else ""
    is_own = origin in own or origin.rpartition(".")[0] in own
    return bool(origin) and not is_own and not origin.startswith((".", "submissions"))
