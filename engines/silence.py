"""Silence for libraries that print progress lines and warnings."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

TALKERS = ("torch.onnx", "torch.utils.cpp_extension", "onnxscript", "onnx_ir", "diffusers", "transformers")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence stdout, warnings and the libraries' loggers. Exceptions pass: what is logged before one is in it."""
    levels = {name: logging.getLogger(name).level for name in TALKERS}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in TALKERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def drop_guesses() -> None:
    """Drop a false warning that diffusers logs when it is imported and optimum-onnx is installed.

    It takes the two distributions of the package `optimum`, which belong together, for a conflict.
    """
    logging.getLogger("diffusers.utils.import_utils").addFilter(_is_no_guess)


def _is_no_guess(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Multiple distributions found for package")
