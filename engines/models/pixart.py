"""PixArt-alpha (arXiv 2310.00426): a small diffusion transformer that attends to the text of T5 alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from engines.checkpoint.settings import known
from engines.conditioning import Conditioning
from engines.errors import EngineError
from engines.models.clip import T5, t5_tokens
from engines.models.family import Family, Outputs, Part
from engines.models.transformer import check_transformer
from engines.models.vae import VAE
from engines.pipeline_spec import PipelineSpec

T5_TOKENS = 120  # of diffusers' pipeline
MASKED = -10000.0  # of diffusers' transformer
TRANSFORMER = known(
    used="sample_size patch_size in_channels out_channels num_layers attention_head_dim num_attention_heads "
    "cross_attention_dim caption_channels norm_num_groups attention_bias activation_fn num_embeds_ada_norm norm_type "
    "upcast_attention norm_elementwise_affine norm_eps interpolation_scale use_additional_conditions",
    without_influence="dropout",
    only={"attention_type": (None, "default")},
)
INDEX = known(used="scheduler text_encoder tokenizer transformer vae", without_influence="", only={})


class PixArt(Family):
    """The padding of a prompt is masked; the large model is told the size of the image. A learnt variance is unused."""

    name = "pixart"
    title = "PixArt-alpha"
    pipelines = ("PixArtAlphaPipeline",)
    denoiser = "transformer"
    parts = {"transformer": Part("diffusers", "PixArtTransformer2DModel", TRANSFORMER), "vae": VAE, "text_encoder": T5}
    tokenizers = {"tokenizer": t5_tokens(T5_TOKENS)}
    index = INDEX
    inputs = {
        "text": "encoder_hidden_states",
        "mask": "encoder_attention_mask",
        "resolution": "resolution",
        "aspect_ratio": "aspect_ratio",
    }
    their_names = (
        *("prompt_embeds", "prompt_attention_mask"),
        *("negative_prompt_embeds", "negative_prompt_attention_mask"),
    )
    their_options = {"negative_prompt": None, "use_resolution_binning": False}

    def facts(self, folder: Path, networks: Mapping[str, Any], lengths: Mapping[str, int], side: int) -> dict[str, Any]:
        denoiser, vae = networks["transformer"], networks["vae"].config
        check_transformer(folder, denoiser.config, vae)
        width = networks["text_encoder"].config.d_model
        if width != denoiser.config.caption_channels:
            raise EngineError(
                f"{folder}: the transformer expects text of {denoiser.config.caption_channels} dimensions and the text "
                f"encoder gives {width}; the parts are of different models"
            )
        shapes: dict[str, tuple[int, ...]] = {"text": (lengths["tokenizer"], width), "mask": (lengths["tokenizer"],)}
        size = float(side * 2 ** (len(vae.block_out_channels) - 1))
        constants = {"resolution": [size, size], "aspect_ratio": [1.0]} if denoiser.use_additional_conditions else {}
        return {
            "unet_in_channels": denoiser.config.in_channels,
            "conditioning": shapes | {name: (len(value),) for name, value in constants.items()},
            "constants": constants,
        }

    def prepared(self, prompt: str) -> str:
        return prompt.lower().strip()

    def text_outputs(self, part: str, network: Any, ids: Tensor) -> dict[str, Tensor]:
        mask = (ids != network.config.pad_token_id).float()
        return {"text": network(ids, attention_mask=mask)[0].float(), "mask": mask}

    def conditioning(self, outputs: Mapping[str, Outputs], spec: PipelineSpec) -> Conditioning:
        return outputs["text_encoder"]

    def predict(self, denoiser: Any, latents: Tensor, times: Tensor, told: Conditioning, spec: PipelineSpec) -> Tensor:
        # As the transformer makes it of a mask, but for each query: ONNX Runtime's attention does not repeat a mask.
        side, _ = latents.shape[2:]
        bias = ((1 - told["mask"]) * MASKED)[:, None].expand(-1, (side // denoiser.config.patch_size) ** 2, -1)
        beside = {name: told.get(name) for name in ("resolution", "aspect_ratio")}
        out: Tensor = denoiser(
            latents,
            encoder_hidden_states=told["text"],
            encoder_attention_mask=bias,
            timestep=times,
            added_cond_kwargs=beside,
            return_dict=False,
        )[0]
        return out[:, : spec.latent_channels]


FAMILY = PixArt()
