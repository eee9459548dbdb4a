"""What a run ran on: machine, software and workload, for `meta_data_<n>.json`."""

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil

from unscheduled import spec


def describe(
    workload: spec.Workload, rng_seed: int, framework: dict[str, Any]
) -> dict[str, Any]:
    """The values by their official names, with the backend's description."""
    memory = psutil.virtual_memory()
    network = psutil.net_io_counters()
    frequency = psutil.cpu_freq()
    programs = {
        "git_branch": _output("git", "rev-parse", "--abbrev-ref", "HEAD"),
        "git_commit_hash": _output("git", "rev-parse", "HEAD"),
    }
    if "gpu_count" in framework:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        programs["gpu_driver"] = _output(*query).partition("\n")[0]
    return {
        **_workload_constants(workload),
        "cpu.util.avg_percent_since_last": psutil.cpu_percent(interval=None),
        "cpu.freq.current": frequency.current if frequency else None,
        "mem.total": memory.total,
        "mem.available": memory.available,
        "mem.used": memory.used,
        "mem.percent_used": memory.percent,
        "net.bytes_sent_since_boot": network.bytes_sent if network else None,
        "net.bytes_recv_since_boot": network.bytes_recv if network else None,
        "cpu_model_name": cpu_model_name(),
        "cpu_count": psutil.cpu_count(),
        **framework,
        "os_platform": platform.platform(),
        "python_version": platform.python_version(),
        "python_compiler": platform.python_compiler(),
        **{name: value for name, value in programs.items() if value},
        "rng_seed": rng_seed,
    }


def _workload_constants(workload: spec.Workload) -> dict[str, Any]:
    unknown = ("param_shapes", "model_params_types")  # before there is a model
    names = [n for n in dir(workload) if not n.startswith("_") and n not in unknown]
    values = {n: getattr(workload, n) for n in names}
    plain = (float, int, str, bool)
    return {f"workload.{n}": v for n, v in values.items() if isinstance(v, plain)}


def cpu_model_name() -> str:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
