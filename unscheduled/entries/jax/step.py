"""One training step in JAX, to be compiled."""

import jax
import jax.numpy as jnp
import optax

from ... import spec


def forward_pass(workload, dropout_rate, params, batch, model_state, rng):
    """A pass in TRAIN mode that updates batch-norm statistics."""
    dropout = {} if dropout_rate is None else {"dropout_rate": dropout_rate}
    return workload.model_fn(
        params,
        batch,
        model_state,
        spec.ForwardPassMode.TRAIN,
        rng,
        update_batch_norm=True,
        **dropout,
    )


def train_step(
    workload,
    forward,
    optimizer,
    label_smoothing,
    grad_clip,
    params,
    optimizer_state,
    skipped,
    model_state,
    batch,
    rng,
):
    """((params, optimizer state, steps skipped), model state, metrics) of one step.

    Where the loss or the gradient is not finite, all is as before but the count.
    """
    smoothing = {} if label_smoothing is None else {"label_smoothing": label_smoothing}

    def mean_loss(params):
        logits, new_model_state = forward(params, batch, model_state, rng)
        losses = workload.loss_fn(
            label_batch=batch["targets"],
            logits_batch=logits,
            mask_batch=batch.get("weights"),
            **smoothing,
        )
        return losses["summed"] / losses["n_valid_examples"], new_model_state

    (loss, new_model_state), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
    grad_norm = _global_norm(grads)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    if grad_clip is not None:
        scale = jnp.minimum(1.0, grad_clip / (grad_norm + 1e-6))
        grads = jax.tree.map(lambda g: g * scale, grads)

    def take(params, optimizer_state):
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        return optax.apply_updates(params, updates), optimizer_state

    # On a GPU a branch makes the host wait for the gradient, and a choice is fused into
    # the update; on a CPU no branch waits, and a choice takes copies of the model.
    choose = jax.lax.cond if jax.default_backend() == "cpu" else select
    params, optimizer_state = choose(
        finite, take, lambda *same: same, params, optimizer_state
    )
    model_state = _model_state(finite, new_model_state, model_state)
    skipped += ~finite
    metrics = {"loss": loss, "grad_norm": grad_norm, "skipped_steps": skipped}
    return (params, optimizer_state, skipped), model_state, metrics


def select(condition, f, g, *operands):
    """`jax.lax.cond` without a branch: both are computed."""
    return jax.tree.map(
        lambda a, b: jnp.where(condition, a, b), f(*operands), g(*operands)
    )


def _model_state(finite, new, old):
    """The new model state, or the old one, in the form of the old one.

    Some models return another container, or extra axes of length one, for which the
    next step would be compiled again.
    """
    leaves = [
        jnp.where(finite, n.reshape(o.shape), o)
        for n, o in zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(old), leaves)


def _global_norm(grads):
    return jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(grads)))
