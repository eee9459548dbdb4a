"""Rules on requirements.txt: additions with a reason, never another version."""

from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import read_text
from unscheduled.check.findings import Finding, unreadable
from unscheduled.check.sources import own_file

REQUIREMENTS = "requirements.txt"
_MAX_BYTES = 64 << 10

# algoperf v0.6, pyproject.toml; jaxlib comes with jax.
_PINS = """
    absl-py==2.1.0 chex==0.1.86 clu==0.0.12 docker==7.1.0 flax==0.10.7 gputil==1.4.0
    h5py==3.12.0 jax==0.7.0 jaxlib==0.7.0 jraph==0.0.6.dev0 ml-dtypes==0.5.1
    networkx==3.2.1 optax==0.2.2 protobuf==4.25.5 psutil==6.1.0 pydub==0.25.1
    scikit-image==0.24.0 scikit-learn==1.5.2 sentencepiece==0.2.0 tabulate==0.9.0
    tensorflow==2.19.0 tensorflow-datasets==4.9.9 tensorflow-probability==0.20.0
    tensorflow-text==2.19.0 torch==2.5.1 torchvision==0.20.1 wandb==0.21.0
"""
PINNED = {pin.split("==")[0]: pin.split("==")[1] for pin in _PINS.split()}
_AT_LEAST = {"matplotlib": "3.9.2", "numpy": "2.0.2", "pandas": "2.0.1"}
_NEWEST = "9999"


def check_requirements(folder: Path) -> Iterator[Finding]:
    """Checks the requirements.txt of a folder; nothing where there is none."""
    path = folder / REQUIREMENTS
    try:
        file = own_file(folder, REQUIREMENTS)
        lines = read_text(file, _MAX_BYTES).splitlines() if file else []
    except UserError as error:
        yield unreadable(path, "E502", error)
        return
    for number, line in enumerate(lines, start=1):
        text, _, comment = line.partition(" #") if " #" in line else (line, "", "")
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        before = lines[number - 2].strip() if number > 1 else ""
        has_reason = bool(comment.strip()) or before.startswith("#")
        for code, message in _check_line(text, has_reason):
            yield Finding(str(path), number, code, message)


def _check_line(text: str, has_reason: bool) -> Iterator[tuple[str, str]]:
    if text.startswith("-") or "://" in text.partition("@")[0]:
        name = text.rpartition("egg=")[2] if "egg=" in text else text
    else:
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError):
            yield "E502", f"pip can't read {text[:100]!r}: write name==version."
            return
        name = canonicalize_name(requirement.name)
        pinned = PINNED.get(name) or _AT_LEAST.get(name)
        if pinned:
            if not _allows(requirement.specifier, name):
                relation = "==" if name in PINNED else ">="
                yield (
                    "E501",
                    f"{text} is not what the benchmark has, {name}{relation}{pinned}: "
                    "do with that version, or bring the code you need.",
                )
            return
    if not has_reason:
        yield (
            "W501",
            f"{name} is an addition to the benchmark's packages: say in a comment "
            "what it is and why it is needed.",
        )


def _allows(specifier: SpecifierSet, name: str) -> bool:
    """Whether a requirement is met by what the benchmark installs."""
    if name in PINNED:
        return specifier.contains(PINNED[name], prereleases=True)
    named = [s.version.removesuffix(".*") for s in specifier]
    candidates = [_AT_LEAST[name], _NEWEST, *named]
    lower = SpecifierSet(f">={_AT_LEAST[name]}")
    return any(
        specifier.contains(version, prereleases=True) and lower.contains(version)
        for version in candidates
    )
