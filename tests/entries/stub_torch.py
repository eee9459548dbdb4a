"""The stub workload in PyTorch."""

import torch

from tests.entries.stub import FEATURES, StubWorkload
from unscheduled import spec


class TorchStub(StubWorkload):
    """A linear model, after BatchNorm1d where asked for."""

    def init_model_fn(self, rng=None):
        torch.manual_seed(0)
        norm = [torch.nn.BatchNorm1d(FEATURES)] if self.batch_norm else []
        return torch.nn.Sequential(*norm, torch.nn.Linear(FEATURES, 1)), None

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
    return {name: torch.from_numpy(value) for name, value in batch.items()}
