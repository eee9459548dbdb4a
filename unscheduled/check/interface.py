"""The five functions of the API: there, and callable as the harness calls them.

In self-tuning it passes None for the hyperparameters.
"""

import ast
from collections.abc import Iterator

from unscheduled.check.code import Code, Function, text_of
from unscheduled.check.findings import Finding

SIGNATURES = {
    name: tuple(parameters.split())
    for name, parameters in {
        "get_batch_size": "workload_name",
        "init_optimizer_state": """
            workload model_params model_state hyperparameters rng
        """,
        "update_params": """
            workload current_param_container current_params_types model_state
            hyperparameters batch loss_type optimizer_state eval_results global_step
            rng train_state
        """,
        "prepare_for_eval": """
            workload current_param_container current_params_types model_state
            hyperparameters loss_type optimizer_state eval_results global_step rng
        """,
        "data_selection": """
            workload input_queue optimizer_state current_param_container model_state
            hyperparameters global_step rng
        """,
    }.items()
}
_BY_KEYWORD = ("update_params", "prepare_for_eval")
_HYPERPARAMETERS = "hyperparameters"  # None in self-tuning
_OPTIONAL = {"train_state"}  # passed only where it is asked for


def check_interface(codes: list[Code]) -> Iterator[Finding]:
    """Looks at the functions of the API.

    Args:
      codes: all files; the submission first.
    """
    submission = codes[0]
    for name in SIGNATURES:
        found = find_function(codes, submission, name)
        if found is None:
            if not _is_bound(submission, name):
                yield _missing(submission, name)
        else:
            code, function = found
            yield from _check_signature(code, function, name)
            if name == "get_batch_size":
                yield from _check_unknown_names(codes, code, function)
    for code in codes:
        yield from _check_old_package(code)


def find_function(
    codes: list[Code], code: Code, name: str
) -> tuple[Code, Function] | None:
    """A function by the name it has in a module: defined there, or imported."""
    seen: set[tuple[Code, str]] = set()
    while (code, name) not in seen:
        seen.add((code, name))
        statement = code.top_level.get(name)
        if isinstance(statement, Function):
            return code, statement
        module, _, original = code.imports.get(name, "").rpartition(".")
        tail = module.lstrip(".")
        homes = [c for c in codes if c is not code and _same(c.module, tail)]
        if not (original and tail and homes):
            return None
        code, name = homes[0], original
    return None


def _same(module: str, imported: str) -> bool:
    """Whether a module may be the one that an import names from further in or out."""
    return f".{module}".endswith(f".{imported}") or f".{imported}".endswith(
        f".{module}"
    )


def _is_bound(code: Code, name: str) -> bool:
    """Whether a name means anything in a module, even where we can't see what."""
    return name in code.top_level or name in code.imports or "*" in code.imports


def _missing(code: Code, name: str) -> Finding:
    if name == "prepare_for_eval":
        message = (
            "prepare_for_eval is missing; the harness does without, but the API has "
            "five functions: define it, returning its arguments if need be."
        )
        return code.finding(code.tree, "W102", message)
    message = f"{name} is missing: define it with ({', '.join(SIGNATURES[name])})."
    return code.finding(code.tree, "E102", message)


def _check_signature(code: Code, function: Function, name: str) -> Iterator[Finding]:
    arguments = function.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    wanted = SIGNATURES[name]
    if name in _BY_KEYWORD:
        fault = _keyword_fault(arguments, positional, wanted)
    else:
        fault = _positional_fault(arguments, positional, wanted)
    if fault:
        message = f"{name} {fault}; the API has ({', '.join(wanted)})."
        yield code.finding(function, "E103", message)
    elif name not in _BY_KEYWORD and tuple(positional[: len(wanted)]) != wanted:
        others = ", ".join(repr(a) for a in positional if a not in wanted)
        if others:
            message = (
                f"{name} has the parameter {others} where the API has another name: "
                f"use ({', '.join(wanted)})."
            )
            yield code.finding(function, "W101", message)


def _keyword_fault(
    arguments: ast.arguments, positional: list[str], wanted: tuple[str, ...]
) -> str | None:
    """Why a call by keywords fails, or None."""
    keyword_only = [a.arg for a in arguments.kwonlyargs]
    names = {*positional, *keyword_only}
    lacking = [w for w in wanted if w not in names and w not in _OPTIONAL]
    if lacking and arguments.kwarg is None:
        return f"lacks {', '.join(lacking)}"
    first_default = len(positional) - len(arguments.defaults)
    required = positional[:first_default] + [
        name
        for name, default in zip(keyword_only, arguments.kw_defaults, strict=True)
        if default is None
    ]
    extra = [name for name in required if name not in wanted]
    return f"asks for {', '.join(extra)}, which nobody passes" if extra else None


def _positional_fault(
    arguments: ast.arguments, positional: list[str], wanted: tuple[str, ...]
) -> str | None:
    """Why a call by position fails or mixes up its arguments, or None."""
    if arguments.vararg is None and len(positional) < len(wanted):
        return f"takes {len(positional)} arguments and is passed {len(wanted)}"
    if len(positional) - len(arguments.defaults) > len(wanted):
        return f"asks for more arguments than the {len(wanted)} it is passed"
    known = [p for p in positional[: len(wanted)] if p in wanted]
    if known != [w for w in wanted if w in known]:
        return "has its parameters in another order"
    return None


def _check_unknown_names(
    codes: list[Code], code: Code, function: Function
) -> Iterator[Finding]:
    """The harness asks again with the base workload's name, on ValueError only."""
    reached, pending = {function}, [(code, function)]
    while pending:
        where, body = pending.pop()
        nodes = list(ast.walk(body))
        if any(isinstance(n, ast.Raise) and _raises_value_error(n) for n in nodes):
            return
        for name in {node.id for node in nodes if isinstance(node, ast.Name)}:
            found = find_function(codes, where, name)
            if found and found[1] not in reached:
                reached.add(found[1])
                pending.append(found)
    if not isinstance(function.body[-1], ast.Return) or _looks_up(function.body[-1]):
        message = (
            "get_batch_size must raise ValueError for a name it does not know: the "
            "harness then asks for the base workload, and only then."
        )
        yield code.finding(function, "E104", message)


def _raises_value_error(node: ast.Raise) -> bool:
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return isinstance(raised, ast.Name) and raised.id == "ValueError"


def _looks_up(node: ast.Return) -> bool:
    """Whether a returned value comes out of a table that may lack the name."""
    return any(isinstance(part, ast.Subscript) for part in ast.walk(node))


def _check_old_package(code: Code) -> Iterator[Finding]:
    for node in ast.walk(code.tree):
        modules = [getattr(node, "module", None) or ""]
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if any(m.split(".")[0] == "algorithmic_efficiency" for m in modules):
            message = (
                "algorithmic_efficiency is the harness's package up to version 0.5: "
                "import from algoperf."
            )
            yield code.finding(node, "W103", message)
            return


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
        if _HYPERPARAMETERS not in {a.arg for a in function.args.args}:
            continue
        if any(map(_handles, ast.walk(function))):
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


def _handles(node: ast.AST) -> bool:
    """Whether a node sets the name anew, or asks what it is."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return _is_it(node)
    if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        return any(_is_it(child) for child in ast.iter_child_nodes(node))
    if isinstance(node, ast.If | ast.IfExp):
        return _is_it(node.test)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        return node.func.id in ("hasattr", "getattr") and _is_it(node.args[0])
    return False


def _is_it(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == _HYPERPARAMETERS
