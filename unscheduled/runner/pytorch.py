"""PyTorch, as the runner sees it."""

import gc
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from unscheduled.benchmark.errors import UserError
from unscheduled.runner.backend import TrainingState
from unscheduled.runner.pytorch_ranks import TorchRanks
from unscheduled.runner.ranks import Ranks
from unscheduled.runner.run_directory import check_space
from unscheduled.runner.seeds import NumpyRandom


class PytorchBackend:
    """A GPU a process where there is one, else the CPU.

    As officially, all ranks have the same seed and so the same generators: one
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
        check_space(path.parent, _tensor_bytes(checkpoint))
        torch.save(checkpoint, path)

    def restore(
        self, path: Path, state: TrainingState
    ) -> tuple[TrainingState, dict[str, Any]]:
        record = torch.load(path, map_location=self._device(), weights_only=True)
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

    def start_trace(self, folder: Path) -> None:
        raise UserError("--capture_jax_trace needs --framework=jax.")

    def stop_trace(self) -> None:
        pass

    def _device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _plain(model: Any) -> torch.nn.Module:
    """The model without its wrappers, so that checkpoints fit with or without them."""
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return model.module
    return model


def _tensor_bytes(tree: Any) -> int:
    """The size of all tensors in a tree of dicts, lists and tuples."""
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        return sum(map(_tensor_bytes, tree))
    return 0


BACKEND = PytorchBackend()
