"""Stable Diffusion XL (arXiv 2307.01952): two CLIP text encoders, a pooled embedding, and the image's size as input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from engines.checkpoint.folder import read_json
from engines.checkpoint.settings import Known, known, words
from engines.conditioning import Conditioning
from engines.errors import EngineError
from engines.models.clip import CLIP, CLIP_TOKENS, PROJECTED_CLIP, penultimate, side_by_side
from engines.models.family import Family, Outputs, Part
from engines.models.guidance import beside_timestep, embedded_facts
from engines.models.unet import UNET, UNET_LAYOUTS, check_channels, check_width
from engines.models.vae import VAE, VAE_LAYOUTS
from engines.pipeline_spec import PipelineSpec
from engines.single_file import names_text
from engines.single_file.layouts import Layout

SIZES = 6  # original height and width, the crop's top and left, target height and width
UNET_XL = Known(
    UNET.used | words("addition_time_embed_dim projection_class_embeddings_input_dim"),
    UNET.without_influence - {"addition_time_embed_dim"},
    {k: v for k, v in UNET.only.items() if k != "projection_class_embeddings_input_dim"}
    | {"addition_embed_type": ("text_time",)},
)
INDEX = known(
    used="scheduler text_encoder text_encoder_2 tokenizer tokenizer_2 unet vae force_zeros_for_empty_prompt",
    without_influence="feature_extractor image_encoder add_watermarker",
    only={"requires_aesthetics_score": (False,)},  # of the refiner
)


class StableDiffusionXL(Family):
    """The denoiser attends to the layers before the last of both encoders; the second one also gives the pooled one."""

    name = "sdxl"
    title = "Stable Diffusion XL"
    pipelines = ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline", "StableDiffusionXLImg2ImgPipeline")
    inpainting = "StableDiffusionXLInpaintPipeline"
    denoiser = "unet"
    parts = {
        "unet": Part("diffusers", "UNet2DConditionModel", UNET_XL),
        "vae": VAE,
        "text_encoder": CLIP,
        "text_encoder_2": PROJECTED_CLIP,
    }
    tokenizers = {"tokenizer": CLIP_TOKENS, "tokenizer_2": CLIP_TOKENS}
    index = INDEX
    layouts = {
        "unet": UNET_LAYOUTS,
        "vae": VAE_LAYOUTS,
        "text_encoder": (Layout("conditioner.embedders.0.transformer.", names_text.transformers),),
        "text_encoder_2": (Layout("conditioner.embedders.1.model.", names_text.open_clip),),
    }
    public = {"stabilityai/stable-diffusion-xl-base-1.0": "CreativeML Open RAIL++-M"}
    text_widths = {2048: title}
    inputs = {"text": "encoder_hidden_states", "pooled": "text_embeds", "time_ids": "time_ids", "guidance": "guidance"}
    scalar_timestep = True

    def facts(self, folder: Path, networks: Mapping[str, Any], lengths: Mapping[str, int], side: int) -> dict[str, Any]:
        unet = networks["unet"].config
        first, second = (networks[part].config for part in self.text_encoders())
        width, pooled = first.hidden_size + second.hidden_size, second.projection_dim
        check_channels(folder, unet, networks["vae"].config)
        check_width(folder, unet, width, "the text encoders give together")
        if unet.projection_class_embeddings_input_dim != SIZES * unet.addition_time_embed_dim + pooled:
            raise EngineError(
                f"{folder}: the UNet expects {unet.projection_class_embeddings_input_dim} dimensions beside the text, "
                f"and {SIZES} sizes of {unet.addition_time_embed_dim} with a pooled text of {pooled} give "
                f"{SIZES * unet.addition_time_embed_dim + pooled}; the parts are of different models"
            )
        if len(set(lengths.values())) > 1:
            raise EngineError(f"{folder}: the tokenizers keep different numbers of tokens ({dict(lengths)})")
        zeros = read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", True)
        size = side * 2 ** (len(networks["vae"].config.block_out_channels) - 1)
        shapes = {"text": (lengths["tokenizer"], width), "pooled": (pooled,), "time_ids": (SIZES,)}
        sizes, further = {"time_ids": [size, size, 0, 0, size, size]}, embedded_facts(unet.time_cond_proj_dim)
        return {
            "unet_in_channels": unet.in_channels,
            "conditioning": shapes | further.pop("conditioning", {}),
            "constants": sizes | further.pop("constants", {}),
            "empty_prompt": "zeros" if zeros else "encoded",
            **further,
        }

    def text_outputs(self, part: str, network: Any, ids: Tensor) -> dict[str, Tensor]:
        return penultimate(network, ids, pooled=part == "text_encoder_2")

    def conditioning(self, outputs: Mapping[str, Outputs], spec: PipelineSpec) -> Conditioning:
        return {"text": side_by_side(outputs, "text"), "pooled": outputs["text_encoder_2"]["pooled"]}

    def predict(self, denoiser: Any, latents: Tensor, times: Tensor, told: Conditioning, spec: PipelineSpec) -> Tensor:
        beside = {"text_embeds": told["pooled"], "time_ids": told["time_ids"]}
        scale = beside_timestep(denoiser, told.get("guidance"))
        out: Tensor = denoiser(latents, times, told["text"], **scale, added_cond_kwargs=beside, return_dict=False)[0]
        return out


FAMILY = StableDiffusionXL()
