"""PyTorch, as the runner sees it."""

import gc
from pathlib import Path
from typing import Any

import torch

from unscheduled.runner.backend import TrainingState
from unscheduled.runner.errors import UserError
from unscheduled.runner.run_directory import check_space, whole_file
from unscheduled.runner.seeds import NumpyRandom


class PytorchBackend:
    """One process, on its GPU where there is one, else on the CPU."""

    random = NumpyRandom()

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

    def generator_state(self) -> Any:
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def restore_generators(self, state: Any) -> None:
        torch.set_rng_state(state["cpu"].cpu())
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])

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
        with whole_file(path) as temporary:
            torch.save(checkpoint, temporary)

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
        return 1

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
    """The model as it was before torch.compile, so that checkpoints fit both."""
    return getattr(model, "_orig_mod", model)


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
