"""Undersampled slices of a brain in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from workloads_ext.brain_unet.workload import (
    EXAMPLE_SHAPE,
    BaseBrainUnetModelSizeWorkload,
    BaseBrainUnetWorkload,
)
from workloads_ext.common.jax import JaxWorkload
from workloads_ext.common.layers_jax import Dropout


def _normalised(x: jax.Array) -> jax.Array:
    """Instance norm without parameters, and leaky ReLU."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    variance = jnp.square(x - mean).mean(axis=(1, 2), keepdims=True)
    return nn.leaky_relu((x - mean) * jax.lax.rsqrt(variance + 1e-5), 0.2)


class ConvBlock(nn.Module):
    """Twice a 3x3 convolution, instance norm, leaky ReLU and dropout of channels."""

    width: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        """Maps (n, h, w, in_width) to (n, h, w, width)."""
        for name in ("conv1", "conv2"):
            x = nn.Conv(self.width, (3, 3), padding=1, use_bias=False, name=name)(x)
            x = _normalised(x)
            kept = jnp.ones((len(x), 1, 1, self.width), x.dtype)
            x = x * Dropout(self.dropout_rate, deterministic)(kept)
        return x


class _Transposed(nn.Module):
    """A transposed 2x2 convolution of stride 2; its kernel is (2, 2, out, in)."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, height, breadth, in_width = x.shape
        init = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2, batch_axis=(0, 1))
        kernel = self.param("kernel", init, (2, 2, self.width, in_width))
        y = jnp.einsum("nhwi,aboi->nhawbo", x, kernel)
        return y.reshape(n, 2 * height, 2 * breadth, self.width)


class UpConv(nn.Module):
    """A transposed 2x2 convolution of stride 2, instance norm and leaky ReLU."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (n, h, w, in_width) to (n, 2h, 2w, width)."""
        return _normalised(_Transposed(self.width, name="conv")(x))


class UNet(nn.Module):
    """Convolutions on images that shrink and grow again, with shortcuts across."""

    width: int
    num_pools: int
    dropout_rate: float

    @nn.compact
    def __call__(self, images: jax.Array, deterministic: bool) -> jax.Array:
        """Maps float32 images (n, h, w) to images of the same shape."""
        widths = [self.width * 2**i for i in range(self.num_pools + 1)]
        x, shortcuts = images[..., None], []
        for i, width in enumerate(widths):
            x = nn.avg_pool(x, (2, 2), (2, 2)) if i else x
            x = self._block(width, f"down_{i}")(x, deterministic)
            shortcuts.append(x)
        shortcuts.pop()
        for i, width in enumerate(reversed(widths[:-1])):
            x = UpConv(width, name=f"up_{i}")(x)
            x = jnp.concatenate([x, shortcuts.pop()], axis=-1)
            x = self._block(width, f"merge_{i}")(x, deterministic)
        return nn.Dense(1, name="head")(x)[..., 0]

    def _block(self, width: int, name: str) -> ConvBlock:
        return ConvBlock(width, self.dropout_rate, name=name)


class BrainUnetWorkload(BaseBrainUnetWorkload, JaxWorkload):
    """A U-Net on images of 48x48 pixels."""

    model_class = UNet
    example_inputs = np.zeros(EXAMPLE_SHAPE, np.float32)


class BrainUnetModelSizeWorkload(BaseBrainUnetModelSizeWorkload, BrainUnetWorkload):
    """With more channels."""
