"""The small decoder that a pipeline folder may hold beside the parts of its family."""

from engines.checkpoint import settings
from engines.models.family import Part

#: Its folder.
SMALL = "small_decoder"
TINY = Part("diffusers", "AutoencoderTiny", settings.TINY)
