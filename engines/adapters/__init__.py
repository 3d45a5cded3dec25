"""Adapters and learnt words as people have them: they are put into a pipeline's own weights before an engine is built.

Nothing of this is left when a bundle runs. What was put in stands in the folder's `dermforge.json` and in the bundle.
"""

from engines.adapters.decoder import with_decoder
from engines.adapters.folder import with_adapters
from engines.adapters.lora import Lora, parse_lora

__all__ = ["Lora", "parse_lora", "with_adapters", "with_decoder"]
