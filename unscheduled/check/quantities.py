"""What an expression tells about the workload, followed through simple assignments."""

import ast

from unscheduled.check.code import Code, Function, text_of

IDENTITY = "identity"  # the class or the name
DATA_SIZE = "data size"
BUDGET = "budget"  # step hint, seconds, targets
METRIC = "metric"
SHAPE = "shape"  # of a parameter or a batch, or the number of parameters

# Attributes of the workload.
_ATTRIBUTES = {
    IDENTITY: "__class__ __module__ name __dict__",
    DATA_SIZE: """
        num_train_examples num_eval_train_examples num_validation_examples
        num_test_examples train_mean train_stddev
    """,
    BUDGET: """
        step_hint max_allowed_runtime_sec eval_period_time_sec eval_batch_size
        validation_target_value test_target_value
    """,
    METRIC: "target_metric_name",
    SHAPE: "param_shapes",
}
_KINDS = {name: kind for kind, names in _ATTRIBUTES.items() for name in names.split()}
_DESCRIBES = ("type", "str", "repr", "isinstance", "id", "hash")
_KEEPS = ("int", "float", "round", "abs", "str", "repr", "tuple", "list", "hash")
_TEXT_METHODS = ("lower", "upper", "strip", "split", "replace", "removesuffix")


class Flow:
    """The kinds of quantities in one file."""

    def __init__(self, code: Code):
        self._code = code
        self._known: dict[ast.AST, dict[str, str]] = {}

    def kind(self, node: ast.AST) -> str | None:
        """What an expression is, as a quantity of the workload; None for others."""
        return self._kind(node, self._variables(self._scope(node)))

    def _kind(self, node: ast.AST, variables: dict[str, str]) -> str | None:
        if isinstance(node, ast.Name):
            return IDENTITY if node.id == "workload_name" else variables.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._kind_of_attribute(node, variables)
        if isinstance(node, ast.Subscript):
            return self._kind(node.value, variables)
        if isinstance(node, ast.Call):
            return self._kind_of_call(node, variables)
        if isinstance(node, ast.BinOp):  # with a constant: no less telling
            if self._code.constant(node.right) is not None:
                return self._kind(node.left, variables)
            if self._code.constant(node.left) is not None:
                return self._kind(node.right, variables)
        return None

    def _kind_of_attribute(
        self, node: ast.Attribute, variables: dict[str, str]
    ) -> str | None:
        if is_workload(node.value):
            return _KINDS.get(node.attr)
        if node.attr in ("shape", "shape_tuple"):
            return SHAPE
        inner = self._kind(node.value, variables)
        return inner if inner == IDENTITY else None  # type(workload).__name__

    def _kind_of_call(self, node: ast.Call, variables: dict[str, str]) -> str | None:
        function = node.func
        first = node.args[0] if node.args else None
        if isinstance(function, ast.Attribute):
            if function.attr in ("numel", "size"):
                return SHAPE
            if function.attr in _TEXT_METHODS:
                return self._kind(function.value, variables)
            return None
        if not isinstance(function, ast.Name) or first is None:
            return None
        if function.id in _DESCRIBES and is_workload(first):
            return None if _is_any_workload(node.args[-1]) else IDENTITY
        if function.id in _KEEPS:
            return self._kind(first, variables)
        if function.id == "len":
            return SHAPE if self._counts_parameters(first, variables) else None
        if function.id == "sum" and isinstance(first, ast.GeneratorExp | ast.ListComp):
            return SHAPE if _is_size(first.elt) else None
        return None

    def _counts_parameters(self, node: ast.AST, variables: dict[str, str]) -> bool:
        """Whether `len` of this is how many parameters a model has.

        That of a shape is a number of dimensions, and generic.
        """
        text = text_of(node)
        if "param_shapes" in text:
            return True
        is_shape = "shape" in text or self._kind(node, variables) == SHAPE
        return "param" in text and "group" not in text and not is_shape

    def _scope(self, node: ast.AST) -> ast.AST:
        """The outermost function that a node is in, or the module."""
        scope: ast.AST = self._code.tree
        while node in self._code.parents:
            if isinstance(node, Function):
                scope = node
            node = self._code.parents[node]
        return scope

    def _variables(self, scope: ast.AST) -> dict[str, str]:
        """The kinds of the variables that are assigned in a scope, by name."""
        if scope in self._known:
            return self._known[scope]
        kinds = self._known[scope] = {}
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
                targets = [node.target]
            else:
                continue
            kind = self._kind(node.value, kinds) if node.value else None
            for target in targets:
                if isinstance(target, ast.Name) and kind:
                    kinds[target.id] = kind
        return kinds


def is_workload(node: ast.AST) -> bool:
    """Whether an expression is a workload, by its name.

    Example:
      >>> is_workload(ast.parse("self._workload", mode="eval").body)
      True
    """
    if isinstance(node, ast.Attribute):
        return node.attr in ("workload", "_workload")
    return isinstance(node, ast.Name) and node.id in ("workload", "_workload")


def _is_size(node: ast.AST) -> bool:
    """Whether an expression is the number of elements of an array."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "numel"
    return isinstance(node, ast.Attribute) and node.attr == "size"


def _is_any_workload(node: ast.AST) -> bool:
    """Whether a class is the base of all workloads."""
    return text_of(node).rpartition(".")[2] == "Workload"
