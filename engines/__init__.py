"""A diffusers pipeline folder -> an engine bundle -> arrays. Knows nothing of plans or shards."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from engines.silence import drop_guesses

if TYPE_CHECKING:
    from engines.builder import build
    from engines.bundle import Bundle, read_bundle
    from engines.engine import Engine
    from engines.errors import EngineError, ParityError
    from engines.loader import load
    from engines.pipeline_spec import PipelineSpec, ValidationPrompt

# Where each name is found when it is first asked for: importing torch takes seconds, and `gen --help` needs none of it.
_HOMES = {
    "build": "builder",
    "Bundle": "bundle",
    "read_bundle": "bundle",
    "Engine": "engine",
    "EngineError": "errors",
    "ParityError": "errors",
    "PipelineSpec": "pipeline_spec",
    "ValidationPrompt": "pipeline_spec",
    "load": "loader",
}
__all__ = [
    "Bundle",
    "Engine",
    "EngineError",
    "ParityError",
    "PipelineSpec",
    "ValidationPrompt",
    "build",
    "load",
    "read_bundle",
]

drop_guesses()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
