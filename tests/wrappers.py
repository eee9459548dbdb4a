"""Wrappers with something inside, for their rows of the table of algorithms."""

from typing import Any

from tests import specifications

Settings = dict[str, Any]
# What is inside of Lookahead, in JAX and in PyTorch.
_INSIDE = {"radam": "RAdam", "schedule_free_adamw": "AdamWScheduleFree"}


def schedule_free_torch(params, settings: Settings):
    import torch

    from unscheduled import optim_torch

    settings = dict(settings)
    base = torch.optim.SGD(
        params, settings.pop("lr"), momentum=settings.pop("heavy_ball", 0.0)
    )
    settings["weight_decay_at_y"] = settings.pop("weight_decay", 0.0)
    return optim_torch.ScheduleFreeWrapper(
        base, **specifications.torch_arguments(settings)
    )


def schedule_free_jax(settings: Settings):
    import optax

    from unscheduled import optim_jax

    settings = dict(settings)
    base = optax.sgd(settings["lr"], momentum=settings.pop("heavy_ball", None))
    return optim_jax.schedule_free(base, **specifications.jax_arguments(settings))


# Lookahead's settings are its own, beside the name and settings of what is inside.
def lookahead_torch(params, settings: Settings):
    from unscheduled import optim_torch

    own, inside, inner = specifications.split_lookahead(settings)
    if inside == "heavy_ball":
        import torch

        fast = torch.optim.SGD(params, inner["lr"], momentum=inner["momentum"])
    else:
        make = getattr(optim_torch, _INSIDE[inside])
        fast = make(params, **specifications.torch_arguments(inner))
    return optim_torch.Lookahead(fast, **own)


def lookahead_jax(settings: Settings):
    from unscheduled import optim_jax

    own, inside, inner = specifications.split_lookahead(settings)
    if inside == "heavy_ball":
        import optax

        fast = optax.sgd(inner["lr"], momentum=inner["momentum"])
    else:
        fast = getattr(optim_jax, inside)(**specifications.jax_arguments(inner))
    return optim_jax.lookahead(fast, **own)


# The wrappers as the tests of a framework's machinery have them.
def wrapped_rmsprop(params, lr=0.1, maximize=False, weight_decay=0.0):
    import torch

    from unscheduled import optim_torch

    base = torch.optim.RMSprop(params, lr=lr, maximize=maximize)
    return optim_torch.ScheduleFreeWrapper(base, weight_decay_at_y=weight_decay)


def lookahead_around_adamw(params, lr=0.1, **options):
    import torch

    from unscheduled import optim_torch

    fast = torch.optim.AdamW(params, lr=lr, **options)
    return optim_torch.Lookahead(
        fast, k=3, momentum="pullback", adaptive=True, alpha=0.2
    )


def lookahead_around_schedule_free(params, lr=0.1, **options):
    from unscheduled import optim_torch

    return optim_torch.Lookahead(
        optim_torch.AdamWScheduleFree(params, lr=lr, **options), k=3
    )


def wrapped_sgd(learning_rate, b1=0.9):
    import optax

    from unscheduled import optim_jax

    base = optax.sgd(learning_rate, momentum=0.5)
    return optim_jax.schedule_free(base, learning_rate, b1)


def lookahead_adamw(learning_rate, k=3, alpha=0.5):
    import optax

    from unscheduled import optim_jax

    base = optax.adamw(learning_rate)
    return optim_jax.lookahead(base, k, alpha, momentum="pullback")


def lookahead_sgd(learning_rate, k=2, alpha=0.2):
    import optax

    from unscheduled import optim_jax

    base = optax.sgd(learning_rate, momentum=0.5)
    return optim_jax.lookahead(base, k, alpha, adaptive=True, momentum="reset")


def lookahead_schedule_free(learning_rate, k=3, alpha=0.5):
    from unscheduled import optim_jax

    base = optim_jax.schedule_free_adamw(learning_rate)
    return optim_jax.lookahead(base, k, alpha)
