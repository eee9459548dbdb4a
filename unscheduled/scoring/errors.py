"""What a user of the scorer can get wrong: one clear sentence each."""


class ScoringError(ValueError):
    """Something in the logs, targets or arguments that the user can put right."""


class LogError(ScoringError):
    """A log that cannot be read as the measurements of a run."""
