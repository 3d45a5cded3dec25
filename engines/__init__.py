"""A diffusers pipeline folder -> an engine bundle -> arrays. Knows nothing of plans or shards."""

from __future__ import annotations

from engines.build import build
from engines.bundle import Bundle, read_bundle
from engines.engine import Engine
from engines.errors import EngineError, ParityError
from engines.facts import PipelineFacts, ValidationPrompt
from engines.loading import load

__all__ = [
    "Bundle",
    "Engine",
    "EngineError",
    "ParityError",
    "PipelineFacts",
    "ValidationPrompt",
    "build",
    "load",
    "read_bundle",
]
