"""The small decoder that a pipeline folder may hold beside the parts of its family."""

from engines.checkpoint.settings import known
from engines.models.family import Part

#: Of which the decoder is used.
SETTINGS = known(
    used="decoder_block_out_channels encoder_block_out_channels num_decoder_blocks num_encoder_blocks act_fn "
    "upsample_fn latent_channels upsampling_scaling_factor scaling_factor shift_factor",
    without_influence="latent_magnitude latent_shift force_upcast block_out_channels",
    only={"in_channels": (3,), "out_channels": (3,)},
)
#: Its folder.
SMALL = "small_decoder"
TINY = Part("diffusers", "AutoencoderTiny", SETTINGS)
