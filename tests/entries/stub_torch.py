"""The stub workload in PyTorch, and an entry on it."""

import copy

import torch

from tests.entries import stub
from tests.entries.stub import FEATURES, StubWorkload
from unscheduled import spec


class TorchStub(StubWorkload):
    """A linear model, after BatchNorm1d where asked for."""

    def init_model_fn(self, rng=None):
        torch.manual_seed(0)
        norm = [torch.nn.BatchNorm1d(FEATURES)] if self.batch_norm else []
        model = torch.nn.Sequential(*norm, torch.nn.Linear(FEATURES, 1))
        names = [name for name, _ in model.named_parameters()]
        self.model_params_types = dict.fromkeys(names, spec.ParameterType.WEIGHT)
        return model, None

    def model_fn(
        self,
        params,
        augmented_and_preprocessed_input_batch,
        model_state,
        mode,
        rng,
        update_batch_norm,
        dropout_rate=None,
    ):
        assert mode == spec.ForwardPassMode.TRAIN
        assert update_batch_norm
        params.train()
        self.forward_passes += 1
        self.dropout_rates.append(dropout_rate)
        return params(augmented_and_preprocessed_input_batch["inputs"])[:, 0], None

    def loss_fn(self, label_batch, logits_batch, mask_batch, label_smoothing="unset"):
        self.label_smoothings.append(label_smoothing)
        losses = (logits_batch - label_batch) ** 2 * mask_batch
        return {"summed": losses.sum(), "n_valid_examples": mask_batch.sum()}


def to_torch(batch):
    return {name: torch.as_tensor(value) for name, value in batch.items()}


class Training:
    """An entry on the stub workload, driven as the runner drives it."""

    def __init__(
        self,
        entry,
        batch_norm=False,
        hyperparameters=None,
        compiled=False,
        device="cpu",
    ):
        self.entry = entry
        self.workload = TorchStub(batch_norm)
        with torch.device(device):
            self.model, self.model_state = self.workload.init_model_fn()
        if compiled:
            self.model = torch.compile(self.model, backend="eager")
        self.state = entry.init_optimizer_state(
            self.workload, self.model, self.model_state, hyperparameters, rng=None
        )
        self.step_count = 0
        self.eval_results = []

    def _arguments(self):
        return stub.api_arguments(
            self.workload,
            self.model,
            self.model_state,
            self.state,
            self.eval_results,
            self.step_count,
            0,
        )

    def step(self, batch, **extra):
        self.state, self.model, self.model_state = self.entry.update_params(
            **self._arguments(), batch=to_torch(batch), **extra
        )
        self.step_count += 1

    def prepare_for_eval(self):
        self.state, self.model, self.model_state = self.entry.prepare_for_eval(
            **self._arguments()
        )

    def evaluate(self, loss):
        self.prepare_for_eval()
        self.eval_results.append((self.step_count, {"validation/loss": loss}))

    def resumed(self):
        """The same training, from its checkpoint."""
        new = Training(self.entry, self.workload.batch_norm)
        new.model.load_state_dict(self.model.state_dict())
        for name, value in self.state.items():
            new.state[name].load_state_dict(copy.deepcopy(value.state_dict()))
        new.step_count, new.eval_results = self.step_count, list(self.eval_results)
        return new

    def restarts(self):
        return self.state["trainer"].state_dict()["record"]["restarts"]

    def params(self):
        return [p.detach().clone() for p in self.model.parameters()]

    def statistics(self):
        return [b.numpy().copy() for b in self.model.buffers()]

    def grads(self):
        return [p.grad.clone() for p in self.model.parameters()]
