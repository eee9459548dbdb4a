"""Numbers from German into English in JAX."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from workloads_ext.common.jax import JaxWorkload
from workloads_ext.common.layers_jax import (
    Block,
    Dropout,
    embedding,
    layer_norm,
    sinusoids,
)
from workloads_ext.common.workload import Rows
from workloads_ext.numbers_transformer.workload import (
    BOS,
    PAD,
    TARGET_LENGTH,
    BaseNumbersTransformerWorkload,
    example_inputs,
)


class Encoder(nn.Module):
    """Embeddings, fixed positions, blocks and a last norm."""

    vocabulary: int
    width: int
    num_layers: int
    num_heads: int
    mlp: int
    dropout_rate: float

    @nn.compact
    def __call__(self, tokens, valid, deterministic):
        """Maps tokens (n, length) to (n, length, width)."""
        x = _embedded(embedding(self.vocabulary, self.width, name="embed"), tokens)
        x = Dropout(self.dropout_rate, deterministic)(x)
        for i in range(self.num_layers):
            options = (self.num_heads, self.mlp, self.dropout_rate)
            x = Block(*options, name=f"blocks_{i}")(x, deterministic, valid)
        return layer_norm(name="ln_last")(x)


class Decoder(nn.Module):
    """Embeddings, fixed positions, causal blocks that look at the source, a head."""

    vocabulary: int
    width: int
    num_layers: int
    num_heads: int
    mlp: int
    dropout_rate: float

    @nn.compact
    def __call__(self, tokens, memory, valid, deterministic):
        """Maps tokens (n, length) to logits (n, length, vocabulary)."""
        x = _embedded(embedding(self.vocabulary, self.width, name="embed"), tokens)
        x = Dropout(self.dropout_rate, deterministic)(x)
        for i in range(self.num_layers):
            options = (self.num_heads, self.mlp, self.dropout_rate, True, True)
            x = Block(*options, name=f"blocks_{i}")(x, deterministic, valid, memory)
        return nn.Dense(self.vocabulary, name="head")(layer_norm(name="ln_last")(x))


class Translator(nn.Module):
    """An encoder and a decoder, each with embeddings of its own."""

    source_vocabulary: int
    target_vocabulary: int
    width: int
    num_layers: int
    num_heads: int
    mlp: int
    dropout_rate: float

    def setup(self) -> None:
        sizes = (self.width, self.num_layers, self.num_heads, self.mlp)
        self.encoder = Encoder(self.source_vocabulary, *sizes, self.dropout_rate)
        self.decoder = Decoder(self.target_vocabulary, *sizes, self.dropout_rate)

    def __call__(self, batch: dict[str, jax.Array], deterministic: bool) -> jax.Array:
        """Logits (n, length, target vocabulary) of each next word.

        Args:
          batch: tokens (n, .) of the 'source', and of the 'target' from BOS on.
        """
        memory = self.encode(batch["source"], deterministic)
        return self.decode(batch["target"], memory, batch["source"], deterministic)

    def encode(self, source: jax.Array, deterministic: bool = True) -> jax.Array:
        """What the decoder looks at, (n, length, width)."""
        return self.encoder(source, _valid(source), deterministic)

    def decode(
        self,
        words: jax.Array,
        memory: jax.Array,
        source: jax.Array,
        deterministic: bool = True,
    ) -> jax.Array:
        """Logits (n, length, target vocabulary) of the word after each of `words`."""
        return self.decoder(words, memory, _valid(source), deterministic)


def _valid(source: jax.Array) -> jax.Array:
    """Which letters are there; the first always, so that all see something."""
    return (source != PAD) | (jnp.arange(source.shape[1]) == 0)


def _embedded(embed: nn.Embed, tokens: jax.Array) -> jax.Array:
    positions = sinusoids(tokens.shape[1], embed.features)
    return embed(tokens) * embed.features**0.5 + positions


class NumbersTransformerWorkload(BaseNumbersTransformerWorkload, JaxWorkload):
    """A transformer on sentences of up to 64 letters and 20 words."""

    model_class = Translator
    example_inputs = example_inputs()

    @functools.cached_property
    def _translate(self) -> Callable[..., jax.Array]:
        model = self._make_model(0.0)

        def translate(params, source):
            variables = {"params": params}
            memory = model.apply(variables, source, method="encode")

            def add_word(i, words):
                logits: Any = model.apply(
                    variables, words[:, :-1], memory, source, method="decode"
                )
                return words.at[:, i + 1].set(logits[:, i].argmax(-1))

            words = jnp.full((len(source), TARGET_LENGTH + 1), PAD)
            words = words.at[:, 0].set(BOS)
            return jax.lax.fori_loop(0, TARGET_LENGTH, add_word, words)[:, 1:]

        return jax.jit(translate)

    def _evaluate(self, params, model_state, batch) -> tuple[dict[str, Any], Rows]:
        sums, _ = super()._evaluate(params, model_state, batch)
        words = self._translate(params, batch["inputs"]["source"])
        return sums, {"words": words, "targets": batch["targets"]}
