"""The rules of scoring as slow loops over plain numbers, without arrays.

Times are seconds; inf is a miss, and a workload that was not run is not there.
"""

import math

RULES = ("documented", "official")
Times = dict[str, dict[str, float]]  # submission -> workload -> seconds


def study_time(trials, target, lower_is_better, rule):
    """(seconds, steps) of a study of [(seconds, steps, metric), ...] a trial."""
    hits = []
    for trial in trials:
        for index, (seconds, steps, metric) in enumerate(trial):
            if (lower_is_better and metric <= target) or (
                not lower_is_better and metric >= target
            ):
                hits.append((seconds, steps, index))
                break
    if not hits:
        return math.inf, math.inf
    chosen = hits[0]
    for hit in hits[1:]:
        if rule == "documented" and hit[0] < chosen[0]:
            chosen = hit
        if rule == "official" and hit[2] < chosen[2]:
            chosen = hit
    return chosen[0], chosen[1]


def median(values):
    """The middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def scores(times: Times, base: list[str], held_out: dict[str, str]) -> dict[str, float]:
    """Scores by the order of the rules: (a) to (d), ratios, profile, integral."""
    times = {submission: dict(row) for submission, row in times.items()}
    for row in times.values():  # (a)
        for variant, parent in held_out.items():
            if row.get(parent, math.inf) == math.inf:
                row[variant] = math.inf
    best = {w: fastest(times, w) for w in [*base, *held_out]}
    for row in times.values():  # (b)
        for workload, seconds in row.items():
            if seconds > 4 * best[workload]:
                row[workload] = math.inf
    for row in times.values():  # (c)
        for variant, parent in held_out.items():
            if row.get(variant, math.inf) == math.inf:
                row[parent] = math.inf
    ratios = {submission: {} for submission in times}
    for workload in base:  # (d)
        quickest = fastest(times, workload)
        for submission, row in times.items():
            if row.get(workload, math.inf) < math.inf:
                ratios[submission][workload] = row[workload] / quickest
    return {submission: integral(row, len(base)) for submission, row in ratios.items()}


def both_ratio(times: dict, baseline: dict, base: list[str]) -> tuple[float, int]:
    """Geometric mean of t / t_baseline where both are finite, and of how many."""
    product, n = 1.0, 0
    for workload in base:
        t, t_baseline = times.get(workload, math.inf), baseline.get(workload, math.inf)
        if t < math.inf and t_baseline < math.inf:
            product *= t / t_baseline
            n += 1
    return (product ** (1 / n) if n else math.nan), n


def fastest(times: Times, workload: str) -> float:
    """The least time on a workload, inf where nobody has one."""
    return min((row.get(workload, math.inf) for row in times.values()), default=0)


def integral(ratios: dict[str, float], n_base: int) -> float:
    """Area below the share of workloads within tau, by trapezoids, over 3."""
    # The official grid to the last bit: 1.6666666666666667, which 5 / 3 is on.
    taus = [1 + i * (3 / 99) for i in range(99)] + [4.0]
    shares = [sum(r <= tau for r in ratios.values()) / n_base for tau in taus]
    area = 0.0
    for i in range(99):
        area += (taus[i + 1] - taus[i]) * (shares[i] + shares[i + 1]) / 2
    return area / 3
