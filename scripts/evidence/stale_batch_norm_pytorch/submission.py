"""Schedule-Free AdamW evaluated at x with the batch-norm statistics of y.

What miniature.md asks about batch norm; not an entry.
"""

from submissions.schedule_free_adamw_pytorch import submission
from submissions.schedule_free_adamw_pytorch.submission import (
    data_selection,
    get_batch_size,
    prepare_for_eval,
    update_params,
)

__all__ = ["data_selection", "get_batch_size", "prepare_for_eval", "update_params"]


def init_optimizer_state(*arguments):
    state = submission.init_optimizer_state(*arguments)
    state["trainer"]._statistics.refresh = lambda forward: None
    return state
