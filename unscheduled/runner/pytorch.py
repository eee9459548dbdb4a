"""PyTorch, as the runner sees it: a GPU a process where there is one, else the CPU."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from unscheduled.runner.backend import Backend, Ranks, TrainingState
from unscheduled.runner.seeds import NumpyRandom


class PytorchBackend(Backend):
    """As officially, all ranks have the same seed and so the same generators: one
    checkpoint serves them all, whatever their number.
    """

    random = NumpyRandom()

    def join_ranks(self) -> Ranks:
        return TorchRanks()

    def start_trial(self, seed: int) -> None:
        torch.manual_seed(seed)
        if torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def compile_model(self, model_params: Any, wanted: bool | None) -> Any:
        if wanted is None:
            wanted = torch.cuda.is_available()
        return torch.compile(model_params) if wanted else model_params

    def synchronize(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def wait_for(self, state: TrainingState) -> None:
        self.synchronize()

    def fault(self, state: TrainingState, before: TrainingState) -> str | None:
        saved = state.optimizer_state
        if not isinstance(saved, dict) or not all(
            hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
            for value in saved.values()
        ):
            return (
                "must return an optimizer_state that is a dict of objects with "
                "state_dict() and load_state_dict()"
            )
        if not isinstance(state.model_params, torch.nn.Module):
            return "must return a torch.nn.Module as model_params"
        return None

    def generator_state(self) -> Any:
        # Of this rank's GPU alone: asking for all would start a context on each.
        cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def restore_generators(self, state: Any) -> None:
        torch.set_rng_state(state["cpu"].cpu())
        if torch.cuda.is_available():
            for saved in state["cuda"]:
                torch.cuda.set_rng_state(saved.cpu())

    def save(self, path: Path, state: TrainingState, record: dict[str, Any]) -> None:
        checkpoint = {
            "model_params": _plain(state.model_params).state_dict(),
            "optimizer_state": {
                key: value.state_dict() for key, value in state.optimizer_state.items()
            },
            "model_state": state.model_state,
            **record,
        }
        torch.save(checkpoint, path)

    def restore(
        self, path: Path, state: TrainingState
    ) -> tuple[TrainingState, dict[str, Any]]:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        record = torch.load(path, map_location=device, weights_only=True)
        _plain(state.model_params).load_state_dict(record.pop("model_params"))
        saved = record.pop("optimizer_state")
        for key, value in state.optimizer_state.items():
            value.load_state_dict(saved[key])
        return state._replace(model_state=record.pop("model_state")), record

    def device_count(self) -> int:
        alone = not (dist.is_available() and dist.is_initialized())
        return 1 if alone else dist.get_world_size()

    def describe(self) -> dict[str, Any]:
        description: dict[str, Any] = {"torch_version": torch.__version__}
        if torch.cuda.is_available():
            description["gpu_model_name"] = torch.cuda.get_device_name()
            description["gpu_count"] = self.device_count()
        return description


class TorchRanks(Ranks):
    """The ranks that torchrun starts: NCCL between GPUs, gloo between CPUs."""

    def __init__(self) -> None:
        gpu = None
        if torch.cuda.is_available():
            gpu = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(gpu)
        store, rank, self.count = next(rendezvous("env://"))
        self.is_first = rank == 0
        self._device = gpu or torch.device("cpu")
        self._failures = dist.PrefixStore("failures", store)
        dist.init_process_group(
            "nccl" if gpu else "gloo",
            store=store,
            rank=rank,
            world_size=self.count,
            device_id=gpu,
        )

    def latest(self, seconds: float) -> float:
        time = torch.tensor(seconds, dtype=torch.float64, device=self._device)
        dist.all_reduce(time, op=dist.ReduceOp.MAX)
        return time.item()

    def from_first(self, make: Callable[[], Any]) -> Any:
        box = [make() if self.is_first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def leave(self) -> None:
        dist.barrier()
        dist.destroy_process_group()

    def fail(self, text: str, status: int) -> int:
        try:
            is_first = self._failures.add("count", 1) == 1
        except RuntimeError:  # the store went down with the process that held it
            is_first = True
        if is_first:  # what the others say follows from it
            super().fail(text, status)
        # Not by way of the interpreter's end, which waits for the others.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _plain(model: Any) -> torch.nn.Module:
    """The model without its wrappers, so that checkpoints fit with or without them."""
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return model.module
    return model


BACKEND = PytorchBackend()
