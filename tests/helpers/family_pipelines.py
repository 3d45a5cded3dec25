"""A tiny pipeline of each family with random weights: real classes of diffusers and transformers, small numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from packaging.version import Version
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

TOKENS = 16
HEAD = 16


def clip_tokenizer(folder: Path, pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """CLIP's tokenizer over single letters; families pad with different tokens."""
    letters = [*(chr(c) for c in range(ord("a"), ord("z") + 1)), ",", "!"]
    vocab = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocab)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    names = str(folder / "vocab.json"), str(folder / "merges.txt")
    return CLIPTokenizer(*names, model_max_length=TOKENS, pad_token=pad)


def t5_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """T5's fast tokenizer over single letters, without sentencepiece."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "</s>", "<unk>", "▁", *(chr(c) for c in range(ord("a"), ord("z") + 1)), ","]
    tokenizer = Tokenizer(models.Unigram([(word, -float(i)) for i, word in enumerate(words)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return T5TokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), extra_ids=0, model_max_length=32)


def clip(kind: type, width: int, projection: int, tokenizer: CLIPTokenizer) -> Any:
    """A CLIP text encoder of two layers."""
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=TOKENS,
            projection_dim=projection,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()


def t5(width: int) -> T5EncoderModel:
    """A T5 encoder of two layers."""
    config = T5Config(
        vocab_size=31, d_model=width, d_kv=8, d_ff=64, num_layers=2, num_heads=4, tie_word_embeddings=False
    )
    return T5EncoderModel(config).eval()


def vae(channels: int, **options: Any) -> AutoencoderKL:
    """An autoencoder by a factor of 8."""
    made = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=64,
        **options,
    )
    with torch.no_grad():  # random weights draw a flat grey: spread it, or a constant image would be refused
        made.decoder.conv_out.weight.mul_(8)
    return made.eval()


def sdxl(folder: Path, *, in_channels: int = 4, **index: Any) -> Path:
    """Stable Diffusion XL at 64 pixels."""
    torch.manual_seed(1)
    first, second = clip_tokenizer(folder / "one"), clip_tokenizer(folder / "two", pad="!")
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
        cross_attention_dim=64,
        norm_num_groups=8,
    )
    kind = StableDiffusionXLPipeline if in_channels == 4 else StableDiffusionXLInpaintPipeline
    pipeline = kind(
        vae=vae(4, scaling_factor=0.13025),
        text_encoder=clip(CLIPTextModel, 32, 16, first),
        text_encoder_2=clip(CLIPTextModelWithProjection, 32, 24, second),
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        add_watermarker=False,
        **index,
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def sd3(folder: Path, *, third: bool = True) -> Path:
    """Stable Diffusion 3 at 64 pixels, with or without T5."""
    torch.manual_seed(2)
    first, second = clip_tokenizer(folder / "one"), clip_tokenizer(folder / "two", pad="!")
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=HEAD,
        num_attention_heads=2,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=40,
        out_channels=16,
        pos_embed_max_size=16,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    pipeline = StableDiffusion3Pipeline(
        transformer=_spread(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(CLIPTextModelWithProjection, 32, 16, first),
        tokenizer=first,
        text_encoder_2=clip(CLIPTextModelWithProjection, 32, 24, second),
        tokenizer_2=second,
        text_encoder_3=t5(64) if third else None,
        tokenizer_3=t5_tokenizer(folder / "three") if third else None,
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def flux(folder: Path, *, guidance: bool = True) -> Path:
    """FLUX.1 at 64 pixels, dev or schnell."""
    torch.manual_seed(3)
    first = clip_tokenizer(folder / "one")
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=HEAD,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 4, 8),
    )
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=guidance),
        vae=vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(CLIPTextModel, 32, 16, first),
        tokenizer=first,
        text_encoder_2=t5(32),
        tokenizer_2=t5_tokenizer(folder / "two"),
        transformer=_spread(transformer),
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def pixart(folder: Path) -> Path:
    """PixArt-alpha at 64 pixels."""
    if Version(torch.__version__) < Version("2.14"):
        pytest.skip("an older torch exports PixArt for one number of rows only, and is told so")
    torch.manual_seed(4)
    transformer = PixArtTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=HEAD,
        num_attention_heads=2,
        caption_channels=32,
        cross_attention_dim=32,
        in_channels=4,
        out_channels=8,
        norm_num_groups=4,
        use_additional_conditions=False,
    )
    pipeline = PixArtAlphaPipeline(
        tokenizer=t5_tokenizer(folder / "one"),
        text_encoder=t5(32),
        vae=vae(4, scaling_factor=0.18215),
        transformer=_spread(transformer),
        scheduler=DPMSolverMultistepScheduler(),
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def opened(folder: Path) -> Any:
    """Diffusers' own pipeline of a folder; it opens one without T5 only when it is told that T5 is not there."""
    index = json.loads((folder / "model_index.json").read_text())
    absent = {name: None for name, value in index.items() if value == [None, None] and name.endswith("_3")}
    return DiffusionPipeline.from_pretrained(folder, **absent)


def _spread(transformer: Any) -> Any:
    """A transformer whose last layer is not zero, as a new one's is."""
    for value in transformer.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.05)
    return transformer.eval()


#: Every family but Stable Diffusion 1.x and 2.x, in the variants that its file tells apart.
PIPELINES: dict[str, Callable[[Path], Path]] = {
    "sdxl": sdxl,
    "sdxl-inpaint": lambda folder: sdxl(folder, in_channels=9),
    "sdxl-encoded": lambda folder: sdxl(folder, force_zeros_for_empty_prompt=False),
    "sd3": sd3,
    "sd3-without-t5": lambda folder: sd3(folder, third=False),
    "pixart": pixart,
    "flux-dev": flux,
    "flux-schnell": lambda folder: flux(folder, guidance=False),
}
