"""The five functions of the API: there, and callable as the harness calls them."""

import ast
import copy
import inspect
from collections.abc import Iterator

from unscheduled.check.findings import ALGOPERF, Finding
from unscheduled.check.sources import Code, Function, text_of

SIGNATURES = {name: p.split() for name, p in ALGOPERF["signatures"].items()}
_BY_KEYWORD = ("update_params", "prepare_for_eval")
_HYPERPARAMETERS = "hyperparameters"


def check_interface(codes: list[Code], ruleset: str) -> Iterator[Finding]:
    """Looks at the functions of the API; the first of the files is the submission."""
    submission = codes[0]
    for name, wanted in SIGNATURES.items():
        found = _find_function(codes, name)
        if found:
            yield from _check_signature(*found, name)
            if ruleset == "self-tuning":
                yield from _check_reads(*found, name)
        elif {name, "*"}.isdisjoint([*submission.top_level, *submission.imports]):
            code = "W102" if name == "prepare_for_eval" else "E102"
            yield submission.finding(submission.tree, code, name, ", ".join(wanted))


def _find_function(codes: list[Code], name: str) -> tuple[Code, Function] | None:
    """A function by its name in the submission: defined there, or imported."""
    submission, *others = codes
    imported = submission.imports.get(name, "")
    *_, module, original = ["", *imported.split(".")]  # its last names
    homes = [code for code in others if code.module.split(".")[-1] == module]
    for code, its_name in ((submission, name), *((c, original) for c in homes)):
        statement = code.top_level.get(its_name)
        if isinstance(statement, Function):
            return code, statement
    return None


def _check_signature(code: Code, function: Function, name: str) -> Iterator[Finding]:
    wanted, signature = SIGNATURES[name], _signature(function)
    # The bookkeeping is passed only where it is asked for.
    passed = [w for w in wanted if w != "train_state" or w in signature.parameters]
    parameters = (*function.args.posonlyargs, *function.args.args)
    positional = [parameter.arg for parameter in parameters][: len(wanted)]
    known = [name for name in positional if name in wanted]
    others = [name for name in positional if name not in wanted]
    api = ", ".join(wanted)
    try:
        if name in _BY_KEYWORD:
            signature.bind(**dict.fromkeys(passed))
            return
        signature.bind(*passed)
        if known != [w for w in wanted if w in known]:
            raise TypeError("its parameters are in another order")
    except TypeError as error:
        yield code.finding(function, "E103", name, error, api)
        return
    if others:
        yield code.finding(function, "W101", name, ", ".join(others), api)


def _signature(function: Function) -> inspect.Signature:
    """The signature: that of a function of ours with the same parameters."""
    arguments = copy.deepcopy(function.args)
    for node in ast.walk(arguments):
        if isinstance(node, ast.arg):
            node.annotation = None
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
    return inspect.signature(eval(f"lambda {ast.unparse(arguments)}: None"))


def _check_reads(code: Code, function: Function, name: str) -> Iterator[Finding]:
    reads, others = [], []
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == _HYPERPARAMETERS:
            above = code.parents[node]
            is_read = isinstance(above, ast.Attribute | ast.Subscript)
            (reads if is_read else others).append(above)
    if reads and not others and _HYPERPARAMETERS in _signature(function).parameters:
        yield code.finding(reads[0], "E507", name, text_of(reads[0]))
