"""The errors that a user can cause. A command prints them as one line."""


class UserError(ValueError):
    """Something that the user gave is wrong: what was got, what was expected, what to do (exit status 2)."""


class DataWarning(UserWarning):
    """Something in the data that the user should know; a command prints it as one line and goes on."""


class CheckFailed(ValueError):
    """A check ran and failed, such as a digest or a threshold (exit status 1)."""


def first_line(error: BaseException) -> str:
    """The first line of what a library says, for a message of one line; its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
