"""What went wrong, in one sentence for the user."""


class UserError(Exception):
    """A mistake or a mishap outside this code; its text is all that a user needs."""
