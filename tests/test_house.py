"""The order of the house: imports lead downwards, and never in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up. A module may import those of its own room and of lower floors.
FLOORS = (
    ("unscheduled.benchmark",),
    ("unscheduled.spec",),
    ("unscheduled.ranges",),
    ("unscheduled.optim_numpy", "unscheduled.optim_torch", "unscheduled.optim_jax"),
    ("unscheduled.scoring", "unscheduled.entries", "workloads_ext"),
    ("submissions", "unscheduled.report", "unscheduled.runner"),
    ("unscheduled.submit", "unscheduled.check", "unscheduled.bundle"),
    ("unscheduled.commands",),
    ("unscheduled.__main__",),
    ("scripts",),
)
HOUSES = ("unscheduled", "submissions", "workloads_ext", "scripts")


def module_of(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


MODULES = {
    module_of(path): path
    for house in HOUSES
    for path in sorted((ROOT / house).rglob("*.py"))
}


def without_types(tree: ast.Module) -> ast.Module:
    """The tree without what is imported for its types alone."""
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return tree


def imports(module: str, types: bool = True) -> set[str]:
    """Our modules that a module imports, anywhere in it."""
    path, found = MODULES[module], set()
    tree = ast.parse(path.read_text())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree if types else without_types(tree)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = [*above, node.module] if node.level else [node.module]
            name = ".".join(part for part in origin if part)
            for alias in node.names:
                inner = f"{name}.{alias.name}"
                found.add(inner if inner in MODULES else name)
    return {name for name in found if name in MODULES and name != module}


def place(module: str) -> tuple[int, str] | None:
    """(floor, room) of a module; None for the package that has all the rooms."""
    for floor, rooms in enumerate(FLOORS):
        for room in rooms:
            if f"{module}.".startswith(f"{room}."):
                return floor, room
    assert module == "unscheduled", f"{module} has no floor: give it one in FLOORS."
    return None


@pytest.mark.parametrize("module", [m for m in MODULES if m != "unscheduled"])
def test_imports_lead_downwards(module):
    """A room that can't be understood, tested or taken away without those above it."""
    here = place(module)
    assert here is not None
    for name in imports(module):
        there = place(name)
        assert there is not None, f"{module} imports {name}"
        assert there[1] == here[1] or there[0] < here[0], f"{module} imports {name}"


def test_no_circle():
    """Modules that can only be imported in the right order, or in a function."""
    graph = {module: imports(module, types=False) for module in MODULES}
    order = [*graphlib.TopologicalSorter(graph).static_order()]  # or raises
    assert order.index("unscheduled.benchmark.errors") < order.index(
        "unscheduled.runner.loop"
    )
