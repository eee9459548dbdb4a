"""Rules on the world outside: a submission is what the harness hands it, and itself."""

import ast
from collections.abc import Iterator

from unscheduled.check.code import Code
from unscheduled.check.findings import Finding

# What torchrun says about devices, which submissions may know.
_LAUNCHER = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)
_ENVIRONMENT = ("os.environ", "os.getenv", "os.environb", "os.putenv", "os.unsetenv")
_CHANGES = ("update", "setdefault", "pop", "clear", "popitem", "__setitem__")
_COMMAND_LINE = ("sys.argv", "argparse", "absl.flags", "click", "fire")
_READS = (
    "io.open",
    "numpy.load",
    "numpy.loadtxt",
    "numpy.genfromtxt",
    "numpy.fromfile",
    "numpy.memmap",
    "jax.numpy.load",
    "torch.load",
    "torch.jit.load",
    "torch.from_file",
    "safetensors",
    "h5py.File",
    "pandas.read_csv",
    "pandas.read_json",
    "pandas.read_parquet",
    "pandas.read_pickle",
    "joblib.load",
    "flax.training.checkpoints.restore_checkpoint",
    "importlib.resources",
    "pkgutil.get_data",
    "os.listdir",
    "os.scandir",
    "os.walk",
    "glob",
    "linecache",
    "mmap",
)
_WRITES = (
    "numpy.save",
    "numpy.savez",
    "numpy.savez_compressed",
    "numpy.savetxt",
    "jax.numpy.save",
    "jax.numpy.savez",
    "torch.save",
    "joblib.dump",
    "flax.training.checkpoints.save_checkpoint",
    "os.remove",
    "os.rename",
    "os.replace",
    "os.mkdir",
    "os.makedirs",
    "os.rmdir",
    "os.unlink",
    "shutil",
    "tempfile",
    "sqlite3",
)
_READ_METHODS = ("read_text", "read_bytes")
_WRITE_METHODS = ("write_text", "write_bytes")
_ELSEWHERE = (
    "urllib.request",
    "requests",
    "http",
    "httpx",
    "aiohttp",
    "socket",
    "ftplib",
    "smtplib",
    "boto3",
    "google.cloud",
    "huggingface_hub",
    "gdown",
    "wget",
    "torch.hub",
    "torchvision.models",
    "timm",
    "transformers",
    "subprocess",
    "os.system",
    "os.popen",
    "os.execv",
    "os.execvp",
    "os.spawnl",
    "os.fork",
    "pty",
)
_HIDDEN = (
    "eval",
    "exec",
    "compile",
    "__import__",
    "importlib.import_module",
    "importlib.reload",
    "importlib.util.spec_from_file_location",
    "importlib.util.module_from_spec",
    "runpy",
    "imp",
    "ctypes",
    "cffi",
    "sys.modules",
    "marshal",
    "dill",
    "cloudpickle",
    "pickle.loads",
)
_CLOCKS = (
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.process_time",
    "time.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
)
_THREADS = (
    "threading.Thread",
    "threading.Timer",
    "concurrent.futures",
    "multiprocessing",
    "torch.multiprocessing",
    "asyncio",
    "_thread",
)


def check_outside(codes: list[Code]) -> Iterator[Finding]:
    """Looks for what a submission takes from elsewhere, or leaves there."""
    brings_files = any(
        isinstance(node, ast.Name) and node.id == "__file__"
        for code in codes
        for node in ast.walk(code.tree)
    )
    for code in codes:
        for node, name in code.uses():
            if starts_with(name, _ENVIRONMENT):
                yield from _check_environment(code, node, name)
            else:
                yield from _check_use(code, node, name, brings_files)
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in _READ_METHODS:
                    yield _reads(code, node, f"{node.func.attr}()", brings_files)
                elif node.func.attr in _WRITE_METHODS:
                    yield _writes(code, node, f"{node.func.attr}()")


def starts_with(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of `prefixes`, or inside one of them.

    Example:
      >>> starts_with("os.path.join", ("os.path",)), starts_with("osx", ("os",))
      (True, False)
    """
    return any(name == p or name.startswith(f"{p}.") for p in prefixes)


def _check_use(
    code: Code, node: ast.AST, name: str, brings_files: bool
) -> Iterator[Finding]:
    if starts_with(name, _COMMAND_LINE):
        message = (
            f"{name} reads the command line: hyperparameters come from the harness, "
            "or are constants."
        )
        yield code.finding(node, "E302", message)
    elif name == "open" or name == "pathlib.Path.open":
        if _open_mode(code.parents.get(node)) & set("wax+"):
            yield _writes(code, node, "open()")
        else:
            yield _reads(code, node, "open()", brings_files)
    elif starts_with(name, _READS):
        yield _reads(code, node, name, brings_files)
    elif starts_with(name, _WRITES):
        yield _writes(code, node, name)
    elif starts_with(name, _ELSEWHERE):
        message = (
            f"{name} leaves the process: what a submission knows comes from its "
            "arguments; no network, no other programs, no pre-trained models."
        )
        yield code.finding(node, "E305", message)
    elif starts_with(name, _HIDDEN):
        message = (
            f"{name} runs or loads what can't be read here: write the code out, and "
            "import it by a plain import."
        )
        yield code.finding(node, "E306", message)
    elif starts_with(name, ("sys.path",)):
        message = (
            "sys.path changes where all modules are found: import helpers of the "
            "submission's own folder by relative imports."
        )
        yield code.finding(node, "W304", message)
    elif starts_with(name, _CLOCKS):
        message = (
            f"{name} is a clock of its own: the official time is in train_state, and "
            "nothing else should depend on time."
        )
        yield code.finding(node, "W302", message)
    elif starts_with(name, _THREADS):
        message = (
            f"{name} can compute while the clock stands still in evaluations, which "
            "is forbidden: use CUDA streams or explain why it does not."
        )
        yield code.finding(node, "W303", message)


def _open_mode(call: ast.AST | None) -> set[str]:
    """The letters of the mode that `open` is called with."""
    if not isinstance(call, ast.Call):
        return set("r")
    modes = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")]
    constants = [m.value for m in modes if isinstance(m, ast.Constant)]
    return set(str(constants[0])) if constants else set("r")


def _reads(code: Code, node: ast.AST, what: str, brings_files: bool) -> Finding:
    if brings_files:
        message = (
            f"{what} reads a file, one that the submission brings along by its use of "
            "__file__: allowed for a learned update rule, never for model parameters "
            "or settings of single workloads."
        )
        return code.finding(node, "W301", message)
    message = (
        f"{what} reads a file: results of earlier computations may not be looked up; "
        "what a submission knows comes from its arguments."
    )
    return code.finding(node, "E303", message)


def _writes(code: Code, node: ast.AST, what: str) -> Finding:
    message = (
        f"{what} changes files: keep what training needs in the optimizer state, which "
        "the harness saves and restores."
    )
    return code.finding(node, "E304", message)


def _check_environment(code: Code, node: ast.AST, name: str) -> Iterator[Finding]:
    above = code.parents.get(node)
    if _changes_environment(code, node, name, above):
        message = (
            "writes environment variables, which belong to the benchmark: leave them."
        )
        yield code.finding(node, "E301", message)
    elif _variable(node, above) not in _LAUNCHER:
        message = (
            "reads an environment variable, a setting from outside: make it a constant "
            "or, in external tuning, a hyperparameter."
        )
        yield code.finding(node, "E302", message)


def _changes_environment(
    code: Code, node: ast.AST, name: str, above: ast.AST | None
) -> bool:
    if name in ("os.putenv", "os.unsetenv") or name.rpartition(".")[2] in _CHANGES:
        return True
    if isinstance(above, ast.Subscript):
        return isinstance(above.ctx, ast.Store | ast.Del)
    return isinstance(node.__dict__.get("ctx"), ast.Store)


def _variable(node: ast.AST, above: ast.AST | None) -> object:
    """The name of the variable that is read, where it is written out."""
    candidates: list[ast.AST] = []
    if isinstance(above, ast.Subscript):
        candidates = [above.slice]
    elif isinstance(above, ast.Call):
        candidates = [*above.args[:1]]
    elif isinstance(above, ast.Compare):
        candidates = [above.left]
    names = [c.value for c in candidates if isinstance(c, ast.Constant)]
    return names[0] if names else None
