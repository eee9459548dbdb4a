"""The files of a submission, parsed: its own, and what it uses of the library."""

import ast
import functools
import re
import warnings
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand, parse_python, read_text
from unscheduled.check.findings import Finding, finding

LIBRARY = "unscheduled"
PROJECT = Path(__file__).resolve().parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Module = tuple[str, Path | None]  # a dotted name, and the file where there is one


class SourceError(UserError):
    """A file of a submission that is not Python, or can't be read."""

    def __init__(self, path: Path, line: int, problem: str):
        super().__init__(f"{path}:{line}: {problem}.")
        self.path, self.line, self.problem = path, line, problem


class Code:
    """One parsed file, by its module's dotted name; or a `SourceError`."""

    def __init__(self, module: str, path: Path):
        self.module, self.path = module, path
        try:
            self.text = re.sub("\r\n?", "\n", read_text(path))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about code of others
                self.tree = parse_python(self.text, path)
                compile(self.tree, str(path), "exec", dont_inherit=True)
        except Exception as error:  # the compiler raises more than SyntaxError
            cause = error.__cause__ or error
            line, problem = 1, str(error).removeprefix(f"{path} ").removesuffix(".")
            if isinstance(cause, SyntaxError):
                line, problem = cause.lineno or 1, f"not Python: {cause.msg}"
            raise SourceError(path, line, problem) from error

    @property
    def package(self) -> list[str]:
        """The package that imports are relative to, outermost name first."""
        parts = self.module.split(".")
        return parts if self.path.name == "__init__.py" else parts[:-1]

    def finding(self, node: ast.AST, code: str, *facts: object) -> Finding:
        return finding(self.path, getattr(node, "lineno", 1), code, *facts)

    @functools.cached_property
    def imports(self) -> dict[str, str]:
        """What imported names stand for, as dotted names."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{base}.{alias.name}"
        return found

    @functools.cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node above each node."""
        return {
            child: node
            for node in ast.walk(self.tree)
            for child in ast.iter_child_nodes(node)
        }

    @functools.cached_property
    def top_level(self) -> dict[str, ast.stmt]:
        """What the module defines: functions, classes and assigned names."""
        return dict(_definitions(self.tree.body))

    @functools.cached_property
    def _bound(self) -> set[str]:
        """Names that the file gives a meaning of its own."""
        nodes = [*ast.walk(self.tree)]
        parameters = {node.arg for node in nodes if isinstance(node, ast.arg)}
        return {*self.top_level, *parameters, *_stored(nodes)}

    def dotted(self, node: ast.AST) -> str:
        """`torch.nn.functional` for `F` after such an import; a builtin's own name."""
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return base and f"{base}.{node.attr}"
        if isinstance(node, ast.Name):
            own = "" if node.id in self._bound else node.id
            return self.imports.get(node.id, own)
        return ""

    def uses(self) -> Iterator[tuple[ast.AST, str]]:
        """(node, dotted name) of what is used; `.attribute` of what has no name."""
        for node in ast.walk(self.tree):
            if isinstance(self.parents.get(node), ast.Attribute):
                continue  # a part of a chain
            if isinstance(node, ast.Attribute):
                yield node, self.dotted(node) or f".{node.attr}"
            elif isinstance(node, ast.Name) and self.dotted(node):
                yield node, self.dotted(node)


def submission_file(given: str) -> Path:
    """The Python file of a submission, named by itself or by its folder."""
    path = expand(given)
    file = path / "submission.py" if path.is_dir() else path
    if file.suffix != ".py" or not file.is_file():
        raise UserError(
            "SUBMISSION must be a folder with a submission.py, or such a file, "
            f"got {given!r}."
        )
    return file


def sources(submission: Path, without: Collection[str] = ()) -> dict[str, Code]:
    """The submission and all modules that it imports, by name; nothing is run.

    Imports of the library and of the submission's own folder are followed, except for
    modules in `without`. A package's `__init__.py` counts if something is imported from
    it, not if it only leads to a module.
    """
    own = submission.resolve().parent
    found: dict[str, Code] = {}
    pending = deque[Module]([(submission.stem, submission.resolve())])
    while pending:
        name, path = pending.popleft()
        if path is None or name in found or name in without:
            continue
        if own in path.parents and (problem := leads_out(path, own)):
            raise SourceError(path, 1, problem)
        found[name] = Code(name, path)
        for module, attribute in _imports(found[name]):
            inner = _locate(f"{module}.{attribute}".strip("."), own)
            pending.append(inner if inner[1] else _locate(module, own))
    return found


def leads_out(path: Path, folder: Path) -> str | None:
    """What is wrong with a path in a folder that is a link to something outside."""
    is_own = path.exists() and path.resolve().is_relative_to(folder.resolve())
    if is_own or not path.is_symlink():
        return None
    return "is a link out of the submission's folder"


def read_own(path: Path) -> str:
    """The text of a file in a submission's folder, no link to elsewhere."""
    if problem := leads_out(path, path.parent):
        raise UserError(f"{path} {problem}.")
    return read_text(path)


def is_library(name: str) -> bool:
    return name.split(".")[0] == LIBRARY


def origin(node: ast.ImportFrom, package: list[str]) -> str:
    """The module that a `from ... import` in a package names, made absolute."""
    above = package[: len(package) + 1 - node.level] if node.level else []
    return ".".join([*above, *filter(None, [node.module])])


def text_of(node: ast.AST) -> str:
    """The source of an expression; its kind, where Python can't write it out."""
    try:
        return ast.unparse(node)
    except ValueError:  # integers of thousands of digits; some f-strings
        return type(node).__name__


def _locate(name: str, own: Path) -> Module:
    """A module's name in the submission's folder or the library, and its file.

    Officially that folder may also be called `submissions.<ruleset>.<algorithm>`.
    """
    parts = name.split(".")
    root = PROJECT if is_library(name) else own
    starts = len(parts) if parts[0].startswith("submissions") else 1
    for start in range(starts) if name else ():
        path = root.joinpath(*parts[start:])
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if file.is_file():
                return ".".join(parts[start:]), file
    return name, None


def _definitions(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for statement in body:
        if isinstance(statement, Function | ast.ClassDef):
            yield statement.name, statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for name in _stored(ast.walk(statement)):
                yield name, statement
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _definitions(statement.body)


def _stored(nodes: Iterable[ast.AST]) -> list[str]:
    names = (node for node in nodes if isinstance(node, ast.Name))
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _imports(code: Code) -> list[tuple[str, str]]:
    """(module, name taken from it or "") of each import, made absolute."""
    found = []
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(origin(node, code.package), alias.name) for alias in node.names]
    return found
