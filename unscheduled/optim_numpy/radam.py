"""RAdam, the specification that the torch and JAX twins must match.

Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", arXiv
1908.03265, Algorithm 2. Steps count from t = 1; arrays are float64.

Where the implementations disagree, this is what we do, and why:

- Threshold: rectified when ρ_t > 4, as in the paper (torch has > 5, optax >= 5). The
  first-order formula for the variance, which r_t is made of, exists for ρ > 4 only, and
  r_t comes in at 0 there: the first rectified steps are small by themselves (too small
  rather than too large, see docs/evidence/radam.md) and need no further margin. 5 gives
  the steps of torch and optax.
- ε is added to sqrt(v̂), after the bias correction, as in Adam, optax and schedulefree
  (torch.optim.RAdam adds it to sqrt(v), which multiplies it by 1 / sqrt(1 - β2^t), 32
  at the first step). ε then means the same at every step.
- Weight decay is decoupled, at the rate γ (not γ r_t), as in the authors' code.
- Below the threshold the step is un-adapted, γ m̂, as in the paper, or `silent`: then
  moments are collected and nothing moves, decay included.
"""

from typing import NamedTuple

import numpy as np

Arrays = list[np.ndarray]


class RAdamState(NamedTuple):
    """params: θ; m, v: first and second moments; t: steps done."""

    params: Arrays
    m: Arrays
    v: Arrays
    t: int = 0


def rho_inf(beta2: float) -> float:
    """ρ_∞ = 2 / (1 - β2) - 1, the limit of `rho`."""
    return 2 / (1 - beta2) - 1


def rho(t: int, beta2: float) -> float:
    """ρ_t: how many values a simple moving average would be of, to be as old.

    The exponential one of t values is (Σ i w_i) / (Σ w_i) steps old, w_i = β2^(i-1),
    a simple one of ρ values (ρ + 1) / 2. (The paper sums this up to
    ρ_∞ - 2 t β2^t / (1 - β2^t), which is how the twins compute it.)
    """
    ages = np.arange(1, t + 1)
    return float(2 * np.average(ages, weights=beta2 ** (ages - 1.0)) - 1)


def variance(degrees: float) -> float:
    """Of 1 / sqrt(v̂), to first order and but for a factor, for ρ degrees of freedom."""
    return degrees / ((degrees - 2) * (degrees - 4))


def rectification(t: int, beta2: float, threshold: float = 4.0) -> float | None:
    """r_t, the ratio of the deviations at ρ_∞ and at ρ_t; None if not ρ_t > threshold.

    Example:
      >>> rectification(4, 0.999) is None
      True
      >>> round(rectification(5, 0.999), 7)
      0.0173115
    """
    rho_t = rho(t, beta2)
    if rho_t <= threshold:
        return None
    return float(np.sqrt(variance(rho_inf(beta2)) / variance(rho_t)))


def radam_init(params: Arrays) -> RAdamState:
    """m_0 = v_0 = 0."""
    params = [np.array(p, np.float64) for p in params]
    return RAdamState(params, [0 * p for p in params], [0 * p for p in params])


def radam_step(
    state: RAdamState,
    grads: Arrays,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    threshold: float = 4.0,
    silent_sgd_phase: bool = False,
) -> RAdamState:
    """One step from gradients at θ.

    m = β1 m + (1 - β1) g,  m̂ = m / (1 - β1^t)
    v = β2 v + (1 - β2) g²,  v̂ = v / (1 - β2^t)
    d = r_t m̂ / (sqrt(v̂) + ε) where ρ_t > threshold, else m̂ (or no step: silent)
    θ <- θ - γ (d + λ θ)

    Example:
      >>> state = radam_init([np.array([1.0])])
      >>> state = radam_step(state, [np.array([2.0])], lr=0.1)
      >>> state.params[0].round(6)
      array([0.8])
    """
    t = state.t + 1
    rect = rectification(t, beta2, threshold)
    params, ms, vs = [], [], []
    for p, m, v, g in zip(state.params, state.m, state.v, grads, strict=True):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        d = m / (1 - beta1**t)
        if rect is not None:
            d = rect * d / (np.sqrt(v / (1 - beta2**t)) + eps)
        if rect is not None or not silent_sgd_phase:
            p = p - lr * (d + weight_decay * p)
        params.append(p)
        ms.append(m)
        vs.append(v)
    return RAdamState(params, ms, vs, t)
