"""A diffusers pipeline folder -> an engine bundle -> arrays. Knows nothing of plans or shards."""

from typing import TYPE_CHECKING

from dermforge.common.lazy import lazy_names
from engines.silence import drop_guesses

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

if TYPE_CHECKING:
    from engines.builder import build
    from engines.bundle import Bundle, read_bundle
    from engines.engine import Engine
    from engines.errors import EngineError, ParityError
    from engines.loader import load
    from engines.pipeline_spec import PipelineSpec, ValidationPrompt
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "engines.builder": ["build"],
            "engines.bundle": ["Bundle", "read_bundle"],
            "engines.engine": ["Engine"],
            "engines.errors": ["EngineError", "ParityError"],
            "engines.loader": ["load"],
            "engines.pipeline_spec": ["PipelineSpec", "ValidationPrompt"],
        },
    )

drop_guesses()
