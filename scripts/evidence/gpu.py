"""What runs on a GPU, how right and how fast: writes docs/evidence/gpu.md.

    python -m scripts.evidence.gpu
    python -m scripts.evidence.gpu --device=cpu    # tries the command, at tiny sizes

Each part is a command of its own, which prints as it goes and is ended at its own time
limit; the page is written anew after each part, with what it printed. All of it takes
six minutes at most on one GPU.
"""

import importlib.metadata
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from absl import app, flags

from scripts.evidence.pages import PAGES, ROOT
from unscheduled.runner.machine import cpu_model_name

_DEVICE = flags.DEFINE_enum("device", "cuda", ["cuda", "cpu"], "Where to run.")
_OUT = flags.DEFINE_string("out", str(PAGES / "gpu.md"), "The page to write.")


class Part(NamedTuple):
    """A command, of arguments to Python, and the seconds that it may take."""

    title: str
    seconds: int
    command: tuple[str, ...]
    tiny: tuple[str, ...] = ()  # more arguments, to try it on a CPU


def parts(device: str) -> tuple[Part, ...]:
    steps = "scripts.evidence.gpu_steps"
    tests = ("-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "tests/gpu")
    return (
        Part(
            "Right: optimizers against the specification, entries without a wait",
            120,
            (*tests, f"--device={device}", "-m", "gpu", "-rs", "--durations=3"),
            ("-k", "specification and float32", "-q"),
        ),
        Part(
            "Optimizers alone",
            75,
            (
                *("scripts/benchmark_optimizers.py", "--frameworks=torch"),
                *("--steps=20", f"--device={device}", "--sets=resnet50"),
            ),
            ("--sets=tiny", "--steps=3"),
        ),
        Part(
            "Whole entries in PyTorch, each step waited for",
            90,
            ("-m", steps, "--framework=pytorch"),
            ("--tiny",),
        ),
        Part(
            "Whole entries in JAX",
            75,
            ("-m", steps, "--framework=jax"),
            ("--tiny",),
        ),
    )


def run(part: Part, device: str) -> str:
    """What a part printed, and how it ended."""
    command = (*part.command, *(part.tiny if device == "cpu" else ()))
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    if device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    print(f"== {part.title}", flush=True)
    start, lines = time.monotonic(), [f"$ python {' '.join(command)}"]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = threading.Timer(part.seconds, process.kill)
    limit.start()
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    status = process.wait()
    limit.cancel()
    seconds = time.monotonic() - start
    how = "done" if status == 0 else f"ended with status {status}"
    if status < 0 and seconds >= part.seconds:
        how = "ended at its limit"
    lines.append(f"({how} after {seconds:.0f} s)")
    print(lines[-1], flush=True)
    return "\n".join(lines)


def device_name(device: str) -> str:
    if device == "cpu":
        return f"{cpu_model_name()}: no GPU was at hand; tiny sizes, to try the command"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU found"


def page(device: str, outputs: dict[str, str]) -> str:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("torch", "jax", "optax")
    )
    blocks = [f"## {title}\n\n```\n{text}\n```" for title, text in outputs.items()]
    option = " --device=cpu" if device == "cpu" else ""
    return "\n\n".join(
        (
            "# On a GPU",
            f"`python -m scripts.evidence.gpu{option}`, {time.strftime('%d %B %Y')}.",
            f"{device_name(device)}. Python {platform.python_version()}, {versions}.",
            *blocks,
            "",
        )
    )


def main(_) -> None:
    device, outputs = _DEVICE.value, {}
    for part in parts(device):
        outputs[part.title] = run(part, device)
        Path(_OUT.value).write_text(page(device, outputs).rstrip() + "\n")
    print(f"{_OUT.value} written.")


if __name__ == "__main__":
    app.run(main)
