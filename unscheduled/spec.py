"""The AlgoPerf interface: `algoperf.spec` where installed, else our own mirror.

The way in for submissions and workloads; `unscheduled.benchmark.spec` chooses.
"""

from unscheduled.benchmark.spec import *  # noqa: F403
