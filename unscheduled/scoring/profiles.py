"""From times to scores: filters, ratios, performance profiles; pure functions.

Times are in seconds, a row a submission and a column a workload; inf where the target
was missed, NaN where there are no logs. Axes in front of these two (...) are groups of
submissions, each scored by itself.
"""

import numpy as np

TAU = np.linspace(1.0, 4.0, 100)
SLOWEST = 4.0  # times the fastest; who takes longer counts as a miss


def eligible_times(
    base_sec: np.ndarray, held_out_sec: np.ndarray, base_of: np.ndarray
) -> np.ndarray:
    """Times on the base workloads after the filters of AlgoPerf, in its order.

    1. A held-out time is a miss where its base workload was missed or not run.
    2. A time above 4x the fastest of its column is a miss, base and held-out alike.
    3. A base time is a miss where a held-out variant of it is, or was not run.

    `base_of` is the column in `base_sec` of each held-out workload.
    """
    held_out_sec = np.where(np.isfinite(base_sec[..., base_of]), held_out_sec, np.inf)
    base_sec, held_out_sec = _drop_slow(base_sec), _drop_slow(held_out_sec)
    by_variant = np.moveaxis(held_out_sec, -1, 0)
    for column, variant_sec in zip(base_of, by_variant, strict=True):
        base_sec[~np.isfinite(variant_sec), column] = np.inf
    return base_sec


def ratios_to_best(times_sec: np.ndarray) -> np.ndarray:
    """r = t / min over submissions of t, shape (..., S, W); inf where it was missed.

    >>> ratios_to_best(np.array([[2.0, np.inf], [3.0, np.nan]]))
    array([[1. , inf],
           [1.5, inf]])
    """
    best_sec = _fastest(times_sec)
    reached = np.isfinite(times_sec)
    ratios = np.where(reached & (times_sec == best_sec), 1.0, np.inf)  # 0 / 0 too
    np.divide(times_sec, best_sec, out=ratios, where=reached & (best_sec > 0))
    return ratios


def performance_profile(ratios: np.ndarray, n_workloads: int) -> np.ndarray:
    """rho(tau) = share of `n_workloads` with ratio <= tau, shape (S, 100) on `TAU`."""
    return (ratios[:, :, None] <= TAU).sum(axis=1) / n_workloads


def profile_scores(profiles: np.ndarray) -> np.ndarray:
    """Integral of rho from 1 to 4 by the trapezoid rule, over 3; shape (S,)."""
    return np.trapezoid(profiles, TAU, axis=1) / (TAU[-1] - TAU[0])


def scores_of_ratios(ratios: np.ndarray, n_workloads: int) -> np.ndarray:
    """The scores of thousands of groups at once: (..., S, W) to (..., S).

    >>> scores_of_ratios(np.array([[[1.0, 1.0], [1.0, 5.0]]]), 2).round(12)
    array([[1. , 0.5]])
    """
    from_k = np.arange(len(TAU)) >= np.arange(len(TAU) + 1)[:, None]
    areas = profile_scores(from_k.astype(float))  # of a ratio within TAU[k:], (101,)
    return areas[np.searchsorted(TAU, ratios)].sum(axis=-1) / n_workloads


def mean_time_ratio(
    times_sec: np.ndarray, baseline_sec: np.ndarray, miss_sec: np.ndarray
) -> float:
    """Geometric mean of t / t_baseline; NaN where a time is unknown, or there is none.

    >>> unknown = np.full(2, np.nan)
    >>> mean_time_ratio(np.array([1.0, np.inf]), np.array([4.0, np.inf]), unknown)
    0.5
    """
    if not len(times_sec):
        return np.nan
    with np.errstate(invalid="ignore"):  # two times of zero
        mean = np.mean(log_time_ratios(times_sec, baseline_sec, miss_sec))
    return float(np.exp(mean))


def log_time_ratios(
    times_sec: np.ndarray, baseline_sec: np.ndarray, miss_sec: np.ndarray
) -> np.ndarray:
    """log t - log t_baseline, shape (..., W); 0 where both missed.

    A miss of one counts as `miss_sec`, shape (W,): NaN is unknown, inf longer than any.
    """
    both_missed = np.isposinf(times_sec) & np.isposinf(baseline_sec)
    miss_sec = np.where(both_missed, 1.0, miss_sec)
    times_sec, baseline_sec = (
        np.where(np.isposinf(t), miss_sec, t) for t in (times_sec, baseline_sec)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # a time of zero
        return np.log(times_sec) - np.log(baseline_sec)


def _fastest(times_sec: np.ndarray) -> np.ndarray:
    """Column minima, shape (..., 1, W); inf where nobody has a time."""
    return np.fmin.reduce(times_sec, axis=-2, initial=np.inf, keepdims=True)


def _drop_slow(times_sec: np.ndarray) -> np.ndarray:
    return np.where(times_sec > SLOWEST * _fastest(times_sec), np.inf, times_sec)
