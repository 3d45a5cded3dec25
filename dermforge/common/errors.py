"""The errors a user can cause: one clear line, exit status 2."""


class UserError(Exception):
    """Something the user gave is wrong: what was got, what was expected, what to do."""


class CheckFailed(Exception):
    """A check ran and failed (a digest, a threshold): exit status 1."""
