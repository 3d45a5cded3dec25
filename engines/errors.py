"""The errors a user of the engines can cause."""


class EngineError(Exception):
    """A model, bundle or device is not usable: what was got, what was expected, what to do."""


class ParityError(EngineError):
    """The certificate's thresholds were missed."""
