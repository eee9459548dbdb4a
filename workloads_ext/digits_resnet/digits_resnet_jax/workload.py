"""Digits ResNet in JAX: the model, flax.linen, and the workload."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.digits_resnet.workload import (
    SIDE,
    BaseDigitsResNetSiluWorkload,
    BaseDigitsResNetWorkload,
)


def _conv(width: int, size: int, stride: int = 1, *, name: str) -> nn.Conv:
    # Explicit padding: "SAME" pads strided convolutions on one side only.
    padding = size // 2
    return nn.Conv(
        width, (size, size), (stride, stride), padding, use_bias=False, name=name
    )


_batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes."""

    width: int
    stride: int
    bn_init_scale: float
    activation: str

    @nn.compact
    def __call__(self, x: jax.Array, use_running_average: bool) -> jax.Array:
        """Maps (n, h, w, in_width) to (n, h / stride, w / stride, width)."""
        norm = functools.partial(_batch_norm, use_running_average)
        last_scale = nn.initializers.constant(self.bn_init_scale)
        act = getattr(nn, self.activation)
        y = _conv(self.width, 3, self.stride, name="conv1")(x)
        y = act(norm(name="bn1")(y))
        y = _conv(self.width, 3, name="conv2")(y)
        y = norm(name="bn2", scale_init=last_scale)(y)
        if self.stride != 1 or x.shape[-1] != self.width:
            x = _conv(self.width, 1, self.stride, name="conv_proj")(x)
            x = norm(name="bn_proj")(x)
        return act(y + x)


class ResNet(nn.Module):
    """Stages of blocks; each stage but the first halves the image."""

    stage_widths: Sequence[int]
    stage_sizes: Sequence[int]
    num_classes: int
    bn_init_scale: float
    activation: str

    @nn.compact
    def __call__(self, images: jax.Array, use_running_average: bool) -> jax.Array:
        """Maps float32 images (n, 16, 16, 1) to logits (n, num_classes)."""
        x = _conv(self.stage_widths[0], 3, name="conv1")(images)
        x = _batch_norm(use_running_average, name="bn1")(x)
        x = getattr(nn, self.activation)(x)
        widths = np.repeat(self.stage_widths, self.stage_sizes).tolist()
        for i, width in enumerate(widths):
            stride = 1 if i == 0 or width == x.shape[-1] else 2
            options = (width, stride, self.bn_init_scale, self.activation)
            block = Block(*options, name=f"blocks_{i}")
            x = block(x, use_running_average)
        head = nn.Dense(
            self.num_classes, kernel_init=nn.initializers.normal(0.01), name="fc"
        )
        return head(jnp.mean(x, axis=(1, 2)))


class DigitsResNetWorkload(BaseDigitsResNetWorkload, JaxWorkload):
    """Images are (batch, 16, 16, 1)."""

    model_class = ResNet
    example_inputs = np.zeros((1, SIDE, SIDE, 1), np.float32)


class DigitsResNetSiluWorkload(BaseDigitsResNetSiluWorkload, DigitsResNetWorkload):
    """With SiLU."""
