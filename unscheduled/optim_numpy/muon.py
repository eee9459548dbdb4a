"""Muon's step for matrices, AdamW's for the rest: a base step of Schedule-Free.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon; its size by Liu et al., arXiv 2502.16982.
"""

import numpy as np

from unscheduled.optim_numpy.schedule_free import Arrays, Base, BaseStep, adamw

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPS = 1e-7  # added to the norm
SIZE = 0.2  # times the root of the longer side, for entries as large as AdamW's steps


def orthogonalized(m: np.ndarray) -> np.ndarray:
    """O = 0.2 sqrt(max(rows, columns)) f(M) for a matrix M = U S Vᵀ; f(M) ≈ U Vᵀ.

    X = M / (|M| + 1e-7), then five times A = X Xᵀ, X <- a X + (b A + c A²) X.

    Example:
      >>> orthogonalized(np.array([[3.0, 0.0], [0.0, 4.0]])).round(2)
      array([[0.2 , 0.  ],
             [0.  , 0.32]])
    """
    a, b, c = NEWTON_SCHULZ
    x = m / (np.linalg.norm(m) + EPS)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return SIZE * max(m.shape) ** 0.5 * x


def muon(beta2: float = 0.999, eps: float = 1e-8, momentum: float = 0.9) -> Base:
    """m_t = μ m_{t-1} + (1 - μ) g,  d = O(m_t) for arrays of two axes; else AdamW's.

    m is kept in the place of v.
    """
    others = adamw(beta2, eps)

    def step(v: Arrays, grads: Arrays, t: int) -> BaseStep:
        averages, directions = [], []
        for average, g in zip(v, grads, strict=True):
            if g.ndim == 2:
                average = momentum * average + (1 - momentum) * g
                direction = orthogonalized(average)
            else:
                _, (direction,), (average,) = others([average], [g], t)
            averages.append(average)
            directions.append(direction)
        return BaseStep(1.0, directions, averages)

    return step
