"""The errors that a user of the engines can cause."""

from dermforge.common.errors import UserError


class EngineError(UserError):
    """A model, bundle or device is not usable: what was got, what was expected, what to do."""


class ParityError(EngineError):
    """The certificate's thresholds were missed."""
