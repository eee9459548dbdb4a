"""The AlgoPerf interface: `algoperf.spec` where installed, else our own mirror.

So a submission sees the very enums and exceptions that official workloads compare
against. `algoperf.spec` imports both torch and jax; the mirror imports neither.
"""

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING or importlib.util.find_spec("algoperf") is None:
    from unscheduled.benchmark.spec_mirror import *  # noqa: F403
else:
    from algoperf.spec import *  # noqa: F403
