"""PyTorch, as a rehearsal sees it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from unscheduled import spec
from unscheduled.runner.backend import TrainingState

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class PytorchTools:
    """The model is changed in place, the optimizer state is a dict of objects."""

    def prepare(self, folder: Path) -> None:
        """Nothing."""

    def uses_devices(self) -> bool:
        return torch.cuda.is_initialized()

    def settings(self) -> dict[str, Any]:
        return {
            "torch.get_default_dtype()": torch.get_default_dtype(),
            "torch.get_num_threads()": torch.get_num_threads(),
            "torch.get_float32_matmul_precision()": (
                torch.get_float32_matmul_precision()
            ),
            "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
            "torch.backends.cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
            "torch.is_grad_enabled()": torch.is_grad_enabled(),
        }

    def form_faults(self, optimizer_state: Any) -> list[tuple[str, str]]:
        if not isinstance(optimizer_state, dict):
            kind = type(optimizer_state).__name__
            return [("E604", f"the optimizer state must be a dict, got a {kind}.")]
        faults = []
        for key, value in optimizer_state.items():
            if hasattr(value, "state_dict") != hasattr(value, "load_state_dict"):
                kind = type(value).__name__
                message = (
                    f"optimizer_state[{key!r}] ({kind}) needs both state_dict() and "
                    "load_state_dict() for checkpoints."
                )
                faults.append(("E604", message))
            elif not hasattr(value, "state_dict"):
                message = (
                    f"optimizer_state[{key!r}] ({type(value).__name__}) has no "
                    "state_dict(), so checkpoints leave it out: a resumed run starts "
                    "with its first value."
                )
                faults.append(("W601", message))
        return faults

    def saved_part(self, state: TrainingState) -> TrainingState:
        saved = {
            key: value
            for key, value in state.optimizer_state.items()
            if hasattr(value, "state_dict")
        }
        return state._replace(optimizer_state=saved)

    def arrays(self, model_params: Any) -> list[np.ndarray]:
        return [p.detach().cpu().numpy().copy() for p in model_params.parameters()]

    def code_of(self, model_params: Any) -> Any:
        return {
            name: (
                type(module),
                "forward" in vars(module),
                *(len(getattr(module, hooks)) for hooks in _HOOKS),
            )
            for name, module in model_params.named_modules()
        }

    def nbytes(self, state: TrainingState) -> int:
        found: dict[tuple[int, int], int] = {}
        _measure(list(state.model_params.parameters()), found)
        for value in self.saved_part(state).optimizer_state.values():
            _measure(value.state_dict(), found)
        return sum(found.values())

    @torch.no_grad()
    def logits(self, workload: Any, state: TrainingState, batch: Any) -> np.ndarray:
        logits, _ = workload.model_fn(
            state.model_params,
            batch,
            state.model_state,
            spec.ForwardPassMode.EVAL,
            None,
            update_batch_norm=False,
        )
        return logits.cpu().numpy()

    def adamw(self, workload: Any, params: Any, model_state: Any) -> TrainingState:
        optimizer = torch.optim.AdamW(params.parameters(), lr=1e-4)
        return TrainingState({"optimizer": optimizer}, params, model_state)

    def adamw_step(
        self, workload: Any, state: TrainingState, batch: Any, rng: Any
    ) -> TrainingState:
        state.model_params.zero_grad(set_to_none=True)
        logits, model_state = workload.model_fn(
            state.model_params,
            batch,
            state.model_state,
            spec.ForwardPassMode.TRAIN,
            rng,
            update_batch_norm=True,
        )
        losses = workload.loss_fn(batch["targets"], logits, batch.get("weights"))
        (losses["summed"] / losses["n_valid_examples"]).backward()
        state.optimizer_state["optimizer"].step()
        return state._replace(model_state=model_state)


def _measure(tree: Any, found: dict[tuple[int, int], int]) -> None:
    """Adds the bytes of all tensors in a tree, by where they are."""
    if isinstance(tree, torch.Tensor):
        found[tree.data_ptr(), tree.nbytes] = tree.nbytes
    elif isinstance(tree, dict):
        _measure(list(tree.values()), found)
    elif isinstance(tree, list | tuple):
        for child in tree:
            _measure(child, found)


TOOLS = PytorchTools()
