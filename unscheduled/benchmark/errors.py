"""What went wrong, in one sentence for the user."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or else its name."""
    return str(error).partition("\n")[0] or type(error).__name__


class UserError(ValueError):
    """A mistake or a mishap outside this code; its text is all that a user needs."""


class LogError(UserError):
    """A log that cannot be read as the measurements of a run."""
