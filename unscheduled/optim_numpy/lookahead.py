"""Lookahead on top of any optimizer, the specification of the torch and JAX twins.

Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", arXiv 1907.08610,
Algorithm 1, and the adaptive α of Proposition 1. Arrays are float64.
"""

from typing import Literal, NamedTuple

import numpy as np

Arrays = list[np.ndarray]
Momentum = Literal["keep", "reset", "pullback"]


class LookaheadState(NamedTuple):
    """slow: φ; momentum: the fast one after the last sync, zeros at first; sequences:
    the slow twins of `Fast.sequences`; fisher: F, the moving average of g²; t: steps.
    """

    slow: Arrays
    momentum: Arrays
    sequences: Arrays
    fisher: Arrays
    t: int = 0


class Fast(NamedTuple):
    """What the inner optimizer carries.

    weights: θ, where the gradient is taken; momentum: its moving average, if any;
    sequences: what else has the scale of weights: z of Schedule-Free, whose θ is y.
    """

    weights: Arrays
    momentum: Arrays
    sequences: Arrays


def lookahead_init(fast: Fast) -> LookaheadState:
    """φ_0 = θ_0, F_0 = 0."""
    return LookaheadState(
        slow=[np.array(w, np.float64) for w in fast.weights],
        momentum=[0 * np.asarray(m, np.float64) for m in fast.momentum],
        sequences=[np.array(s, np.float64) for s in fast.sequences],
        fisher=[0 * np.asarray(w, np.float64) for w in fast.weights],
    )


def lookahead_step(
    state: LookaheadState,
    fast: Fast,
    grads: Arrays,
    *,
    k: int = 5,
    alpha: float = 0.5,
    adaptive: bool = False,
    momentum: Momentum = "keep",
    fisher_decay: float = 0.999,
) -> tuple[LookaheadState, Fast]:
    """What comes after each step of the inner optimizer, from `grads`, to `fast`.

    F <- δ F + (1 - δ) g²                        (adaptive only)
    At every k-th step
      φ <- φ + α (θ - φ),  θ <- φ               (and each of the sequences alike)
      momentum: kept, set to 0 (reset), or u + α (m - u) with u the momentum after
      the last sync (pullback)
    with α fixed or, if adaptive, `adaptive_alpha` with `alpha` as its lower bound.

    Example:
      >>> fast = Fast([np.array([1.0])], [], [])
      >>> state = lookahead_init(fast)
      >>> fast = Fast([np.array([0.0])], [], [])
      >>> state, fast = lookahead_step(state, fast, [np.array([1.0])], k=1)
      >>> fast.weights[0]
      array([0.5])
    """
    t = state.t + 1
    fisher = [
        fisher_decay * f + (1 - fisher_decay) * g**2
        for f, g in zip(state.fisher, grads, strict=True)
    ]
    state = state._replace(t=t, fisher=fisher)
    if t % k:
        return state, fast
    if adaptive:
        corrected = [f / (1 - fisher_decay**t) for f in fisher]
        alpha = adaptive_alpha(state.slow, fast.weights, grads, corrected, alpha)
    slow = _interpolate(state.slow, fast.weights, alpha)
    sequences = _interpolate(state.sequences, fast.sequences, alpha)
    if momentum == "reset":
        carried = [0 * m for m in fast.momentum]
    elif momentum == "pullback":
        carried = _interpolate(state.momentum, fast.momentum, alpha)
    else:
        carried = fast.momentum
    state = state._replace(slow=slow, momentum=carried, sequences=sequences)
    return state, Fast(slow, carried, sequences)


def adaptive_alpha(
    slow: Arrays, fast: Arrays, grads: Arrays, fisher: Arrays, alpha_low: float
) -> float:
    """α of Proposition 1, with the diagonal empirical Fisher F for the curvature A.

    α* = 1 + gᵀd / (dᵀ F d), d = φ - θ_k, clipped to [α_low, 1]; 1 where dᵀ F d = 0.

    For a quadratic with curvature F and g its gradient at θ_k this is the α that
    minimizes the loss. g is the gradient that the k-th step was made from: ∇L(θ_k)
    itself would cost another pass.
    """
    d = [s - f for s, f in zip(slow, fast, strict=True)]
    curvature = sum(np.sum(f * e * e) for f, e in zip(fisher, d, strict=True))
    if curvature == 0:
        return 1.0
    slope = sum(np.sum(g * e) for g, e in zip(grads, d, strict=True))
    return float(np.clip(1 + slope / curvature, alpha_low, 1.0))


def _interpolate(start: Arrays, end: Arrays, weight: float) -> Arrays:
    return [a + weight * (b - a) for a, b in zip(start, end, strict=True)]
